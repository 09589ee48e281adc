-- instead of: views/4_ops/20_refresh.sql

-- The steps of one node, and before the first and behind the last what a cluster adds.
DO $$
BEGIN
    EXECUTE replace(pg_get_functiondef('ops.refresh_step(jsonb)'::regprocedure), ' ops.refresh', ' cluster.refresh');
END
$$;
COMMENT ON FUNCTION cluster.refresh_step(jsonb) IS 'ops.refresh_step() of one node';
REVOKE ALL ON FUNCTION cluster.refresh_step(jsonb) FROM public;
CREATE OR REPLACE FUNCTION ops.refresh_step(step jsonb)
RETURNS jsonb
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    told timestamptz;
    next_step jsonb;
    gone uuid [];
BEGIN
    IF step ->> 'phase' = 'announced' THEN
        -- What is prepared and not yet committed on one of the servers has not been told there.
        SELECT min(s.noted_before) INTO told FROM cluster.state AS s;
        IF told IS DISTINCT FROM (SELECT s.noted_before FROM rollup.state AS s) THEN
            RAISE EXCEPTION 'not every shard has heard of what is to be closed'
                USING ERRCODE = 'object_not_in_prerequisite_state',
                    HINT = 'SELECT recover_prepared_transactions(); and call again. Reports are right meanwhile.';
        END IF;
    END IF;
    IF step ->> 'phase' IS DISTINCT FROM 'collected' THEN
        next_step := cluster.refresh_step(step);
        IF next_step IS NULL THEN
            PERFORM 1 FROM cluster.collected LIMIT 1;
            IF FOUND THEN
                RETURN step || '{"phase": "collected"}';
            END IF;
        END IF;
        RETURN next_step;
    END IF;
    -- Who began before the notes were here reads them on the shards. Then they go, or they go the next time.
    PERFORM 1
    FROM pg_catalog.pg_stat_activity AS a
    WHERE a.datname = current_database() AND a.pid <> pg_backend_pid()
        AND age(a.backend_xmin) >= (SELECT min(age(c.collected_in::xid)) FROM cluster.collected AS c);
    IF FOUND THEN
        IF clock_timestamp() > (step ->> 'give_up_at')::timestamptz THEN
            RETURN NULL;
        END IF;
        PERFORM pg_sleep(0.02);
        RETURN step;
    END IF;
    PERFORM rollup.lock_state(true);
    SELECT array_agg(c.note_id) INTO gone FROM cluster.collected AS c;
    DELETE FROM cluster.notes AS n WHERE n.note_id = any(gone);
    DELETE FROM cluster.collected AS c WHERE c.note_id = any(gone);
    RETURN NULL;
END
$$;
