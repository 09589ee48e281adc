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
FROM llm.usage_periods AS p
WHERE p.grain = 'day' AND p.dimension = 'all';
COMMENT ON VIEW reporting.daily_usage IS '일별 사용량: requests and tokens of the whole platform, one row per day '
    '(reporting time zone) with requests. Today is compared with the whole of yesterday';
COMMENT ON COLUMN reporting.daily_usage.request_day IS '일자: the day in the reporting time zone';
COMMENT ON COLUMN reporting.daily_usage.requests IS '요청 수: all requests, answered or not';
COMMENT ON COLUMN reporting.daily_usage.answered_requests IS '응답된 요청 수: requests whose response_time is known';
COMMENT ON COLUMN reporting.daily_usage.requests_without_tokens IS '토큰 수 미상 요청 수: requests whose token_used is not '
    'known; tokens leaves them out';
COMMENT ON COLUMN reporting.daily_usage.tokens IS '사용 토큰 수: sum of the known token_used, in tokens; 0 when none is '
    'known';
COMMENT ON COLUMN reporting.daily_usage.requests_before IS '이전 기간 요청 수: requests of the day before; 0 = none';
COMMENT ON COLUMN reporting.daily_usage.tokens_before IS '이전 기간 토큰 수: tokens of the day before, in tokens; 0 = none';
COMMENT ON COLUMN reporting.daily_usage.requests_change IS '요청 증감률: of requests against the day before, 0.25 = 25 % '
    'more; NULL = none before';
COMMENT ON COLUMN reporting.daily_usage.tokens_change IS '토큰 증감률: of tokens against the day before, 0.25 = 25 % more; '
    'NULL = none before';

GRANT SELECT ON reporting.daily_usage TO llm_analyst;
