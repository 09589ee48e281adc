-- As on one node; but Citus locks rows of several shards only where it changes them, and so all are changed, also those
-- that stay as they are. The timeout of a lock goes to the workers, which wait for it, as a SET LOCAL does.
DO $$
DECLARE
    timeout_before constant text := pg_catalog.current_setting('lock_timeout');
    give_up_at constant timestamptz := pg_catalog.clock_timestamp() + nullif(timeout_before, '0')::interval;
BEGIN
    LOOP
        BEGIN
            SET LOCAL lock_timeout = '100ms';
            UPDATE llm.sessions AS s
            SET
                start_time = least(s.start_time, g.first_time),
                end_time = CASE WHEN s.end_time IS NOT NULL THEN greatest(s.end_time, g.last_time) END
            FROM pg_temp.load_spans AS g
            WHERE s.session_id = g.session_id;
            EXECUTE pg_catalog.format('SET LOCAL lock_timeout = %L', timeout_before);
            EXIT;
        EXCEPTION
            WHEN lock_not_available OR deadlock_detected THEN
                IF pg_catalog.clock_timestamp() > give_up_at THEN
                    RAISE;
                END IF;
        END;
        PERFORM pg_catalog.pg_sleep(0.01 + pg_catalog.random() * 0.04);
    END LOOP;
END
$$;

-- Which numbers are taken is known now.
TRUNCATE pg_temp.load_stored_logs;

INSERT INTO pg_temp.load_stored_logs (session_id, log_sequence)
SELECT l.session_id, max(l.log_sequence)
FROM llm.session_logs AS l
WHERE l.session_id IN (SELECT s.session_id FROM pg_temp.load_sessions AS s WHERE NOT s.is_new)
GROUP BY l.session_id;
