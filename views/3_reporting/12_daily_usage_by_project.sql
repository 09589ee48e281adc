CREATE OR REPLACE VIEW reporting.daily_usage_by_project AS
SELECT
    p.first_day AS request_day,
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
WHERE p.grain = 'day' AND p.dimension = 'project';
COMMENT ON VIEW reporting.daily_usage_by_project IS '프로젝트별 일별 사용량: 요청과 토큰, 요청이 있는 프로젝트와 일자(보고 시간대)마다 한 행. 프로젝트 없는 세션의 '
    '요청은 프로젝트가 NULL인 별도의 행. 오늘은 어제 하루 전체와 비교한다 | '
    'Daily usage by project: requests and tokens, one row per project and day (reporting time zone) with requests. '
    'Requests of sessions without a project are a row of their own, its project NULL. Today is compared with the whole '
    'of yesterday';
CALL ops.describe('reporting.daily_usage_by_project', 'rollup.usage_periods', 'reporting.requests');
COMMENT ON COLUMN reporting.daily_usage_by_project.project_id IS '프로젝트 고유 식별자: 프로젝트; NULL = 프로젝트 없는 세션의 요청 | '
    'Project ID: the project; NULL = requests of sessions without one';

GRANT SELECT ON reporting.daily_usage_by_project TO llm_analyst;
