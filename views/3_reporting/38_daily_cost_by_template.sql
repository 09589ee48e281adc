CREATE OR REPLACE VIEW reporting.daily_cost_by_template AS
SELECT
    p.first_day AS cost_day,
    p.key AS template_id,
    t.template_name,
    t.version AS template_version,
    t.task_category,
    tc.label_ko AS task_category_ko,
    tc.label_en AS task_category_en,
    p.is_idle,
    p.currency,
    p.gpu_hours,
    p.allocated_cost,
    p.used_cost,
    p.idle_cost,
    p.cost_share,
    p.cost_before,
    p.cost_change,
    p.requests,
    p.requests_without_tokens,
    p.tokens,
    p.cost_per_1000_requests,
    p.cost_per_million_tokens
FROM rollup.cost_periods AS p
LEFT JOIN llm.prompt_templates_base AS t ON p.key = t.template_id
LEFT JOIN llm.task_categories AS tc ON t.task_category = tc.code
WHERE p.grain = 'day' AND p.dimension = 'template';
COMMENT ON VIEW reporting.daily_cost_by_template IS '템플릿별 일별 비용: 그 템플릿을 쓴 요청에 든 비용; 사용이나 비용이 있는 템플릿 버전마다, 일자(보고 '
    '시간대)마다 한 행, 아무도 사용하지 않은 비용은 별도의 행. 오늘은 어제 하루 전체와 비교한다 | '
    'Daily cost by template: what requests with it cost; one row per template version and day (reporting time zone) '
    'with use, and one for what nobody used. Today is compared with the whole of yesterday';
CALL ops.describe('reporting.daily_cost_by_template', 'rollup.cost_periods', 'reporting.requests');
COMMENT ON COLUMN reporting.daily_cost_by_template.cost_day IS '비용 일자: 보고 시간대의 일자 | '
    'Day: in the reporting time zone';
COMMENT ON COLUMN reporting.daily_cost_by_template.template_id IS '템플릿 고유 식별자: 템플릿의 버전; NULL = 템플릿 없는 요청, 또는 유휴 비용 | '
    'Template ID: the version of the template; NULL = requests without one, or idle';

GRANT SELECT ON reporting.daily_cost_by_template TO llm_analyst;
