-- The sessions themselves, not reporting.requests, come first: a session without a request is a session too. Each
-- looks up its own logs, in its own month: asking for a day of sessions reads a day of logs. Every join can be left
-- out, as in reporting.requests.
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
    u.user_name || (SELECT '' WHERE reporting.may_read_people()) AS user_name,
    u.user_email || (SELECT '' WHERE reporting.may_read_people()) AS user_email,
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
LEFT JOIN llm.session_types AS st ON s.session_type = st.code
LEFT JOIN llm.session_statuses AS ss ON s.status = ss.code
LEFT JOIN llm.users AS u ON s.user_id = u.user_id
LEFT JOIN llm.departments AS cd ON u.department_id = cd.department_id
LEFT JOIN llm.projects AS p ON s.project_id = p.project_id
LEFT JOIN LATERAL (
    SELECT
        ud.user_id,
        (array_agg(ud.department_id ORDER BY ud.since DESC))[1] AS department_id
    FROM llm.user_departments AS ud
    WHERE ud.user_id = s.user_id AND ud.since <= s.start_time
    GROUP BY ud.user_id
) AS h ON s.user_id = h.user_id
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
COMMENT ON VIEW reporting.session_summaries IS '사용 세션: 저장된 모든 세션의 길이, 요청, 토큰; 세션마다 한 행, 프로젝트나 요청이 없어도 포함 | '
    'Sessions: every stored session with its duration, requests and tokens; one row per session, also without a '
    'project or without any request';
CALL ops.describe('reporting.session_summaries', 'reporting.requests', 'rollup.usage_rows');
COMMENT ON COLUMN reporting.session_summaries.start_time IS '시작 시간: 세션이 시작된 시간 | Start time: when the session began';
COMMENT ON COLUMN reporting.session_summaries.end_time IS '종료 시간: 세션이 종료된 시간; 상태가 진행중일 때만 NULL | '
    'End time: when it ended; NULL exactly while status is running';
COMMENT ON COLUMN reporting.session_summaries.session_id IS '세션 고유 식별자: 세션 | Session ID: the session';
COMMENT ON COLUMN reporting.session_summaries.user_id IS '사용자 고유 식별자: 세션의 사용자 | User ID: whose session it is';
COMMENT ON COLUMN reporting.session_summaries.department_id IS '부서 고유 식별자: 세션 시작 시점에 사용자가 소속된 부서; NULL = 알 수 없음 | '
    'Department ID: the department the user worked for when the session began; NULL = not known';
COMMENT ON COLUMN reporting.session_summaries.duration_seconds IS '세션 지속 시간: 시작부터 종료까지, 초 단위; NULL = 진행중이거나 알 수 없음 | '
    'Session duration: from start to end, in seconds; NULL = still running, or not known';
COMMENT ON COLUMN reporting.session_summaries.requests IS '요청 수: 세션의 요청, 응답 여부와 무관; 없으면 0 | '
    'Requests: requests of the session, answered or not; 0 when none';
COMMENT ON COLUMN reporting.session_summaries.first_request_time IS '첫 요청 시간: 첫 요청의 시간; NULL = 요청 없음 | '
    'First request: time of the first request; NULL = none';
COMMENT ON COLUMN reporting.session_summaries.last_request_time IS '마지막 요청 시간: 마지막 요청의 시간; NULL = 요청 없음 | '
    'Last request: time of the last request; NULL = none';

GRANT SELECT ON reporting.session_summaries TO llm_analyst;
