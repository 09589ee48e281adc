CREATE OR REPLACE VIEW reporting.daily_latency_by_config AS
SELECT
    u.day AS request_day,
    u.key AS config_id,
    c.config_name,
    c.model_id,
    m.model_name,
    u.requests,
    u.answered_requests,
    u.latency_p50_ms,
    u.latency_p95_ms,
    u.latency_p99_ms,
    u.latency_max_ms,
    u.latency_mean_ms
FROM rollup.latency_days AS u
LEFT JOIN llm.model_configs AS c ON u.key = c.config_id
LEFT JOIN llm.models AS m ON c.model_id = m.model_id
WHERE u.dimension = 'config';
COMMENT ON VIEW reporting.daily_latency_by_config IS '설정별 일별 처리 시간: 처리 시간의 백분위수, 요청이 있는 설정과 일자(보고 시간대)마다 한 행. 설정이 없는 '
    '요청은 별도의 행. 여러 날의 백분위수는 평균할 수 없다: 더 긴 기간은 reporting.latency_percentiles()로 구한다 | '
    'Daily latency by preset: latency percentiles, one row per preset and day (reporting time zone) with requests. '
    'Requests without a preset are a row of their own. Percentiles of days cannot be averaged: for a longer time ask '
    'reporting.latency_percentiles()';
CALL ops.describe('reporting.daily_latency_by_config', 'rollup.latency_days', 'reporting.requests');
COMMENT ON COLUMN reporting.daily_latency_by_config.model_id IS '모델 고유 식별자: 설정이 속한 모델; NULL = 설정 없음 | '
    'Model ID: the model the preset is for; NULL = no preset';
COMMENT ON COLUMN reporting.daily_latency_by_config.model_name IS '모델명: 모델의 공식 명칭; NULL = 설정 없음 | '
    'Model: its official name; NULL = no preset';

GRANT SELECT ON reporting.daily_latency_by_config TO llm_analyst;
