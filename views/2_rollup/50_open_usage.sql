-- needs: 0013.rollups

CREATE OR REPLACE FUNCTION rollup.open_usage(noted tstzmultirange)
RETURNS TABLE (
    dimension rollup.dimension, key bigint, day date, requests bigint, answered_requests bigint,
    requests_without_tokens bigint, at_max_tokens_requests bigint, tokens bigint, latency_us numeric,
    max_latency_us bigint, first_request_time timestamptz, last_request_time timestamptz,
    latencies rollup.latency_histogram
)
LANGUAGE sql
STABLE
BEGIN ATOMIC
    SELECT
        d.dimension,
        d.key,
        o.day,
        count(*) AS requests,
        count(*) FILTER (WHERE o.answered) AS answered_requests,
        count(*) - count(o.token_used) AS requests_without_tokens,
        count(*) FILTER (WHERE o.at_max_tokens) AS at_max_tokens_requests,
        coalesce(rollup.bigint_sum(o.token_used), 0) AS tokens,
        coalesce(sum(o.latency_us), 0) AS latency_us,
        max(o.latency_us) AS max_latency_us,
        min(o.request_time) AS first_request_time,
        max(o.request_time) AS last_request_time,
        rollup.histogram_of(
            array_agg(rollup.latency_bucket(o.latency_us))
            FILTER (WHERE o.latency_us IS NOT NULL AND d.dimension <> 'user')
        ) AS latencies
    FROM rollup.open_logs(noted) AS o
    CROSS JOIN LATERAL (
        VALUES
        ('all'::rollup.dimension, NULL), ('config', o.config_id), ('department', o.department_id),
        ('deployment', o.deployment_id), ('model', o.model_id), ('project', o.project_id), ('template', o.template_id),
        ('user', o.user_id)
    ) AS d (dimension, key)
    GROUP BY d.dimension, d.key, o.day;
END;
COMMENT ON FUNCTION rollup.open_usage(tstzmultirange) IS 'The usage that reports work out themselves, columns as in '
    'rollup.usage: of open time, and of the noted parts of closed time, given by rollup.noted()';
REVOKE ALL ON FUNCTION rollup.open_usage(tstzmultirange) FROM public;
GRANT EXECUTE ON FUNCTION rollup.open_usage(tstzmultirange) TO llm_analyst;
