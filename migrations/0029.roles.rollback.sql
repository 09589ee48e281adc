COMMENT ON SCHEMA ops IS 'What DBAs read and call: the state of partitions and rollups, and their upkeep';

-- The roles stay: they belong to the cluster, and other databases of it may use them. What they were given in our
-- schemas goes.
DO $$
DECLARE
    schemas constant pg_catalog.text := (
        SELECT pg_catalog.string_agg(pg_catalog.quote_ident(n.nspname), ', ')
        FROM pg_catalog.pg_namespace AS n
        WHERE n.nspname IN ('llm', 'rollup', 'reporting', 'ops', 'llm_db')
    );
    given pg_catalog.name;
BEGIN
    FOR given IN
        SELECT r.rolname
        FROM pg_catalog.pg_roles AS r
        WHERE r.rolname IN ('llm_people_reader', 'llm_app', 'llm_loader', 'llm_operator', 'llm_auditor')
    LOOP
        EXECUTE pg_catalog.format('REVOKE ALL ON SCHEMA %s FROM %I', schemas, given);
        EXECUTE pg_catalog.format('REVOKE ALL ON ALL TABLES IN SCHEMA %s FROM %I', schemas, given);
        EXECUTE pg_catalog.format('REVOKE ALL ON ALL ROUTINES IN SCHEMA %s FROM %I', schemas, given);
    END LOOP;
END
$$;
