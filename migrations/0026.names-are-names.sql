-- depends: 0025.names-of-the-others

-- Every row is read, while others read and write as before.
-- Where this fails, a row came in since 0017 looked: SELECT user_id FROM llm.users WHERE NOT llm.is_name(user_name),
-- for example. Correct it and migrate again; nothing new comes in meanwhile.
ALTER TABLE llm.users
    VALIDATE CONSTRAINT users_user_name_is_name,
    VALIDATE CONSTRAINT users_user_email_is_address,
    VALIDATE CONSTRAINT users_user_email_capitals_are_ascii;
ALTER TABLE llm.projects
    VALIDATE CONSTRAINT projects_project_name_is_name;
ALTER TABLE llm.session_types
    VALIDATE CONSTRAINT session_types_label_ko_is_name,
    VALIDATE CONSTRAINT session_types_label_en_is_name;
ALTER TABLE llm.session_statuses
    VALIDATE CONSTRAINT session_statuses_label_ko_is_name,
    VALIDATE CONSTRAINT session_statuses_label_en_is_name;
ALTER TABLE llm.deployments
    VALIDATE CONSTRAINT deployments_server_name_is_name;
ALTER TABLE llm.model_configs
    VALIDATE CONSTRAINT model_configs_config_name_is_name;
ALTER TABLE llm.prompt_templates_base
    VALIDATE CONSTRAINT prompt_templates_template_name_is_name,
    VALIDATE CONSTRAINT prompt_templates_version_has_no_leading_zeros;
ALTER TABLE llm.departments
    VALIDATE CONSTRAINT departments_department_name_is_name;
ALTER TABLE llm.models
    VALIDATE CONSTRAINT models_model_name_is_name;
ALTER TABLE llm.roles
    VALIDATE CONSTRAINT roles_label_ko_is_name,
    VALIDATE CONSTRAINT roles_label_en_is_name;
ALTER TABLE llm.model_types
    VALIDATE CONSTRAINT model_types_label_ko_is_name,
    VALIDATE CONSTRAINT model_types_label_en_is_name;
ALTER TABLE llm.environments
    VALIDATE CONSTRAINT environments_label_ko_is_name,
    VALIDATE CONSTRAINT environments_label_en_is_name;
ALTER TABLE llm.deployment_statuses
    VALIDATE CONSTRAINT deployment_statuses_label_ko_is_name,
    VALIDATE CONSTRAINT deployment_statuses_label_en_is_name;
ALTER TABLE llm.learning_types
    VALIDATE CONSTRAINT learning_types_label_ko_is_name,
    VALIDATE CONSTRAINT learning_types_label_en_is_name;
ALTER TABLE llm.task_categories
    VALIDATE CONSTRAINT task_categories_label_ko_is_name,
    VALIDATE CONSTRAINT task_categories_label_en_is_name;
