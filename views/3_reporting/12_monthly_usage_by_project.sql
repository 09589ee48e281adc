CREATE OR REPLACE VIEW reporting.monthly_usage_by_project AS
SELECT
    p.first_day AS request_month,
    p.key AS project_id,
    pr.project_name,
    pr.department_id AS project_department_id,
    d.department_name AS project_department_name,
    p.requests,
    p.answered_requests,
    p.requests_without_tokens,
    p.tokens,
    p.request_share,
    p.token_share,
    p.requests_before,
    p.tokens_before,
    p.requests_change,
    p.tokens_change
FROM rollup.usage_periods AS p
LEFT JOIN llm.projects AS pr ON p.key = pr.project_id
LEFT JOIN llm.departments AS d ON pr.department_id = d.department_id
WHERE p.grain = 'month' AND p.dimension = 'project';
COMMENT ON VIEW reporting.monthly_usage_by_project IS '프로젝트별 월별 사용량: 요청과 토큰, 요청이 있는 프로젝트와 달(보고 시간대)마다 한 행. 프로젝트 없는 세션의 '
    '요청은 프로젝트가 NULL인 별도의 행. 이번 달은 지난달 전체와 비교한다 | '
    'Monthly usage by project: requests and tokens, one row per project and month (reporting time zone) with requests. '
    'Requests of sessions without a project are a row of their own, its project NULL. The running month is compared '
    'with the whole one before';
CALL ops.describe('reporting.monthly_usage_by_project', 'reporting.monthly_usage', 'reporting.daily_usage_by_project');

GRANT SELECT ON reporting.monthly_usage_by_project TO llm_analyst;
