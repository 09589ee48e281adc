CREATE OR REPLACE VIEW reporting.daily_usage_by_model AS
SELECT
    p.first_day AS request_day,
    p.key AS model_id,
    m.model_name,
    m.model_type,
    mt.label_ko AS model_type_ko,
    mt.label_en AS model_type_en,
    p.requests,
    p.answered_requests,
    p.requests_without_tokens,
    p.tokens,
    p.request_share,
    p.token_share,
    p.requests_before,
    p.tokens_before,
    p.requests_change,
    p.tokens_change
FROM rollup.usage_periods AS p
LEFT JOIN llm.models AS m ON p.key = m.model_id
LEFT JOIN llm.model_types AS mt ON m.model_type = mt.code
WHERE p.grain = 'day' AND p.dimension = 'model';
COMMENT ON VIEW reporting.daily_usage_by_model IS '모델별 일별 사용량: 요청과 토큰, 요청이 있는 모델과 일자(보고 시간대)마다 한 행. 모델의 모든 배포를 합한다. '
    '오늘은 어제 하루 전체와 비교한다 | '
    'Daily usage by model: requests and tokens, one row per model and day (reporting time zone) with requests. All '
    'deployments of a model count. Today is compared with the whole of yesterday';
CALL ops.describe('reporting.daily_usage_by_model', 'rollup.usage_periods', 'reporting.requests');
COMMENT ON COLUMN reporting.daily_usage_by_model.model_id IS '모델 고유 식별자: 모델 | Model ID: the model';

GRANT SELECT ON reporting.daily_usage_by_model TO llm_analyst;
