-- What usage the rollups do not have yet, as rollup_usage would have it.
CREATE OR REPLACE VIEW llm.open_usage AS
SELECT
    d.dimension,
    d.key,
    o.day,
    count(*) AS requests,
    count(*) FILTER (WHERE o.answered) AS answered_requests,
    count(*) - count(o.token_used) AS requests_without_tokens,
    count(*) FILTER (WHERE o.at_max_tokens) AS at_max_tokens_requests,
    coalesce(llm.bigint_sum(o.token_used), 0) AS tokens,
    coalesce(llm.bigint_sum(o.latency_us), 0) AS latency_us,
    max(o.latency_us) AS max_latency_us,
    min(o.request_time) AS first_request_time,
    max(o.request_time) AS last_request_time,
    llm.histogram_of(
        array_agg(llm.latency_bucket(o.latency_us)) FILTER (WHERE o.latency_us IS NOT NULL AND d.dimension <> 'user')
    ) AS latencies
FROM llm.open_logs() AS o
CROSS JOIN LATERAL (
    VALUES
    ('all'::llm.rollup_dimension, NULL), ('config', o.config_id), ('department', o.department_id),
    ('deployment', o.deployment_id), ('model', o.model_id), ('project', o.project_id), ('template', o.template_id),
    ('user', o.user_id)
) AS d (dimension, key)
GROUP BY d.dimension, d.key, o.day;
COMMENT ON VIEW llm.open_usage IS '사용량: of the logs that are not rolled up, or have to be again; columns as in '
    'llm.rollup_usage';
