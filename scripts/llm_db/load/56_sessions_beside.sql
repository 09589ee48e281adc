INSERT INTO llm.sessions_beside (session_id, user_id, project_id, start_time, end_time, session_type, status)
SELECT session_id, user_id, project_id, start_time, end_time, session_type, status
FROM pg_temp.load_new_sessions
WHERE is_beside
ORDER BY session_id
