-- instead of: views/1_llm/31_template_uses.sql

CREATE OR REPLACE FUNCTION cluster.take_usage_slot(counters oid)
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    slots constant integer := 1000;
    remembered constant text := current_setting('llm.usage_slot', true);
    slot integer := CASE WHEN remembered ~ '^[1-9][0-9]{0,2}$' THEN remembered::integer ELSE 1 END;
BEGIN
    IF current_setting('transaction_isolation') = 'read committed' THEN
        IF pg_try_advisory_xact_lock(counters::integer, slot) THEN
            RETURN slot;
        END IF;
        FOR other IN 1..slots LOOP
            IF pg_try_advisory_xact_lock(counters::integer, other) THEN
                PERFORM set_config('llm.usage_slot', other::text, false);
                RETURN other;
            END IF;
        END LOOP;
    END IF;
    RETURN -(pg_current_xact_id()::text::bigint);
END
$$;
COMMENT ON FUNCTION cluster.take_usage_slot(oid) IS 'As llm.take_usage_slot(), of the counters of one shard';
REVOKE ALL ON FUNCTION cluster.take_usage_slot(oid) FROM public;

CREATE OR REPLACE FUNCTION llm.count_template_uses()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    counters text;
    my_slot bigint;
    used record;
    written bigint;
BEGIN
    FOR used IN EXECUTE CASE TG_OP
        WHEN 'INSERT' THEN
            'SELECT a.template_id, count(*) AS more FROM added AS a WHERE a.template_id IS NOT NULL GROUP BY 1'
        ELSE
            'SELECT c.template_id, sum(c.uses)::bigint AS more FROM ('
            'SELECT a.template_id, 1 AS uses FROM added AS a UNION ALL SELECT r.template_id, -1 FROM removed AS r'
            ') AS c WHERE c.template_id IS NOT NULL GROUP BY 1 HAVING sum(c.uses) <> 0'
    END LOOP
        IF counters IS NULL THEN
            counters := cluster.beside(TG_RELID, 'cluster.template_uses');
            my_slot := cluster.take_usage_slot(counters::regclass);
        END IF;
        EXECUTE format('UPDATE %s SET uses = uses + $1 WHERE template_id = $2 AND slot = $3', counters)
        USING used.more, used.template_id, my_slot;
        GET DIAGNOSTICS written = ROW_COUNT;
        IF written = 0 THEN
            EXECUTE format(
                'INSERT INTO %s (shard, template_id, slot, uses) SELECT s.shard, $2, $3, $1 FROM %s AS s',
                counters, cluster.beside(TG_RELID, 'cluster.state')
            ) USING used.more, used.template_id, my_slot;
        END IF;
    END LOOP;
    RETURN NULL;
END
$$;

-- On a worker, for each shard.
CREATE OR REPLACE FUNCTION cluster.fold_shard_uses(shard oid)
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    folded bigint;
BEGIN
    EXECUTE format(
        'WITH gone AS ('
        'DELETE FROM %1$s AS u USING ('
        'SELECT template_id, slot FROM %1$s WHERE slot < 0 FOR UPDATE SKIP LOCKED'
        ') AS mine WHERE u.template_id = mine.template_id AND u.slot = mine.slot '
        'RETURNING u.shard, u.template_id, u.uses'
        '), sums AS ('
        'INSERT INTO %1$s AS u (shard, template_id, slot, uses) '
        'SELECT shard, template_id, 0, sum(uses) FROM gone GROUP BY shard, template_id ORDER BY template_id '
        'ON CONFLICT (shard, template_id, slot) DO UPDATE SET uses = u.uses + excluded.uses'
        ') SELECT count(*) FROM gone',
        cluster.beside(shard, 'cluster.template_uses')
    ) INTO folded;
    RETURN folded;
END
$$;
COMMENT ON FUNCTION cluster.fold_shard_uses(oid) IS 'llm.fold_template_uses() of one shard';
REVOKE ALL ON FUNCTION cluster.fold_shard_uses(oid) FROM public;

DO $$
BEGIN
    EXECUTE replace(pg_get_functiondef('llm.fold_template_uses()'::regprocedure), ' llm.fold', ' cluster.fold');
END
$$;
COMMENT ON FUNCTION cluster.fold_template_uses() IS 'llm.fold_template_uses() of one node';
REVOKE ALL ON FUNCTION cluster.fold_template_uses() FROM public;
CREATE OR REPLACE FUNCTION llm.fold_template_uses()
RETURNS bigint
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    on_shards bigint;
BEGIN
    SELECT sum(f.folded) INTO on_shards
    FROM (SELECT cluster.fold_shard_uses(s.tableoid) AS folded FROM cluster.state AS s) AS f;
    RETURN cluster.fold_template_uses() + on_shards;
END
$$;
