CREATE OR REPLACE VIEW rollup.latency_days AS
SELECT
    u.dimension,
    u.day,
    u.key,
    u.requests,
    u.answered_requests,
    rollup.histogram_percentile_ms(u.latencies, 0.50) AS latency_p50_ms,
    rollup.histogram_percentile_ms(u.latencies, 0.95) AS latency_p95_ms,
    rollup.histogram_percentile_ms(u.latencies, 0.99) AS latency_p99_ms,
    u.max_latency_us / 1000.0::double precision AS latency_max_ms,
    u.latency_us / nullif(u.answered_requests, 0)::double precision / 1000 AS latency_mean_ms
FROM (
    SELECT
        r.dimension,
        r.day,
        r.key,
        rollup.bigint_sum(r.requests) AS requests,
        rollup.bigint_sum(r.answered_requests) AS answered_requests,
        sum(r.latency_us)::double precision AS latency_us,
        max(r.max_latency_us) AS max_latency_us,
        rollup.histogram_sum(r.latencies) AS latencies
    FROM rollup.usage_rows AS r
    GROUP BY r.dimension, r.day, r.key
) AS u;
COMMENT ON VIEW rollup.latency_days IS '일별 처리 시간: latency percentiles by day and dimension, of all time; ask for one '
    'dimension, but not for user';
CALL ops.describe('rollup.latency_days', 'rollup.usage_rows');
COMMENT ON COLUMN rollup.latency_days.latency_p50_ms IS '처리 시간 p50: 응답된 요청의 50 %가 이 시간 이내, 밀리초; 요청 자체의 '
    'percentile_disc와 오차 2 % 이내; NULL = 응답된 요청 없음 | '
    'Latency p50: 50 % of the answered requests took at most this, in milliseconds; within 2 % of percentile_disc over '
    'the requests themselves; NULL = none was answered';
COMMENT ON COLUMN rollup.latency_days.latency_p95_ms IS '처리 시간 p95: 응답된 요청의 95 %가 이 시간 이내, 밀리초; 요청 자체의 '
    'percentile_disc와 오차 2 % 이내; NULL = 응답된 요청 없음 | '
    'Latency p95: 95 % of the answered requests took at most this, in milliseconds; within 2 % of percentile_disc over '
    'the requests themselves; NULL = none was answered';
COMMENT ON COLUMN rollup.latency_days.latency_p99_ms IS '처리 시간 p99: 응답된 요청의 99 %가 이 시간 이내, 밀리초; 요청 자체의 '
    'percentile_disc와 오차 2 % 이내; NULL = 응답된 요청 없음 | '
    'Latency p99: 99 % of the answered requests took at most this, in milliseconds; within 2 % of percentile_disc over '
    'the requests themselves; NULL = none was answered';
COMMENT ON COLUMN rollup.latency_days.latency_max_ms IS '최대 처리 시간: 가장 느린 응답된 요청, 정확한 값, 밀리초; NULL = 응답된 요청 없음 | '
    'Maximum latency: the slowest answered request, exact, in milliseconds; NULL = none was answered';
COMMENT ON COLUMN rollup.latency_days.latency_mean_ms IS '평균 처리 시간: 응답된 요청의 평균, 정확한 값, 밀리초; NULL = 응답된 요청 없음 | '
    'Mean latency: mean of the answered requests, exact, in milliseconds; NULL = none was answered';
