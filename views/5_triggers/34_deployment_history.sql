CREATE OR REPLACE TRIGGER deployment_history_is_noted
AFTER INSERT OR UPDATE OF deployment_id, since, model_id OR DELETE ON llm.deployment_history
FOR EACH ROW EXECUTE FUNCTION rollup.note_deployment_history();
COMMENT ON TRIGGER deployment_history_is_noted ON llm.deployment_history IS 'Reports by model follow a corrected '
    'history. A change that happens now changes nothing that is closed; GPU hours are worked out when somebody asks';

CREATE OR REPLACE TRIGGER deployment_history_truncation_is_noted
AFTER TRUNCATE ON llm.deployment_history
FOR EACH STATEMENT EXECUTE FUNCTION rollup.note_all();
COMMENT ON TRIGGER deployment_history_truncation_is_noted ON llm.deployment_history IS 'TRUNCATE deletes';

CALL audit.watch('llm.deployment_history');
