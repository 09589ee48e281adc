-- Closed days from the rollups, the rest from the logs; a day may be in both. What is no longer stored is only in the
-- rollups, noted or not.
CREATE OR REPLACE VIEW rollup.usage_rows AS
WITH noted AS MATERIALIZED (
    SELECT n.days, n.spans FROM rollup.noted('logs') AS n
)

SELECT
    r.dimension, r.key, r.day, r.requests, r.answered_requests, r.requests_without_tokens, r.at_max_tokens_requests,
    r.tokens, r.latency_us, r.max_latency_us, r.first_request_time, r.last_request_time, r.latencies
FROM rollup.usage AS r
WHERE (r.month IS NULL OR r.day <> all((SELECT n.days FROM noted AS n)::date []))
    AND (
        (SELECT rollup.sees_all(current_user))
        OR r.dimension = 'department' AND r.key = (SELECT rollup.department_of(current_user))
    )
UNION ALL
SELECT
    o.dimension, o.key, o.day, o.requests, o.answered_requests, o.requests_without_tokens, o.at_max_tokens_requests,
    o.tokens, o.latency_us, o.max_latency_us, o.first_request_time, o.last_request_time, o.latencies
FROM noted AS n
CROSS JOIN LATERAL rollup.open_usage(n.spans) AS o
WHERE (SELECT rollup.sees_all(current_user))
    OR o.dimension = 'department' AND o.key = (SELECT rollup.department_of(current_user));
COMMENT ON VIEW rollup.usage_rows IS '사용량: of all time, exact, to be summed up';
CALL ops.describe('rollup.usage_rows', 'rollup.usage');
COMMENT ON COLUMN rollup.usage_rows.requests IS '요청 수: 모든 요청, 응답 여부와 무관 | Requests: all requests, answered or not';
COMMENT ON COLUMN rollup.usage_rows.answered_requests IS '응답된 요청 수: 응답 시간(response_time)이 기록된 요청 | '
    'Answered requests: requests whose response_time is known';
COMMENT ON COLUMN rollup.usage_rows.requests_without_tokens IS '토큰 수 미상 요청 수: token_used가 기록되지 않은 요청; tokens에는 들어가지 '
    '않는다 | '
    'Requests without tokens: requests whose token_used is not known; tokens leaves them out';
COMMENT ON COLUMN rollup.usage_rows.at_max_tokens_requests IS '최대 토큰 도달 요청 수: token_used가 설정의 max_tokens 이상인 요청 | '
    'Requests at max tokens: requests whose token_used is at least max_tokens of their preset';
COMMENT ON COLUMN rollup.usage_rows.tokens IS '사용 토큰 수: 기록된 token_used의 합, 토큰 단위; 기록된 값이 없으면 0 | '
    'Tokens: sum of the known token_used, in tokens; 0 when none is known';
