-- A rollback drops tables, never rows.
DO $$
BEGIN
    IF EXISTS (SELECT FROM llm.departments) OR EXISTS (SELECT FROM llm.users) THEN
        RAISE EXCEPTION 'not rolled back: departments, users would lose rows'
            USING ERRCODE = 'object_not_in_prerequisite_state',
                HINT = 'Empty or move them first. Where the rows must stay, migrate forward instead.';
    END IF;
END
$$;

DROP FUNCTION llm.found_department(text, text, text, text);
DROP TRIGGER users_leave_a_member_behind ON llm.users;
DROP TRIGGER departments_have_a_member ON llm.departments;
DROP FUNCTION llm.check_department_has_member();
ALTER TABLE llm.departments DROP CONSTRAINT departments_manager_id_fkey;
DROP TABLE llm.users;
DROP TABLE llm.departments;
