INSERT INTO pg_temp.load_sessions (session_id, user_id, project_id, session_type, is_new)
SELECT DISTINCT
    g.session_id, g.user_id, g.project_id, g.session_type,
    NOT EXISTS (SELECT FROM pg_temp.load_stored_sessions AS s WHERE s.session_id = g.session_id)
FROM pg_temp.load_good AS g
WHERE g.is_grouped AND NOT EXISTS (SELECT FROM pg_temp.load_sessions AS s WHERE s.session_id = g.session_id);
