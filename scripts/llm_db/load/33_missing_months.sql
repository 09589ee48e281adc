-- Each month that is not there, and whether it is worth filling beside the others. For few rows that would take longer
-- than to insert them.
SELECT d.month, d.rows > %(few_rows)s
FROM (SELECT month, count(*) AS rows FROM pg_temp.load_months GROUP BY month) AS d
WHERE to_regclass('llm.sessions_' || to_char(d.month, 'YYYY_MM')) IS NULL
ORDER BY d.month
