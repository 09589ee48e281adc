-- depends: 0028.emails-in-any-locale

COMMENT ON SCHEMA ops IS 'What DBAs read and call: the state of partitions and rollups, their upkeep, and what each '
    'role may do';

-- The roles of docs/roles.md. Like llm_analyst they belong to the whole cluster, so another database of it (or the DBA,
-- beforehand) may have made them already, even at this very moment. What each may do is given by ops.grant_to_roles(),
-- and nothing fails where a role is missing.
DO $$
DECLARE
    wanted pg_catalog.text;
    missing pg_catalog.text := '';
BEGIN
    FOREACH wanted IN ARRAY ARRAY['llm_people_reader', 'llm_app', 'llm_loader', 'llm_operator', 'llm_auditor'] LOOP
        BEGIN
            IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = wanted) THEN
                EXECUTE pg_catalog.format('CREATE ROLE %I NOLOGIN', wanted);
            END IF;
        EXCEPTION
            WHEN duplicate_object OR unique_violation THEN NULL;
            WHEN insufficient_privilege THEN
                missing := missing || pg_catalog.format('CREATE ROLE %I NOLOGIN; ', wanted);
        END;
    END LOOP;
    IF missing <> '' THEN
        RAISE WARNING 'roles are missing, and % may not make them', current_user
            USING HINT = 'As a role with CREATEROLE: ' || missing || 'and then as the owner of the schemas: '
                'SELECT ops.grant_to_roles();';
    END IF;
END
$$;
