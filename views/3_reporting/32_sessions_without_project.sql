CREATE OR REPLACE VIEW reporting.sessions_without_project AS
SELECT
    s.session_day,
    s.department_id,
    d.department_name,
    s.sessions,
    s.sessions_without_project,
    s.sessions_without_project / nullif(s.sessions, 0)::double precision AS share
FROM (
    SELECT
        r.day AS session_day,
        r.department_id,
        rollup.bigint_sum(r.sessions) AS sessions,
        coalesce(rollup.bigint_sum(r.sessions) FILTER (WHERE NOT r.has_project), 0) AS sessions_without_project
    FROM rollup.session_rows AS r
    GROUP BY r.day, r.department_id
) AS s
LEFT JOIN rollup.departments AS d ON s.department_id = d.department_id;
COMMENT ON VIEW reporting.sessions_without_project IS '프로젝트 없는 세션: 어느 프로젝트에도 속하지 않는 사용의 양; 전체 기간, 세션이 있는 일자와 부서마다 한 '
    '행 | '
    'Sessions without project: how much use no project answers for; one row per day and department with sessions, of '
    'all time';
CALL ops.describe('reporting.sessions_without_project', 'reporting.daily_sessions');
COMMENT ON COLUMN reporting.sessions_without_project.sessions_without_project IS '프로젝트 없는 세션 수: 프로젝트가 없는 세션 | '
    'Sessions without project: those that are for no project';
COMMENT ON COLUMN reporting.sessions_without_project.share IS '프로젝트 없는 세션 비율: sessions_without_project를 sessions로 나눈 '
    '값, 0~1 | '
    'Share without project: sessions_without_project / sessions, 0 to 1';

GRANT SELECT ON reporting.sessions_without_project TO llm_analyst;
