-- Versions are compared part by part as numbers: as text, 1.9 would come after 1.10.
CREATE OR REPLACE VIEW reporting.template_usage AS
SELECT
    t.template_id,
    t.template_name,
    t.version,
    row_number() OVER (
        PARTITION BY t.template_name
        ORDER BY string_to_array(t.version, '.')::numeric [] DESC, t.template_id DESC
    ) = 1 AS is_newest,
    t.task_category,
    tc.label_ko AS task_category_ko,
    tc.label_en AS task_category_en,
    t.created_at,
    t.created_by,
    u.user_name AS created_by_name,
    t.usage_count,
    coalesce(l.requests, 0) AS requests,
    coalesce(l.requests_without_tokens, 0) AS requests_without_tokens,
    coalesce(l.tokens, 0) AS tokens,
    l.first_request_time,
    l.last_request_time,
    l.latency_p50_ms,
    l.latency_p95_ms,
    l.tokens / nullif(l.requests - l.requests_without_tokens, 0)::double precision AS mean_tokens
FROM llm.prompt_templates AS t
INNER JOIN llm.task_categories AS tc ON t.task_category = tc.code
INNER JOIN llm.users AS u ON t.created_by = u.user_id
LEFT JOIN (
    SELECT
        r.key,
        sum(r.requests)::bigint AS requests,
        sum(r.requests_without_tokens)::bigint AS requests_without_tokens,
        sum(r.tokens)::bigint AS tokens,
        min(r.first_request_time) AS first_request_time,
        max(r.last_request_time) AS last_request_time,
        llm.histogram_percentile_ms(
            llm.histogram_sum(r.latencies) FILTER (WHERE r.day > r.last_day - 30), 0.50
        ) AS latency_p50_ms,
        llm.histogram_percentile_ms(
            llm.histogram_sum(r.latencies) FILTER (WHERE r.day > r.last_day - 30), 0.95
        ) AS latency_p95_ms
    FROM (
        SELECT u.*, max(u.day) OVER (PARTITION BY u.key) AS last_day
        FROM llm.usage_rows AS u
        WHERE u.dimension = 'template'
    ) AS r
    GROUP BY r.key
) AS l ON t.template_id = l.key;
COMMENT ON VIEW reporting.template_usage IS '프롬프트 템플릿 사용: every version of every template with its uses of all '
    'time; one row per version, also when never used. usage_count still counts requests that were deleted one by one, '
    'the other figures do not';
COMMENT ON COLUMN reporting.template_usage.template_id IS '템플릿 고유 식별자: the version of the template';
COMMENT ON COLUMN reporting.template_usage.template_name IS '템플릿명: what the template is for; the same in all versions';
COMMENT ON COLUMN reporting.template_usage.version IS '버전: dotted numbers; unique within template_name';
COMMENT ON COLUMN reporting.template_usage.is_newest IS '최신 버전 여부: whether this is the highest version of the '
    'template, compared part by part as numbers: 1.10 is newer than 1.9. Exactly one per template_name';
COMMENT ON COLUMN reporting.template_usage.task_category IS '작업 카테고리: code of the task';
COMMENT ON COLUMN reporting.template_usage.task_category_ko IS '작업 카테고리: Korean label';
COMMENT ON COLUMN reporting.template_usage.task_category_en IS '작업 카테고리: English label';
COMMENT ON COLUMN reporting.template_usage.created_at IS '생성 시간: when this version was written';
COMMENT ON COLUMN reporting.template_usage.created_by IS '작성자: user_id of who wrote this version';
COMMENT ON COLUMN reporting.template_usage.created_by_name IS '작성자 실명: name of who wrote this version';
COMMENT ON COLUMN reporting.template_usage.usage_count IS '사용 횟수: requests that used this version over all time; '
    'deleting them does not lower it';
COMMENT ON COLUMN reporting.template_usage.requests IS '요청 수: requests of all time that used this version, also of '
    'months that are no longer stored; 0 when none';
COMMENT ON COLUMN reporting.template_usage.requests_without_tokens IS '토큰 수 미상 요청 수: those of them whose token_used is '
    'not known; tokens leaves them out';
COMMENT ON COLUMN reporting.template_usage.tokens IS '사용 토큰 수: sum of the known token_used, in tokens; 0 when none is '
    'known';
COMMENT ON COLUMN reporting.template_usage.first_request_time IS '첫 요청 시간: first use; NULL = none';
COMMENT ON COLUMN reporting.template_usage.last_request_time IS '마지막 요청 시간: last use; NULL = none';
COMMENT ON COLUMN reporting.template_usage.latency_p50_ms IS '처리 시간 p50: at least 50% of the answered requests of the '
    '30 days up to its last use took at most this, in milliseconds, within 2 %; NULL = none was answered';
COMMENT ON COLUMN reporting.template_usage.latency_p95_ms IS '처리 시간 p95: at least 95% of the answered requests of the '
    '30 days up to its last use took at most this, in milliseconds, within 2 %; NULL = none was answered';
COMMENT ON COLUMN reporting.template_usage.mean_tokens IS '평균 토큰 수: tokens per request whose token_used is known, in '
    'tokens; NULL = none is known';

GRANT SELECT ON reporting.template_usage TO llm_analyst;
