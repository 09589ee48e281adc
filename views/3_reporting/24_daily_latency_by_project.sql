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
COMMENT ON VIEW reporting.daily_latency_by_project IS '프로젝트별 일별 처리 시간: latency percentiles, one row per project and '
    'day (reporting time zone) with requests. Requests of sessions without a project are a row of their own, its '
    'project NULL. Percentiles of days cannot be averaged: for a longer time ask reporting.latency_percentiles()';
CALL ops.describe('reporting.daily_latency_by_project', 'rollup.latency_days', 'reporting.daily_usage_by_project');

GRANT SELECT ON reporting.daily_latency_by_project TO llm_analyst;
