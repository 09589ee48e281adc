CREATE OR REPLACE VIEW reporting.monthly_usage_by_department AS
SELECT
    p.first_day AS request_month,
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
WHERE p.grain = 'month' AND p.dimension = 'department';
COMMENT ON VIEW reporting.monthly_usage_by_department IS '부서별 월별 사용량: requests and tokens, one row per department and '
    'month (reporting time zone) with requests. A request counts once, for the department its user worked for at the '
    'time, whosever project it was for. The running month is compared with the whole one before';
CALL ops.describe(
    'reporting.monthly_usage_by_department',
    'reporting.monthly_usage', 'reporting.daily_usage_by_department'
);

GRANT SELECT ON reporting.monthly_usage_by_department TO llm_analyst;
