-- llm.rollup_activity, and the same worked out for the days from which on it may not be right.
CREATE OR REPLACE VIEW llm.activity_rows AS
WITH stale AS MATERIALIZED (
    SELECT b.from_day FROM llm.activity_border AS b
), active AS MATERIALIZED (
    SELECT DISTINCT u.day, u.key
    FROM llm.usage_rows AS u
    WHERE u.dimension = 'user' AND u.day >= (SELECT s.from_day FROM stale AS s)
)

SELECT a.day, a.gap_days, a.users
FROM llm.rollup_activity AS a
WHERE a.day < (SELECT s.from_day FROM stale AS s)
UNION ALL
SELECT g.day, g.gap_days, count(*) AS users
FROM (
    SELECT
        a.day,
        a.day - coalesce(
            lag(a.day) OVER (PARTITION BY a.key ORDER BY a.day),
            (
                SELECT max(r.day)
                FROM llm.rollup_usage AS r
                WHERE r.dimension = 'user' AND r.key = a.key AND r.day < (SELECT s.from_day FROM stale AS s)
            )
        ) AS gap_days
    FROM active AS a
) AS g
GROUP BY g.day, g.gap_days;
COMMENT ON VIEW llm.activity_rows IS '활동: of all time, exact; columns as in llm.rollup_activity';
