-- Who worked where, and since when. users.department_id (WORKS_FOR) says where somebody works now; a report on last
-- year must not change because somebody moves today. Written by a trigger on users, so that no program can forget it.
CREATE TABLE llm.user_departments (
    user_id       bigint      NOT NULL,
    since         timestamptz NOT NULL,
    department_id bigint      NOT NULL,

    CONSTRAINT user_departments_pkey PRIMARY KEY (user_id, since),
    CONSTRAINT user_departments_user_id_fkey FOREIGN KEY (user_id) REFERENCES llm.users (user_id) ON DELETE CASCADE,
    -- Deferred, like users_department_id_fkey, whose values it repeats.
    CONSTRAINT user_departments_department_id_fkey FOREIGN KEY (department_id)
        REFERENCES llm.departments (department_id) DEFERRABLE INITIALLY DEFERRED
);
COMMENT ON TABLE llm.user_departments IS '소속 부서 이력: which department each user worked for, and since when; kept by a '
    'trigger on llm.users. A correction here (a move that was entered late) is followed by the reports';
COMMENT ON COLUMN llm.user_departments.user_id IS '사용자: whose department it is';
COMMENT ON COLUMN llm.user_departments.since IS '소속 시작 시간: from when on; -infinity in a user''s first row';
COMMENT ON COLUMN llm.user_departments.department_id IS '소속 부서: the department from then on';

CREATE INDEX user_departments_department_id_idx ON llm.user_departments (department_id);
