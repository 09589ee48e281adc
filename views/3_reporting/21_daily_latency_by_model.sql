CREATE OR REPLACE VIEW reporting.daily_latency_by_model AS
SELECT
    u.day AS request_day,
    u.key AS model_id,
    m.model_name,
    m.model_type,
    mt.label_ko AS model_type_ko,
    mt.label_en AS model_type_en,
    u.requests,
    u.answered_requests,
    u.latency_p50_ms,
    u.latency_p95_ms,
    u.latency_p99_ms,
    u.latency_max_ms,
    u.latency_mean_ms
FROM rollup.latency_days AS u
LEFT JOIN llm.models AS m ON u.key = m.model_id
LEFT JOIN llm.model_types AS mt ON m.model_type = mt.code
WHERE u.dimension = 'model';
COMMENT ON VIEW reporting.daily_latency_by_model IS '모델별 일별 처리 시간: 처리 시간의 백분위수, 요청이 있는 모델과 일자(보고 시간대)마다 한 행. 여러 날의 '
    '백분위수는 평균할 수 없다: 더 긴 기간은 reporting.latency_percentiles()로 구한다 | '
    'Daily latency by model: latency percentiles, one row per model and day (reporting time zone) with requests. '
    'Percentiles of days cannot be averaged: for a longer time ask reporting.latency_percentiles()';
CALL ops.describe('reporting.daily_latency_by_model', 'rollup.latency_days', 'reporting.daily_usage_by_model');

GRANT SELECT ON reporting.daily_latency_by_model TO llm_analyst;
