-- The latest days of a key are those up to its last request: percentiles of what is used no more stay what they were.
CREATE OR REPLACE VIEW rollup.usage_totals AS
SELECT
    t.dimension,
    t.key,
    t.requests,
    t.answered_requests,
    t.requests_without_tokens,
    t.at_max_tokens_requests,
    t.tokens,
    t.tokens / nullif(t.requests - t.requests_without_tokens, 0)::double precision AS mean_tokens,
    t.first_request_time,
    t.last_request_time,
    t.last_30_days_requests,
    rollup.histogram_percentile_ms(t.latest_latencies, 0.50) AS latency_p50_ms,
    rollup.histogram_percentile_ms(t.latest_latencies, 0.95) AS latency_p95_ms,
    rollup.histogram_percentile_ms(t.latest_latencies, 0.99) AS latency_p99_ms
FROM (
    SELECT
        r.dimension,
        r.key,
        rollup.bigint_sum(r.requests) AS requests,
        rollup.bigint_sum(r.answered_requests) AS answered_requests,
        rollup.bigint_sum(r.requests_without_tokens) AS requests_without_tokens,
        rollup.bigint_sum(r.at_max_tokens_requests) AS at_max_tokens_requests,
        rollup.bigint_sum(r.tokens) AS tokens,
        min(r.first_request_time) AS first_request_time,
        max(r.last_request_time) AS last_request_time,
        rollup.bigint_sum(r.requests) FILTER (
            WHERE r.day > (SELECT (now() AT TIME ZONE s.time_zone)::date - 30 FROM rollup.state AS s)
        ) AS last_30_days_requests,
        rollup.histogram_sum(r.latencies) FILTER (WHERE r.day > r.last_day - 30) AS latest_latencies
    FROM (
        SELECT
            u.dimension, u.key, u.day, u.requests, u.answered_requests, u.requests_without_tokens,
            u.at_max_tokens_requests, u.tokens, u.first_request_time, u.last_request_time, u.latencies,
            max(u.day) OVER (PARTITION BY u.dimension, u.key) AS last_day
        FROM rollup.usage_rows AS u
    ) AS r
    GROUP BY r.dimension, r.key
) AS t;
COMMENT ON VIEW rollup.usage_totals IS '전체 기간 사용량: usage of all time by dimension; ask for one dimension';
CALL ops.describe('rollup.usage_totals', 'rollup.usage_rows');
COMMENT ON COLUMN rollup.usage_totals.requests IS '요청 수: 전체 기간의 요청, 응답 여부와 무관, 더는 저장되지 않은 달도 포함 | '
    'Requests: requests of all time, answered or not, also of months that are no longer stored';
COMMENT ON COLUMN rollup.usage_totals.mean_tokens IS '평균 토큰 수: token_used가 기록된 요청의 평균, 토큰 단위; NULL = 기록된 요청 없음 | '
    'Mean tokens: tokens per request whose token_used is known, in tokens; NULL = none is known';
COMMENT ON COLUMN rollup.usage_totals.first_request_time IS '첫 요청 시간: 전체 기간의 첫 사용; NULL = 사용된 적 없음 | '
    'First request: first use of all time; NULL = none ever';
COMMENT ON COLUMN rollup.usage_totals.last_request_time IS '마지막 요청 시간: 전체 기간의 마지막 사용; NULL = 사용된 적 없음 | '
    'Last request: last use of all time; NULL = none ever';
COMMENT ON COLUMN rollup.usage_totals.last_30_days_requests IS '최근 30일 요청 수: 오늘과 그 전 29일의 요청, 보고 시간대 기준 | '
    'Requests of the last 30 days: requests of today and the 29 days before, in the reporting time zone';
COMMENT ON COLUMN rollup.usage_totals.latency_p50_ms IS '처리 시간 p50: 마지막 사용일까지 30일 동안 응답된 요청의 50 %가 이 시간 이내, 밀리초, 오차 2 '
    '% 이내; NULL = 응답된 요청 없음 | '
    'Latency p50: 50 % of the answered requests of the 30 days up to the last use took at most this, in milliseconds, '
    'within 2 %; NULL = none was answered';
COMMENT ON COLUMN rollup.usage_totals.latency_p95_ms IS '처리 시간 p95: 마지막 사용일까지 30일 동안 응답된 요청의 95 %가 이 시간 이내, 밀리초, 오차 2 '
    '% 이내; NULL = 응답된 요청 없음 | '
    'Latency p95: 95 % of the answered requests of the 30 days up to the last use took at most this, in milliseconds, '
    'within 2 %; NULL = none was answered';
COMMENT ON COLUMN rollup.usage_totals.latency_p99_ms IS '처리 시간 p99: 마지막 사용일까지 30일 동안 응답된 요청의 99 %가 이 시간 이내, 밀리초, 오차 2 '
    '% 이내; NULL = 응답된 요청 없음 | '
    'Latency p99: 99 % of the answered requests of the 30 days up to the last use took at most this, in milliseconds, '
    'within 2 %; NULL = none was answered';
