CREATE OR REPLACE VIEW rollup.session_rows AS
WITH noted AS MATERIALIZED (
    SELECT n.days, n.spans FROM rollup.noted('sessions') AS n
)

SELECT
    r.day, r.department_id, r.has_project, r.session_type, r.status, r.sessions, r.duration_us, r.requests,
    r.requests_without_tokens, r.tokens
FROM rollup.sessions AS r
WHERE r.month IS NULL OR r.day <> all((SELECT n.days FROM noted AS n)::date [])
UNION ALL
SELECT
    o.day, o.department_id, o.has_project, o.session_type, o.status, o.sessions, o.duration_us, o.requests,
    o.requests_without_tokens, o.tokens
FROM noted AS n
CROSS JOIN LATERAL rollup.open_sessions(n.spans) AS o;
COMMENT ON VIEW rollup.session_rows IS '세션: of all time, exact, to be summed up';
CALL ops.describe('rollup.session_rows', 'rollup.sessions');
