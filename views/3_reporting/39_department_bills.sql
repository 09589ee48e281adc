-- needs: 0039.rates-and-budgets

-- Projects are those that belong to the department, whoever works on them; models and users are those of its people.
CREATE OR REPLACE VIEW reporting.department_bills AS
SELECT
    b.cost_month,
    b.department_id,
    d.department_name,
    b.line,
    b.line_ko,
    b.line_en,
    CASE b.line WHEN 'project' THEN b.name END AS project_name,
    CASE b.line WHEN 'model' THEN b.name END AS model_name,
    CASE b.line WHEN 'user' THEN b.name END AS user_name,
    b.currency,
    b.gpu_hours,
    b.allocated_cost,
    b.used_cost,
    b.idle_cost,
    (
        b.allocated_cost
        / nullif(max(b.allocated_cost) FILTER (WHERE b.line = 'department') OVER of_department, 0)
    )::double precision AS department_share,
    b.cost_before,
    b.cost_change,
    b.requests,
    b.tokens
FROM (
    -- One look at all of them, as each would read open time for itself.
    SELECT
        p.first_day AS cost_month,
        CASE
            WHEN p.dimension = 'department' THEN coalesce(s.department_id, p.key)
            WHEN p.dimension = 'project' THEN pr.department_id
            ELSE p.department_id
        END AS department_id,
        n.line,
        n.line_ko,
        n.line_en,
        coalesce(pr.project_name, m.model_name, u.user_name || (SELECT '' WHERE reporting.may_read_people())) AS name,
        p.currency,
        p.gpu_hours,
        p.allocated_cost,
        p.used_cost,
        p.idle_cost,
        p.cost_before,
        p.cost_change,
        p.requests,
        p.tokens
    FROM rollup.cost_periods AS p
    INNER JOIN (
        VALUES
        ('department', 'department', '부서', 'Department'), ('project', 'project', '프로젝트', 'Project'),
        ('model of department', 'model', '모델', 'Model'), ('user of department', 'user', '사용자', 'User')
    ) AS n (dimension, line, line_ko, line_en) ON p.dimension = n.dimension
    LEFT JOIN rollup.departments AS s ON n.line = 'department' AND p.key = s.department_id
    LEFT JOIN llm.projects AS pr ON n.line = 'project' AND p.key = pr.project_id
    LEFT JOIN llm.models AS m ON n.line = 'model' AND p.key = m.model_id
    LEFT JOIN llm.users AS u ON n.line = 'user' AND p.key = u.user_id
    -- The names again: by those of a join the planner works out all dimensions first.
    WHERE p.grain = 'month' AND NOT p.is_idle
        AND p.dimension IN ('department', 'project', 'model of department', 'user of department')
        AND (n.line <> 'project' OR pr.project_id IS NOT NULL)
) AS b
LEFT JOIN rollup.departments AS d ON b.department_id = d.department_id
WINDOW of_department AS (PARTITION BY b.cost_month, b.department_id);
COMMENT ON VIEW reporting.department_bills IS '부서 청구서: 부서와 월(보고 시간대)마다 그 비용, 그리고 부서에 속한 프로젝트(누가 쓰든), 부서 '
    '사람들이 쓴 모델, 사용자마다 한 행. 진행 중인 월은 이전 월 전체와 비교한다 | Bills of departments: the cost of each '
    'department and month (reporting time zone), and a row for each project that belongs to it (whoever works on it), '
    'and each model and user of its people. The running month is compared with the whole one before';
CALL ops.describe('reporting.department_bills', 'rollup.cost_periods', 'reporting.requests');
COMMENT ON COLUMN reporting.department_bills.cost_month IS '월: 비용이 든 월의 첫날(보고 시간대) | Month: first day of the month '
    '(reporting time zone)';
COMMENT ON COLUMN reporting.department_bills.department_id IS '부서 고유 식별자: 청구 대상 부서, 프로젝트는 그것이 속한 부서 | '
    'Department ID: whose bill it is; of a project, the department it belongs to';
COMMENT ON COLUMN reporting.department_bills.department_name IS '부서명: 청구 대상 부서 | Department: whose bill it is';
COMMENT ON COLUMN reporting.department_bills.line IS '항목 코드: 부서, 프로젝트, 모델, 사용자 가운데 무엇의 비용인지 | Line code: of '
    'what the cost is: department, project, model or user';
COMMENT ON COLUMN reporting.department_bills.line_ko IS '항목: 한국어 이름 | Line in Korean: what the row is of';
COMMENT ON COLUMN reporting.department_bills.line_en IS '항목(영어): 영어 이름 | Line: what the row is of';
COMMENT ON COLUMN reporting.department_bills.department_share IS '부서 내 비율: 부서 전체 배분 비용에 대한 비율, 0에서 1, 프로젝트는 다른 '
    '부서 사람의 사용도 있어 1을 넘을 수 있다 | Share of the department: against the allocated cost of the whole department, '
    '0 to 1; of a project, which others may use, it may be more';

GRANT SELECT ON reporting.department_bills TO llm_analyst;
