CREATE OR REPLACE VIEW llm.session_rows AS
SELECT
    r.day, r.department_id, r.has_project, r.session_type, r.status, r.sessions, r.duration_us, r.requests,
    r.requests_without_tokens, r.tokens
FROM llm.rollup_sessions AS r
WHERE r.month IS NULL OR r.day NOT IN (SELECT t.day FROM llm.touched_days('sessions') AS t)
UNION ALL
SELECT
    o.day, o.department_id, o.has_project, o.session_type, o.status, o.sessions, o.duration_us, o.requests,
    o.requests_without_tokens, o.tokens
FROM llm.open_sessions() AS o;
COMMENT ON VIEW llm.session_rows IS '세션: of all time, exact, to be summed up; columns as in llm.rollup_sessions';
