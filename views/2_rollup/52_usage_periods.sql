-- Usage by day, week and month, each beside the one before it. Every period looks up its own days, so that asking for
-- thirty days costs thirty days, however many years there are.
CREATE OR REPLACE VIEW rollup.usage_periods AS
WITH noted AS MATERIALIZED (
    SELECT n.days, n.spans FROM rollup.noted('logs') AS n
), open AS MATERIALIZED (
    SELECT o.dimension, o.key, o.day, o.requests, o.answered_requests, o.requests_without_tokens, o.tokens
    FROM noted AS n
    CROSS JOIN LATERAL rollup.open_usage(n.spans) AS o
    WHERE (SELECT rollup.sees_all(current_user))
        OR o.dimension = 'department' AND o.key = (SELECT rollup.department_of(current_user))
), usage AS NOT MATERIALIZED (
    -- As rollup.usage_rows, but open time is added up once for all periods. Of <> all() the planner expects most rows,
    -- of NOT IN half of them, and then sorts where hashing is faster.
    SELECT r.dimension, r.key, r.day, r.requests, r.answered_requests, r.requests_without_tokens, r.tokens
    FROM rollup.usage AS r
    WHERE (r.month IS NULL OR r.day <> all((SELECT n.days FROM noted AS n)::date []))
        AND (
            (SELECT rollup.sees_all(current_user))
            OR r.dimension = 'department' AND r.key = (SELECT rollup.department_of(current_user))
        )
    UNION ALL
    SELECT o.dimension, o.key, o.day, o.requests, o.answered_requests, o.requests_without_tokens, o.tokens
    FROM open AS o
), today AS MATERIALIZED (
    SELECT (now() AT TIME ZONE s.time_zone)::date AS day FROM rollup.state AS s
), days AS MATERIALIZED (
    -- Every log is some department's, and of open time its reader may see that one only.
    SELECT
        least((SELECT min(r.day) FROM rollup.usage AS r WHERE r.dimension = 'all'), min(o.day)) AS first_day,
        (SELECT t.day FROM today AS t) AS last_day
    FROM open AS o
    WHERE o.dimension = 'department'
), later AS MATERIALIZED (
    -- Of the future the days there are, not those of the calendar: a log of a clock that is wrong is one day.
    SELECT r.day FROM rollup.usage AS r WHERE r.dimension = 'all' AND r.day > (SELECT t.day FROM today AS t)
    UNION
    SELECT o.day FROM open AS o WHERE o.dimension = 'department' AND o.day > (SELECT t.day FROM today AS t)
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
    u.requests_before,
    u.tokens_before,
    u.requests_change,
    u.tokens_change
FROM (VALUES ('day', interval '1 day'), ('week', '1 week'), ('month', '1 month')) AS g (grain, length)
CROSS JOIN unnest(enum_range(NULL::rollup.dimension)) AS d (dimension)
CROSS JOIN days
CROSS JOIN LATERAL (
    SELECT s.first_day
    FROM generate_series(
        date_trunc(g.grain, days.first_day::timestamp), days.last_day::timestamp, g.length
    ) AS s (first_day)
    UNION
    SELECT date_trunc(g.grain, x.day::timestamp) FROM later AS x
) AS p
-- The whole platform and the period before are LEFT JOINs on what is unique: a query that asks for neither share nor
-- change does not read them.
LEFT JOIN LATERAL (
    SELECT
        rollup.bigint_sum(r.requests)::double precision AS requests,
        rollup.bigint_sum(r.tokens)::double precision AS tokens
    FROM usage AS r
    WHERE r.dimension = 'all' AND r.day >= p.first_day::date AND r.day < (p.first_day + g.length)::date
) AS w ON true
-- A join of its own, as in rollup.cost_periods.
CROSS JOIN LATERAL (
    SELECT
        n.*,
        coalesce(b.requests, 0) AS requests_before,
        coalesce(b.tokens, 0) AS tokens_before,
        n.requests / b.requests::double precision - 1 AS requests_change,
        n.tokens / nullif(b.tokens, 0)::double precision - 1 AS tokens_change
    FROM (
        SELECT
            r.key,
            rollup.bigint_sum(r.requests) AS requests,
            rollup.bigint_sum(r.answered_requests) AS answered_requests,
            rollup.bigint_sum(r.requests_without_tokens) AS requests_without_tokens,
            rollup.bigint_sum(r.tokens) AS tokens
        FROM usage AS r
        WHERE r.dimension = d.dimension AND r.day >= p.first_day::date AND r.day < (p.first_day + g.length)::date
        GROUP BY r.key
    ) AS n
    -- The lowest bigint, which no identity column gives, stands for no key: NULLs would find nothing.
    LEFT JOIN (
        SELECT
            coalesce(r.key, '-9223372036854775808') AS key_or_none,
            rollup.bigint_sum(r.requests) AS requests,
            rollup.bigint_sum(r.tokens) AS tokens
        FROM usage AS r
        WHERE r.dimension = d.dimension AND r.day >= (p.first_day - g.length)::date AND r.day < p.first_day::date
        GROUP BY coalesce(r.key, '-9223372036854775808')
    ) AS b ON coalesce(n.key, '-9223372036854775808') = b.key_or_none
) AS u;
COMMENT ON VIEW rollup.usage_periods IS '기간별 사용량: by dimension (rollup.dimension) and grain (day, week from Monday, '
    'month), with the share of the whole platform and the change against the period before; ask for one of each';
CALL ops.describe('rollup.usage_periods', 'rollup.usage_rows');
COMMENT ON COLUMN rollup.usage_periods.grain IS '기간 단위: day, week or month';
COMMENT ON COLUMN rollup.usage_periods.first_day IS '기간 시작일: in the reporting time zone';
COMMENT ON COLUMN rollup.usage_periods.request_share IS '요청 비율: 그 기간 플랫폼 전체의 요청에서 차지하는 비율, 0~1; NULL = 볼 권한 없음(한 부서만 '
    '보는 사용자) | '
    'Share of requests: share of the period''s requests on the whole platform, 0 to 1; NULL = not for you, who see one '
    'department';
COMMENT ON COLUMN rollup.usage_periods.token_share IS '토큰 비율: 그 기간 플랫폼 전체의 기록된 토큰 수에서 차지하는 비율, 0~1; NULL = 기록된 토큰 수가 '
    '없거나 볼 권한 없음(한 부서만 보는 사용자) | '
    'Share of tokens: share of the period''s known tokens on the whole platform, 0 to 1; NULL = none is known, or not '
    'for you, who see one department';
COMMENT ON COLUMN rollup.usage_periods.requests_before IS '이전 기간 요청 수: 이전 기간의 요청; 0 = 없음 | '
    'Requests before: requests of the period before; 0 = none';
COMMENT ON COLUMN rollup.usage_periods.tokens_before IS '이전 기간 토큰 수: 이전 기간의 토큰 수; 0 = 없음 | '
    'Tokens before: tokens of the period before, in tokens; 0 = none';
COMMENT ON COLUMN rollup.usage_periods.requests_change IS '요청 증감률: 이전 기간 대비 요청의 증감, 0.25 = 25 % 증가; NULL = 이전 기간에 없음 | '
    'Change in requests: of requests against the period before, 0.25 = 25 % more; NULL = none before';
COMMENT ON COLUMN rollup.usage_periods.tokens_change IS '토큰 증감률: 이전 기간 대비 토큰 수의 증감, 0.25 = 25 % 증가; NULL = 이전 기간에 없음 | '
    'Change in tokens: of tokens against the period before, 0.25 = 25 % more; NULL = none before';
