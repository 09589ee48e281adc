CREATE OR REPLACE VIEW reporting.daily_usage_by_project AS
SELECT
    r.request_day,
    r.project_id,
    r.project_name,
    r.project_department_id,
    r.project_department_name,
    count(*) AS requests,
    count(r.response_time) AS answered_requests,
    count(*) FILTER (WHERE r.token_used IS NULL) AS requests_without_tokens,
    coalesce(sum(r.token_used), 0)::bigint AS tokens
FROM reporting.requests AS r
GROUP BY r.request_day, r.project_id, r.project_name, r.project_department_id, r.project_department_name;
COMMENT ON VIEW reporting.daily_usage_by_project IS '프로젝트별 일별 사용량: requests and tokens, one row per project and day '
    '(Asia/Seoul) with requests. Requests of sessions without a project are one row per day, its project NULL';
COMMENT ON COLUMN reporting.daily_usage_by_project.request_day IS '일자: the day in Asia/Seoul';
COMMENT ON COLUMN reporting.daily_usage_by_project.project_id IS '프로젝트 고유 식별자: the project; NULL = requests of '
    'sessions without one';
COMMENT ON COLUMN reporting.daily_usage_by_project.project_name IS '프로젝트명: name of the project; not unique; NULL = no '
    'project';
COMMENT ON COLUMN reporting.daily_usage_by_project.project_department_id IS '프로젝트의 부서: the department the project '
    'belongs to; NULL = no project';
COMMENT ON COLUMN reporting.daily_usage_by_project.project_department_name IS '프로젝트의 부서명: its name; NULL = no project';
COMMENT ON COLUMN reporting.daily_usage_by_project.requests IS '요청 수: all requests, answered or not';
COMMENT ON COLUMN reporting.daily_usage_by_project.answered_requests IS '응답된 요청 수: requests whose response_time is '
    'known';
COMMENT ON COLUMN reporting.daily_usage_by_project.requests_without_tokens IS '토큰 수 미상 요청 수: requests whose token_used '
    'is not known; tokens leaves them out';
COMMENT ON COLUMN reporting.daily_usage_by_project.tokens IS '사용 토큰 수: sum of the known token_used, in tokens; 0 when '
    'none is known';

GRANT SELECT ON reporting.daily_usage_by_project TO llm_analyst;
