-- needs: 0013.rollups

-- What upkeep asks before it acts: whether it is alone, who is writing, and whether a month may go.
CREATE OR REPLACE FUNCTION rollup.lock_state(wait boolean)
RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'rollups are kept in READ COMMITTED, and this transaction is %',
            upper(current_setting('transaction_isolation'))
            USING ERRCODE = 'invalid_transaction_state',
                HINT = 'SET default_transaction_isolation = ''read committed'' and call again.';
    END IF;
    -- A row's lock, which needs a right to write here: an advisory lock could be taken, and kept, by any login.
    IF wait THEN
        PERFORM 1 FROM rollup.state FOR NO KEY UPDATE;
    ELSE
        PERFORM 1 FROM rollup.state FOR NO KEY UPDATE SKIP LOCKED;
    END IF;
    IF FOUND THEN
        RETURN true;
    END IF;
    RETURN coalesce((SELECT NOT s.only_row FROM rollup.state AS s), rollup.state_is_lost(false));
END
$$;
COMMENT ON FUNCTION rollup.lock_state(boolean) IS 'One at a time: whoever writes rollups locks the row of rollup.state '
    'to the end of the transaction. Whether it is locked now: without waiting, it may be somebody else''s';
REVOKE ALL ON FUNCTION rollup.lock_state(boolean) FROM public;

CREATE OR REPLACE FUNCTION rollup.writers()
RETURNS SETOF text
LANGUAGE sql
STABLE
BEGIN ATOMIC
    -- Prepared transactions too: they have no pid, but locks.
    SELECT DISTINCT k.virtualtransaction
    FROM pg_catalog.pg_locks AS k
    WHERE k.locktype = 'relation' AND k.pid IS DISTINCT FROM pg_backend_pid()
        AND k.database = (SELECT d.oid FROM pg_catalog.pg_database AS d WHERE d.datname = current_database())
        AND k.mode IN ('RowExclusiveLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
        AND k.relation IN (
            SELECT p.relid FROM pg_partition_tree('llm.session_logs') AS p
            UNION ALL
            SELECT p.relid FROM pg_partition_tree('llm.sessions') AS p
            UNION ALL
            VALUES
            ('llm.users'::regclass), ('llm.user_departments'), ('llm.deployments'), ('llm.deployment_history'),
            ('llm.model_configs')
        );
END;
COMMENT ON FUNCTION rollup.writers() IS 'The transactions that hold a writer''s lock on what the rollups are made of, '
    'as pg_locks.virtualtransaction';
REVOKE ALL ON FUNCTION rollup.writers() FROM public;

CREATE OR REPLACE FUNCTION rollup.sums_of_months()
RETURNS SETOF regclass
LANGUAGE sql
STABLE
BEGIN ATOMIC
    SELECT a.attrelid::regclass
    FROM pg_catalog.pg_attribute AS a
    INNER JOIN pg_catalog.pg_class AS c ON a.attrelid = c.oid
    WHERE c.relnamespace = 'rollup'::regnamespace AND c.relkind = 'r' AND a.attname = 'month';
END;
COMMENT ON FUNCTION rollup.sums_of_months() IS 'The tables whose sums know the month that their logs or sessions are '
    'stored in: those that are there, also where the newest ones were rolled back';
REVOKE ALL ON FUNCTION rollup.sums_of_months() FROM public;

CREATE OR REPLACE FUNCTION rollup.is_rolled_up(month date, log_days date [], session_days date [])
RETURNS boolean
LANGUAGE plpgsql
-- A plan that does not know the border takes a third of the logs for open, and looks for the first through them all.
SET plan_cache_mode = force_custom_plan
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    first_day constant timestamp := date_trunc('month', month::timestamp);
    low constant uuid := llm.uuidv7_floor(first_day AT TIME ZONE 'UTC');
    high constant uuid := llm.uuidv7_floor((first_day + interval '1 month') AT TIME ZONE 'UTC');
    border constant timestamptz := (SELECT s.closed_before FROM rollup.state AS s);
BEGIN
    -- A noted day counts if rows of the month are on it, or if its sums have some that are gone since.
    RETURN NOT EXISTS (
        SELECT 1
        FROM llm.session_logs AS l
        WHERE l.session_id >= low AND l.session_id < high AND l.request_time >= border
    ) AND NOT EXISTS (
        SELECT 1
        FROM rollup.noted_days('logs') AS t
        WHERE t.day = ANY(log_days) OR EXISTS (
            SELECT 1
            FROM llm.session_logs AS l
            WHERE l.session_id >= low AND l.session_id < high
                AND l.request_time >= t.from_time AND l.request_time < t.until_time
        )
    ) AND NOT EXISTS (
        SELECT 1
        FROM rollup.noted_days('sessions') AS t
        WHERE t.day = ANY(session_days) OR EXISTS (
            SELECT 1
            FROM llm.sessions AS s
            WHERE s.session_id >= low AND s.session_id < high
                AND s.start_time >= t.from_time AND s.start_time < t.until_time
        )
    );
END
$$;
COMMENT ON FUNCTION rollup.is_rolled_up(date, date [], date []) IS 'Whether the rollups are right for the sessions of '
    'a month and their logs, given by the month and the days on which it has sums';
REVOKE ALL ON FUNCTION rollup.is_rolled_up(date, date [], date []) FROM public;
