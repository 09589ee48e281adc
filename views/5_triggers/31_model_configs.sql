CREATE OR REPLACE TRIGGER model_configs_max_tokens_is_noted
AFTER UPDATE OF max_tokens ON llm.model_configs
FOR EACH ROW WHEN (OLD.max_tokens IS DISTINCT FROM NEW.max_tokens)
EXECUTE FUNCTION rollup.note_uses('config', 'config_id');
COMMENT ON TRIGGER model_configs_max_tokens_is_noted ON llm.model_configs IS 'Who reached max_tokens is asked of the '
    'preset as it is now';

CALL audit.watch('llm.model_configs');
