CREATE OR REPLACE VIEW reporting.daily_cost_by_project AS
SELECT
    p.first_day AS cost_day,
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
WHERE p.grain = 'day' AND p.dimension = 'project';
COMMENT ON VIEW reporting.daily_cost_by_project IS '프로젝트별 일별 비용: 누가 했든 그 프로젝트의 세션에 든 비용; 사용이나 비용이 있는 프로젝트마다, 일자(보고 '
    '시간대)마다 한 행, 아무도 사용하지 않은 비용은 별도의 행. 오늘은 어제 하루 전체와 비교한다 | '
    'Daily cost by project: what its sessions cost, whoever worked on it; one row per project and day (reporting '
    'time zone) with use, and one for what nobody used. Today is compared with the whole of yesterday';
CALL ops.describe('reporting.daily_cost_by_project', 'rollup.cost_periods', 'reporting.requests');
COMMENT ON COLUMN reporting.daily_cost_by_project.cost_day IS '비용 일자: 보고 시간대의 일자 | '
    'Day: in the reporting time zone';
COMMENT ON COLUMN reporting.daily_cost_by_project.project_id IS '프로젝트 고유 식별자: 프로젝트; NULL = 프로젝트 없는 세션의 요청, 또는 유휴 비용 | '
    'Project ID: the project; NULL = requests of sessions without one, or idle';

GRANT SELECT ON reporting.daily_cost_by_project TO llm_analyst;
