-- Before anything else: where a script cannot work at all.
DO $$
DECLARE
    wrong text;
    hint text;
BEGIN
    IF pg_catalog.current_setting('application_name') = 'llm-db in a transaction' THEN
        wrong := 'A transaction is open: by --single-transaction, or by what was run in this session before.';
        hint := 'psql -X --file=..., in a session of its own: the script begins and ends its transactions itself';
    ELSIF pg_catalog.current_setting('server_version_num')::integer < 150000 THEN
        wrong := 'The server is older than PostgreSQL 15.';
        hint := 'use PostgreSQL 15 or newer';
    ELSIF pg_catalog.current_setting('server_encoding') <> 'UTF8' THEN
        wrong := 'The database is not encoded in UTF8, and cannot be relied on for Korean labels.';
        hint := 'create it with: CREATE DATABASE llm TEMPLATE template0 ENCODING ''UTF8''';
    ELSIF pg_catalog.pg_is_in_recovery() THEN
        wrong := 'This server is a standby, which takes no changes.';
        hint := 'connect to the primary';
    END IF;
    IF wrong IS NOT NULL THEN
        RAISE EXCEPTION USING MESSAGE = wrong, HINT = hint, ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
END
$$;
