-- Whose reports show one department only.
CREATE TABLE llm.department_logins (
    role_name     text   NOT NULL,
    department_id bigint NOT NULL,

    CONSTRAINT department_logins_pkey PRIMARY KEY (role_name),
    CONSTRAINT department_logins_department_id_fkey FOREIGN KEY (department_id)
        REFERENCES llm.departments (department_id),
    CONSTRAINT department_logins_role_name_is_not_empty CHECK (role_name <> '')
);
COMMENT ON TABLE llm.department_logins IS '부서 로그인: which department a login of llm_manager sees in reports; one '
    'without a row sees none. Only its owner writes it';
COMMENT ON COLUMN llm.department_logins.role_name IS '로그인: name of a role, as current_user has it. A role that is '
    'renamed needs a row of its new name';
COMMENT ON COLUMN llm.department_logins.department_id IS '부서: the one that it sees';

CREATE INDEX department_logins_department_id_idx ON llm.department_logins (department_id);
