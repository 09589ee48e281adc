CREATE OR REPLACE VIEW reporting.weekly_usage_by_department AS
SELECT
    p.first_day AS request_week,
    coalesce(d.department_id, p.key) AS department_id,
    d.department_name,
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
LEFT JOIN rollup.departments AS d ON p.key = d.department_id
WHERE p.grain = 'week' AND p.dimension = 'department';
COMMENT ON VIEW reporting.weekly_usage_by_department IS '부서별 주별 사용량: 요청과 토큰, 요청이 있는 부서와 주(보고 시간대)마다 한 행. 요청은 프로젝트와 '
    '무관하게 당시 사용자가 소속된 부서에 한 번만 집계한다. 이번 주는 지난주 전체와 비교한다 | '
    'Weekly usage by department: requests and tokens, one row per department and week (reporting time zone) with '
    'requests. A request counts once, for the department its user worked for at the time, whosever project it was for. '
    'The running week is compared with the whole one before';
CALL ops.describe(
    'reporting.weekly_usage_by_department',
    'reporting.weekly_usage', 'reporting.daily_usage_by_department'
);

GRANT SELECT ON reporting.weekly_usage_by_department TO llm_analyst;
