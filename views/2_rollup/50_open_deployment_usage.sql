-- needs: 0038.deployment-usage

CREATE OR REPLACE FUNCTION rollup.open_deployment_usage(noted tstzmultirange)
RETURNS TABLE (
    dimension rollup.dimension, day date, deployment_id bigint, model_id bigint, key bigint, department_id bigint,
    requests bigint, answered_requests bigint, requests_without_tokens bigint, tokens bigint, latency_us numeric
)
LANGUAGE sql
STABLE
BEGIN ATOMIC
    SELECT
        d.dimension, o.day, o.deployment_id, o.model_id, d.key, d.department_id,
        count(*),
        count(*) FILTER (WHERE o.answered),
        count(*) - count(o.token_used),
        coalesce(rollup.bigint_sum(o.token_used), 0),
        coalesce(sum(o.latency_us), 0)
    FROM rollup.open_logs(noted) AS o
    CROSS JOIN LATERAL (
        VALUES
        ('department'::rollup.dimension, o.department_id, NULL::bigint), ('project', o.project_id, NULL),
        ('template', o.template_id, NULL), ('user', o.user_id, o.department_id)
    ) AS d (dimension, key, department_id)
    GROUP BY d.dimension, o.day, o.deployment_id, o.model_id, d.key, d.department_id;
END;
COMMENT ON FUNCTION rollup.open_deployment_usage(tstzmultirange) IS 'The usage of deployments that reports work out '
    'themselves, columns as in rollup.deployment_usage: of open time, and of the noted parts of closed time, given by '
    'rollup.noted()';
REVOKE ALL ON FUNCTION rollup.open_deployment_usage(tstzmultirange) FROM public;
GRANT EXECUTE ON FUNCTION rollup.open_deployment_usage(tstzmultirange) TO llm_analyst;
