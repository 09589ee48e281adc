-- Usage by day, week and month, each beside the one before it. Every period looks up its own days, so that asking for
-- thirty days costs thirty days, however many years there are.
CREATE OR REPLACE VIEW llm.usage_periods AS
WITH open AS MATERIALIZED (
    SELECT
        o.dimension, o.key, o.day, o.requests, o.answered_requests, o.requests_without_tokens, o.tokens
    FROM llm.open_usage AS o
), days AS MATERIALIZED (
    SELECT
        least((SELECT min(r.day) FROM llm.rollup_usage AS r WHERE r.dimension = 'all'), min(o.day)) AS first_day,
        greatest((SELECT max(r.day) FROM llm.rollup_usage AS r WHERE r.dimension = 'all'), max(o.day)) AS last_day
    FROM open AS o
    WHERE o.dimension = 'all'
)

SELECT
    g.grain,
    d.dimension,
    p.first_day::date AS first_day,
    u.key,
    u.requests,
    u.answered_requests,
    u.requests_without_tokens,
    u.tokens,
    u.requests / u.total_requests AS request_share,
    u.tokens / nullif(u.total_tokens, 0) AS token_share,
    u.requests_before,
    u.tokens_before,
    u.requests / nullif(u.requests_before, 0)::double precision - 1 AS requests_change,
    u.tokens / nullif(u.tokens_before, 0)::double precision - 1 AS tokens_change
FROM (VALUES ('day', interval '1 day'), ('week', '1 week'), ('month', '1 month')) AS g (grain, length)
CROSS JOIN unnest(enum_range(NULL::llm.rollup_dimension)) AS d (dimension)
CROSS JOIN days
CROSS JOIN LATERAL generate_series(
    date_trunc(g.grain, days.first_day::timestamp), days.last_day::timestamp, g.length
) AS p (first_day)
CROSS JOIN LATERAL (
    SELECT
        s.key, s.requests, s.answered_requests, s.requests_without_tokens, s.tokens, s.requests_before, s.tokens_before,
        llm.bigint_sum(s.requests) OVER ()::double precision AS total_requests,
        llm.bigint_sum(s.tokens) OVER ()::double precision AS total_tokens
    FROM (
        SELECT
            r.key,
            coalesce(llm.bigint_sum(r.requests) FILTER (WHERE r.day >= p.first_day), 0) AS requests,
            coalesce(llm.bigint_sum(r.answered_requests) FILTER (WHERE r.day >= p.first_day), 0) AS answered_requests,
            coalesce(llm.bigint_sum(r.requests_without_tokens) FILTER (WHERE r.day >= p.first_day), 0)
            AS requests_without_tokens,
            coalesce(llm.bigint_sum(r.tokens) FILTER (WHERE r.day >= p.first_day), 0) AS tokens,
            coalesce(llm.bigint_sum(r.requests) FILTER (WHERE r.day < p.first_day), 0) AS requests_before,
            coalesce(llm.bigint_sum(r.tokens) FILTER (WHERE r.day < p.first_day), 0) AS tokens_before
        FROM (
            SELECT r.key, r.day, r.requests, r.answered_requests, r.requests_without_tokens, r.tokens
            FROM llm.rollup_usage AS r
            WHERE r.dimension = d.dimension AND r.day >= (p.first_day - g.length)::date
                AND r.day < (p.first_day + g.length)::date
                AND (r.month IS NULL OR r.day NOT IN (SELECT t.day FROM llm.touched_days('logs') AS t))
            UNION ALL
            SELECT o.key, o.day, o.requests, o.answered_requests, o.requests_without_tokens, o.tokens
            FROM open AS o
            WHERE o.dimension = d.dimension AND o.day >= (p.first_day - g.length)::date
                AND o.day < (p.first_day + g.length)::date
        ) AS r
        GROUP BY r.key
    ) AS s
    WHERE s.requests > 0
) AS u;
COMMENT ON VIEW llm.usage_periods IS '기간별 사용량: by dimension (llm.rollup_dimension) and grain (day, week from Monday, '
    'month), with the share of the whole platform and the change against the period before; ask for one of each';
COMMENT ON COLUMN llm.usage_periods.grain IS '기간 단위: day, week or month';
COMMENT ON COLUMN llm.usage_periods.dimension IS 'What key means';
COMMENT ON COLUMN llm.usage_periods.first_day IS '기간 시작일: in the reporting time zone';
COMMENT ON COLUMN llm.usage_periods.key IS 'The dimension''s own key; NULL = requests without one';
COMMENT ON COLUMN llm.usage_periods.requests IS '요청 수';
COMMENT ON COLUMN llm.usage_periods.answered_requests IS '응답된 요청 수';
COMMENT ON COLUMN llm.usage_periods.requests_without_tokens IS '토큰 수 미상 요청 수';
COMMENT ON COLUMN llm.usage_periods.tokens IS '사용 토큰 수';
COMMENT ON COLUMN llm.usage_periods.request_share IS '요청 비중: of all requests of the period, 0 to 1';
COMMENT ON COLUMN llm.usage_periods.token_share IS '토큰 비중: of all tokens of the period, 0 to 1; NULL = there are none';
COMMENT ON COLUMN llm.usage_periods.requests_before IS '이전 기간 요청 수';
COMMENT ON COLUMN llm.usage_periods.tokens_before IS '이전 기간 토큰 수';
COMMENT ON COLUMN llm.usage_periods.requests_change IS '요청 증감률: 0.25 = a quarter more; NULL = there were none';
COMMENT ON COLUMN llm.usage_periods.tokens_change IS '토큰 증감률: 0.25 = a quarter more; NULL = there were none';
