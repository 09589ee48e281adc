CREATE OR REPLACE VIEW reporting.monthly_usage_by_user AS
SELECT
    p.first_day AS request_month,
    p.key AS user_id,
    u.user_name,
    u.user_email,
    u.department_id,
    d.department_name,
    p.requests,
    p.answered_requests,
    p.requests_without_tokens,
    p.tokens,
    p.request_share,
    p.token_share,
    p.requests_before,
    p.tokens_before,
    p.requests_change,
    p.tokens_change,
    u.is_active
FROM llm.usage_periods AS p
LEFT JOIN llm.users AS u ON p.key = u.user_id
LEFT JOIN llm.departments AS d ON u.department_id = d.department_id
WHERE p.grain = 'month' AND p.dimension = 'user';
COMMENT ON VIEW reporting.monthly_usage_by_user IS '사용자별 월별 사용량: requests and tokens, one row per user and month '
    '(reporting time zone) with requests. The running month is compared with the whole one before';
COMMENT ON COLUMN reporting.monthly_usage_by_user.request_month IS '월: its first day, in the reporting time zone';
COMMENT ON COLUMN reporting.monthly_usage_by_user.user_id IS '사용자 고유 식별자: the user';
COMMENT ON COLUMN reporting.monthly_usage_by_user.user_name IS '사용자 실명: name of the user; not unique';
COMMENT ON COLUMN reporting.monthly_usage_by_user.user_email IS '이메일: address of the user; unique';
COMMENT ON COLUMN reporting.monthly_usage_by_user.department_id IS '부서 고유 식별자: the department the user works for now';
COMMENT ON COLUMN reporting.monthly_usage_by_user.department_name IS '부서명: name of the department';
COMMENT ON COLUMN reporting.monthly_usage_by_user.requests IS '요청 수: all requests, answered or not';
COMMENT ON COLUMN reporting.monthly_usage_by_user.answered_requests IS '응답된 요청 수: requests whose response_time is '
    'known';
COMMENT ON COLUMN reporting.monthly_usage_by_user.requests_without_tokens IS '토큰 수 미상 요청 수: requests whose token_used '
    'is not known; tokens leaves them out';
COMMENT ON COLUMN reporting.monthly_usage_by_user.tokens IS '사용 토큰 수: sum of the known token_used, in tokens; 0 when '
    'none is known';
COMMENT ON COLUMN reporting.monthly_usage_by_user.request_share IS '요청 비율: share of the month''s requests on the whole '
    'platform, 0 to 1';
COMMENT ON COLUMN reporting.monthly_usage_by_user.token_share IS '토큰 비율: share of the month''s known tokens on the '
    'whole platform, 0 to 1; NULL = none is known';
COMMENT ON COLUMN reporting.monthly_usage_by_user.requests_before IS '이전 기간 요청 수: requests of the month before; 0 = '
    'none';
COMMENT ON COLUMN reporting.monthly_usage_by_user.tokens_before IS '이전 기간 토큰 수: tokens of the month before, in tokens; '
    '0 = none';
COMMENT ON COLUMN reporting.monthly_usage_by_user.requests_change IS '요청 증감률: of requests against the month before, '
    '0.25 = 25 % more; NULL = none before';
COMMENT ON COLUMN reporting.monthly_usage_by_user.tokens_change IS '토큰 증감률: of tokens against the month before, 0.25 = '
    '25 % more; NULL = none before';
COMMENT ON COLUMN reporting.monthly_usage_by_user.is_active IS '활성화 여부: whether the user may use the platform now';

GRANT SELECT ON reporting.monthly_usage_by_user TO llm_analyst;
