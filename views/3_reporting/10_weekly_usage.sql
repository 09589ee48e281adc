CREATE OR REPLACE VIEW reporting.weekly_usage AS
SELECT
    p.first_day AS request_week,
    p.requests,
    p.answered_requests,
    p.requests_without_tokens,
    p.tokens,
    p.requests_before,
    p.tokens_before,
    p.requests_change,
    p.tokens_change
FROM rollup.usage_periods AS p
WHERE p.grain = 'week' AND p.dimension = 'all';
COMMENT ON VIEW reporting.weekly_usage IS '주별 사용량: 플랫폼 전체의 요청과 토큰, 요청이 있는 주(보고 시간대)마다 한 행. 이번 주는 지난주 전체와 비교한다 | '
    'Weekly usage: requests and tokens of the whole platform, one row per week (reporting time zone) with requests. '
    'The running week is compared with the whole one before';
CALL ops.describe('reporting.weekly_usage', 'rollup.usage_periods');
COMMENT ON COLUMN reporting.weekly_usage.request_week IS '주: 그 주가 시작되는 월요일, 보고 시간대 기준 | '
    'Week: the Monday it begins on, in the reporting time zone';

GRANT SELECT ON reporting.weekly_usage TO llm_analyst;
