CREATE OR REPLACE VIEW reporting.daily_latency_by_config AS
SELECT
    u.day AS request_day,
    u.key AS config_id,
    c.config_name,
    c.model_id,
    m.model_name,
    u.requests,
    u.answered_requests,
    llm.histogram_percentile_ms(u.latencies, 0.50) AS latency_p50_ms,
    llm.histogram_percentile_ms(u.latencies, 0.95) AS latency_p95_ms,
    llm.histogram_percentile_ms(u.latencies, 0.99) AS latency_p99_ms,
    u.max_latency_us / 1000.0::double precision AS latency_max_ms,
    u.latency_us / nullif(u.answered_requests, 0)::double precision / 1000 AS latency_mean_ms
FROM (
    SELECT
        r.day,
        r.key,
        sum(r.requests)::bigint AS requests,
        sum(r.answered_requests)::bigint AS answered_requests,
        sum(r.latency_us)::bigint AS latency_us,
        max(r.max_latency_us) AS max_latency_us,
        llm.histogram_sum(r.latencies) AS latencies
    FROM llm.usage_rows AS r
    WHERE r.dimension = 'config'
    GROUP BY r.day, r.key
) AS u
LEFT JOIN llm.model_configs AS c ON u.key = c.config_id
LEFT JOIN llm.models AS m ON c.model_id = m.model_id;
COMMENT ON VIEW reporting.daily_latency_by_config IS '설정별 일별 처리 시간: latency percentiles, one row per preset and day '
    '(reporting time zone) with requests. Requests without a preset are a row of their own. Percentiles of days cannot '
    'be averaged: for a longer time ask reporting.latency_percentiles()';
COMMENT ON COLUMN reporting.daily_latency_by_config.request_day IS '일자: the day in the reporting time zone';
COMMENT ON COLUMN reporting.daily_latency_by_config.config_id IS '설정 고유 식별자: the preset applied; NULL = none or not '
    'known';
COMMENT ON COLUMN reporting.daily_latency_by_config.config_name IS '설정명: name of the preset, unique within its model; '
    'NULL = none or not known';
COMMENT ON COLUMN reporting.daily_latency_by_config.model_id IS '모델 고유 식별자: the model the preset is for; NULL = no '
    'preset';
COMMENT ON COLUMN reporting.daily_latency_by_config.model_name IS '모델명: its official name; NULL = no preset';
COMMENT ON COLUMN reporting.daily_latency_by_config.requests IS '요청 수: all requests, answered or not';
COMMENT ON COLUMN reporting.daily_latency_by_config.answered_requests IS '응답된 요청 수: requests whose response_time is '
    'known';
COMMENT ON COLUMN reporting.daily_latency_by_config.latency_p50_ms IS '처리 시간 p50: 50 % of the answered requests took '
    'at most this, in milliseconds; within 2 % of percentile_disc over the requests themselves; NULL = none was '
    'answered';
COMMENT ON COLUMN reporting.daily_latency_by_config.latency_p95_ms IS '처리 시간 p95: 95 % of the answered requests took '
    'at most this, in milliseconds; within 2 % of percentile_disc over the requests themselves; NULL = none was '
    'answered';
COMMENT ON COLUMN reporting.daily_latency_by_config.latency_p99_ms IS '처리 시간 p99: 99 % of the answered requests took '
    'at most this, in milliseconds; within 2 % of percentile_disc over the requests themselves; NULL = none was '
    'answered';
COMMENT ON COLUMN reporting.daily_latency_by_config.latency_max_ms IS '최대 처리 시간: the slowest answered request, exact, '
    'in milliseconds; NULL = none was answered';
COMMENT ON COLUMN reporting.daily_latency_by_config.latency_mean_ms IS '평균 처리 시간: mean of the answered requests, '
    'exact, in milliseconds; NULL = none was answered';

GRANT SELECT ON reporting.daily_latency_by_config TO llm_analyst;
