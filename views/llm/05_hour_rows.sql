-- Every day looks up its own hours, so that asking for thirty days costs thirty days, however many years there are.
CREATE OR REPLACE VIEW llm.hour_rows AS
WITH open AS MATERIALIZED (
    SELECT
        o.hour,
        o.deployment_id,
        count(*) AS requests,
        count(*) FILTER (WHERE o.answered) AS answered_requests,
        count(*) - count(o.token_used) AS requests_without_tokens,
        coalesce(sum(o.token_used), 0)::bigint AS tokens
    FROM llm.open_logs() AS o
    GROUP BY o.hour, o.deployment_id
), times AS MATERIALIZED (
    SELECT
        z.time_zone,
        least((SELECT min(r.hour) FROM llm.rollup_hours AS r), min(o.hour)) AT TIME ZONE z.time_zone AS first_time,
        greatest((SELECT max(r.hour) FROM llm.rollup_hours AS r), max(o.hour)) AT TIME ZONE z.time_zone AS last_time
    FROM llm.rollup_state AS z
    LEFT JOIN open AS o ON true
    GROUP BY z.time_zone
)

SELECT
    b.day,
    h.hour,
    h.deployment_id,
    sum(h.requests)::bigint AS requests,
    sum(h.answered_requests)::bigint AS answered_requests,
    sum(h.requests_without_tokens)::bigint AS requests_without_tokens,
    sum(h.tokens)::bigint AS tokens
FROM times AS z
CROSS JOIN LATERAL generate_series(date_trunc('day', z.first_time), z.last_time, interval '1 day') AS d (midnight)
CROSS JOIN LATERAL (
    SELECT
        d.midnight::date AS day,
        llm.day_start(d.midnight, z.time_zone) AS low,
        llm.day_start(d.midnight + interval '1 day', z.time_zone) AS high
) AS b
CROSS JOIN LATERAL (
    SELECT r.hour, r.deployment_id, r.requests, r.answered_requests, r.requests_without_tokens, r.tokens
    FROM llm.rollup_hours AS r
    WHERE r.hour >= b.low AND r.hour < b.high
        AND (r.month IS NULL OR b.day NOT IN (SELECT t.day FROM llm.touched_days('logs') AS t))
    UNION ALL
    SELECT o.hour, o.deployment_id, o.requests, o.answered_requests, o.requests_without_tokens, o.tokens
    FROM open AS o
    WHERE o.hour >= b.low AND o.hour < b.high
) AS h
GROUP BY b.day, h.hour, h.deployment_id;
COMMENT ON VIEW llm.hour_rows IS '시간대별 사용량: of all time, exact, one row per deployment and hour; columns as in '
    'llm.rollup_hours, and the day';
