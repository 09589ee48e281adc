-- The logs of the sessions that rows name; and, of the owners of the other rows, the logs of these rows' times, with
-- their sessions.
TRUNCATE pg_temp.load_stored_logs;

INSERT INTO pg_temp.load_stored_logs (
    session_id, log_sequence, request_time, response_time, token_used,
    deployment_id, config_id, template_id, request_prompt_s3_path, response_s3_path
)
SELECT
    l.session_id, l.log_sequence, l.request_time, l.response_time, l.token_used,
    l.deployment_id, l.config_id, l.template_id, l.request_prompt_s3_path, l.response_s3_path
FROM llm.session_logs AS l
WHERE l.session_id IN (SELECT g.session_id FROM pg_temp.load_good AS g);

INSERT INTO pg_temp.load_stored_logs (
    session_id, log_sequence, request_time, response_time, token_used,
    deployment_id, config_id, template_id, request_prompt_s3_path, response_s3_path
)
SELECT
    l.session_id, l.log_sequence, l.request_time, l.response_time, l.token_used,
    l.deployment_id, l.config_id, l.template_id, l.request_prompt_s3_path, l.response_s3_path
FROM llm.session_logs AS l
INNER JOIN llm.sessions AS s ON l.session_id = s.session_id
WHERE l.request_time >= (SELECT min(g.request_time) FROM pg_temp.load_good AS g WHERE g.is_grouped)
    AND l.request_time <= (SELECT max(g.request_time) FROM pg_temp.load_good AS g WHERE g.is_grouped)
    AND s.user_id IN (SELECT g.user_id FROM pg_temp.load_good AS g WHERE g.is_grouped)
ON CONFLICT DO NOTHING;

INSERT INTO pg_temp.load_stored_sessions (session_id, user_id, project_id, session_type, start_time, end_time, status)
SELECT s.session_id, s.user_id, s.project_id, s.session_type, s.start_time, s.end_time, s.status
FROM llm.sessions AS s
WHERE s.session_id IN (SELECT l.session_id FROM pg_temp.load_stored_logs AS l)
ON CONFLICT DO NOTHING;

ANALYZE pg_temp.load_stored_logs;

ANALYZE pg_temp.load_stored_sessions;
