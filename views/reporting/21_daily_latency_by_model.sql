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
    WHERE r.dimension = 'model'
    GROUP BY r.day, r.key
) AS u
LEFT JOIN llm.models AS m ON u.key = m.model_id
LEFT JOIN llm.model_types AS mt ON m.model_type = mt.code;
COMMENT ON VIEW reporting.daily_latency_by_model IS '모델별 일별 처리 시간: latency percentiles, one row per model and day '
    '(reporting time zone) with requests. Percentiles of days cannot be averaged: for a longer time ask '
    'reporting.latency_percentiles()';
COMMENT ON COLUMN reporting.daily_latency_by_model.request_day IS '일자: the day in the reporting time zone';
COMMENT ON COLUMN reporting.daily_latency_by_model.model_id IS '모델 고유 식별자: the model';
COMMENT ON COLUMN reporting.daily_latency_by_model.model_name IS '모델명: official name; unique';
COMMENT ON COLUMN reporting.daily_latency_by_model.model_type IS '모델 유형: code of the model''s main use';
COMMENT ON COLUMN reporting.daily_latency_by_model.model_type_ko IS '모델 유형: Korean label';
COMMENT ON COLUMN reporting.daily_latency_by_model.model_type_en IS '모델 유형: English label';
COMMENT ON COLUMN reporting.daily_latency_by_model.requests IS '요청 수: all requests, answered or not';
COMMENT ON COLUMN reporting.daily_latency_by_model.answered_requests IS '응답된 요청 수: requests whose response_time is '
    'known';
COMMENT ON COLUMN reporting.daily_latency_by_model.latency_p50_ms IS '처리 시간 p50: 50 % of the answered requests took at '
    'most this, in milliseconds; within 2 % of percentile_disc over the requests themselves; NULL = none was answered';
COMMENT ON COLUMN reporting.daily_latency_by_model.latency_p95_ms IS '처리 시간 p95: 95 % of the answered requests took at '
    'most this, in milliseconds; within 2 % of percentile_disc over the requests themselves; NULL = none was answered';
COMMENT ON COLUMN reporting.daily_latency_by_model.latency_p99_ms IS '처리 시간 p99: 99 % of the answered requests took at '
    'most this, in milliseconds; within 2 % of percentile_disc over the requests themselves; NULL = none was answered';
COMMENT ON COLUMN reporting.daily_latency_by_model.latency_max_ms IS '최대 처리 시간: the slowest answered request, exact, '
    'in milliseconds; NULL = none was answered';
COMMENT ON COLUMN reporting.daily_latency_by_model.latency_mean_ms IS '평균 처리 시간: mean of the answered requests, exact, '
    'in milliseconds; NULL = none was answered';

GRANT SELECT ON reporting.daily_latency_by_model TO llm_analyst;
