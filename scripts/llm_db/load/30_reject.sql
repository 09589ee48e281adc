-- Of what is wrong with a row the first is told.
INSERT INTO pg_temp.load_bad (line, column_name, value, rule)
SELECT line, bad_column, bad_value, bad_rule FROM pg_temp.load_rows WHERE bad_rule IS NOT NULL;

INSERT INTO pg_temp.load_bad (line, column_name, value, rule)
SELECT r.line, (r.wrong).column_name, (r.wrong).value, (r.wrong).rule
FROM (
    SELECT
        line,
        CASE
            WHEN (deployment).rule IS NOT NULL THEN deployment
            WHEN (config).rule IS NOT NULL THEN config
            WHEN (template).rule IS NOT NULL THEN template
            WHEN (owner).rule IS NOT NULL THEN owner
            WHEN (project).rule IS NOT NULL THEN project
        END AS wrong
    FROM pg_temp.load_resolved
) AS r
WHERE (r.wrong).rule IS NOT NULL;

INSERT INTO pg_temp.load_bad (line, column_name, value, rule)
SELECT r.line, b.column_name, b.value, b.rule
FROM pg_temp.load_rows AS r
CROSS JOIN LATERAL (
    VALUES
    -- A row without request_time is a session that has no log, if it says when the session began and nothing of a log.
    (
        r.request_time IS NULL AND (
            r.session_start_time IS NULL OR num_nonnulls(
                r.log_sequence, r.response_time, r.token_used, r.deployment_id, r.server_name, r.model_name,
                r.environment, r.config_id, r.config_name, r.template_id, r.template_name, r.version,
                r.request_prompt_s3_path, r.response_s3_path
            ) > 0
        ),
        'request_time', '', 'missing value'
    ),
    (
        r.request_time IS NOT NULL AND num_nonnulls(r.deployment_id, r.server_name, r.model_name) = 0,
        'server_name', '', 'missing value: which deployment?'
    ),
    (num_nonnulls(r.session_id, r.user_id, r.user_email) = 0, 'user_email', '', 'missing value: whose session?'),
    (r.log_sequence IS NOT NULL AND r.session_id IS NULL, 'session_id', '', 'missing value: log_sequence is given'),
    (
        r.session_id IS NULL AND num_nonnulls(r.session_start_time, r.session_end_time, r.session_status) > 0,
        'session_id', '', 'missing value: how the session began or ended is given'
    ),
    (
        r.version IS NOT NULL AND num_nonnulls(r.template_id, r.template_name) = 0,
        'template_name', '', 'missing value: version is given'
    ),
    (
        NOT EXISTS (SELECT FROM llm.session_types AS t WHERE t.code = coalesce(r.session_type, 'production')),
        'session_type', r.session_type, 'sessions_session_type_fkey'
    ),
    (
        NOT EXISTS (SELECT FROM llm.session_statuses AS t WHERE t.code = coalesce(r.session_status, 'completed')),
        'session_status', r.session_status, 'sessions_status_fkey'
    )
) AS b (broken, column_name, value, rule)
WHERE b.broken
ON CONFLICT (line) DO NOTHING;
