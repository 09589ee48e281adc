-- instead of: views/3_reporting/30_session_summaries.sql

-- As reporting.requests.
CREATE OR REPLACE VIEW reporting.session_summaries AS
SELECT
    s.session_id,
    s.session_type,
    st.label_ko AS session_type_ko,
    st.label_en AS session_type_en,
    s.status AS session_status,
    ss.label_ko AS session_status_ko,
    ss.label_en AS session_status_en,
    s.user_id,
    u.user_name || shown.yes AS user_name,
    u.user_email || shown.yes AS user_email,
    h.department_id,
    d.department_name,
    s.project_id,
    p.project_name,
    s.start_time,
    s.end_time,
    extract(EPOCH FROM rollup.known_time(s.end_time) - rollup.known_time(s.start_time))::double precision
        AS duration_seconds,
    coalesce(l.requests, 0) AS requests,
    coalesce(l.answered_requests, 0) AS answered_requests,
    coalesce(l.requests_without_tokens, 0) AS requests_without_tokens,
    coalesce(l.tokens, 0) AS tokens,
    l.first_request_time,
    l.last_request_time,
    u.department_id AS current_department_id,
    cd.department_name AS current_department_name
FROM llm.sessions AS s
LEFT JOIN (SELECT '' AS yes WHERE reporting.may_read_people() LIMIT 1) AS shown ON true
LEFT JOIN llm.session_types AS st ON s.session_type = st.code
LEFT JOIN llm.session_statuses AS ss ON s.status = ss.code
LEFT JOIN llm.users AS u ON s.user_id = u.user_id
LEFT JOIN llm.departments AS cd ON u.department_id = cd.department_id
LEFT JOIN llm.projects AS p ON s.project_id = p.project_id
LEFT JOIN rollup.department_spans AS h
    ON s.user_id = h.user_id AND h.since <= s.start_time AND h.until_time > s.start_time
LEFT JOIN llm.departments AS d ON h.department_id = d.department_id
LEFT JOIN LATERAL (
    SELECT
        r.session_id,
        count(*) AS requests,
        count(r.response_time) AS answered_requests,
        count(*) - count(rollup.known_tokens(r.token_used)) AS requests_without_tokens,
        rollup.bigint_sum(rollup.known_tokens(r.token_used)) AS tokens,
        min(r.request_time) AS first_request_time,
        max(r.request_time) AS last_request_time
    FROM llm.session_logs AS r
    WHERE r.session_id = s.session_id
    GROUP BY r.session_id
) AS l ON s.session_id = l.session_id;
