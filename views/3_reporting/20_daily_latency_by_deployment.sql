CREATE OR REPLACE VIEW reporting.daily_latency_by_deployment AS
SELECT
    u.day AS request_day,
    u.key AS deployment_id,
    e.server_name,
    e.environment,
    en.label_ko AS environment_ko,
    en.label_en AS environment_en,
    e.model_id,
    m.model_name,
    u.requests,
    u.answered_requests,
    u.latency_p50_ms,
    u.latency_p95_ms,
    u.latency_p99_ms,
    u.latency_max_ms,
    u.latency_mean_ms
FROM rollup.latency_days AS u
LEFT JOIN llm.deployments AS e ON u.key = e.deployment_id
LEFT JOIN llm.environments AS en ON e.environment = en.code
LEFT JOIN llm.models AS m ON e.model_id = m.model_id
WHERE u.dimension = 'deployment';
COMMENT ON VIEW reporting.daily_latency_by_deployment IS '배포별 일별 처리 시간: 처리 시간의 백분위수, 요청이 있는 배포와 일자(보고 시간대)마다 한 행. 여러 '
    '날의 백분위수는 평균할 수 없다: 더 긴 기간은 reporting.latency_percentiles()로 구한다 | '
    'Daily latency by deployment: latency percentiles, one row per deployment and day (reporting time zone) with '
    'requests. Percentiles of days cannot be averaged: for a longer time ask reporting.latency_percentiles()';
CALL ops.describe(
    'reporting.daily_latency_by_deployment',
    'rollup.latency_days', 'reporting.daily_usage_by_deployment'
);

GRANT SELECT ON reporting.daily_latency_by_deployment TO llm_analyst;
