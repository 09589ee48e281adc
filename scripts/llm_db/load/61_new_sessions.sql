INSERT INTO llm.sessions (session_id, user_id, project_id, start_time, end_time, session_type, status)
SELECT s.session_id, s.user_id, s.project_id, g.first_time, g.last_time, s.session_type, 'completed'
FROM pg_temp.load_sessions AS s
INNER JOIN pg_temp.load_spans AS g ON s.session_id = g.session_id
WHERE s.is_new
