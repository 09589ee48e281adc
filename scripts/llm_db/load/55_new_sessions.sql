-- The sessions to be made, and which lie in a month that is filled beside the others. There all sessions are new.
CREATE TEMPORARY TABLE load_new_sessions AS
SELECT
    s.*, -- noqa: AM04
    date_trunc('month', llm.uuidv7_time(s.session_id) AT TIME ZONE 'UTC')
    IN (SELECT b.month FROM pg_temp.load_beside AS b) AS is_beside
FROM pg_temp.load_written AS s
WHERE s.is_new;

ANALYZE pg_temp.load_new_sessions;

CREATE TEMPORARY VIEW load_not_beside AS
SELECT g.* -- noqa: AM04
FROM pg_temp.load_good AS g
WHERE NOT EXISTS (SELECT FROM pg_temp.load_new_sessions AS s WHERE s.session_id = g.session_id AND s.is_beside);
