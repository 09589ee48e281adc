-- instead of: views/2_rollup/70_upkeep.sql

-- By the id that a transaction has on the server where it writes, which it keeps when it is prepared and when the
-- server is started again. One look at pg_locks finds the lock and the id: with a second look, at what Citus or
-- pg_prepared_xacts say, a transaction that is prepared between the two, or whose process has gone on to its next one,
-- would go by another name than before, and one that was waited for would be taken for over. Who has a lock and no id
-- yet has written nothing, so its triggers are still to ask what has to be noted.
CREATE OR REPLACE FUNCTION cluster.writers()
RETURNS SETOF text
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    mine text;
    answer record;
BEGIN
    SELECT format('(%s, %s)', a.initiator_node_identifier, a.transaction_number) INTO mine
    FROM get_all_active_transactions() AS a
    WHERE a.process_id = pg_backend_pid() AND a.transaction_number > 0;
    FOR answer IN
        SELECT r.nodeid, r.success, r.result
        FROM run_command_on_all_nodes(format($command$
            WITH locks AS MATERIALIZED (
                SELECT k.locktype, k.database, k.relation, k.virtualtransaction, k.transactionid, k.pid, k.mode
                FROM pg_catalog.pg_locks AS k
            )

            SELECT coalesce(string_agg(DISTINCT x.transactionid::text, ' '), '')
            FROM locks AS k
            INNER JOIN locks AS x
                ON k.virtualtransaction = x.virtualtransaction
                AND x.locktype = 'transactionid' AND x.mode = 'ExclusiveLock'
            INNER JOIN pg_catalog.pg_class AS c ON k.relation = c.oid
            WHERE k.locktype = 'relation' AND k.pid IS DISTINCT FROM pg_backend_pid()
                AND k.database = (SELECT d.oid FROM pg_catalog.pg_database AS d WHERE d.datname = current_database())
                AND k.mode IN ('RowExclusiveLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
                AND c.relnamespace = 'llm'::regnamespace
                AND c.relname ~ ('^(session_logs|sessions|users|user_departments|deployments|deployment_history|'
                    'model_configs)(_|$)')
                AND NOT EXISTS (
                    SELECT 1
                    FROM get_all_active_transactions() AS a
                    WHERE a.process_id = k.pid AND (a.initiator_node_identifier, a.transaction_number) = %s
                )
        $command$, coalesce(mine, '(NULL, NULL)'))) AS r
    LOOP
        IF NOT answer.success THEN
            RAISE EXCEPTION 'node % does not say who writes there: %', answer.nodeid, answer.result
                USING ERRCODE = 'object_not_in_prerequisite_state',
                    HINT = 'SELECT * FROM pg_dist_node shows it. Nothing is closed until all servers are there.';
        END IF;
        RETURN QUERY
        SELECT answer.nodeid || ':' || w FROM regexp_split_to_table(nullif(answer.result, ''), ' ') AS w;
    END LOOP;
END
$$;

COMMENT ON FUNCTION cluster.writers() IS 'As rollup.writers(), on all servers: each as node:id';
REVOKE ALL ON FUNCTION cluster.writers() FROM public;

-- A function that names a table of the coordinator stays there. Citus would take any other to the workers, and then not
-- have it replaced by the one of one node, which is made first whenever a migrate makes this file anew.
CREATE OR REPLACE FUNCTION rollup.writers()
RETURNS SETOF text
LANGUAGE sql
STABLE
BEGIN ATOMIC
    SELECT w FROM cluster.writers() AS w WHERE 'llm.users'::regclass IS NOT NULL;
END;

CREATE OR REPLACE FUNCTION rollup.is_rolled_up(month date, log_days date [], session_days date [])
RETURNS boolean
LANGUAGE plpgsql
SET plan_cache_mode = force_custom_plan
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    first_day constant timestamp := date_trunc('month', month::timestamp);
    low constant uuid := llm.uuidv7_floor(first_day AT TIME ZONE 'UTC');
    high constant uuid := llm.uuidv7_floor((first_day + interval '1 month') AT TIME ZONE 'UTC');
    border constant timestamptz := (SELECT s.closed_before FROM rollup.state AS s);
    noted record;
BEGIN
    PERFORM 1
    FROM llm.session_logs AS l
    WHERE l.session_id >= low AND l.session_id < high AND l.request_time >= border
    LIMIT 1;
    IF FOUND THEN
        RETURN false;
    END IF;
    FOR noted IN SELECT * FROM rollup.noted_days('logs') LOOP
        PERFORM 1
        FROM llm.session_logs AS l
        WHERE l.session_id >= low AND l.session_id < high
            AND l.request_time >= noted.from_time AND l.request_time < noted.until_time
        LIMIT 1;
        IF FOUND OR noted.day = any(log_days) THEN
            RETURN false;
        END IF;
    END LOOP;
    FOR noted IN SELECT * FROM rollup.noted_days('sessions') LOOP
        PERFORM 1
        FROM llm.sessions AS s
        WHERE s.session_id >= low AND s.session_id < high
            AND s.start_time >= noted.from_time AND s.start_time < noted.until_time
        LIMIT 1;
        IF FOUND OR noted.day = any(session_days) THEN
            RETURN false;
        END IF;
    END LOOP;
    RETURN true;
END
$$;
