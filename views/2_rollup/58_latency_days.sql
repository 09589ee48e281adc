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
COMMENT ON COLUMN rollup.latency_days.latency_p50_ms IS '처리 시간 p50: 50 % of the answered requests took at most this, '
    'in milliseconds; within 2 % of percentile_disc over the requests themselves; NULL = none was answered';
COMMENT ON COLUMN rollup.latency_days.latency_p95_ms IS '처리 시간 p95: 95 % of the answered requests took at most this, '
    'in milliseconds; within 2 % of percentile_disc over the requests themselves; NULL = none was answered';
COMMENT ON COLUMN rollup.latency_days.latency_p99_ms IS '처리 시간 p99: 99 % of the answered requests took at most this, '
    'in milliseconds; within 2 % of percentile_disc over the requests themselves; NULL = none was answered';
COMMENT ON COLUMN rollup.latency_days.latency_max_ms IS '최대 처리 시간: the slowest answered request, exact, in '
    'milliseconds; NULL = none was answered';
COMMENT ON COLUMN rollup.latency_days.latency_mean_ms IS '평균 처리 시간: mean of the answered requests, exact, in '
    'milliseconds; NULL = none was answered';
