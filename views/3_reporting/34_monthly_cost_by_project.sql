CREATE OR REPLACE VIEW reporting.monthly_cost_by_project AS
SELECT
    p.first_day AS cost_month,
    p.key AS project_id,
    pr.project_name,
    pr.department_id AS project_department_id,
    d.department_name AS project_department_name,
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
LEFT JOIN llm.projects AS pr ON p.key = pr.project_id
LEFT JOIN llm.departments AS d ON pr.department_id = d.department_id
WHERE p.grain = 'month' AND p.dimension = 'project';
COMMENT ON VIEW reporting.monthly_cost_by_project IS '프로젝트별 월별 비용: 누가 했든 그 프로젝트의 세션에 든 비용; 사용이나 비용이 있는 프로젝트마다, 달(보고 '
    '시간대)마다 한 행, 아무도 사용하지 않은 비용은 별도의 행. 이번 달은 지난달 전체와 비교한다 | '
    'Monthly cost by project: what its sessions cost, whoever worked on it; one row per project and month '
    '(reporting time zone) with use, and one for what nobody used. The running month is compared with the whole one '
    'before';
CALL ops.describe('reporting.monthly_cost_by_project', 'reporting.daily_cost_by_project');
COMMENT ON COLUMN reporting.monthly_cost_by_project.cost_month IS '비용 월: 달의 첫날, 보고 시간대 기준 | '
    'Month: its first day, in the reporting time zone';

GRANT SELECT ON reporting.monthly_cost_by_project TO llm_analyst;
