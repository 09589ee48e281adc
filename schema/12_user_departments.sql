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

CREATE FUNCTION llm.keep_user_department()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    INSERT INTO llm.user_departments (user_id, since, department_id)
    VALUES (NEW.user_id, CASE TG_OP WHEN 'INSERT' THEN '-infinity' ELSE clock_timestamp() END, NEW.department_id);
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION llm.keep_user_department() IS 'Trigger: writes down since when a user works for a department. Runs '
    'as its owner, so that who may move users need not, and cannot, rewrite history';

CREATE TRIGGER users_department_is_kept
AFTER INSERT ON llm.users
FOR EACH ROW EXECUTE FUNCTION llm.keep_user_department();
COMMENT ON TRIGGER users_department_is_kept ON llm.users IS 'The history of a user''s departments begins with the '
    'first';

CREATE TRIGGER users_move_is_kept
AFTER UPDATE OF department_id ON llm.users
FOR EACH ROW WHEN (OLD.department_id <> NEW.department_id)
EXECUTE FUNCTION llm.keep_user_department();
COMMENT ON TRIGGER users_move_is_kept ON llm.users IS 'Usage stays with the department the user was in at the time';
