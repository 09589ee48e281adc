CREATE OR REPLACE VIEW reporting.weekly_cost_by_template AS
SELECT
    p.first_day AS cost_week,
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
WHERE p.grain = 'week' AND p.dimension = 'template';
COMMENT ON VIEW reporting.weekly_cost_by_template IS '템플릿별 주별 비용: 그 템플릿을 쓴 요청에 든 비용; 사용이나 비용이 있는 템플릿 버전마다, 주(보고 '
    '시간대)마다 한 행, 아무도 사용하지 않은 비용은 별도의 행. 이번 주는 지난주 전체와 비교한다 | '
    'Weekly cost by template: what requests with it cost; one row per template version and week (reporting time '
    'zone) with use, and one for what nobody used. The running week is compared with the whole one before';
CALL ops.describe('reporting.weekly_cost_by_template', 'reporting.daily_cost_by_template');
COMMENT ON COLUMN reporting.weekly_cost_by_template.cost_week IS '비용 주: 주가 시작하는 월요일, 보고 시간대 기준 | '
    'Week: the Monday it begins on, in the reporting time zone';

GRANT SELECT ON reporting.weekly_cost_by_template TO llm_analyst;
