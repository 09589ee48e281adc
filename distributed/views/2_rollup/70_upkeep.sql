-- instead of: views/2_rollup/70_upkeep.sql

-- By the number that a transaction has on all servers, which it keeps when it is prepared: its name in pg_locks, with
-- which one that was waited for would be taken for over, it does not keep.
CREATE OR REPLACE FUNCTION rollup.writers()
RETURNS SETOF text
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    mine text;
    answer record;
BEGIN
    SELECT a.initiator_node_identifier || '/' || a.transaction_number INTO mine
    FROM get_all_active_transactions() AS a
    WHERE a.process_id = pg_backend_pid() AND a.transaction_number > 0;
    FOR answer IN
        SELECT r.nodeid, r.success, r.result
        FROM run_command_on_all_nodes($command$
            SELECT coalesce(string_agg(DISTINCT CASE
                WHEN a.transaction_number > 0 THEN a.initiator_node_identifier || '/' || a.transaction_number
                WHEN p.gid ~ '^citus_' THEN split_part(p.gid, '_', 2) || '/' || split_part(p.gid, '_', 4)
                ELSE 'here/' || k.virtualtransaction
            END, ' '), '')
            FROM pg_catalog.pg_locks AS k
            INNER JOIN pg_catalog.pg_class AS c ON k.relation = c.oid
            LEFT JOIN get_all_active_transactions() AS a ON k.pid = a.process_id
            LEFT JOIN pg_catalog.pg_locks AS x
                ON k.pid IS NULL AND x.locktype = 'transactionid' AND x.virtualtransaction = k.virtualtransaction
            LEFT JOIN pg_catalog.pg_prepared_xacts AS p ON x.transactionid = p.transaction
            WHERE k.locktype = 'relation' AND k.pid IS DISTINCT FROM pg_backend_pid()
                AND k.database = (SELECT d.oid FROM pg_catalog.pg_database AS d WHERE d.datname = current_database())
                AND k.mode IN ('RowExclusiveLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
                AND c.relnamespace = 'llm'::regnamespace
                AND c.relname ~ '^(session_logs|sessions|users|user_departments|deployments|model_configs)(_|$)'
        $command$) AS r
    LOOP
        IF NOT answer.success THEN
            RAISE EXCEPTION 'node % does not say who writes there: %', answer.nodeid, answer.result
                USING ERRCODE = 'object_not_in_prerequisite_state',
                    HINT = 'SELECT * FROM pg_dist_node shows it. Nothing is closed until all servers are there.';
        END IF;
        RETURN QUERY
        SELECT replace(w, 'here/', answer.nodeid || ':')
        FROM regexp_split_to_table(nullif(answer.result, ''), ' ') AS w
        WHERE w IS DISTINCT FROM mine;
    END LOOP;
END
$$;

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
