CREATE OR REPLACE VIEW reporting.weekly_usage_by_deployment AS
SELECT
    p.first_day AS request_week,
    p.key AS deployment_id,
    e.server_name,
    e.environment,
    en.label_ko AS environment_ko,
    en.label_en AS environment_en,
    e.model_id,
    m.model_name,
    p.requests,
    p.answered_requests,
    p.requests_without_tokens,
    p.tokens,
    p.request_share,
    p.token_share,
    p.requests_before,
    p.tokens_before,
    p.requests_change,
    p.tokens_change,
    e.gpu_count
FROM rollup.usage_periods AS p
LEFT JOIN llm.deployments AS e ON p.key = e.deployment_id
LEFT JOIN llm.environments AS en ON e.environment = en.code
LEFT JOIN llm.models AS m ON e.model_id = m.model_id
WHERE p.grain = 'week' AND p.dimension = 'deployment';
COMMENT ON VIEW reporting.weekly_usage_by_deployment IS '배포별 주별 사용량: 요청과 토큰, 요청이 있는 배포와 주(보고 시간대)마다 한 행. 이번 주는 지난주 전체와 '
    '비교한다 | '
    'Weekly usage by deployment: requests and tokens, one row per deployment and week (reporting time zone) with '
    'requests. The running week is compared with the whole one before';
CALL ops.describe(
    'reporting.weekly_usage_by_deployment',
    'reporting.weekly_usage', 'reporting.daily_usage_by_deployment'
);

GRANT SELECT ON reporting.weekly_usage_by_deployment TO llm_analyst;
