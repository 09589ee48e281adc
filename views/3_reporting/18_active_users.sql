-- A user counts once in a window of days, on the first active one in it: see rollup.activity. Every day looks up
-- its own window, so that asking for thirty days costs thirty windows; what is not rolled up is worked out once.
CREATE OR REPLACE VIEW reporting.active_users AS
WITH noted AS MATERIALIZED (
    SELECT n.days, n.spans, rollup.activity_border(n.days) AS from_day FROM rollup.noted('logs') AS n
), closed AS NOT MATERIALIZED (
    SELECT a.day, a.gap_days, a.users FROM rollup.activity AS a WHERE a.day < (SELECT n.from_day FROM noted AS n)
), live AS MATERIALIZED (
    SELECT o.day, o.gap_days, o.users FROM noted AS n CROSS JOIN LATERAL rollup.open_activity(n.days, n.spans) AS o
), today AS MATERIALIZED (
    SELECT (now() AT TIME ZONE s.time_zone)::date AS day FROM rollup.state AS s
), days AS MATERIALIZED (
    -- Of the future the days there are, not those of the calendar: a log of a clock that is wrong is one day.
    SELECT g.day::date AS day
    FROM (
        SELECT
            least(min(l.day), (SELECT min(c.day) FROM closed AS c)) AS first_day,
            greatest(
                max(l.day) FILTER (WHERE l.day <= (SELECT t.day FROM today AS t)),
                (SELECT max(c.day) FROM closed AS c WHERE c.day <= (SELECT t.day FROM today AS t))
            ) AS last_day
        FROM live AS l
    ) AS a
    CROSS JOIN LATERAL generate_series(a.first_day::timestamp, a.last_day::timestamp, interval '1 day') AS g (day)
    UNION
    SELECT c.day FROM closed AS c WHERE c.day > (SELECT t.day FROM today AS t)
    UNION
    SELECT l.day FROM live AS l WHERE l.day > (SELECT t.day FROM today AS t)
), newcomers AS MATERIALIZED (
    SELECT c.day, c.users FROM closed AS c WHERE c.gap_days IS NULL
    UNION ALL
    SELECT l.day, l.users FROM live AS l WHERE l.gap_days IS NULL
)

SELECT
    d.day AS request_day,
    w.daily_active_users,
    w.weekly_active_users,
    w.monthly_active_users,
    w.daily_active_users / nullif(w.monthly_active_users, 0)::double precision AS stickiness,
    w.new_users,
    w.returning_users,
    (SELECT rollup.bigint_sum(n.users) FROM newcomers AS n WHERE n.day <= d.day) - w.monthly_active_users
    AS inactive_users
FROM days AS d
CROSS JOIN LATERAL (
    SELECT
        coalesce(rollup.bigint_sum(a.users) FILTER (WHERE a.day = d.day), 0) AS daily_active_users,
        coalesce(rollup.bigint_sum(a.users) FILTER (
            WHERE a.day >= d.day - 6 AND (a.gap_days > a.day - (d.day - 6) OR a.gap_days IS NULL)
        ), 0) AS weekly_active_users,
        coalesce(rollup.bigint_sum(a.users) FILTER (
            WHERE a.gap_days > a.day - (d.day - 29) OR a.gap_days IS NULL
        ), 0) AS monthly_active_users,
        coalesce(rollup.bigint_sum(a.users) FILTER (WHERE a.day = d.day AND a.gap_days IS NULL), 0) AS new_users,
        coalesce(rollup.bigint_sum(a.users) FILTER (WHERE a.day = d.day AND a.gap_days >= 30), 0) AS returning_users
    FROM (
        SELECT c.day, c.gap_days, c.users FROM closed AS c WHERE c.day >= d.day - 29 AND c.day <= d.day
        UNION ALL
        SELECT l.day, l.gap_days, l.users FROM live AS l WHERE l.day >= d.day - 29 AND l.day <= d.day
    ) AS a
) AS w;
COMMENT ON VIEW reporting.active_users IS '활성 사용자: 요청하는 사용자와 더는 요청하지 않는 사용자, 첫 요청일부터 마지막 요청일까지 일자(보고 시간대)마다 한 행. 기간은 '
    '그날에 끝나며 그날을 포함한다 | '
    'Active users: who makes requests and who no longer does, one row per day (reporting time zone) from the first '
    'with requests to the last. A window of days ends with the day, which counts';
COMMENT ON COLUMN reporting.active_users.request_day IS '일자: 보고 시간대의 일자 | Day: the day in the reporting time zone';
COMMENT ON COLUMN reporting.active_users.daily_active_users IS '일간 활성 사용자(DAU): 그날 요청한 사용자 | '
    'Daily active users (DAU): users with requests on the day';
COMMENT ON COLUMN reporting.active_users.weekly_active_users IS '주간 활성 사용자(WAU): 7일 안에 요청한 사용자 | '
    'Weekly active users (WAU): users with requests within 7 days';
COMMENT ON COLUMN reporting.active_users.monthly_active_users IS '월간 활성 사용자(MAU): 30일 안에 요청한 사용자 | '
    'Monthly active users (MAU): users with requests within 30 days';
COMMENT ON COLUMN reporting.active_users.stickiness IS '고착도(DAU/MAU): daily_active_users를 monthly_active_users로 나눈 값, '
    '0~1; NULL = 30일 동안 없음 | '
    'Stickiness (DAU/MAU): daily_active_users by monthly_active_users, 0 to 1; NULL = none within 30 days';
COMMENT ON COLUMN reporting.active_users.new_users IS '신규 사용자: 전체 기간의 첫 요청이 그날인 사용자 | '
    'New users: users whose first requests ever were on the day';
COMMENT ON COLUMN reporting.active_users.returning_users IS '복귀 사용자: 그날 요청했고 그 전 29일에는 없었으나 더 전에는 요청한 사용자 | '
    'Returning users: users with requests on the day, none in the 29 days before, but some earlier';
COMMENT ON COLUMN reporting.active_users.inactive_users IS '비활성 사용자: 요청한 적이 있으나 30일 동안은 없는 사용자 | '
    'Inactive users: users who once made requests, but none within 30 days';

GRANT SELECT ON reporting.active_users TO llm_analyst;
