-- depends: 0024.names-of-prompt-templates
-- squawk-ignore-file ban-drop-constraint

-- As 0018, for tables that nobody who writes sessions or logs locks.
ALTER TABLE llm.departments
    DROP CONSTRAINT departments_department_name_not_blank,
    ADD CONSTRAINT departments_department_name_is_name CHECK (llm.is_name(department_name)) NOT VALID;
ALTER TABLE llm.models
    DROP CONSTRAINT models_model_name_not_blank,
    ADD CONSTRAINT models_model_name_is_name CHECK (llm.is_name(model_name)) NOT VALID;
ALTER TABLE llm.roles
    DROP CONSTRAINT roles_label_ko_not_blank,
    DROP CONSTRAINT roles_label_en_not_blank,
    ADD CONSTRAINT roles_label_ko_is_name CHECK (llm.is_name(label_ko)) NOT VALID,
    ADD CONSTRAINT roles_label_en_is_name CHECK (llm.is_name(label_en)) NOT VALID;
ALTER TABLE llm.model_types
    DROP CONSTRAINT model_types_label_ko_not_blank,
    DROP CONSTRAINT model_types_label_en_not_blank,
    ADD CONSTRAINT model_types_label_ko_is_name CHECK (llm.is_name(label_ko)) NOT VALID,
    ADD CONSTRAINT model_types_label_en_is_name CHECK (llm.is_name(label_en)) NOT VALID;
ALTER TABLE llm.environments
    DROP CONSTRAINT environments_label_ko_not_blank,
    DROP CONSTRAINT environments_label_en_not_blank,
    ADD CONSTRAINT environments_label_ko_is_name CHECK (llm.is_name(label_ko)) NOT VALID,
    ADD CONSTRAINT environments_label_en_is_name CHECK (llm.is_name(label_en)) NOT VALID;
ALTER TABLE llm.deployment_statuses
    DROP CONSTRAINT deployment_statuses_label_ko_not_blank,
    DROP CONSTRAINT deployment_statuses_label_en_not_blank,
    ADD CONSTRAINT deployment_statuses_label_ko_is_name CHECK (llm.is_name(label_ko)) NOT VALID,
    ADD CONSTRAINT deployment_statuses_label_en_is_name CHECK (llm.is_name(label_en)) NOT VALID;
ALTER TABLE llm.learning_types
    DROP CONSTRAINT learning_types_label_ko_not_blank,
    DROP CONSTRAINT learning_types_label_en_not_blank,
    ADD CONSTRAINT learning_types_label_ko_is_name CHECK (llm.is_name(label_ko)) NOT VALID,
    ADD CONSTRAINT learning_types_label_en_is_name CHECK (llm.is_name(label_en)) NOT VALID;
ALTER TABLE llm.task_categories
    DROP CONSTRAINT task_categories_label_ko_not_blank,
    DROP CONSTRAINT task_categories_label_en_not_blank,
    ADD CONSTRAINT task_categories_label_ko_is_name CHECK (llm.is_name(label_ko)) NOT VALID,
    ADD CONSTRAINT task_categories_label_en_is_name CHECK (llm.is_name(label_en)) NOT VALID;
