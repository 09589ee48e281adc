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
    l.tokens / nullif(l.requests - l.requests_without_tokens, 0)::double precision AS mean_tokens,
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
LEFT JOIN (
    SELECT
        r.key,
        sum(r.requests)::bigint AS requests,
        sum(r.answered_requests)::bigint AS answered_requests,
        sum(r.requests_without_tokens)::bigint AS requests_without_tokens,
        sum(r.tokens)::bigint AS tokens,
        sum(r.at_max_tokens_requests)::bigint AS at_max_tokens_requests,
        llm.histogram_percentile_ms(
            llm.histogram_sum(r.latencies) FILTER (WHERE r.day > r.last_day - 30), 0.50
        ) AS latency_p50_ms,
        llm.histogram_percentile_ms(
            llm.histogram_sum(r.latencies) FILTER (WHERE r.day > r.last_day - 30), 0.95
        ) AS latency_p95_ms,
        llm.histogram_percentile_ms(
            llm.histogram_sum(r.latencies) FILTER (WHERE r.day > r.last_day - 30), 0.99
        ) AS latency_p99_ms,
        sum(r.requests) FILTER (
            WHERE r.day > (SELECT (now() AT TIME ZONE s.time_zone)::date - 30 FROM llm.rollup_state AS s)
        )::bigint AS last_30_days_requests,
        max(r.last_request_time) AS last_request_time
    FROM (
        SELECT u.*, max(u.day) OVER (PARTITION BY u.key) AS last_day
        FROM llm.usage_rows AS u
        WHERE u.dimension = 'config'
    ) AS r
    GROUP BY r.key
) AS l ON c.config_id = l.key;
COMMENT ON VIEW reporting.config_comparison IS '모델 설정 비교: the presets of each model side by side with their use of all '
    'time; one row per preset, also when never used';
COMMENT ON COLUMN reporting.config_comparison.model_id IS '모델 고유 식별자: the model the preset is for';
COMMENT ON COLUMN reporting.config_comparison.model_name IS '모델명: its official name';
COMMENT ON COLUMN reporting.config_comparison.config_id IS '설정 고유 식별자: the preset';
COMMENT ON COLUMN reporting.config_comparison.config_name IS '설정명: name of the preset, unique within its model';
COMMENT ON COLUMN reporting.config_comparison.max_tokens IS '최대 토큰 수: longest answer, in tokens; NULL = engine default';
COMMENT ON COLUMN reporting.config_comparison.temperature IS '온도 파라미터: 0.0 (consistent) to 2.0 (creative); NULL = '
    'engine default';
COMMENT ON COLUMN reporting.config_comparison.top_p IS '누적 확률 임계값: nucleus sampling, above 0 up to 1; NULL = engine '
    'default';
COMMENT ON COLUMN reporting.config_comparison.top_k IS '상위 k개 제한: sample from the k likeliest tokens; NULL = engine '
    'default';
COMMENT ON COLUMN reporting.config_comparison.requests IS '요청 수: all requests with this preset, answered or not';
COMMENT ON COLUMN reporting.config_comparison.answered_requests IS '응답된 요청 수: requests whose response_time is known';
COMMENT ON COLUMN reporting.config_comparison.requests_without_tokens IS '토큰 수 미상 요청 수: requests whose token_used is '
    'not known; tokens leaves them out';
COMMENT ON COLUMN reporting.config_comparison.tokens IS '사용 토큰 수: sum of the known token_used, in tokens; 0 when none '
    'is known';
COMMENT ON COLUMN reporting.config_comparison.mean_tokens IS '평균 토큰 수: tokens per request whose token_used is known, '
    'in tokens; NULL = none is known';
COMMENT ON COLUMN reporting.config_comparison.at_max_tokens_requests IS '최대 토큰 도달 요청 수: requests whose token_used is '
    'at least max_tokens';
COMMENT ON COLUMN reporting.config_comparison.at_max_tokens_share IS '최대 토큰 도달 비율: at_max_tokens_requests among those '
    'whose token_used is known, 0 to 1; NULL = no max_tokens, or none known. token_used is input plus output and '
    'max_tokens limits the output, so no more answers than this were cut off, but fewer may have been';
COMMENT ON COLUMN reporting.config_comparison.latency_p50_ms IS '처리 시간 p50: at least 50% of the answered requests of '
    'the 30 days up to its last use took at most this, in milliseconds, within 2 %; NULL = none was answered';
COMMENT ON COLUMN reporting.config_comparison.latency_p95_ms IS '처리 시간 p95: at least 95% of the answered requests of '
    'the 30 days up to its last use took at most this, in milliseconds, within 2 %; NULL = none was answered';
COMMENT ON COLUMN reporting.config_comparison.latency_p99_ms IS '처리 시간 p99: at least 99% of the answered requests of '
    'the 30 days up to its last use took at most this, in milliseconds, within 2 %; NULL = none was answered';
COMMENT ON COLUMN reporting.config_comparison.last_30_days_requests IS '최근 30일 요청 수: requests of today and the 29 days '
    'before, in the reporting time zone';
COMMENT ON COLUMN reporting.config_comparison.last_request_time IS '마지막 요청 시간: NULL = never used';

GRANT SELECT ON reporting.config_comparison TO llm_analyst;
