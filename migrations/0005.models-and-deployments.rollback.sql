-- A rollback drops tables, never rows.
DO $$
BEGIN
    IF EXISTS (SELECT FROM llm.deployments) OR EXISTS (SELECT FROM llm.datasets) OR EXISTS (SELECT FROM llm.model_configs) OR EXISTS (SELECT FROM llm.models) THEN
        RAISE EXCEPTION 'not rolled back: deployments, datasets, model_configs, models would lose rows'
            USING ERRCODE = 'object_not_in_prerequisite_state',
                HINT = 'Empty or move them first. Where the rows must stay, migrate forward instead.';
    END IF;
END
$$;

DROP TABLE llm.deployments;
DROP TABLE llm.datasets;
DROP TABLE llm.model_configs;
DROP TABLE llm.models;
