-- needs: 0037.deployment-history

CREATE OR REPLACE FUNCTION llm.keep_deployment()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    at constant timestamptz := clock_timestamp();
BEGIN
    IF TG_OP = 'INSERT' THEN
        -- What model it was is known of all time, for logs that are loaded later; a GPU it holds from now on.
        INSERT INTO llm.deployment_history (deployment_id, since, model_id, gpu_count, environment, status)
        VALUES (NEW.deployment_id, '-infinity', NEW.model_id, 0, NEW.environment, NEW.status);
    END IF;
    -- What it holds now goes before what a clock that was ahead has written for later: that is not to come true.
    DELETE FROM llm.deployment_history AS h WHERE h.deployment_id = NEW.deployment_id AND h.since >= at;
    INSERT INTO llm.deployment_history (deployment_id, since, model_id, gpu_count, environment, status)
    VALUES (NEW.deployment_id, at, NEW.model_id, NEW.gpu_count, NEW.environment, NEW.status);
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION llm.keep_deployment() IS 'Trigger: writes down since when a deployment holds what it does, and '
    'takes away what the history says of later. Runs as its owner, so that who may change deployments need not, and '
    'cannot, rewrite history';
REVOKE ALL ON FUNCTION llm.keep_deployment() FROM public;
