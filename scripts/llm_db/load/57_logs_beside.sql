INSERT INTO llm.session_logs_beside (
    session_id, log_sequence, request_time, response_time, token_used,
    deployment_id, config_id, template_id, request_prompt_s3_path, response_s3_path
)
SELECT
    session_id, number, request_time, response_time, token_used,
    deployment_id, config_id, template_id, request_prompt_s3_path, response_s3_path
FROM pg_temp.load_numbered AS r
WHERE EXISTS (
    SELECT FROM pg_temp.load_new_sessions AS s WHERE s.session_id = r.session_id AND s.is_beside
)
ORDER BY r.session_id, r.n
