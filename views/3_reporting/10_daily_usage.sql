CREATE OR REPLACE VIEW reporting.daily_usage AS
SELECT
    p.first_day AS request_day,
    p.requests,
    p.answered_requests,
    p.requests_without_tokens,
    p.tokens,
    p.requests_before,
    p.tokens_before,
    p.requests_change,
    p.tokens_change
FROM rollup.usage_periods AS p
WHERE p.grain = 'day' AND p.dimension = 'all';
COMMENT ON VIEW reporting.daily_usage IS '일별 사용량: 플랫폼 전체의 요청과 토큰, 요청이 있는 일자(보고 시간대)마다 한 행. 오늘은 어제 하루 전체와 비교한다 | '
    'Daily usage: requests and tokens of the whole platform, one row per day (reporting time zone) with requests. '
    'Today is compared with the whole of yesterday';
CALL ops.describe('reporting.daily_usage', 'rollup.usage_periods', 'reporting.requests');

GRANT SELECT ON reporting.daily_usage TO llm_analyst;
