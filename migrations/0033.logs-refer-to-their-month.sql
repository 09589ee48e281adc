-- depends: 0032.department-logins

-- A foreign key to a partitioned table is looked up through all of its partitions: each log that was written locked
-- every month of llm.sessions, and cost twice as much with 240 of them as with 3. A session and its logs lie in months
-- of the same name, so a month's logs refer to the month's sessions. Those in DEFAULT may be of any month that has only
-- half of its tables, so they go on referring to all sessions; so does such a month, until it is whole.
--
-- Writers lock these two in either order. As for a change of months, we give way first: both are asked for within
-- 100 ms, in turn in either order, and given back in between. The runner has more patience than that, but what it waits
-- for behind a lock that others need ends in a deadlock.
DO $$
DECLARE
    timeout_before constant text := current_setting('lock_timeout');
    give_up_at constant timestamptz := clock_timestamp() + interval '60 seconds';
    first text := 'ONLY llm.session_logs';
    second text := 'ONLY llm.sessions';
BEGIN
    LOOP
        BEGIN
            PERFORM set_config('lock_timeout', '50ms', true);
            EXECUTE format('LOCK TABLE %s IN ACCESS EXCLUSIVE MODE', first);
            EXECUTE format('LOCK TABLE %s IN ACCESS EXCLUSIVE MODE', second);
            EXIT;
        EXCEPTION
            WHEN lock_not_available OR deadlock_detected THEN
                IF clock_timestamp() > give_up_at THEN
                    RAISE;
                END IF;
        END;
        SELECT second, first INTO first, second;
        PERFORM pg_sleep(0.05 + random() * 0.2);
    END LOOP;
    PERFORM set_config('lock_timeout', timeout_before, true);
END
$$;

-- squawk-ignore ban-drop-constraint
ALTER TABLE llm.session_logs DROP CONSTRAINT session_logs_session_id_fkey;
-- A key to a partitioned table cannot be NOT VALID. DEFAULT is empty but for rows that came since the last upkeep.
-- squawk-ignore constraint-missing-not-valid, adding-foreign-key-constraint
ALTER TABLE llm.session_logs_default ADD CONSTRAINT session_logs_session_id_fkey
    FOREIGN KEY (session_id) REFERENCES llm.sessions (session_id) ON DELETE CASCADE;

DO $$
DECLARE
    logs name;
    its_sessions name;
BEGIN
    FOR logs, its_sessions IN
        SELECT l.relname, coalesce(s.relname, 'sessions')
        FROM pg_inherits AS li
        INNER JOIN pg_class AS l ON li.inhrelid = l.oid
        LEFT JOIN (
            pg_inherits AS si
            INNER JOIN pg_class AS s ON si.inhrelid = s.oid AND si.inhparent = 'llm.sessions'::regclass
        ) ON pg_get_expr(s.relpartbound, s.oid) = pg_get_expr(l.relpartbound, l.oid) AND NOT si.inhdetachpending
        WHERE li.inhparent = 'llm.session_logs'::regclass AND pg_get_expr(l.relpartbound, l.oid) <> 'DEFAULT'
    LOOP
        -- The key that went held for every row, so there is nothing to look for. 0034 looks all the same.
        EXECUTE format(
            'ALTER TABLE llm.%I ADD CONSTRAINT session_logs_session_id_fkey FOREIGN KEY (session_id) '
            'REFERENCES llm.%I (session_id) ON DELETE CASCADE%s',
            logs, its_sessions, CASE WHEN its_sessions = 'sessions' THEN '' ELSE ' NOT VALID' END
        );
    END LOOP;
END
$$;
