-- depends: 0016.note-session-logs

-- Hardly ever written to.
CREATE TRIGGER user_departments_are_noted
AFTER INSERT OR UPDATE OR DELETE ON llm.user_departments
FOR EACH ROW EXECUTE FUNCTION llm.note_all();
COMMENT ON TRIGGER user_departments_are_noted ON llm.user_departments IS 'Reports follow a corrected history. A move '
    'that happens now changes nothing that is closed';

CREATE TRIGGER user_departments_truncation_is_noted
AFTER TRUNCATE ON llm.user_departments
FOR EACH STATEMENT EXECUTE FUNCTION llm.note_all();
COMMENT ON TRIGGER user_departments_truncation_is_noted ON llm.user_departments IS 'TRUNCATE deletes';

CREATE TRIGGER deployments_model_is_noted
AFTER UPDATE OF model_id ON llm.deployments
FOR EACH ROW WHEN (OLD.model_id <> NEW.model_id)
EXECUTE FUNCTION llm.note_all();
COMMENT ON TRIGGER deployments_model_is_noted ON llm.deployments IS 'Reports by model follow a corrected deployment';

CREATE TRIGGER model_configs_max_tokens_is_noted
AFTER UPDATE OF max_tokens ON llm.model_configs
FOR EACH ROW WHEN (OLD.max_tokens IS DISTINCT FROM NEW.max_tokens)
EXECUTE FUNCTION llm.note_all();
COMMENT ON TRIGGER model_configs_max_tokens_is_noted ON llm.model_configs IS 'Who reached max_tokens is asked of the '
    'preset as it is now';
