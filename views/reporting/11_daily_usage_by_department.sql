CREATE OR REPLACE VIEW reporting.daily_usage_by_department AS
SELECT
    r.request_day,
    r.department_id,
    r.department_name,
    count(*) AS requests,
    count(r.response_time) AS answered_requests,
    count(*) FILTER (WHERE r.token_used IS NULL) AS requests_without_tokens,
    coalesce(sum(r.token_used), 0)::bigint AS tokens
FROM reporting.requests AS r
GROUP BY r.request_day, r.department_id, r.department_name;
COMMENT ON VIEW reporting.daily_usage_by_department IS '부서별 일별 사용량: requests and tokens, one row per department and '
    'day (Asia/Seoul) with requests. A request counts once, for the department its user works for now, whosever '
    'project it was for';
COMMENT ON COLUMN reporting.daily_usage_by_department.request_day IS '일자: the day in Asia/Seoul';
COMMENT ON COLUMN reporting.daily_usage_by_department.department_id IS '부서 고유 식별자: the department the users work for '
    'now';
COMMENT ON COLUMN reporting.daily_usage_by_department.department_name IS '부서명: name of the department';
COMMENT ON COLUMN reporting.daily_usage_by_department.requests IS '요청 수: all requests, answered or not';
COMMENT ON COLUMN reporting.daily_usage_by_department.answered_requests IS '응답된 요청 수: requests whose response_time is '
    'known';
COMMENT ON COLUMN reporting.daily_usage_by_department.requests_without_tokens IS '토큰 수 미상 요청 수: requests whose '
    'token_used is not known; tokens leaves them out';
COMMENT ON COLUMN reporting.daily_usage_by_department.tokens IS '사용 토큰 수: sum of the known token_used, in tokens; 0 '
    'when none is known';

GRANT SELECT ON reporting.daily_usage_by_department TO llm_analyst;
