-- An attached index cannot be detached: all go, and the parent's comes back as it was.
DROP INDEX llm.sessions_start_time_idx;
-- Where the build was cut off, one index is not attached.
DO $$
DECLARE
    partition_name name;
BEGIN
    FOR partition_name IN
        SELECT c.relname
        FROM pg_catalog.pg_inherits AS i
        INNER JOIN pg_catalog.pg_class AS c ON i.inhrelid = c.oid
        WHERE i.inhparent = 'llm.sessions'::regclass
    LOOP
        EXECUTE pg_catalog.format('DROP INDEX IF EXISTS llm.%I', partition_name || '_start_time_idx');
    END LOOP;
END
$$;
CREATE INDEX sessions_start_time_idx ON ONLY llm.sessions (start_time);
