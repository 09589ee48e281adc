-- Members, projects, sessions and requests are each counted on their own before they meet: joined first, they would
-- multiply each other. A barrier, since counts of members and projects, and managers, have none of their own.
CREATE OR REPLACE VIEW reporting.department_overview WITH (security_barrier) AS
SELECT
    d.department_id,
    d.department_name,
    d.manager_id,
    mu.user_name || (SELECT '' WHERE reporting.may_read_people()) AS manager_name,
    mu.user_email || (SELECT '' WHERE reporting.may_read_people()) AS manager_email,
    coalesce(w.members, 0) AS members,
    coalesce(w.active_members, 0) AS active_members,
    coalesce(p.projects, 0) AS projects,
    coalesce(s.sessions, 0) AS sessions,
    coalesce(l.requests, 0) AS requests,
    coalesce(l.requests_without_tokens, 0) AS requests_without_tokens,
    coalesce(l.tokens, 0) AS tokens,
    l.last_request_time
FROM rollup.departments AS d
INNER JOIN llm.users AS mu ON d.manager_id = mu.user_id
-- A manager may work for another department, and before COMMIT a department may have no member yet.
LEFT JOIN (
    SELECT
        u.department_id,
        count(*) AS members,
        count(*) FILTER (WHERE u.is_active) AS active_members
    FROM llm.users AS u
    GROUP BY u.department_id
) AS w ON d.department_id = w.department_id
LEFT JOIN (
    SELECT
        j.department_id,
        count(*) AS projects
    FROM llm.projects AS j
    GROUP BY j.department_id
) AS p ON d.department_id = p.department_id
LEFT JOIN (
    SELECT
        a.department_id,
        rollup.bigint_sum(a.sessions) AS sessions
    FROM rollup.session_rows AS a
    GROUP BY a.department_id
) AS s ON d.department_id = s.department_id
LEFT JOIN rollup.usage_totals AS l ON l.dimension = 'department' AND d.department_id = l.key;
COMMENT ON VIEW reporting.department_overview IS '부서 현황: 모든 부서의 현재 관리자, 인원, 프로젝트와, 사용자들이 소속된 동안의 전체 기간 사용; 부서마다 한 행 | '
    'Departments: every department with its manager, head count and projects now, and the use people made of all time '
    'while they worked for it; one row per department';
CALL ops.describe('reporting.department_overview', 'rollup.usage_totals');
COMMENT ON COLUMN reporting.department_overview.department_name IS '부서명: 조직도상의 이름 | '
    'Department: name as on the organisation chart';
COMMENT ON COLUMN reporting.department_overview.department_id IS '부서 고유 식별자: 부서 | Department ID: the department';
COMMENT ON COLUMN reporting.department_overview.manager_id IS '부서 관리자: 관리자의 user_id | '
    'Manager ID: user_id of the manager';
COMMENT ON COLUMN reporting.department_overview.manager_name IS '부서 관리자 실명: 관리자의 이름; NULL = 볼 권한 '
    '없음(reporting.may_read_people() 참고) | '
    'Manager: name of the manager; NULL = not for you, see reporting.may_read_people()';
COMMENT ON COLUMN reporting.department_overview.manager_email IS '부서 관리자 이메일: 관리자의 이메일; NULL = 볼 권한 '
    '없음(reporting.may_read_people() 참고) | '
    'Manager''s e-mail: address of the manager; NULL = not for you, see reporting.may_read_people()';
COMMENT ON COLUMN reporting.department_overview.members IS '전체 인원: 부서에 소속된 사용자, 활성 여부와 무관 | '
    'Members: users who work for the department, active or not';
COMMENT ON COLUMN reporting.department_overview.active_members IS '활성 인원: 전체 인원 가운데 활성 상태인 사용자 | '
    'Active members: those of them who are active';
COMMENT ON COLUMN reporting.department_overview.projects IS '프로젝트 수: 부서에 속한 프로젝트 | '
    'Projects: projects that belong to the department';
COMMENT ON COLUMN reporting.department_overview.sessions IS '세션 수: 사용자들이 이 부서에 소속된 동안 시작한 세션, 프로젝트와 무관 | '
    'Sessions: sessions that people began while they worked for it, whatever their project';
COMMENT ON COLUMN reporting.department_overview.requests IS '요청 수: 사용자들이 이 부서에 소속된 동안 한 요청, 응답 여부와 무관 | '
    'Requests: requests that people made while they worked for it, answered or not';

GRANT SELECT ON reporting.department_overview TO llm_analyst;
