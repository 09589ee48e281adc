-- The sessions themselves, not reporting.requests, come first: a session without a request is a session too. Each looks
-- up its own logs, in its own month: asking for a day of sessions reads a day of logs. Where somebody worked is a
-- subquery, so that it costs nothing where it is not asked for.
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
    u.user_name,
    u.user_email,
    (
        SELECT h.department_id
        FROM llm.user_departments AS h
        WHERE h.user_id = s.user_id AND h.since <= s.start_time
        ORDER BY h.since DESC
        LIMIT 1
    ) AS department_id,
    (
        SELECT d.department_name
        FROM llm.user_departments AS h
        INNER JOIN llm.departments AS d ON h.department_id = d.department_id
        WHERE h.user_id = s.user_id AND h.since <= s.start_time
        ORDER BY h.since DESC
        LIMIT 1
    ) AS department_name,
    s.project_id,
    p.project_name,
    s.start_time,
    s.end_time,
    extract(EPOCH FROM s.end_time - s.start_time)::double precision AS duration_seconds,
    l.requests,
    l.answered_requests,
    l.requests_without_tokens,
    l.tokens,
    l.first_request_time,
    l.last_request_time,
    u.department_id AS current_department_id,
    cd.department_name AS current_department_name
FROM llm.sessions AS s
INNER JOIN llm.session_types AS st ON s.session_type = st.code
INNER JOIN llm.session_statuses AS ss ON s.status = ss.code
INNER JOIN llm.users AS u ON s.user_id = u.user_id
INNER JOIN llm.departments AS cd ON u.department_id = cd.department_id
LEFT JOIN llm.projects AS p ON s.project_id = p.project_id
LEFT JOIN LATERAL (
    SELECT
        count(*) AS requests,
        count(r.response_time) AS answered_requests,
        count(*) - count(r.token_used) AS requests_without_tokens,
        coalesce(sum(r.token_used), 0)::bigint AS tokens,
        min(r.request_time) AS first_request_time,
        max(r.request_time) AS last_request_time
    FROM llm.session_logs AS r
    WHERE r.session_id = s.session_id
) AS l ON true;
COMMENT ON VIEW reporting.session_summaries IS '사용 세션: every stored session with its duration, requests and tokens; '
    'one row per session, also without a project or without any request';
COMMENT ON COLUMN reporting.session_summaries.session_id IS '세션 고유 식별자: the session';
COMMENT ON COLUMN reporting.session_summaries.session_type IS '세션 유형: code of the purpose';
COMMENT ON COLUMN reporting.session_summaries.session_type_ko IS '세션 유형: Korean label';
COMMENT ON COLUMN reporting.session_summaries.session_type_en IS '세션 유형: English label';
COMMENT ON COLUMN reporting.session_summaries.session_status IS '세션 상태: code of the status';
COMMENT ON COLUMN reporting.session_summaries.session_status_ko IS '세션 상태: Korean label';
COMMENT ON COLUMN reporting.session_summaries.session_status_en IS '세션 상태: English label';
COMMENT ON COLUMN reporting.session_summaries.user_id IS '사용자 고유 식별자: whose session it is';
COMMENT ON COLUMN reporting.session_summaries.user_name IS '사용자 실명: name of the user; not unique';
COMMENT ON COLUMN reporting.session_summaries.user_email IS '이메일: address of the user; unique';
COMMENT ON COLUMN reporting.session_summaries.department_id IS '부서 고유 식별자: the department the user worked for '
    'when the session began';
COMMENT ON COLUMN reporting.session_summaries.department_name IS '부서명: name of that department';
COMMENT ON COLUMN reporting.session_summaries.project_id IS '프로젝트 고유 식별자: the project it is for; NULL = none';
COMMENT ON COLUMN reporting.session_summaries.project_name IS '프로젝트명: name of the project; not unique; NULL = no '
    'project';
COMMENT ON COLUMN reporting.session_summaries.start_time IS '시작 시간: when the session began';
COMMENT ON COLUMN reporting.session_summaries.end_time IS '종료 시간: when it ended; NULL = still running';
COMMENT ON COLUMN reporting.session_summaries.duration_seconds IS '세션 지속 시간: from start to end, in seconds; NULL = '
    'still running';
COMMENT ON COLUMN reporting.session_summaries.requests IS '요청 수: requests of the session, answered or not; 0 when none';
COMMENT ON COLUMN reporting.session_summaries.answered_requests IS '응답된 요청 수: requests whose response_time is known';
COMMENT ON COLUMN reporting.session_summaries.requests_without_tokens IS '토큰 수 미상 요청 수: requests whose token_used is '
    'not known; tokens leaves them out';
COMMENT ON COLUMN reporting.session_summaries.tokens IS '사용 토큰 수: sum of the known token_used, in tokens; 0 when none '
    'is known';
COMMENT ON COLUMN reporting.session_summaries.first_request_time IS '첫 요청 시간: time of the first request; NULL = none';
COMMENT ON COLUMN reporting.session_summaries.last_request_time IS '마지막 요청 시간: time of the last request; NULL = none';
COMMENT ON COLUMN reporting.session_summaries.current_department_id IS '현재 부서 고유 식별자: the department the user works '
    'for now';
COMMENT ON COLUMN reporting.session_summaries.current_department_name IS '현재 부서명: name of that department';

GRANT SELECT ON reporting.session_summaries TO llm_analyst;
