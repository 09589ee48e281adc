CREATE OR REPLACE VIEW reporting.daily_latency_by_project AS
SELECT
    u.day AS request_day,
    u.key AS project_id,
    pr.project_name,
    pr.department_id AS project_department_id,
    d.department_name AS project_department_name,
    u.requests,
    u.answered_requests,
    llm.histogram_percentile_ms(u.latencies, 0.50) AS latency_p50_ms,
    llm.histogram_percentile_ms(u.latencies, 0.95) AS latency_p95_ms,
    llm.histogram_percentile_ms(u.latencies, 0.99) AS latency_p99_ms,
    u.max_latency_us / 1000.0::double precision AS latency_max_ms,
    u.latency_us / nullif(u.answered_requests, 0)::double precision / 1000 AS latency_mean_ms
FROM (
    SELECT
        r.day,
        r.key,
        sum(r.requests)::bigint AS requests,
        sum(r.answered_requests)::bigint AS answered_requests,
        sum(r.latency_us)::bigint AS latency_us,
        max(r.max_latency_us) AS max_latency_us,
        llm.histogram_sum(r.latencies) AS latencies
    FROM llm.usage_rows AS r
    WHERE r.dimension = 'project'
    GROUP BY r.day, r.key
) AS u
LEFT JOIN llm.projects AS pr ON u.key = pr.project_id
LEFT JOIN llm.departments AS d ON pr.department_id = d.department_id;
COMMENT ON VIEW reporting.daily_latency_by_project IS '프로젝트별 일별 처리 시간: latency percentiles, one row per project and '
    'day (reporting time zone) with requests. Requests of sessions without a project are a row of their own, its '
    'project NULL. Percentiles of days cannot be averaged: for a longer time ask reporting.latency_percentiles()';
COMMENT ON COLUMN reporting.daily_latency_by_project.request_day IS '일자: the day in the reporting time zone';
COMMENT ON COLUMN reporting.daily_latency_by_project.project_id IS '프로젝트 고유 식별자: the project; NULL = requests of '
    'sessions without one';
COMMENT ON COLUMN reporting.daily_latency_by_project.project_name IS '프로젝트명: name of the project; not unique; NULL = '
    'no project';
COMMENT ON COLUMN reporting.daily_latency_by_project.project_department_id IS '프로젝트의 부서: the department the project '
    'belongs to now; NULL = no project';
COMMENT ON COLUMN reporting.daily_latency_by_project.project_department_name IS '프로젝트의 부서명: its name; NULL = no '
    'project';
COMMENT ON COLUMN reporting.daily_latency_by_project.requests IS '요청 수: all requests, answered or not';
COMMENT ON COLUMN reporting.daily_latency_by_project.answered_requests IS '응답된 요청 수: requests whose response_time is '
    'known';
COMMENT ON COLUMN reporting.daily_latency_by_project.latency_p50_ms IS '처리 시간 p50: 50 % of the answered requests took '
    'at most this, in milliseconds; within 2 % of percentile_disc over the requests themselves; NULL = none was '
    'answered';
COMMENT ON COLUMN reporting.daily_latency_by_project.latency_p95_ms IS '처리 시간 p95: 95 % of the answered requests took '
    'at most this, in milliseconds; within 2 % of percentile_disc over the requests themselves; NULL = none was '
    'answered';
COMMENT ON COLUMN reporting.daily_latency_by_project.latency_p99_ms IS '처리 시간 p99: 99 % of the answered requests took '
    'at most this, in milliseconds; within 2 % of percentile_disc over the requests themselves; NULL = none was '
    'answered';
COMMENT ON COLUMN reporting.daily_latency_by_project.latency_max_ms IS '최대 처리 시간: the slowest answered request, exact, '
    'in milliseconds; NULL = none was answered';
COMMENT ON COLUMN reporting.daily_latency_by_project.latency_mean_ms IS '평균 처리 시간: mean of the answered requests, '
    'exact, in milliseconds; NULL = none was answered';

GRANT SELECT ON reporting.daily_latency_by_project TO llm_analyst;
