-- depends: 0033.logs-refer-to-their-month

DO $$
DECLARE
    logs text;
BEGIN
    FOR logs IN
        SELECT conrelid::regclass
        FROM pg_constraint
        WHERE conname = 'session_logs_session_id_fkey' AND connamespace = 'llm'::regnamespace AND conparentid = 0
            AND NOT convalidated
    LOOP
        EXECUTE format('ALTER TABLE %s VALIDATE CONSTRAINT session_logs_session_id_fkey', logs);
    END LOOP;
END
$$;
