-- The schemas and the analysts' role.
CREATE SCHEMA llm;
COMMENT ON SCHEMA llm IS 'The LLM platform''s entities: who works where, projects, sessions and their request logs, '
    'models, deployments, datasets and prompt templates';

CREATE SCHEMA rollup;
COMMENT ON SCHEMA rollup IS 'What the reports are built on: sums of closed time, notes of what changed in it since, '
    'and the logs of open time. Nobody reads or calls it by hand';

CREATE SCHEMA reporting;
COMMENT ON SCHEMA reporting IS 'What analysts read: views only, each with its meaning and units in its comments';

CREATE SCHEMA ops;
COMMENT ON SCHEMA ops IS 'What DBAs read and call: the state of partitions and rollups, and their upkeep';

-- The one object that lives outside our schemas. Roles belong to the whole cluster, so another database of it (or the
-- DBA, beforehand) may have made it already, even at this very moment.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'llm_analyst') THEN
        CREATE ROLE llm_analyst NOLOGIN;
    END IF;
EXCEPTION
    WHEN duplicate_object OR unique_violation THEN NULL;
END
$$;

GRANT USAGE ON SCHEMA reporting TO llm_analyst;
