-- A constraint trigger cannot be replaced, only made anew.
DROP TRIGGER IF EXISTS users_leave_a_member_behind ON llm.users;
CREATE CONSTRAINT TRIGGER users_leave_a_member_behind
AFTER DELETE OR UPDATE OF department_id ON llm.users
DEFERRABLE INITIALLY DEFERRED
FOR EACH ROW EXECUTE FUNCTION llm.check_department_has_member();
COMMENT ON TRIGGER users_leave_a_member_behind ON llm.users IS 'A department someone leaves still has a member by '
    'commit';

CREATE OR REPLACE TRIGGER users_department_is_kept
AFTER INSERT ON llm.users
FOR EACH ROW EXECUTE FUNCTION llm.keep_user_department();
COMMENT ON TRIGGER users_department_is_kept ON llm.users IS 'The history of a user''s departments begins with the '
    'first';

CREATE OR REPLACE TRIGGER users_move_is_kept
AFTER UPDATE OF department_id ON llm.users
FOR EACH ROW WHEN (OLD.department_id <> NEW.department_id)
EXECUTE FUNCTION llm.keep_user_department();
COMMENT ON TRIGGER users_move_is_kept ON llm.users IS 'Usage stays with the department the user was in at the time';

-- Who was here before there was a trigger has been in the same department for all we know. No row of users can be
-- written until this transaction ends, so nobody is missed.
INSERT INTO llm.user_departments (user_id, since, department_id)
SELECT u.user_id, '-infinity', u.department_id
FROM llm.users AS u
LEFT JOIN llm.user_departments AS h ON u.user_id = h.user_id
WHERE h.user_id IS NULL;

CALL audit.watch('llm.users');
