-- Of the ten slowest of each stored month and of open time, which may be more than ten a day.
CREATE OR REPLACE VIEW rollup.slowest_rows AS
WITH noted AS MATERIALIZED (
    SELECT n.days, n.spans FROM rollup.noted('logs') AS n
)

SELECT r.dimension, r.day, r.key, r.session_id, r.log_sequence, r.request_time, r.latency_us, r.token_used
FROM rollup.slowest AS r
WHERE r.month IS NULL OR r.day <> all((SELECT n.days FROM noted AS n)::date [])
UNION ALL
SELECT d.dimension, o.day, d.key, o.session_id, o.log_sequence, o.request_time, o.latency_us, o.token_used
FROM noted AS n
CROSS JOIN LATERAL rollup.open_logs(n.spans) AS o
CROSS JOIN LATERAL (
    VALUES
    ('config'::rollup.dimension, o.config_id), ('department', o.department_id), ('deployment', o.deployment_id),
    ('model', o.model_id), ('project', o.project_id), ('template', o.template_id)
) AS d (dimension, key)
WHERE o.latency_us IS NOT NULL;
COMMENT ON VIEW rollup.slowest_rows IS '느린 요청: all that can be among a day''s ten slowest';
CALL ops.describe('rollup.slowest_rows', 'rollup.slowest');
