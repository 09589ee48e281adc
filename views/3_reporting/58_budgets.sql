-- A barrier, since names of departments and projects have none of their own here.
CREATE OR REPLACE VIEW reporting.budgets WITH (security_barrier) AS
SELECT
    b.month AS budget_month,
    d.department_id,
    d.department_name,
    p.project_id,
    p.project_name,
    (SELECT c.currency FROM llm.cost_settings AS c) AS currency,
    b.amount,
    b.spent,
    (b.spent / nullif(b.amount, 0))::double precision AS spent_share,
    b.forecast,
    (b.forecast / nullif(b.amount, 0))::double precision AS forecast_share,
    b.days_left,
    b.spent > b.amount AS is_over
FROM rollup.budget_months AS b
LEFT JOIN rollup.departments AS d ON b.dimension = 'department' AND b.key = d.department_id
LEFT JOIN llm.projects AS p ON b.dimension = 'project' AND b.key = p.project_id;
COMMENT ON VIEW reporting.budgets IS '예산: 부서와 프로젝트의 월 예산과 지출, 예산이 있는 부서나 프로젝트와 달(보고 시간대)마다 한 행, 이번 달까지. 예산을 넘어도 막지 '
    '않는다 | '
    'Budgets: what departments and projects may cost a month, and what they do; one row per department or project and '
    'month (reporting time zone) that has a budget, up to this month. Nothing is enforced';
CALL ops.describe('reporting.budgets', 'rollup.budget_months', 'rollup.cost_periods', 'reporting.requests');
COMMENT ON COLUMN reporting.budgets.budget_month IS '월: 달의 첫날, 보고 시간대 기준 | '
    'Month: its first day, in the reporting time zone';
COMMENT ON COLUMN reporting.budgets.department_id IS '부서 고유 식별자: 예산이 있는 부서; NULL = 프로젝트의 예산 | '
    'Department ID: whose budget it is; NULL = a project''s';
COMMENT ON COLUMN reporting.budgets.project_id IS '프로젝트 고유 식별자: 예산이 있는 프로젝트; NULL = 부서의 예산 | '
    'Project ID: whose budget it is; NULL = a department''s';
COMMENT ON COLUMN reporting.budgets.spent_share IS '지출 비율: 예산에 대한 지출의 비율, 1 = 모두; NULL = 예산이 0 | '
    'Share spent: spent / amount, 1 = all of it; NULL = the budget is 0';
COMMENT ON COLUMN reporting.budgets.forecast_share IS '예상 지출 비율: 예산에 대한 예상 지출의 비율; NULL = 예산이 0 | '
    'Share forecast: forecast / amount; NULL = the budget is 0';
COMMENT ON COLUMN reporting.budgets.is_over IS '초과 여부: 지출이 예산보다 많은지 여부 | '
    'Over: whether more is spent than the budget';

GRANT SELECT ON reporting.budgets TO llm_analyst;
