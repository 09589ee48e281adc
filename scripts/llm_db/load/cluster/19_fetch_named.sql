-- The sessions that rows name.
TRUNCATE pg_temp.load_stored_sessions;

INSERT INTO pg_temp.load_stored_sessions (session_id, user_id, project_id, session_type, start_time, end_time, status)
SELECT s.session_id, s.user_id, s.project_id, s.session_type, s.start_time, s.end_time, s.status
FROM llm.sessions AS s
WHERE s.session_id IN (SELECT r.session_id FROM pg_temp.load_rows AS r);

ANALYZE pg_temp.load_stored_sessions;
