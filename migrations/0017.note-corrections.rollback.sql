DROP TRIGGER user_departments_truncation_is_noted ON llm.user_departments;
DROP TRIGGER model_configs_max_tokens_is_noted ON llm.model_configs;
DROP TRIGGER deployments_model_is_noted ON llm.deployments;
DROP TRIGGER user_departments_are_noted ON llm.user_departments;

-- From here on changes go unnoticed, so what is rolled up must not be taken for right.
SELECT llm.restart_rollups();
