CREATE OR REPLACE VIEW reporting.monthly_usage AS
SELECT
    p.first_day AS request_month,
    p.requests,
    p.answered_requests,
    p.requests_without_tokens,
    p.tokens,
    p.requests_before,
    p.tokens_before,
    p.requests_change,
    p.tokens_change
FROM rollup.usage_periods AS p
WHERE p.grain = 'month' AND p.dimension = 'all';
COMMENT ON VIEW reporting.monthly_usage IS '월별 사용량: 플랫폼 전체의 요청과 토큰, 요청이 있는 달(보고 시간대)마다 한 행. 이번 달은 지난달 전체와 비교한다 | '
    'Monthly usage: requests and tokens of the whole platform, one row per month (reporting time zone) with requests. '
    'The running month is compared with the whole one before';
CALL ops.describe('reporting.monthly_usage', 'rollup.usage_periods');
COMMENT ON COLUMN reporting.monthly_usage.request_month IS '월: 그 달의 첫날, 보고 시간대 기준 | '
    'Month: its first day, in the reporting time zone';

GRANT SELECT ON reporting.monthly_usage TO llm_analyst;
