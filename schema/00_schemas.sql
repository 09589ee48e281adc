-- The schemas and the roles.
CREATE SCHEMA llm;
COMMENT ON SCHEMA llm IS 'The LLM platform''s entities: who works where, projects, sessions and their request logs, '
    'models, deployments, datasets and prompt templates';

CREATE SCHEMA rollup;
COMMENT ON SCHEMA rollup IS 'What the reports are built on: sums of closed time, notes of what changed in it since, '
    'and the logs of open time. Nobody reads or calls it by hand';

CREATE SCHEMA reporting;
COMMENT ON SCHEMA reporting IS 'What analysts read: views only, each with its meaning and units in its comments';

CREATE SCHEMA ops;
COMMENT ON SCHEMA ops IS 'What DBAs read and call: the state of partitions and rollups, their upkeep, and what each '
    'role may do';

CREATE SCHEMA audit;
COMMENT ON SCHEMA audit IS 'What auditors read: who changed what, and when';

-- What lives outside our schemas: the roles of docs/roles.md. Roles belong to the whole cluster, so another database of
-- it (or the DBA, beforehand) may have made them already, even at this very moment. What each may do is given by
-- ops.grant_to_roles(), and but for the analysts' nothing fails where a role is missing.
DO $$
DECLARE
    wanted pg_catalog.text;
    missing pg_catalog.text := '';
BEGIN
    FOREACH wanted IN ARRAY ARRAY[
        'llm_analyst', 'llm_people_reader', 'llm_app', 'llm_loader', 'llm_operator', 'llm_auditor'
    ] LOOP
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

GRANT USAGE ON SCHEMA reporting TO llm_analyst;
