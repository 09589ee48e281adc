-- What is looked after. What other people have made in the same database is theirs.
CREATE OR REPLACE FUNCTION ops.is_ours(schema_oid oid)
RETURNS boolean
LANGUAGE sql
STABLE STRICT PARALLEL SAFE
RETURN EXISTS (
    SELECT
    FROM pg_catalog.pg_namespace AS n
    WHERE n.oid = schema_oid AND n.nspname IN ('llm', 'rollup', 'reporting', 'ops', 'audit', 'llm_db')
);
COMMENT ON FUNCTION ops.is_ours(oid) IS 'Whether a schema is one of llm-platform-db, the ledger of llm-db among them';
REVOKE ALL ON FUNCTION ops.is_ours(oid) FROM public;
