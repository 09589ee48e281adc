CREATE OR REPLACE VIEW reporting.daily_latency_by_department AS
SELECT
    u.day AS request_day,
    coalesce(d.department_id, u.key) AS department_id,
    d.department_name,
    u.requests,
    u.answered_requests,
    u.latency_p50_ms,
    u.latency_p95_ms,
    u.latency_p99_ms,
    u.latency_max_ms,
    u.latency_mean_ms
FROM rollup.latency_days AS u
LEFT JOIN rollup.departments AS d ON u.key = d.department_id
WHERE u.dimension = 'department';
COMMENT ON VIEW reporting.daily_latency_by_department IS '부서별 일별 처리 시간: 처리 시간의 백분위수, 요청이 있는 부서와 일자(보고 시간대)마다 한 행. 요청은 '
    '당시 사용자가 소속된 부서에 집계한다. 여러 날의 백분위수는 평균할 수 없다: 더 긴 기간은 reporting.latency_percentiles()로 구한다 | '
    'Daily latency by department: latency percentiles, one row per department and day (reporting time zone) with '
    'requests. A request counts for the department its user worked for at the time. Percentiles of days cannot be '
    'averaged: for a longer time ask reporting.latency_percentiles()';
CALL ops.describe(
    'reporting.daily_latency_by_department',
    'rollup.latency_days', 'reporting.daily_usage_by_department'
);

GRANT SELECT ON reporting.daily_latency_by_department TO llm_analyst;
