CREATE OR REPLACE VIEW reporting.daily_latency_by_project AS
SELECT
    u.day AS request_day,
    u.key AS project_id,
    pr.project_name,
    pr.department_id AS project_department_id,
    d.department_name AS project_department_name,
    u.requests,
    u.answered_requests,
    u.latency_p50_ms,
    u.latency_p95_ms,
    u.latency_p99_ms,
    u.latency_max_ms,
    u.latency_mean_ms
FROM rollup.latency_days AS u
LEFT JOIN llm.projects AS pr ON u.key = pr.project_id
LEFT JOIN llm.departments AS d ON pr.department_id = d.department_id
WHERE u.dimension = 'project';
COMMENT ON VIEW reporting.daily_latency_by_project IS '프로젝트별 일별 처리 시간: 처리 시간의 백분위수, 요청이 있는 프로젝트와 일자(보고 시간대)마다 한 행. '
    '프로젝트 없는 세션의 요청은 프로젝트가 NULL인 별도의 행. 여러 날의 백분위수는 평균할 수 없다: 더 긴 기간은 reporting.latency_percentiles()로 구한다 | '
    'Daily latency by project: latency percentiles, one row per project and day (reporting time zone) with requests. '
    'Requests of sessions without a project are a row of their own, its project NULL. Percentiles of days cannot be '
    'averaged: for a longer time ask reporting.latency_percentiles()';
CALL ops.describe('reporting.daily_latency_by_project', 'rollup.latency_days', 'reporting.daily_usage_by_project');

GRANT SELECT ON reporting.daily_latency_by_project TO llm_analyst;
