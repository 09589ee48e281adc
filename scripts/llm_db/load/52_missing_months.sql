SELECT DISTINCT date_trunc('month', llm.uuidv7_time(g.session_id) AT TIME ZONE 'UTC')::date AS month
FROM (SELECT DISTINCT session_id FROM pg_temp.load_good WHERE NOT is_present) AS g
WHERE to_regclass('llm.sessions_' || to_char(llm.uuidv7_time(g.session_id) AT TIME ZONE 'UTC', 'YYYY_MM')) IS NULL
ORDER BY month
