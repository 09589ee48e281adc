-- A constraint trigger cannot be replaced, only made anew.
DROP TRIGGER IF EXISTS departments_have_a_member ON llm.departments;
CREATE CONSTRAINT TRIGGER departments_have_a_member
AFTER INSERT OR UPDATE OF department_id ON llm.departments
DEFERRABLE INITIALLY DEFERRED
FOR EACH ROW EXECUTE FUNCTION llm.check_department_has_member();
COMMENT ON TRIGGER departments_have_a_member ON llm.departments IS 'A department, new or under a new key, has a '
    'member by commit';

CALL audit.watch('llm.departments');
