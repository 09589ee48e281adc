CREATE OR REPLACE VIEW reporting.weekly_usage_by_model AS
SELECT
    p.first_day AS request_week,
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
FROM llm.usage_periods AS p
LEFT JOIN llm.models AS m ON p.key = m.model_id
LEFT JOIN llm.model_types AS mt ON m.model_type = mt.code
WHERE p.grain = 'week' AND p.dimension = 'model';
COMMENT ON VIEW reporting.weekly_usage_by_model IS '모델별 주별 사용량: requests and tokens, one row per model and week '
    '(reporting time zone) with requests. All deployments of a model count. The running week is compared with the '
    'whole one before';
COMMENT ON COLUMN reporting.weekly_usage_by_model.request_week IS '주: the Monday it begins on, in the reporting time '
    'zone';
COMMENT ON COLUMN reporting.weekly_usage_by_model.model_id IS '모델 고유 식별자: the model';
COMMENT ON COLUMN reporting.weekly_usage_by_model.model_name IS '모델명: official name; unique';
COMMENT ON COLUMN reporting.weekly_usage_by_model.model_type IS '모델 유형: code of the model''s main use';
COMMENT ON COLUMN reporting.weekly_usage_by_model.model_type_ko IS '모델 유형: Korean label';
COMMENT ON COLUMN reporting.weekly_usage_by_model.model_type_en IS '모델 유형: English label';
COMMENT ON COLUMN reporting.weekly_usage_by_model.requests IS '요청 수: all requests, answered or not';
COMMENT ON COLUMN reporting.weekly_usage_by_model.answered_requests IS '응답된 요청 수: requests whose response_time is '
    'known';
COMMENT ON COLUMN reporting.weekly_usage_by_model.requests_without_tokens IS '토큰 수 미상 요청 수: requests whose token_used '
    'is not known; tokens leaves them out';
COMMENT ON COLUMN reporting.weekly_usage_by_model.tokens IS '사용 토큰 수: sum of the known token_used, in tokens; 0 when '
    'none is known';
COMMENT ON COLUMN reporting.weekly_usage_by_model.request_share IS '요청 비율: share of the week''s requests on the whole '
    'platform, 0 to 1';
COMMENT ON COLUMN reporting.weekly_usage_by_model.token_share IS '토큰 비율: share of the week''s known tokens on the '
    'whole platform, 0 to 1; NULL = none is known';
COMMENT ON COLUMN reporting.weekly_usage_by_model.requests_before IS '이전 기간 요청 수: requests of the week before; 0 = '
    'none';
COMMENT ON COLUMN reporting.weekly_usage_by_model.tokens_before IS '이전 기간 토큰 수: tokens of the week before, in tokens; '
    '0 = none';
COMMENT ON COLUMN reporting.weekly_usage_by_model.requests_change IS '요청 증감률: of requests against the week before, '
    '0.25 = 25 % more; NULL = none before';
COMMENT ON COLUMN reporting.weekly_usage_by_model.tokens_change IS '토큰 증감률: of tokens against the week before, 0.25 = '
    '25 % more; NULL = none before';

GRANT SELECT ON reporting.weekly_usage_by_model TO llm_analyst;
