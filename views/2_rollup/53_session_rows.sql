CREATE OR REPLACE VIEW rollup.own_session_rows WITH (security_barrier) AS
WITH noted AS MATERIALIZED (
    SELECT n.days, n.spans FROM rollup.noted('sessions') AS n
)

SELECT
    r.day, r.department_id, r.has_project, r.session_type, r.status, r.sessions, r.duration_us, r.requests,
    r.requests_without_tokens, r.tokens
FROM rollup.sessions AS r
WHERE (SELECT NOT rollup.sees_all(current_user))
    AND r.department_id = (SELECT rollup.department_of(current_user))
    AND (r.month IS NULL OR r.day <> all((SELECT n.days FROM noted AS n)::date []))
UNION ALL
SELECT
    o.day, o.department_id, o.has_project, o.session_type, o.status, o.sessions, o.duration_us, o.requests,
    o.requests_without_tokens, o.tokens
FROM noted AS n
CROSS JOIN LATERAL rollup.open_sessions(n.spans) AS o
WHERE (SELECT NOT rollup.sees_all(current_user))
    AND o.department_id = (SELECT rollup.department_of(current_user));
COMMENT ON VIEW rollup.own_session_rows IS '부서 세션: of the one department that the reader sees, of all time, exact, to '
    'be summed up; no rows where all are seen';
CALL ops.describe('rollup.own_session_rows', 'rollup.sessions');

CREATE OR REPLACE VIEW rollup.session_rows AS
WITH noted AS MATERIALIZED (
    SELECT n.days, n.spans FROM rollup.noted('sessions') AS n
)

SELECT
    r.day, r.department_id, r.has_project, r.session_type, r.status, r.sessions, r.duration_us, r.requests,
    r.requests_without_tokens, r.tokens
FROM rollup.sessions AS r
WHERE (SELECT rollup.sees_all(current_user))
    AND (r.month IS NULL OR r.day <> all((SELECT n.days FROM noted AS n)::date []))
UNION ALL
SELECT
    o.day, o.department_id, o.has_project, o.session_type, o.status, o.sessions, o.duration_us, o.requests,
    o.requests_without_tokens, o.tokens
FROM noted AS n
CROSS JOIN LATERAL rollup.open_sessions(n.spans) AS o
WHERE (SELECT rollup.sees_all(current_user))
UNION ALL
SELECT
    d.day, d.department_id, d.has_project, d.session_type, d.status, d.sessions, d.duration_us, d.requests,
    d.requests_without_tokens, d.tokens
FROM rollup.own_session_rows AS d;
COMMENT ON VIEW rollup.session_rows IS '세션: of all time, exact, to be summed up';
CALL ops.describe('rollup.session_rows', 'rollup.sessions');
