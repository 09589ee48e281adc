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
COMMENT ON VIEW reporting.daily_usage_by_user IS '사용자별 일별 사용량: requests and tokens, one row per user and day '
    '(reporting time zone) with requests. Today is compared with the whole of yesterday';
CALL ops.describe('reporting.daily_usage_by_user', 'rollup.usage_periods', 'reporting.requests', 'llm.users');
COMMENT ON COLUMN reporting.daily_usage_by_user.user_id IS '사용자 고유 식별자: the user';
COMMENT ON COLUMN reporting.daily_usage_by_user.department_id IS '부서 고유 식별자: the department the user works for now';

GRANT SELECT ON reporting.daily_usage_by_user TO llm_analyst;
