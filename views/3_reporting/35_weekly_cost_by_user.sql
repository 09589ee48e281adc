CREATE OR REPLACE VIEW reporting.weekly_cost_by_user AS
SELECT
    p.first_day AS cost_week,
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
WHERE p.grain = 'week' AND p.dimension = 'user';
COMMENT ON VIEW reporting.weekly_cost_by_user IS '사용자별 주별 비용: 사용자의 요청에 든 비용; 사용이나 비용이 있는 사용자마다, 주(보고 시간대)마다 한 행, 아무도 '
    '사용하지 않은 비용은 별도의 행. 이번 주는 지난주 전체와 비교한다 | '
    'Weekly cost by user: what the user''s requests cost; one row per user and week (reporting time zone) with use, '
    'and one for what nobody used. The running week is compared with the whole one before';
CALL ops.describe('reporting.weekly_cost_by_user', 'reporting.daily_cost_by_user');
COMMENT ON COLUMN reporting.weekly_cost_by_user.cost_week IS '비용 주: 주가 시작하는 월요일, 보고 시간대 기준 | '
    'Week: the Monday it begins on, in the reporting time zone';

GRANT SELECT ON reporting.weekly_cost_by_user TO llm_analyst;
