-- A clock that is wrong must not make tables by the hundred.
INSERT INTO pg_temp.load_bad (line, column_name, value, rule)
SELECT
    m.line, CASE WHEN m.session_id IS NULL THEN 'request_time' ELSE 'session_id' END,
    coalesce(m.session_id::text, m.request_time::text),
    'lies in a month that load does not make by itself; --any-month loads it'
FROM pg_temp.load_months AS m
INNER JOIN (
    SELECT DISTINCT month FROM pg_temp.load_months
) AS d ON m.month = d.month
WHERE NOT llm.is_usual_month(d.month, current_date)
    AND to_regclass('llm.sessions_' || to_char(d.month, 'YYYY_MM')) IS NULL
    AND NOT EXISTS (SELECT FROM pg_temp.load_stored_sessions AS s WHERE s.session_id = m.session_id);
