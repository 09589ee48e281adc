-- A user counts once in a window of days, on the first active one in it: see llm.rollup_activity. Every day looks up
-- its own window, so that asking for thirty days costs thirty windows; what is not rolled up is worked out once.
CREATE OR REPLACE VIEW reporting.active_users AS
WITH stale AS MATERIALIZED (
    SELECT b.from_day FROM llm.activity_border AS b
), live AS MATERIALIZED (
    SELECT a.day, a.gap_days, a.users
    FROM llm.activity_rows AS a
    WHERE a.day >= (SELECT s.from_day FROM stale AS s)
), days AS MATERIALIZED (
    SELECT
        least(min(l.day), (
            SELECT min(a.day) FROM llm.rollup_activity AS a WHERE a.day < (SELECT s.from_day FROM stale AS s)
        )) AS first_day,
        greatest(max(l.day), (
            SELECT max(a.day) FROM llm.rollup_activity AS a WHERE a.day < (SELECT s.from_day FROM stale AS s)
        )) AS last_day
    FROM live AS l
), newcomers AS MATERIALIZED (
    SELECT a.day, a.users
    FROM llm.rollup_activity AS a
    WHERE a.gap_days IS NULL AND a.day < (SELECT s.from_day FROM stale AS s)
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
    (SELECT sum(n.users) FROM newcomers AS n WHERE n.day <= d.day)::bigint - w.monthly_active_users AS inactive_users
FROM days
CROSS JOIN LATERAL generate_series(days.first_day::timestamp, days.last_day::timestamp, interval '1 day') AS g (day)
CROSS JOIN LATERAL (SELECT g.day::date AS day) AS d
CROSS JOIN LATERAL (
    SELECT
        coalesce(sum(a.users) FILTER (WHERE a.day = d.day), 0)::bigint AS daily_active_users,
        coalesce(sum(a.users) FILTER (
            WHERE a.day >= d.day - 6 AND (a.gap_days > a.day - (d.day - 6) OR a.gap_days IS NULL)
        ), 0)::bigint AS weekly_active_users,
        coalesce(sum(a.users) FILTER (
            WHERE a.gap_days > a.day - (d.day - 29) OR a.gap_days IS NULL
        ), 0)::bigint AS monthly_active_users,
        coalesce(sum(a.users) FILTER (WHERE a.day = d.day AND a.gap_days IS NULL), 0)::bigint AS new_users,
        coalesce(sum(a.users) FILTER (WHERE a.day = d.day AND a.gap_days >= 30), 0)::bigint AS returning_users
    FROM (
        SELECT r.day, r.gap_days, r.users
        FROM llm.rollup_activity AS r
        WHERE r.day >= d.day - 29 AND r.day <= d.day AND r.day < (SELECT s.from_day FROM stale AS s)
        UNION ALL
        SELECT l.day, l.gap_days, l.users
        FROM live AS l
        WHERE l.day >= d.day - 29 AND l.day <= d.day
    ) AS a
) AS w;
COMMENT ON VIEW reporting.active_users IS '활성 사용자: who makes requests and who no longer does, one row per day '
    '(reporting time zone) from the first with requests to the last. A window of days ends with the day, which counts';
COMMENT ON COLUMN reporting.active_users.request_day IS '일자: the day in the reporting time zone';
COMMENT ON COLUMN reporting.active_users.daily_active_users IS '일간 활성 사용자(DAU): users with requests on the day';
COMMENT ON COLUMN reporting.active_users.weekly_active_users IS '주간 활성 사용자(WAU): users with requests within 7 days';
COMMENT ON COLUMN reporting.active_users.monthly_active_users IS '월간 활성 사용자(MAU): users with requests within 30 days';
COMMENT ON COLUMN reporting.active_users.stickiness IS '고착도(DAU/MAU): daily_active_users by monthly_active_users, 0 to '
    '1; NULL = none within 30 days';
COMMENT ON COLUMN reporting.active_users.new_users IS '신규 사용자: users whose first requests ever were on the day';
COMMENT ON COLUMN reporting.active_users.returning_users IS '복귀 사용자: users with requests on the day, none in the 29 '
    'days before, but some earlier';
COMMENT ON COLUMN reporting.active_users.inactive_users IS '비활성 사용자: users who once made requests, but none within 30 '
    'days';

GRANT SELECT ON reporting.active_users TO llm_analyst;
