CREATE OR REPLACE VIEW reporting.daily_cost_by_department AS
SELECT
    p.first_day AS cost_day,
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
WHERE p.grain = 'day' AND p.dimension = 'department';
COMMENT ON VIEW reporting.daily_cost_by_department IS '부서별 일별 비용: 사용자들의 사용에 든 비용. 요청은 그때 사용자가 소속된 부서의 것; 사용이나 비용이 있는 '
    '부서마다, 일자(보고 시간대)마다 한 행, 아무도 사용하지 않은 비용은 별도의 행. 오늘은 어제 하루 전체와 비교한다 | '
    'Daily cost by department: what the use of its people cost: a request counts for the department its user worked '
    'for at the time; one row per department and day (reporting time zone) with use, and one for what nobody used. '
    'Today is compared with the whole of yesterday';
CALL ops.describe('reporting.daily_cost_by_department', 'rollup.cost_periods', 'reporting.requests');
COMMENT ON COLUMN reporting.daily_cost_by_department.cost_day IS '비용 일자: 보고 시간대의 일자 | '
    'Day: in the reporting time zone';
COMMENT ON COLUMN reporting.daily_cost_by_department.department_id IS '부서 고유 식별자: 요청 시점에 사용자가 소속된 부서; NULL = 유휴 비용 | '
    'Department ID: the department that users worked for at the time; NULL = idle';

GRANT SELECT ON reporting.daily_cost_by_department TO llm_analyst;
