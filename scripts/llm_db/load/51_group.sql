-- A session of rows that name none (a sitting): one user, project and session_type, no pause of 30 minutes between
-- requests. Where the database has a part of it, the rest joins that part. A new one's id follows from its owner and
-- first request: a UUIDv7 of that time, with a hash where others have random bits.
WITH stepped AS (
    SELECT
        line, request_time, present_in, user_id, project_id, session_type,
        request_time - lag(request_time) OVER owner < interval '30 minutes' AS continues
    FROM pg_temp.load_good
    WHERE is_grouped
    WINDOW owner AS (PARTITION BY user_id, project_id, session_type ORDER BY request_time, line)
), counted AS (
    SELECT
        *,
        count(*) FILTER (WHERE continues IS NOT TRUE) OVER (
            ORDER BY user_id, project_id, session_type, request_time, line ROWS UNBOUNDED PRECEDING
        ) AS sitting
    FROM stepped
), sittings AS (
    SELECT
        sitting,
        (array_agg(present_in ORDER BY request_time DESC, line DESC) FILTER (WHERE present_in IS NOT NULL))[1]
            AS present_in,
        left(replace(llm.uuidv7_floor(min(request_time))::text, '-', ''), 12) AS head,
        md5(concat_ws('|', user_id, coalesce(project_id, 0), session_type, min(request_time) AT TIME ZONE 'UTC'))
            AS hash
    FROM counted
    GROUP BY user_id, project_id, session_type, sitting
)
UPDATE pg_temp.load_good AS g
SET session_id = coalesce(
    c.present_in, s.present_in,
    (
        s.head || '7' || substr(s.hash, 2, 3)
        || translate(substr(s.hash, 5, 1), '0123456789abcdef', '89ab89ab89ab89ab') || substr(s.hash, 6, 15)
    )::uuid
)
FROM counted AS c
INNER JOIN sittings AS s ON c.sitting = s.sitting
WHERE g.line = c.line;
