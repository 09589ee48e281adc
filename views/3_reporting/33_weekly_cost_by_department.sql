CREATE OR REPLACE VIEW reporting.weekly_cost_by_department AS
SELECT
    p.first_day AS cost_week,
    coalesce(d.department_id, p.key) AS department_id,
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
LEFT JOIN rollup.departments AS d ON p.key = d.department_id
WHERE p.grain = 'week' AND p.dimension = 'department';
COMMENT ON VIEW reporting.weekly_cost_by_department IS '부서별 주별 비용: 사용자들의 사용에 든 비용. 요청은 그때 사용자가 소속된 부서의 것; 사용이나 비용이 있는 '
    '부서마다, 주(보고 시간대)마다 한 행, 아무도 사용하지 않은 비용은 별도의 행. 이번 주는 지난주 전체와 비교한다 | '
    'Weekly cost by department: what the use of its people cost: a request counts for the department its user '
    'worked for at the time; one row per department and week (reporting time zone) with use, and one for what nobody '
    'used. The running week is compared with the whole one before';
CALL ops.describe('reporting.weekly_cost_by_department', 'reporting.daily_cost_by_department');
COMMENT ON COLUMN reporting.weekly_cost_by_department.cost_week IS '비용 주: 주가 시작하는 월요일, 보고 시간대 기준 | '
    'Week: the Monday it begins on, in the reporting time zone';

GRANT SELECT ON reporting.weekly_cost_by_department TO llm_analyst;
