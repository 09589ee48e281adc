CREATE OR REPLACE VIEW llm.hour_rows AS
SELECT
    r.local_hour, r.hour, r.deployment_id, r.requests, r.answered_requests, r.requests_without_tokens, r.tokens
FROM llm.rollup_hours AS r
WHERE r.month IS NULL OR r.local_hour::date NOT IN (SELECT t.day FROM llm.touched_days('logs') AS t)
UNION ALL
SELECT
    o.local_hour,
    o.hour,
    o.deployment_id,
    count(*) AS requests,
    count(*) FILTER (WHERE o.answered) AS answered_requests,
    count(*) - count(o.token_used) AS requests_without_tokens,
    coalesce(llm.bigint_sum(o.token_used), 0) AS tokens
FROM llm.open_logs() AS o
GROUP BY o.local_hour, o.hour, o.deployment_id;
COMMENT ON VIEW llm.hour_rows IS '시간대별 사용량: of all time, exact, to be summed up; columns as in llm.rollup_hours';
