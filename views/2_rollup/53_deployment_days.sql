-- needs: 0039.rates-and-budgets

-- By the day of the question: of a GROUP BY its condition gets down to both parts, and of the calendar only the days
-- that are asked for are worked out.
CREATE OR REPLACE VIEW rollup.deployment_days AS
WITH held AS MATERIALIZED (
    SELECT
        array_agg(s) AS spans,
        min(s.since) AS since
    FROM rollup.gpu_spans AS s
    WHERE s.gpus > 0
)

SELECT
    u.day,
    u.deployment_id,
    max(u.gpus) AS gpus,
    sum(u.gpu_us) AS gpu_us,
    sum(u.gpu_us_without_rate) AS gpu_us_without_rate,
    rollup.bigint_sum(u.requests) AS requests,
    rollup.bigint_sum(u.requests_without_tokens) AS requests_without_tokens,
    rollup.bigint_sum(u.tokens) AS tokens,
    sum(u.latency_us) AS latency_us
FROM (
    SELECT
        d.day, g.deployment_id, g.gpus, g.gpu_us, g.gpu_us_without_rate, 0 AS requests, 0 AS requests_without_tokens,
        0 AS tokens, 0 AS latency_us
    FROM (SELECT s.time_zone FROM rollup.state AS s LIMIT 1) AS z
    CROSS JOIN held AS h
    CROSS JOIN LATERAL (
        SELECT s.day::date AS day
        FROM rollup.calendar(
            date_trunc('day', h.since AT TIME ZONE z.time_zone), now() AT TIME ZONE z.time_zone, interval '1 day'
        ) AS s (day)
    ) AS d
    CROSS JOIN LATERAL rollup.gpu_days(h.spans, z.time_zone, d.day, d.day) AS g
    UNION ALL
    SELECT r.day, r.key, 0, 0, 0, r.requests, r.requests_without_tokens, r.tokens, r.latency_us
    FROM rollup.usage_rows AS r
    WHERE r.dimension = 'deployment'
) AS u
GROUP BY u.day, u.deployment_id;
COMMENT ON VIEW rollup.deployment_days IS '배포별 일자: what a deployment held and did, a row per deployment and day on '
    'which it held GPUs or had requests';
CALL ops.describe('rollup.deployment_days', 'rollup.usage_rows');
COMMENT ON COLUMN rollup.deployment_days.deployment_id IS '배포: which held GPUs or had requests';
COMMENT ON COLUMN rollup.deployment_days.gpus IS 'GPU 개수: the most it held at a time';
COMMENT ON COLUMN rollup.deployment_days.gpu_us IS 'GPU 시간: in microseconds; today as far as it has gone';
COMMENT ON COLUMN rollup.deployment_days.gpu_us_without_rate IS '단가 없는 GPU 시간: that of it which has no price, in '
    'microseconds';
