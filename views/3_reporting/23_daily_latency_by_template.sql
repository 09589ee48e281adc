CREATE OR REPLACE VIEW reporting.daily_latency_by_template AS
SELECT
    u.day AS request_day,
    u.key AS template_id,
    pt.template_name,
    pt.version AS template_version,
    pt.task_category,
    tc.label_ko AS task_category_ko,
    tc.label_en AS task_category_en,
    u.requests,
    u.answered_requests,
    u.latency_p50_ms,
    u.latency_p95_ms,
    u.latency_p99_ms,
    u.latency_max_ms,
    u.latency_mean_ms
FROM rollup.latency_days AS u
LEFT JOIN llm.prompt_templates_base AS pt ON u.key = pt.template_id
LEFT JOIN llm.task_categories AS tc ON pt.task_category = tc.code
WHERE u.dimension = 'template';
COMMENT ON VIEW reporting.daily_latency_by_template IS '템플릿별 일별 처리 시간: 처리 시간의 백분위수, 요청이 있는 템플릿 버전과 일자(보고 시간대)마다 한 행. '
    '템플릿이 없는 요청은 별도의 행. 여러 날의 백분위수는 평균할 수 없다: 더 긴 기간은 reporting.latency_percentiles()로 구한다 | '
    'Daily latency by template: latency percentiles, one row per template version and day (reporting time zone) with '
    'requests. Requests without a template are a row of their own. Percentiles of days cannot be averaged: for a '
    'longer time ask reporting.latency_percentiles()';
CALL ops.describe('reporting.daily_latency_by_template', 'rollup.latency_days', 'reporting.requests');

GRANT SELECT ON reporting.daily_latency_by_template TO llm_analyst;
