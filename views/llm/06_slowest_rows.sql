-- Of the ten slowest of each stored month and of open time, which may be more than ten a day.
CREATE OR REPLACE VIEW llm.slowest_rows AS
SELECT r.dimension, r.day, r.key, r.session_id, r.log_sequence, r.request_time, r.latency_us, r.token_used
FROM llm.rollup_slowest AS r
WHERE r.month IS NULL OR r.day NOT IN (SELECT t.day FROM llm.touched_days('logs') AS t)
UNION ALL
SELECT d.dimension, o.day, d.key, o.session_id, o.log_sequence, o.request_time, o.latency_us, o.token_used
FROM llm.open_logs() AS o
CROSS JOIN LATERAL (
    VALUES
    ('config'::llm.rollup_dimension, o.config_id), ('department', o.department_id), ('deployment', o.deployment_id),
    ('model', o.model_id), ('project', o.project_id), ('template', o.template_id)
) AS d (dimension, key)
WHERE o.latency_us IS NOT NULL;
COMMENT ON VIEW llm.slowest_rows IS '느린 요청: all that can be among a day''s ten slowest; columns as in '
    'llm.rollup_slowest';
