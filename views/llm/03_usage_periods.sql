-- Usage by day, week and month, each beside the one before it. Every period looks up its own days, so that asking for
-- thirty days costs thirty days, however many years there are.
CREATE OR REPLACE VIEW llm.usage_periods AS
WITH open AS MATERIALIZED (
    SELECT o.dimension, o.key, o.day, o.requests, o.answered_requests, o.requests_without_tokens, o.tokens
    FROM llm.open_usage AS o
), touched AS MATERIALIZED (
    SELECT t.day FROM llm.touched_days('logs') AS t
), usage AS NOT MATERIALIZED (
    -- As llm.usage_rows, but open time is added up once for all periods. Of <> all() the planner expects most rows, of
    -- NOT IN half of them, and then sorts where hashing is faster.
    SELECT r.dimension, r.key, r.day, r.requests, r.answered_requests, r.requests_without_tokens, r.tokens
    FROM llm.rollup_usage AS r
    WHERE r.month IS NULL OR r.day <> all(array(SELECT t.day FROM touched AS t))
    UNION ALL
    SELECT o.dimension, o.key, o.day, o.requests, o.answered_requests, o.requests_without_tokens, o.tokens
    FROM open AS o
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
    u.requests / w.requests AS request_share,
    u.tokens / nullif(w.tokens, 0) AS token_share,
    coalesce(b.requests, 0) AS requests_before,
    coalesce(b.tokens, 0) AS tokens_before,
    u.requests / b.requests::double precision - 1 AS requests_change,
    u.tokens / nullif(b.tokens, 0)::double precision - 1 AS tokens_change
FROM (VALUES ('day', interval '1 day'), ('week', '1 week'), ('month', '1 month')) AS g (grain, length)
CROSS JOIN unnest(enum_range(NULL::llm.rollup_dimension)) AS d (dimension)
CROSS JOIN days
CROSS JOIN LATERAL generate_series(
    date_trunc(g.grain, days.first_day::timestamp), days.last_day::timestamp, g.length
) AS p (first_day)
-- The whole platform and the period before are LEFT JOINs on what is unique: a query that asks for neither share nor
-- change does not read them.
LEFT JOIN LATERAL (
    SELECT
        llm.bigint_sum(r.requests)::double precision AS requests, llm.bigint_sum(r.tokens)::double precision AS tokens
    FROM usage AS r
    WHERE r.dimension = 'all' AND r.day >= p.first_day::date AND r.day < (p.first_day + g.length)::date
) AS w ON true
CROSS JOIN LATERAL (
    SELECT
        r.key,
        llm.bigint_sum(r.requests) AS requests,
        llm.bigint_sum(r.answered_requests) AS answered_requests,
        llm.bigint_sum(r.requests_without_tokens) AS requests_without_tokens,
        llm.bigint_sum(r.tokens) AS tokens
    FROM usage AS r
    WHERE r.dimension = d.dimension AND r.day >= p.first_day::date AND r.day < (p.first_day + g.length)::date
    GROUP BY r.key
) AS u
-- The lowest bigint, which no identity column gives, stands for no key: NULLs would find nothing.
LEFT JOIN LATERAL (
    SELECT
        coalesce(r.key, '-9223372036854775808') AS key_or_none,
        llm.bigint_sum(r.requests) AS requests,
        llm.bigint_sum(r.tokens) AS tokens
    FROM usage AS r
    WHERE r.dimension = d.dimension AND r.day >= (p.first_day - g.length)::date AND r.day < p.first_day::date
    GROUP BY coalesce(r.key, '-9223372036854775808')
) AS b ON coalesce(u.key, '-9223372036854775808') = b.key_or_none;
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
