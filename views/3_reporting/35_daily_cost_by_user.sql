CREATE OR REPLACE VIEW reporting.daily_cost_by_user AS
SELECT
    p.first_day AS cost_day,
    p.key AS user_id,
    u.user_name || (SELECT '' WHERE reporting.may_read_people()) AS user_name,
    u.user_email || (SELECT '' WHERE reporting.may_read_people()) AS user_email,
    u.department_id,
    d.department_name,
    p.is_idle,
    p.currency,
    p.gpu_hours,
    p.allocated_cost,
    p.used_cost,
    p.idle_cost,
    p.cost_share,
    p.cost_before,
    p.cost_change,
    p.requests,
    p.requests_without_tokens,
    p.tokens,
    p.cost_per_1000_requests,
    p.cost_per_million_tokens
FROM rollup.cost_periods AS p
LEFT JOIN llm.users AS u ON p.key = u.user_id
LEFT JOIN llm.departments AS d ON u.department_id = d.department_id
WHERE p.grain = 'day' AND p.dimension = 'user';
COMMENT ON VIEW reporting.daily_cost_by_user IS '사용자별 일별 비용: 사용자의 요청에 든 비용; 사용이나 비용이 있는 사용자마다, 일자(보고 시간대)마다 한 행, 아무도 '
    '사용하지 않은 비용은 별도의 행. 오늘은 어제 하루 전체와 비교한다 | '
    'Daily cost by user: what the user''s requests cost; one row per user and day (reporting time zone) with use, '
    'and one for what nobody used. Today is compared with the whole of yesterday';
CALL ops.describe('reporting.daily_cost_by_user', 'rollup.cost_periods', 'reporting.requests');
COMMENT ON COLUMN reporting.daily_cost_by_user.cost_day IS '비용 일자: 보고 시간대의 일자 | '
    'Day: in the reporting time zone';
COMMENT ON COLUMN reporting.daily_cost_by_user.user_id IS '사용자 고유 식별자: 사용자; NULL = 유휴 비용 | '
    'User ID: the user; NULL = idle';
COMMENT ON COLUMN reporting.daily_cost_by_user.department_id IS '부서 고유 식별자: 사용자가 지금 소속된 부서 | '
    'Department ID: the department the user works for now';

GRANT SELECT ON reporting.daily_cost_by_user TO llm_analyst;
