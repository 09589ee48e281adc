CREATE OR REPLACE TRIGGER user_departments_are_noted
AFTER INSERT OR UPDATE OR DELETE ON llm.user_departments
FOR EACH ROW EXECUTE FUNCTION rollup.note_user_departments();
COMMENT ON TRIGGER user_departments_are_noted ON llm.user_departments IS 'Reports follow a corrected history. A move '
    'that happens now changes nothing that is closed';

CREATE OR REPLACE TRIGGER user_departments_truncation_is_noted
AFTER TRUNCATE ON llm.user_departments
FOR EACH STATEMENT EXECUTE FUNCTION rollup.note_all();
COMMENT ON TRIGGER user_departments_truncation_is_noted ON llm.user_departments IS 'TRUNCATE deletes';

CALL audit.watch('llm.user_departments');
