-- Vocabularies: the ERD's lists that end in "등" (and so on). A new value is an INSERT, not a migration. Programs
-- use the code; people read label_ko or label_en. The ERD's own values come from seeds/reference/.

CREATE TABLE llm.roles (
    code     text NOT NULL,
    label_ko text NOT NULL,
    label_en text NOT NULL,

    CONSTRAINT roles_pkey PRIMARY KEY (code),
    CONSTRAINT roles_code_is_lower_ascii CHECK (code ~ '^[a-z][a-z0-9_]*$'),
    CONSTRAINT roles_label_ko_is_name CHECK (llm.is_name(label_ko)),
    CONSTRAINT roles_label_en_is_name CHECK (llm.is_name(label_en))
);
COMMENT ON TABLE llm.roles IS '역할: the values users.role may take';
COMMENT ON COLUMN llm.roles.code IS 'Code: what programs write and compare, lower-case ASCII';
COMMENT ON COLUMN llm.roles.label_ko IS 'Korean label, the ERD''s own word where it has one';
COMMENT ON COLUMN llm.roles.label_en IS 'English label';

CREATE TABLE llm.session_types (
    code     text NOT NULL,
    label_ko text NOT NULL,
    label_en text NOT NULL,

    CONSTRAINT session_types_pkey PRIMARY KEY (code),
    CONSTRAINT session_types_code_is_lower_ascii CHECK (code ~ '^[a-z][a-z0-9_]*$'),
    CONSTRAINT session_types_label_ko_is_name CHECK (llm.is_name(label_ko)),
    CONSTRAINT session_types_label_en_is_name CHECK (llm.is_name(label_en))
);
COMMENT ON TABLE llm.session_types IS '세션 유형: the values sessions.session_type may take';
COMMENT ON COLUMN llm.session_types.code IS 'Code: what programs write and compare, lower-case ASCII';
COMMENT ON COLUMN llm.session_types.label_ko IS 'Korean label, the ERD''s own word where it has one';
COMMENT ON COLUMN llm.session_types.label_en IS 'English label';

CREATE TABLE llm.session_statuses (
    code     text NOT NULL,
    label_ko text NOT NULL,
    label_en text NOT NULL,

    CONSTRAINT session_statuses_pkey PRIMARY KEY (code),
    CONSTRAINT session_statuses_code_is_lower_ascii CHECK (code ~ '^[a-z][a-z0-9_]*$'),
    CONSTRAINT session_statuses_label_ko_is_name CHECK (llm.is_name(label_ko)),
    CONSTRAINT session_statuses_label_en_is_name CHECK (llm.is_name(label_en))
);
COMMENT ON TABLE llm.session_statuses IS '세션 상태: the values sessions.status may take';
COMMENT ON COLUMN llm.session_statuses.code IS 'Code: what programs write and compare, lower-case ASCII';
COMMENT ON COLUMN llm.session_statuses.label_ko IS 'Korean label, the ERD''s own word where it has one';
COMMENT ON COLUMN llm.session_statuses.label_en IS 'English label';

CREATE TABLE llm.model_types (
    code     text NOT NULL,
    label_ko text NOT NULL,
    label_en text NOT NULL,

    CONSTRAINT model_types_pkey PRIMARY KEY (code),
    CONSTRAINT model_types_code_is_lower_ascii CHECK (code ~ '^[a-z][a-z0-9_]*$'),
    CONSTRAINT model_types_label_ko_is_name CHECK (llm.is_name(label_ko)),
    CONSTRAINT model_types_label_en_is_name CHECK (llm.is_name(label_en))
);
COMMENT ON TABLE llm.model_types IS '모델 유형: the values models.model_type may take';
COMMENT ON COLUMN llm.model_types.code IS 'Code: what programs write and compare, lower-case ASCII';
COMMENT ON COLUMN llm.model_types.label_ko IS 'Korean label, the ERD''s own word where it has one';
COMMENT ON COLUMN llm.model_types.label_en IS 'English label';

CREATE TABLE llm.environments (
    code     text NOT NULL,
    label_ko text NOT NULL,
    label_en text NOT NULL,

    CONSTRAINT environments_pkey PRIMARY KEY (code),
    CONSTRAINT environments_code_is_lower_ascii CHECK (code ~ '^[a-z][a-z0-9_]*$'),
    CONSTRAINT environments_label_ko_is_name CHECK (llm.is_name(label_ko)),
    CONSTRAINT environments_label_en_is_name CHECK (llm.is_name(label_en))
);
COMMENT ON TABLE llm.environments IS '배포 환경: the values deployments.environment may take';
COMMENT ON COLUMN llm.environments.code IS 'Code: what programs write and compare, lower-case ASCII';
COMMENT ON COLUMN llm.environments.label_ko IS 'Korean label, the ERD''s own word where it has one';
COMMENT ON COLUMN llm.environments.label_en IS 'English label';

CREATE TABLE llm.deployment_statuses (
    code     text NOT NULL,
    label_ko text NOT NULL,
    label_en text NOT NULL,

    CONSTRAINT deployment_statuses_pkey PRIMARY KEY (code),
    CONSTRAINT deployment_statuses_code_is_lower_ascii CHECK (code ~ '^[a-z][a-z0-9_]*$'),
    CONSTRAINT deployment_statuses_label_ko_is_name CHECK (llm.is_name(label_ko)),
    CONSTRAINT deployment_statuses_label_en_is_name CHECK (llm.is_name(label_en))
);
COMMENT ON TABLE llm.deployment_statuses IS '배포 상태: the values deployments.status may take';
COMMENT ON COLUMN llm.deployment_statuses.code IS 'Code: what programs write and compare, lower-case ASCII';
COMMENT ON COLUMN llm.deployment_statuses.label_ko IS 'Korean label, the ERD''s own word where it has one';
COMMENT ON COLUMN llm.deployment_statuses.label_en IS 'English label';

CREATE TABLE llm.learning_types (
    code     text NOT NULL,
    label_ko text NOT NULL,
    label_en text NOT NULL,

    CONSTRAINT learning_types_pkey PRIMARY KEY (code),
    CONSTRAINT learning_types_code_is_lower_ascii CHECK (code ~ '^[a-z][a-z0-9_]*$'),
    CONSTRAINT learning_types_label_ko_is_name CHECK (llm.is_name(label_ko)),
    CONSTRAINT learning_types_label_en_is_name CHECK (llm.is_name(label_en))
);
COMMENT ON TABLE llm.learning_types IS '학습 유형: the values datasets.learning_type may take';
COMMENT ON COLUMN llm.learning_types.code IS 'Code: what programs write and compare, lower-case ASCII';
COMMENT ON COLUMN llm.learning_types.label_ko IS 'Korean label, the ERD''s own word where it has one';
COMMENT ON COLUMN llm.learning_types.label_en IS 'English label';

CREATE TABLE llm.task_categories (
    code     text NOT NULL,
    label_ko text NOT NULL,
    label_en text NOT NULL,

    CONSTRAINT task_categories_pkey PRIMARY KEY (code),
    CONSTRAINT task_categories_code_is_lower_ascii CHECK (code ~ '^[a-z][a-z0-9_]*$'),
    CONSTRAINT task_categories_label_ko_is_name CHECK (llm.is_name(label_ko)),
    CONSTRAINT task_categories_label_en_is_name CHECK (llm.is_name(label_en))
);
COMMENT ON TABLE llm.task_categories IS '작업 카테고리: the values prompt_templates.task_category may take';
COMMENT ON COLUMN llm.task_categories.code IS 'Code: what programs write and compare, lower-case ASCII';
COMMENT ON COLUMN llm.task_categories.label_ko IS 'Korean label, the ERD''s own word where it has one';
COMMENT ON COLUMN llm.task_categories.label_en IS 'English label';
