CREATE OR REPLACE VIEW reporting.daily_usage_by_user AS
SELECT
    p.first_day AS request_day,
    p.key AS user_id,
    u.user_name || (SELECT '' WHERE reporting.may_read_people()) AS user_name,
    u.user_email || (SELECT '' WHERE reporting.may_read_people()) AS user_email,
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
FROM rollup.usage_periods AS p
LEFT JOIN llm.users AS u ON p.key = u.user_id
LEFT JOIN llm.departments AS d ON u.department_id = d.department_id
WHERE p.grain = 'day' AND p.dimension = 'user';
COMMENT ON VIEW reporting.daily_usage_by_user IS '사용자별 일별 사용량: 요청과 토큰, 요청이 있는 사용자와 일자(보고 시간대)마다 한 행. 오늘은 어제 하루 전체와 '
    '비교한다 | '
    'Daily usage by user: requests and tokens, one row per user and day (reporting time zone) with requests. Today is '
    'compared with the whole of yesterday';
CALL ops.describe('reporting.daily_usage_by_user', 'rollup.usage_periods', 'reporting.requests');
COMMENT ON COLUMN reporting.daily_usage_by_user.is_active IS '활성 상태: 떠난 사용자는 거짓; 사용 기록은 남는다 | '
    'Active: false for people who left; they keep their history';
COMMENT ON COLUMN reporting.daily_usage_by_user.user_id IS '사용자 고유 식별자: 사용자 | User ID: the user';
COMMENT ON COLUMN reporting.daily_usage_by_user.department_id IS '부서 고유 식별자: 사용자가 지금 소속된 부서 | '
    'Department ID: the department the user works for now';

GRANT SELECT ON reporting.daily_usage_by_user TO llm_analyst;
