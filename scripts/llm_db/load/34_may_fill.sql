-- Which of these months may be filled beside the others. Where rows of a month lie in DEFAULT, or somebody is filling
-- months already, they are inserted too.
SELECT d.month
FROM (
    SELECT
        month,
        llm.uuidv7_floor(month::timestamp AT TIME ZONE 'UTC') AS low,
        llm.uuidv7_floor((month + interval '1 month') AT TIME ZONE 'UTC') AS high
    FROM unnest(%(months)s::date []) AS m (month)
) AS d
WHERE to_regclass('llm.sessions_beside') IS NULL
    AND has_function_privilege('llm.begin_months(date[])', 'EXECUTE')
    AND has_function_privilege('llm.attach_months()', 'EXECUTE')
    AND NOT EXISTS (SELECT FROM llm.sessions AS s WHERE s.session_id >= d.low AND s.session_id < d.high)
    AND NOT EXISTS (SELECT FROM llm.session_logs AS l WHERE l.session_id >= d.low AND l.session_id < d.high)
