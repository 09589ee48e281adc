-- Each month that is not there, and whether it is to be filled beside the others. For few rows that would take longer
-- than to insert them. Where rows of the month lie in DEFAULT, or somebody is filling months already, they are inserted
-- too.
SELECT
    d.month,
    d.rows > %(few_rows)s
    AND to_regclass('llm.sessions_beside') IS NULL
    AND has_function_privilege('llm.begin_months(date[])', 'EXECUTE')
    AND has_function_privilege('llm.attach_months()', 'EXECUTE')
    AND NOT EXISTS (SELECT FROM llm.sessions AS s WHERE s.session_id >= d.low AND s.session_id < d.high)
    AND NOT EXISTS (SELECT FROM llm.session_logs AS l WHERE l.session_id >= d.low AND l.session_id < d.high)
FROM (
    SELECT
        month,
        count(*) AS rows,
        llm.uuidv7_floor(month::timestamp AT TIME ZONE 'UTC') AS low,
        llm.uuidv7_floor((month + interval '1 month') AT TIME ZONE 'UTC') AS high
    FROM pg_temp.load_months
    GROUP BY month
) AS d
WHERE to_regclass('llm.sessions_' || to_char(d.month, 'YYYY_MM')) IS NULL
ORDER BY d.month
