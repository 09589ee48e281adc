-- A month's sessions and logs in the words of `llm-db load`: keys, and the names behind them, which outlive keys. A row
-- per log, and one for a session that has none. Latency is left out: it is response_time - request_time.
SELECT
    s.session_id, s.user_id, u.user_email, s.project_id, p.project_name, s.session_type,
    s.start_time AS session_start_time, s.end_time AS session_end_time, s.status AS session_status,
    l.log_sequence, l.request_time, l.response_time, l.token_used,
    l.deployment_id, d.server_name, m.model_name, d.environment, l.config_id, c.config_name,
    l.template_id, t.template_name, t.version, l.request_prompt_s3_path, l.response_s3_path
FROM llm.sessions AS s
INNER JOIN llm.users AS u ON s.user_id = u.user_id
LEFT JOIN llm.projects AS p ON s.project_id = p.project_id
LEFT JOIN llm.session_logs AS l
    ON s.session_id = l.session_id AND l.session_id >= %(low)s AND l.session_id < %(high)s
LEFT JOIN llm.deployments AS d ON l.deployment_id = d.deployment_id
LEFT JOIN llm.models AS m ON d.model_id = m.model_id
LEFT JOIN llm.model_configs AS c ON l.config_id = c.config_id
LEFT JOIN llm.prompt_templates_base AS t ON l.template_id = t.template_id
WHERE s.session_id >= %(low)s AND s.session_id < %(high)s
