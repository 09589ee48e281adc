-- Nothing takes "valid" back, hence new constraints for the old.
ALTER TABLE llm.users
    DROP CONSTRAINT users_user_name_is_name,
    DROP CONSTRAINT users_user_email_is_address,
    DROP CONSTRAINT users_user_email_capitals_are_ascii,
    ADD CONSTRAINT users_user_name_is_name CHECK (llm.is_name(user_name)) NOT VALID,
    ADD CONSTRAINT users_user_email_is_address CHECK (llm.is_email(user_email)) NOT VALID,
    ADD CONSTRAINT users_user_email_capitals_are_ascii CHECK (llm.capitals_are_ascii(user_email)) NOT VALID;
ALTER TABLE llm.projects
    DROP CONSTRAINT projects_project_name_is_name,
    ADD CONSTRAINT projects_project_name_is_name CHECK (llm.is_name(project_name)) NOT VALID;
ALTER TABLE llm.session_types
    DROP CONSTRAINT session_types_label_ko_is_name,
    DROP CONSTRAINT session_types_label_en_is_name,
    ADD CONSTRAINT session_types_label_ko_is_name CHECK (llm.is_name(label_ko)) NOT VALID,
    ADD CONSTRAINT session_types_label_en_is_name CHECK (llm.is_name(label_en)) NOT VALID;
ALTER TABLE llm.session_statuses
    DROP CONSTRAINT session_statuses_label_ko_is_name,
    DROP CONSTRAINT session_statuses_label_en_is_name,
    ADD CONSTRAINT session_statuses_label_ko_is_name CHECK (llm.is_name(label_ko)) NOT VALID,
    ADD CONSTRAINT session_statuses_label_en_is_name CHECK (llm.is_name(label_en)) NOT VALID;
ALTER TABLE llm.deployments
    DROP CONSTRAINT deployments_server_name_is_name,
    ADD CONSTRAINT deployments_server_name_is_name CHECK (llm.is_name(server_name)) NOT VALID;
ALTER TABLE llm.model_configs
    DROP CONSTRAINT model_configs_config_name_is_name,
    ADD CONSTRAINT model_configs_config_name_is_name CHECK (llm.is_name(config_name)) NOT VALID;
ALTER TABLE llm.prompt_templates_base
    DROP CONSTRAINT prompt_templates_template_name_is_name,
    DROP CONSTRAINT prompt_templates_version_has_no_leading_zeros,
    ADD CONSTRAINT prompt_templates_template_name_is_name CHECK (llm.is_name(template_name)) NOT VALID,
    ADD CONSTRAINT prompt_templates_version_has_no_leading_zeros CHECK (version !~ '(^|\.)0[0-9]') NOT VALID;
ALTER TABLE llm.departments
    DROP CONSTRAINT departments_department_name_is_name,
    ADD CONSTRAINT departments_department_name_is_name CHECK (llm.is_name(department_name)) NOT VALID;
ALTER TABLE llm.models
    DROP CONSTRAINT models_model_name_is_name,
    ADD CONSTRAINT models_model_name_is_name CHECK (llm.is_name(model_name)) NOT VALID;
ALTER TABLE llm.roles
    DROP CONSTRAINT roles_label_ko_is_name,
    DROP CONSTRAINT roles_label_en_is_name,
    ADD CONSTRAINT roles_label_ko_is_name CHECK (llm.is_name(label_ko)) NOT VALID,
    ADD CONSTRAINT roles_label_en_is_name CHECK (llm.is_name(label_en)) NOT VALID;
ALTER TABLE llm.model_types
    DROP CONSTRAINT model_types_label_ko_is_name,
    DROP CONSTRAINT model_types_label_en_is_name,
    ADD CONSTRAINT model_types_label_ko_is_name CHECK (llm.is_name(label_ko)) NOT VALID,
    ADD CONSTRAINT model_types_label_en_is_name CHECK (llm.is_name(label_en)) NOT VALID;
ALTER TABLE llm.environments
    DROP CONSTRAINT environments_label_ko_is_name,
    DROP CONSTRAINT environments_label_en_is_name,
    ADD CONSTRAINT environments_label_ko_is_name CHECK (llm.is_name(label_ko)) NOT VALID,
    ADD CONSTRAINT environments_label_en_is_name CHECK (llm.is_name(label_en)) NOT VALID;
ALTER TABLE llm.deployment_statuses
    DROP CONSTRAINT deployment_statuses_label_ko_is_name,
    DROP CONSTRAINT deployment_statuses_label_en_is_name,
    ADD CONSTRAINT deployment_statuses_label_ko_is_name CHECK (llm.is_name(label_ko)) NOT VALID,
    ADD CONSTRAINT deployment_statuses_label_en_is_name CHECK (llm.is_name(label_en)) NOT VALID;
ALTER TABLE llm.learning_types
    DROP CONSTRAINT learning_types_label_ko_is_name,
    DROP CONSTRAINT learning_types_label_en_is_name,
    ADD CONSTRAINT learning_types_label_ko_is_name CHECK (llm.is_name(label_ko)) NOT VALID,
    ADD CONSTRAINT learning_types_label_en_is_name CHECK (llm.is_name(label_en)) NOT VALID;
ALTER TABLE llm.task_categories
    DROP CONSTRAINT task_categories_label_ko_is_name,
    DROP CONSTRAINT task_categories_label_en_is_name,
    ADD CONSTRAINT task_categories_label_ko_is_name CHECK (llm.is_name(label_ko)) NOT VALID,
    ADD CONSTRAINT task_categories_label_en_is_name CHECK (llm.is_name(label_en)) NOT VALID;
