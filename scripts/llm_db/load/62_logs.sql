INSERT INTO llm.session_logs (
    session_id, log_sequence, request_time, response_time, token_used,
    deployment_id, config_id, template_id, request_prompt_s3_path, response_s3_path
)
WITH taken AS (
    SELECT session_id, max(log_sequence) AS last
    FROM (
        SELECT session_id, log_sequence FROM pg_temp.load_good WHERE log_sequence IS NOT NULL
        UNION ALL
        SELECT l.session_id, l.log_sequence
        FROM llm.session_logs AS l
        WHERE l.session_id IN (SELECT s.session_id FROM pg_temp.load_sessions AS s WHERE NOT s.is_new)
    ) AS numbers
    GROUP BY session_id
), numbered AS (
    SELECT
        *,
        row_number() OVER (PARTITION BY session_id, log_sequence IS NULL ORDER BY request_time, line) AS n
    FROM pg_temp.load_good
    WHERE NOT is_present
)
SELECT
    g.session_id, coalesce(g.log_sequence, coalesce(t.last, 0) + g.n), g.request_time, g.response_time, g.token_used,
    g.deployment_id, g.config_id, g.template_id, g.request_prompt_s3_path, g.response_s3_path
FROM numbered AS g
LEFT JOIN taken AS t ON g.session_id = t.session_id
ORDER BY g.session_id, g.n
