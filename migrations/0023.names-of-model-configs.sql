-- depends: 0022.names-of-deployments
-- squawk-ignore-file ban-drop-constraint

-- As 0018.
ALTER TABLE llm.model_configs
    DROP CONSTRAINT model_configs_config_name_not_blank,
    ADD CONSTRAINT model_configs_config_name_is_name CHECK (llm.is_name(config_name)) NOT VALID;
