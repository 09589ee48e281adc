CREATE OR REPLACE VIEW reporting.daily_usage_by_user AS
SELECT
    r.request_day,
    r.user_id,
    r.user_name,
    r.user_email,
    r.department_id,
    r.department_name,
    count(*) AS requests,
    count(r.response_time) AS answered_requests,
    count(*) FILTER (WHERE r.token_used IS NULL) AS requests_without_tokens,
    coalesce(sum(r.token_used), 0)::bigint AS tokens
FROM reporting.requests AS r
GROUP BY r.request_day, r.user_id, r.user_name, r.user_email, r.department_id, r.department_name;
COMMENT ON VIEW reporting.daily_usage_by_user IS '사용자별 일별 사용량: requests and tokens, one row per user and day '
    '(Asia/Seoul) with requests';
COMMENT ON COLUMN reporting.daily_usage_by_user.request_day IS '일자: the day in Asia/Seoul';
COMMENT ON COLUMN reporting.daily_usage_by_user.user_id IS '사용자 고유 식별자: the user';
COMMENT ON COLUMN reporting.daily_usage_by_user.user_name IS '사용자 실명: name of the user; not unique';
COMMENT ON COLUMN reporting.daily_usage_by_user.user_email IS '이메일: address of the user; unique';
COMMENT ON COLUMN reporting.daily_usage_by_user.department_id IS '부서 고유 식별자: the department the user works for now';
COMMENT ON COLUMN reporting.daily_usage_by_user.department_name IS '부서명: name of the department';
COMMENT ON COLUMN reporting.daily_usage_by_user.requests IS '요청 수: all requests, answered or not';
COMMENT ON COLUMN reporting.daily_usage_by_user.answered_requests IS '응답된 요청 수: requests whose response_time is known';
COMMENT ON COLUMN reporting.daily_usage_by_user.requests_without_tokens IS '토큰 수 미상 요청 수: requests whose token_used is '
    'not known; tokens leaves them out';
COMMENT ON COLUMN reporting.daily_usage_by_user.tokens IS '사용 토큰 수: sum of the known token_used, in tokens; 0 when '
    'none is known';

GRANT SELECT ON reporting.daily_usage_by_user TO llm_analyst;
