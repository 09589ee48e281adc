CREATE OR REPLACE TRIGGER deployments_beginning_is_kept
AFTER INSERT ON llm.deployments
FOR EACH ROW EXECUTE FUNCTION llm.keep_deployment();
COMMENT ON TRIGGER deployments_beginning_is_kept ON llm.deployments IS 'The history of a deployment begins with the '
    'first';

CREATE OR REPLACE TRIGGER deployments_change_is_kept
AFTER UPDATE OF model_id, gpu_count, environment, status ON llm.deployments
FOR EACH ROW WHEN (
    (OLD.model_id, OLD.gpu_count, OLD.environment, OLD.status)
    IS DISTINCT FROM (NEW.model_id, NEW.gpu_count, NEW.environment, NEW.status)
)
EXECUTE FUNCTION llm.keep_deployment();
COMMENT ON TRIGGER deployments_change_is_kept ON llm.deployments IS 'What a day has cost stays as it was';

-- Who was here before there was a trigger has held these GPUs since its first request, for all we know; one without
-- any, from now on. No row of deployments can be written until this transaction ends, so none is missed.
INSERT INTO llm.deployment_history (deployment_id, since, model_id, gpu_count, environment, status)
WITH missing AS MATERIALIZED (
    SELECT e.deployment_id, e.model_id, e.gpu_count, e.environment, e.status
    FROM llm.deployments AS e
    LEFT JOIN llm.deployment_history AS h ON e.deployment_id = h.deployment_id
    WHERE h.deployment_id IS NULL
), seen AS MATERIALIZED (
    SELECT r.key AS deployment_id, min(r.first_request_time) AS request_time
    FROM rollup.usage AS r
    WHERE r.dimension = 'deployment' AND EXISTS (SELECT 1 FROM missing)
    GROUP BY r.key
    UNION ALL
    SELECT l.deployment_id, min(l.request_time)
    FROM llm.session_logs AS l
    WHERE EXISTS (SELECT 1 FROM missing) AND rollup.known_time(l.request_time) IS NOT NULL
        AND l.request_time >= (SELECT s.closed_before FROM rollup.state AS s)
    GROUP BY l.deployment_id
)
SELECT m.deployment_id, b.since, m.model_id, b.gpu_count, m.environment, m.status
FROM missing AS m
CROSS JOIN LATERAL (
    SELECT '-infinity'::timestamptz AS since, 0 AS gpu_count
    UNION ALL
    SELECT
        coalesce(
            (SELECT min(s.request_time) FROM seen AS s WHERE s.deployment_id = m.deployment_id), clock_timestamp()
        ),
        m.gpu_count
) AS b;

CALL audit.watch('llm.deployments');
