-- Writers that append to the same sessions take turns with us on the sessions' rows. They come to them in whatever
-- order, so to wait for one while we hold others could be a deadlock, which might end the writer. So we wait for
-- moments only, and then give all of them back: we give way first. Until lock_timeout, if there is one.
DO $$
DECLARE
    timeout_before constant text := pg_catalog.current_setting('lock_timeout');
    give_up_at constant timestamptz := pg_catalog.clock_timestamp() + nullif(timeout_before, '0')::interval;
BEGIN
    LOOP
        BEGIN
            PERFORM pg_catalog.set_config('lock_timeout', '100ms', true);
            PERFORM FROM llm.sessions
            WHERE session_id IN (SELECT s.session_id FROM pg_temp.load_spans AS s)
            ORDER BY session_id
            FOR NO KEY UPDATE;
            PERFORM pg_catalog.set_config('lock_timeout', timeout_before, true);
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

UPDATE llm.sessions AS s
SET
    start_time = least(s.start_time, g.first_time),
    end_time = CASE WHEN s.end_time IS NOT NULL THEN greatest(s.end_time, g.last_time) END
FROM pg_temp.load_spans AS g
WHERE s.session_id = g.session_id AND (g.first_time < s.start_time OR g.last_time > s.end_time);
