CREATE OR REPLACE VIEW reporting.template_usage AS
SELECT
    t.template_id,
    t.template_name,
    t.version,
    v.is_newest,
    t.task_category,
    tc.label_ko AS task_category_ko,
    tc.label_en AS task_category_en,
    t.created_at,
    t.created_by,
    u.user_name || (SELECT '' WHERE reporting.may_read_people()) AS created_by_name,
    t.usage_count,
    coalesce(l.requests, 0) AS requests,
    coalesce(l.requests_without_tokens, 0) AS requests_without_tokens,
    coalesce(l.tokens, 0) AS tokens,
    l.first_request_time,
    l.last_request_time,
    l.latency_p50_ms,
    l.latency_p95_ms,
    l.mean_tokens
FROM llm.prompt_templates AS t
INNER JOIN rollup.template_versions AS v ON t.template_id = v.template_id
INNER JOIN llm.task_categories AS tc ON t.task_category = tc.code
INNER JOIN llm.users AS u ON t.created_by = u.user_id
LEFT JOIN rollup.usage_totals AS l ON l.dimension = 'template' AND t.template_id = l.key;
COMMENT ON VIEW reporting.template_usage IS '프롬프트 템플릿 사용: 모든 템플릿의 모든 버전과 전체 기간의 사용; 버전마다 한 행, 사용된 적 없어도 포함. '
    'usage_count는 하나씩 삭제된 요청도 세고, 다른 값은 세지 않는다 | '
    'Template usage: every version of every template with its uses of all time; one row per version, also when never '
    'used. usage_count still counts requests that were deleted one by one, the other figures do not';
CALL ops.describe(
    'reporting.template_usage',
    'rollup.template_versions', 'reporting.requests', 'rollup.usage_totals'
);
COMMENT ON COLUMN reporting.template_usage.created_at IS '생성 시간: 이 버전이 작성된 시간 | '
    'Created at: when this version was written';
COMMENT ON COLUMN reporting.template_usage.version IS '버전: 점으로 나눈 숫자, template_name 안에서 유일 | '
    'Version: dotted numbers; unique within template_name';
COMMENT ON COLUMN reporting.template_usage.created_by IS '작성자: 이 버전을 작성한 사용자의 user_id | '
    'Author ID: user_id of who wrote this version';
COMMENT ON COLUMN reporting.template_usage.created_by_name IS '작성자 실명: 이 버전을 작성한 사용자의 이름; NULL = 볼 권한 '
    '없음(reporting.may_read_people() 참고) | '
    'Author: name of who wrote this version; NULL = not for you, see reporting.may_read_people()';
COMMENT ON COLUMN reporting.template_usage.usage_count IS '사용 횟수: 전체 기간에 이 버전을 사용한 요청; 요청을 삭제해도 줄지 않는다 | '
    'Uses: requests that used this version over all time; deleting them does not lower it';

GRANT SELECT ON reporting.template_usage TO llm_analyst;
