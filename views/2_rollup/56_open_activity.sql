-- What of rollup.activity may not be right, worked out anew: whoever was active on a noted day has another gap on the
-- next active day, which may be long after it.
CREATE OR REPLACE FUNCTION rollup.activity_border(noted_days date [])
RETURNS date
LANGUAGE sql
STABLE PARALLEL SAFE
SECURITY DEFINER
RETURN least((SELECT s.activity_before FROM rollup.state AS s), (SELECT min(n.day) FROM unnest(noted_days) AS n (day)));
COMMENT ON FUNCTION rollup.activity_border(date []) IS 'From which day on rollup.activity may not be right, given the '
    'days of rollup.noted()';
REVOKE ALL ON FUNCTION rollup.activity_border(date []) FROM public;
GRANT EXECUTE ON FUNCTION rollup.activity_border(date []) TO llm_analyst;

CREATE OR REPLACE FUNCTION rollup.open_activity(noted_days date [], noted tstzmultirange)
RETURNS TABLE (day date, gap_days integer, users bigint)
LANGUAGE sql
STABLE
SECURITY DEFINER
BEGIN ATOMIC
    WITH border AS MATERIALIZED (
        SELECT rollup.activity_border(noted_days) AS from_day
    ), active AS MATERIALIZED (
        SELECT r.day, r.key
        FROM rollup.usage AS r
        WHERE r.dimension = 'user' AND r.day >= (SELECT b.from_day FROM border AS b)
            AND (r.month IS NULL OR r.day <> all(noted_days))
        UNION
        SELECT o.day, o.user_id
        FROM rollup.open_logs(noted) AS o
        WHERE o.day >= (SELECT b.from_day FROM border AS b)
    )

    SELECT g.day, g.gap_days, count(*) AS users
    FROM (
        SELECT
            a.day,
            a.day - coalesce(
                lag(a.day) OVER (PARTITION BY a.key ORDER BY a.day),
                (
                    SELECT max(r.day)
                    FROM rollup.usage AS r
                    WHERE r.dimension = 'user' AND r.key = a.key AND r.day < (SELECT b.from_day FROM border AS b)
                )
            ) AS gap_days
        FROM active AS a
    ) AS g
    GROUP BY g.day, g.gap_days;
END;
COMMENT ON FUNCTION rollup.open_activity(date [], tstzmultirange) IS 'The activity that reports work out themselves, '
    'columns as in rollup.activity: of all days from rollup.activity_border() on';
REVOKE ALL ON FUNCTION rollup.open_activity(date [], tstzmultirange) FROM public;
GRANT EXECUTE ON FUNCTION rollup.open_activity(date [], tstzmultirange) TO llm_analyst;
