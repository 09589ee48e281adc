-- Closed days from the rollups, the rest from the logs; a day may be in both. What is no longer stored is only in the
-- rollups, touched or not.
CREATE OR REPLACE VIEW llm.usage_rows AS
SELECT
    r.dimension, r.key, r.day, r.requests, r.answered_requests, r.requests_without_tokens, r.at_max_tokens_requests,
    r.tokens, r.latency_us, r.max_latency_us, r.first_request_time, r.last_request_time, r.latencies
FROM llm.rollup_usage AS r
WHERE r.month IS NULL OR r.day NOT IN (SELECT t.day FROM llm.touched_days('logs') AS t)
UNION ALL
SELECT
    o.dimension, o.key, o.day, o.requests, o.answered_requests, o.requests_without_tokens, o.at_max_tokens_requests,
    o.tokens, o.latency_us, o.max_latency_us, o.first_request_time, o.last_request_time, o.latencies
FROM llm.open_usage AS o;
COMMENT ON VIEW llm.usage_rows IS '사용량: of all time, exact, to be summed up; columns as in llm.rollup_usage';
