CREATE OR REPLACE VIEW reporting.config_comparison AS
SELECT
    c.model_id,
    m.model_name,
    c.config_id,
    c.config_name,
    c.max_tokens,
    c.temperature::double precision AS temperature,
    c.top_p::double precision AS top_p,
    c.top_k,
    coalesce(l.requests, 0) AS requests,
    coalesce(l.answered_requests, 0) AS answered_requests,
    coalesce(l.requests_without_tokens, 0) AS requests_without_tokens,
    coalesce(l.tokens, 0) AS tokens,
    l.mean_tokens,
    coalesce(l.at_max_tokens_requests, 0) AS at_max_tokens_requests,
    CASE WHEN c.max_tokens IS NOT NULL THEN
        l.at_max_tokens_requests / nullif(l.requests - l.requests_without_tokens, 0)::double precision
    END AS at_max_tokens_share,
    l.latency_p50_ms,
    l.latency_p95_ms,
    l.latency_p99_ms,
    coalesce(l.last_30_days_requests, 0) AS last_30_days_requests,
    l.last_request_time
FROM llm.model_configs AS c
INNER JOIN llm.models AS m ON c.model_id = m.model_id
LEFT JOIN rollup.usage_totals AS l ON l.dimension = 'config' AND c.config_id = l.key;
COMMENT ON VIEW reporting.config_comparison IS '모델 설정 비교: the presets of each model side by side with their use of all '
    'time; one row per preset, also when never used';
CALL ops.describe('reporting.config_comparison', 'llm.model_configs', 'reporting.requests', 'rollup.usage_totals');
COMMENT ON COLUMN reporting.config_comparison.model_id IS '모델 고유 식별자: the model the preset is for';
COMMENT ON COLUMN reporting.config_comparison.config_id IS '설정 고유 식별자: the preset';
COMMENT ON COLUMN reporting.config_comparison.at_max_tokens_share IS '최대 토큰 도달 비율: at_max_tokens_requests among those '
    'whose token_used is known, 0 to 1; NULL = no max_tokens, or none known. token_used is input plus output and '
    'max_tokens limits the output, so no more answers than this were cut off, but fewer may have been';

GRANT SELECT ON reporting.config_comparison TO llm_analyst;
