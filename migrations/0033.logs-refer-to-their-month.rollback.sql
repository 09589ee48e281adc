LOCK TABLE llm.sessions, llm.session_logs IN ACCESS EXCLUSIVE MODE;

DO $$
DECLARE
    logs text;
BEGIN
    FOR logs IN
        SELECT conrelid::regclass
        FROM pg_constraint
        WHERE conname = 'session_logs_session_id_fkey' AND connamespace = 'llm'::regnamespace AND conparentid = 0
    LOOP
        EXECUTE format('ALTER TABLE %s DROP CONSTRAINT session_logs_session_id_fkey', logs);
    END LOOP;
END
$$;

ALTER TABLE llm.session_logs ADD CONSTRAINT session_logs_session_id_fkey
    FOREIGN KEY (session_id) REFERENCES llm.sessions (session_id) ON DELETE CASCADE;
