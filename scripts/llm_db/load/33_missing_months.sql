SELECT d.month
FROM (SELECT DISTINCT month FROM pg_temp.load_months) AS d
WHERE to_regclass('llm.sessions_' || to_char(d.month, 'YYYY_MM')) IS NULL
ORDER BY d.month
