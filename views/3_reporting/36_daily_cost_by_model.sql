CREATE OR REPLACE VIEW reporting.daily_cost_by_model AS
SELECT
    p.first_day AS cost_day,
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
WHERE p.grain = 'day' AND p.dimension = 'model';
COMMENT ON VIEW reporting.daily_cost_by_model IS '모델별 일별 비용: 그때 그 모델을 실행하던 배포들의 비용, 사용 여부와 무관; 사용이나 비용이 있는 모델마다, '
    '일자(보고 시간대)마다 한 행. 오늘은 어제 하루 전체와 비교한다 | '
    'Daily cost by model: what the deployments that ran it at the time cost, used or not; one row per model and day '
    '(reporting time zone) with use or cost. Today is compared with the whole of yesterday';
CALL ops.describe('reporting.daily_cost_by_model', 'rollup.cost_periods', 'reporting.requests');
COMMENT ON COLUMN reporting.daily_cost_by_model.cost_day IS '비용 일자: 보고 시간대의 일자 | '
    'Day: in the reporting time zone';
COMMENT ON COLUMN reporting.daily_cost_by_model.model_id IS '모델 고유 식별자: 배포가 그때 실행하던 모델; NULL = 알 수 없음 | '
    'Model ID: the model that deployments ran at the time; NULL = not known';
COMMENT ON COLUMN reporting.daily_cost_by_model.cost_case_ko IS '비용 유형: 한국어 설명과 할 일; NULL = 아는 토큰 수나 비용이 없음 | '
    'Cost case: what it means and what to do, in Korean; NULL = no tokens are known, or it cost nothing';
COMMENT ON COLUMN reporting.daily_cost_by_model.cost_case_en IS '비용 유형: 영어 설명과 할 일; NULL = 아는 토큰 수나 비용이 없음 | '
    'Cost case: what it means and what to do; NULL = no tokens are known, or it cost nothing';

GRANT SELECT ON reporting.daily_cost_by_model TO llm_analyst;
