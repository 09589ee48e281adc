ALTER TABLE llm.model_configs
    DROP CONSTRAINT model_configs_config_name_is_name,
    ADD CONSTRAINT model_configs_config_name_not_blank CHECK (btrim(config_name) <> '');
