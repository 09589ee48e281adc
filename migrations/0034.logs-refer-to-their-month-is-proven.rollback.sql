-- Nothing takes "valid" back, hence new constraints for the old. A key to a partitioned table is never NOT VALID.
LOCK TABLE llm.sessions, llm.session_logs IN ACCESS EXCLUSIVE MODE;

DO $$
DECLARE
    logs text;
    its_sessions text;
BEGIN
    FOR logs, its_sessions IN
        SELECT k.conrelid::regclass, k.confrelid::regclass
        FROM pg_constraint AS k
        WHERE k.conname = 'session_logs_session_id_fkey' AND k.connamespace = 'llm'::regnamespace AND k.conparentid = 0
            AND k.confrelid <> 'llm.sessions'::regclass
    LOOP
        EXECUTE format(
            'ALTER TABLE %s DROP CONSTRAINT session_logs_session_id_fkey, '
            'ADD CONSTRAINT session_logs_session_id_fkey FOREIGN KEY (session_id) '
            'REFERENCES %s (session_id) ON DELETE CASCADE NOT VALID',
            logs, its_sessions
        );
    END LOOP;
END
$$;
