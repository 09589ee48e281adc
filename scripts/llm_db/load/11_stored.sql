-- What the database has, by the names that it has in all that follows.
CREATE TEMPORARY VIEW load_stored_sessions AS
SELECT session_id, user_id, project_id, session_type, start_time, end_time, status FROM llm.sessions;

CREATE TEMPORARY VIEW load_stored_logs AS
SELECT
    session_id, log_sequence, request_time, response_time, token_used,
    deployment_id, config_id, template_id, request_prompt_s3_path, response_s3_path
FROM llm.session_logs;
