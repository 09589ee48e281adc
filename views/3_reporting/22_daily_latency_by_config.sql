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
COMMENT ON VIEW reporting.daily_latency_by_config IS '설정별 일별 처리 시간: latency percentiles, one row per preset and day '
    '(reporting time zone) with requests. Requests without a preset are a row of their own. Percentiles of days cannot '
    'be averaged: for a longer time ask reporting.latency_percentiles()';
CALL ops.describe('reporting.daily_latency_by_config', 'rollup.latency_days', 'reporting.requests');
COMMENT ON COLUMN reporting.daily_latency_by_config.model_id IS '모델 고유 식별자: the model the preset is for; NULL = no '
    'preset';
COMMENT ON COLUMN reporting.daily_latency_by_config.model_name IS '모델명: its official name; NULL = no preset';

GRANT SELECT ON reporting.daily_latency_by_config TO llm_analyst;
