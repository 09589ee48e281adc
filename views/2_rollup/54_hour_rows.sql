CREATE OR REPLACE VIEW rollup.hour_rows AS
WITH noted AS MATERIALIZED (
    SELECT n.days, n.spans FROM rollup.noted('logs') AS n
)

SELECT
    r.local_hour, r.hour, r.deployment_id, r.requests, r.answered_requests, r.requests_without_tokens, r.tokens
FROM rollup.hours AS r
WHERE r.month IS NULL OR r.local_hour::date <> all((SELECT n.days FROM noted AS n)::date [])
UNION ALL
SELECT
    o.local_hour,
    o.hour,
    o.deployment_id,
    count(*) AS requests,
    count(*) FILTER (WHERE o.answered) AS answered_requests,
    count(*) - count(o.token_used) AS requests_without_tokens,
    coalesce(rollup.bigint_sum(o.token_used), 0) AS tokens
FROM noted AS n
CROSS JOIN LATERAL rollup.open_logs(n.spans) AS o
GROUP BY o.local_hour, o.hour, o.deployment_id;
COMMENT ON VIEW rollup.hour_rows IS '시간대별 사용량: of all time, exact, to be summed up';
CALL ops.describe('rollup.hour_rows', 'rollup.usage_rows', 'rollup.hours');
