ALTER TABLE llm.departments
    DROP CONSTRAINT departments_department_name_is_name,
    ADD CONSTRAINT departments_department_name_not_blank CHECK (btrim(department_name) <> '');
ALTER TABLE llm.models
    DROP CONSTRAINT models_model_name_is_name,
    ADD CONSTRAINT models_model_name_not_blank CHECK (btrim(model_name) <> '');
ALTER TABLE llm.roles
    DROP CONSTRAINT roles_label_ko_is_name,
    DROP CONSTRAINT roles_label_en_is_name,
    ADD CONSTRAINT roles_label_ko_not_blank CHECK (btrim(label_ko) <> ''),
    ADD CONSTRAINT roles_label_en_not_blank CHECK (btrim(label_en) <> '');
ALTER TABLE llm.model_types
    DROP CONSTRAINT model_types_label_ko_is_name,
    DROP CONSTRAINT model_types_label_en_is_name,
    ADD CONSTRAINT model_types_label_ko_not_blank CHECK (btrim(label_ko) <> ''),
    ADD CONSTRAINT model_types_label_en_not_blank CHECK (btrim(label_en) <> '');
ALTER TABLE llm.environments
    DROP CONSTRAINT environments_label_ko_is_name,
    DROP CONSTRAINT environments_label_en_is_name,
    ADD CONSTRAINT environments_label_ko_not_blank CHECK (btrim(label_ko) <> ''),
    ADD CONSTRAINT environments_label_en_not_blank CHECK (btrim(label_en) <> '');
ALTER TABLE llm.deployment_statuses
    DROP CONSTRAINT deployment_statuses_label_ko_is_name,
    DROP CONSTRAINT deployment_statuses_label_en_is_name,
    ADD CONSTRAINT deployment_statuses_label_ko_not_blank CHECK (btrim(label_ko) <> ''),
    ADD CONSTRAINT deployment_statuses_label_en_not_blank CHECK (btrim(label_en) <> '');
ALTER TABLE llm.learning_types
    DROP CONSTRAINT learning_types_label_ko_is_name,
    DROP CONSTRAINT learning_types_label_en_is_name,
    ADD CONSTRAINT learning_types_label_ko_not_blank CHECK (btrim(label_ko) <> ''),
    ADD CONSTRAINT learning_types_label_en_not_blank CHECK (btrim(label_en) <> '');
ALTER TABLE llm.task_categories
    DROP CONSTRAINT task_categories_label_ko_is_name,
    DROP CONSTRAINT task_categories_label_en_is_name,
    ADD CONSTRAINT task_categories_label_ko_not_blank CHECK (btrim(label_ko) <> ''),
    ADD CONSTRAINT task_categories_label_en_not_blank CHECK (btrim(label_en) <> '');
