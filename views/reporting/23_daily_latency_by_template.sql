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
    llm.histogram_percentile_ms(u.latencies, 0.50) AS latency_p50_ms,
    llm.histogram_percentile_ms(u.latencies, 0.95) AS latency_p95_ms,
    llm.histogram_percentile_ms(u.latencies, 0.99) AS latency_p99_ms,
    u.max_latency_us / 1000.0::double precision AS latency_max_ms,
    u.latency_us / nullif(u.answered_requests, 0)::double precision / 1000 AS latency_mean_ms
FROM (
    SELECT
        r.day,
        r.key,
        sum(r.requests)::bigint AS requests,
        sum(r.answered_requests)::bigint AS answered_requests,
        sum(r.latency_us)::bigint AS latency_us,
        max(r.max_latency_us) AS max_latency_us,
        llm.histogram_sum(r.latencies) AS latencies
    FROM llm.usage_rows AS r
    WHERE r.dimension = 'template'
    GROUP BY r.day, r.key
) AS u
LEFT JOIN llm.prompt_templates_base AS pt ON u.key = pt.template_id
LEFT JOIN llm.task_categories AS tc ON pt.task_category = tc.code;
COMMENT ON VIEW reporting.daily_latency_by_template IS '템플릿별 일별 처리 시간: latency percentiles, one row per template '
    'version and day (reporting time zone) with requests. Requests without a template are a row of their own. '
    'Percentiles of days cannot be averaged: for a longer time ask reporting.latency_percentiles()';
COMMENT ON COLUMN reporting.daily_latency_by_template.request_day IS '일자: the day in the reporting time zone';
COMMENT ON COLUMN reporting.daily_latency_by_template.template_id IS '템플릿 고유 식별자: the template used; NULL = none';
COMMENT ON COLUMN reporting.daily_latency_by_template.template_name IS '템플릿명: name of the template; NULL = none';
COMMENT ON COLUMN reporting.daily_latency_by_template.template_version IS '버전: version of the template; NULL = none';
COMMENT ON COLUMN reporting.daily_latency_by_template.task_category IS '작업 카테고리: code of the template''s task; NULL = '
    'no template';
COMMENT ON COLUMN reporting.daily_latency_by_template.task_category_ko IS '작업 카테고리: Korean label; NULL = no template';
COMMENT ON COLUMN reporting.daily_latency_by_template.task_category_en IS '작업 카테고리: English label; NULL = no template';
COMMENT ON COLUMN reporting.daily_latency_by_template.requests IS '요청 수: all requests, answered or not';
COMMENT ON COLUMN reporting.daily_latency_by_template.answered_requests IS '응답된 요청 수: requests whose response_time is '
    'known';
COMMENT ON COLUMN reporting.daily_latency_by_template.latency_p50_ms IS '처리 시간 p50: 50 % of the answered requests took '
    'at most this, in milliseconds; within 2 % of percentile_disc over the requests themselves; NULL = none was '
    'answered';
COMMENT ON COLUMN reporting.daily_latency_by_template.latency_p95_ms IS '처리 시간 p95: 95 % of the answered requests took '
    'at most this, in milliseconds; within 2 % of percentile_disc over the requests themselves; NULL = none was '
    'answered';
COMMENT ON COLUMN reporting.daily_latency_by_template.latency_p99_ms IS '처리 시간 p99: 99 % of the answered requests took '
    'at most this, in milliseconds; within 2 % of percentile_disc over the requests themselves; NULL = none was '
    'answered';
COMMENT ON COLUMN reporting.daily_latency_by_template.latency_max_ms IS '최대 처리 시간: the slowest answered request, '
    'exact, in milliseconds; NULL = none was answered';
COMMENT ON COLUMN reporting.daily_latency_by_template.latency_mean_ms IS '평균 처리 시간: mean of the answered requests, '
    'exact, in milliseconds; NULL = none was answered';

GRANT SELECT ON reporting.daily_latency_by_template TO llm_analyst;
