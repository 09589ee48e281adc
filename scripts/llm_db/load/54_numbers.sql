-- Rows for which their session has no number left, as session_logs_have_a_sequence would say.
INSERT INTO pg_temp.load_bad (line, column_name, value, rule)
SELECT n.line, 'session_id', n.session_id::text, 'session_logs_have_a_sequence: the session has no log_sequence left'
FROM pg_temp.load_numbered AS n
WHERE n.number > 2147483647 AND n.session_id IN (
    SELECT t.session_id
    FROM pg_temp.load_taken AS t
    WHERE t.last > 2147483647 - (SELECT count(*) FROM pg_temp.load_good)
)
