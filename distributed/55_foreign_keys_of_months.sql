-- A month's logs refer to the month's sessions, there and back.
DO $$
DECLARE
    logs text;
BEGIN
    FOR logs IN
        SELECT c.relname
        FROM pg_inherits AS i
        INNER JOIN pg_class AS c ON i.inhrelid = c.oid
        WHERE i.inhparent = 'llm.session_logs'::regclass
        ORDER BY c.relname
    LOOP
        PERFORM ops.refer_to_sessions(logs, replace(replace(logs, 'session_logs', 'sessions'), '_default', ''));
    END LOOP;
END
$$;
