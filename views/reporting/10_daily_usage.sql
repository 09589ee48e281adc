CREATE OR REPLACE VIEW reporting.daily_usage AS
SELECT
    r.request_day,
    count(*) AS requests,
    count(r.response_time) AS answered_requests,
    count(*) FILTER (WHERE r.token_used IS NULL) AS requests_without_tokens,
    coalesce(sum(r.token_used), 0)::bigint AS tokens
FROM reporting.requests AS r
GROUP BY r.request_day;
COMMENT ON VIEW reporting.daily_usage IS '일별 사용량: requests and tokens of the whole platform, one row per day '
    '(Asia/Seoul) with requests';
COMMENT ON COLUMN reporting.daily_usage.request_day IS '일자: the day in Asia/Seoul';
COMMENT ON COLUMN reporting.daily_usage.requests IS '요청 수: all requests, answered or not';
COMMENT ON COLUMN reporting.daily_usage.answered_requests IS '응답된 요청 수: requests whose response_time is known';
COMMENT ON COLUMN reporting.daily_usage.requests_without_tokens IS '토큰 수 미상 요청 수: requests whose token_used is not '
    'known; tokens leaves them out';
COMMENT ON COLUMN reporting.daily_usage.tokens IS '사용 토큰 수: sum of the known token_used, in tokens; 0 when none is '
    'known';

GRANT SELECT ON reporting.daily_usage TO llm_analyst;
