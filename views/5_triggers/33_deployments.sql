CREATE OR REPLACE TRIGGER deployments_model_is_noted
AFTER UPDATE OF model_id ON llm.deployments
FOR EACH ROW WHEN (OLD.model_id <> NEW.model_id)
EXECUTE FUNCTION rollup.note_uses('deployment', 'deployment_id');
COMMENT ON TRIGGER deployments_model_is_noted ON llm.deployments IS 'Reports by model follow a corrected deployment';

CALL audit.watch('llm.deployments');
