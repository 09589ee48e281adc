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
    l.last_request_time
FROM llm.prompt_templates AS t
INNER JOIN llm.task_categories AS tc ON t.task_category = tc.code
INNER JOIN llm.users AS u ON t.created_by = u.user_id
LEFT JOIN (
    SELECT
        r.template_id,
        count(*) AS requests,
        count(*) FILTER (WHERE r.token_used IS NULL) AS requests_without_tokens,
        sum(r.token_used)::bigint AS tokens,
        min(r.request_time) AS first_request_time,
        max(r.request_time) AS last_request_time
    FROM reporting.requests AS r
    WHERE r.template_id IS NOT NULL
    GROUP BY r.template_id
) AS l ON t.template_id = l.template_id;
COMMENT ON VIEW reporting.template_usage IS '프롬프트 템플릿 사용: every version of every template with its uses; one row per '
    'version, also when never used. usage_count is over all time, the other figures are over the requests still stored';
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
COMMENT ON COLUMN reporting.template_usage.usage_count IS '사용 횟수: requests that used this version over all time, '
    'exact, also those no longer stored';
COMMENT ON COLUMN reporting.template_usage.requests IS '요청 수: requests still stored that used this version; 0 when '
    'none';
COMMENT ON COLUMN reporting.template_usage.requests_without_tokens IS '토큰 수 미상 요청 수: those of them whose token_used is '
    'not known; tokens leaves them out';
COMMENT ON COLUMN reporting.template_usage.tokens IS '사용 토큰 수: sum of the known token_used of the requests still '
    'stored, in tokens; 0 when none is known';
COMMENT ON COLUMN reporting.template_usage.first_request_time IS '첫 요청 시간: of the requests still stored; NULL = none';
COMMENT ON COLUMN reporting.template_usage.last_request_time IS '마지막 요청 시간: of the requests still stored; NULL = none';

GRANT SELECT ON reporting.template_usage TO llm_analyst;
