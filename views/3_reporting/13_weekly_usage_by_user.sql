CREATE OR REPLACE VIEW reporting.weekly_usage_by_user AS
SELECT
    p.first_day AS request_week,
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
WHERE p.grain = 'week' AND p.dimension = 'user';
COMMENT ON VIEW reporting.weekly_usage_by_user IS '사용자별 주별 사용량: 요청과 토큰, 요청이 있는 사용자와 주(보고 시간대)마다 한 행. 이번 주는 지난주 전체와 '
    '비교한다 | '
    'Weekly usage by user: requests and tokens, one row per user and week (reporting time zone) with requests. The '
    'running week is compared with the whole one before';
CALL ops.describe('reporting.weekly_usage_by_user', 'reporting.weekly_usage', 'reporting.daily_usage_by_user');

GRANT SELECT ON reporting.weekly_usage_by_user TO llm_analyst;
