CREATE OR REPLACE VIEW reporting.monthly_cost_by_model AS
SELECT
    p.first_day AS cost_month,
    p.key AS model_id,
    m.model_name,
    m.model_type,
    mt.label_ko AS model_type_ko,
    mt.label_en AS model_type_en,
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
    p.cost_per_million_tokens,
    p.used_cost_per_million_tokens,
    p.cost_case,
    cc.label_ko AS cost_case_ko,
    cc.label_en AS cost_case_en
FROM rollup.cost_periods AS p
LEFT JOIN llm.models AS m ON p.key = m.model_id
LEFT JOIN llm.model_types AS mt ON m.model_type = mt.code
LEFT JOIN rollup.cost_cases AS cc ON p.cost_case = cc.code
WHERE p.grain = 'month' AND p.dimension = 'model';
COMMENT ON VIEW reporting.monthly_cost_by_model IS '모델별 월별 비용: 그때 그 모델을 실행하던 배포들의 비용, 사용 여부와 무관; 사용이나 비용이 있는 모델마다, '
    '달(보고 시간대)마다 한 행. 이번 달은 지난달 전체와 비교한다 | '
    'Monthly cost by model: what the deployments that ran it at the time cost, used or not; one row per model and '
    'month (reporting time zone) with use or cost. The running month is compared with the whole one before';
CALL ops.describe('reporting.monthly_cost_by_model', 'reporting.daily_cost_by_model');
COMMENT ON COLUMN reporting.monthly_cost_by_model.cost_month IS '비용 월: 달의 첫날, 보고 시간대 기준 | '
    'Month: its first day, in the reporting time zone';

GRANT SELECT ON reporting.monthly_cost_by_model TO llm_analyst;
