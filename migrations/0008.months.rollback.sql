-- A rollback drops tables, never rows.
DO $$
BEGIN
    IF EXISTS (SELECT FROM llm.sessions) THEN
        RAISE EXCEPTION 'not rolled back: sessions would lose rows'
            USING ERRCODE = 'object_not_in_prerequisite_state',
                HINT = 'Empty or move them first. Where the rows must stay, migrate forward instead.';
    END IF;
END
$$;

DO $$
DECLARE
    part regclass;
BEGIN
    FOR part IN
        SELECT inhrelid
        FROM pg_catalog.pg_inherits
        WHERE inhparent IN ('llm.session_logs'::regclass, 'llm.sessions'::regclass)
            AND inhrelid NOT IN ('llm.session_logs_default'::regclass, 'llm.sessions_default'::regclass)
        ORDER BY inhparent = 'llm.sessions'::regclass  -- logs before the sessions they refer to
    LOOP
        EXECUTE format('ALTER TABLE %s DETACH PARTITION %s',
            CASE WHEN part::text LIKE '%session\_logs%' THEN 'llm.session_logs' ELSE 'llm.sessions' END, part);
        EXECUTE format('DROP TABLE %s', part);
    END LOOP;
END
$$;

DROP PROCEDURE llm.drop_old_months(integer);
DROP FUNCTION llm.drop_month(date);
DROP PROCEDURE llm.move_default_rows();
DROP PROCEDURE llm.create_months(date, date);
DROP FUNCTION llm.create_month(date);
DROP FUNCTION llm.lock_for_month_change(text, text);
