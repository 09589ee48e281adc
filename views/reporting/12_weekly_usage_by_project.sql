CREATE OR REPLACE VIEW reporting.weekly_usage_by_project AS
SELECT
    p.first_day AS request_week,
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
FROM llm.usage_periods AS p
LEFT JOIN llm.projects AS pr ON p.key = pr.project_id
LEFT JOIN llm.departments AS d ON pr.department_id = d.department_id
WHERE p.grain = 'week' AND p.dimension = 'project';
COMMENT ON VIEW reporting.weekly_usage_by_project IS '프로젝트별 주별 사용량: requests and tokens, one row per project and week '
    '(reporting time zone) with requests. Requests of sessions without a project are a row of their own, its project '
    'NULL. The running week is compared with the whole one before';
COMMENT ON COLUMN reporting.weekly_usage_by_project.request_week IS '주: the Monday it begins on, in the reporting time '
    'zone';
COMMENT ON COLUMN reporting.weekly_usage_by_project.project_id IS '프로젝트 고유 식별자: the project; NULL = requests of '
    'sessions without one';
COMMENT ON COLUMN reporting.weekly_usage_by_project.project_name IS '프로젝트명: name of the project; not unique; NULL = no '
    'project';
COMMENT ON COLUMN reporting.weekly_usage_by_project.project_department_id IS '프로젝트의 부서: the department the project '
    'belongs to now; NULL = no project';
COMMENT ON COLUMN reporting.weekly_usage_by_project.project_department_name IS '프로젝트의 부서명: its name; NULL = no project';
COMMENT ON COLUMN reporting.weekly_usage_by_project.requests IS '요청 수: all requests, answered or not';
COMMENT ON COLUMN reporting.weekly_usage_by_project.answered_requests IS '응답된 요청 수: requests whose response_time is '
    'known';
COMMENT ON COLUMN reporting.weekly_usage_by_project.requests_without_tokens IS '토큰 수 미상 요청 수: requests whose '
    'token_used is not known; tokens leaves them out';
COMMENT ON COLUMN reporting.weekly_usage_by_project.tokens IS '사용 토큰 수: sum of the known token_used, in tokens; 0 when '
    'none is known';
COMMENT ON COLUMN reporting.weekly_usage_by_project.request_share IS '요청 비율: share of the week''s requests on the '
    'whole platform, 0 to 1';
COMMENT ON COLUMN reporting.weekly_usage_by_project.token_share IS '토큰 비율: share of the week''s known tokens on the '
    'whole platform, 0 to 1; NULL = none is known';
COMMENT ON COLUMN reporting.weekly_usage_by_project.requests_before IS '이전 기간 요청 수: requests of the week before; 0 = '
    'none';
COMMENT ON COLUMN reporting.weekly_usage_by_project.tokens_before IS '이전 기간 토큰 수: tokens of the week before, in '
    'tokens; 0 = none';
COMMENT ON COLUMN reporting.weekly_usage_by_project.requests_change IS '요청 증감률: of requests against the week before, '
    '0.25 = 25 % more; NULL = none before';
COMMENT ON COLUMN reporting.weekly_usage_by_project.tokens_change IS '토큰 증감률: of tokens against the week before, 0.25 '
    '= 25 % more; NULL = none before';

GRANT SELECT ON reporting.weekly_usage_by_project TO llm_analyst;
