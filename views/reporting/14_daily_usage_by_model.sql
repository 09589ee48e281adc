CREATE OR REPLACE VIEW reporting.daily_usage_by_model AS
SELECT
    r.request_day,
    r.model_id,
    r.model_name,
    r.model_type,
    r.model_type_ko,
    r.model_type_en,
    count(*) AS requests,
    count(r.response_time) AS answered_requests,
    count(*) FILTER (WHERE r.token_used IS NULL) AS requests_without_tokens,
    coalesce(sum(r.token_used), 0)::bigint AS tokens
FROM reporting.requests AS r
GROUP BY r.request_day, r.model_id, r.model_name, r.model_type, r.model_type_ko, r.model_type_en;
COMMENT ON VIEW reporting.daily_usage_by_model IS '모델별 일별 사용량: requests and tokens, one row per model and day '
    '(Asia/Seoul) with requests, over all its deployments';
COMMENT ON COLUMN reporting.daily_usage_by_model.request_day IS '일자: the day in Asia/Seoul';
COMMENT ON COLUMN reporting.daily_usage_by_model.model_id IS '모델 고유 식별자: the model';
COMMENT ON COLUMN reporting.daily_usage_by_model.model_name IS '모델명: official name; unique';
COMMENT ON COLUMN reporting.daily_usage_by_model.model_type IS '모델 유형: code of the model''s main use';
COMMENT ON COLUMN reporting.daily_usage_by_model.model_type_ko IS '모델 유형: Korean label';
COMMENT ON COLUMN reporting.daily_usage_by_model.model_type_en IS '모델 유형: English label';
COMMENT ON COLUMN reporting.daily_usage_by_model.requests IS '요청 수: all requests, answered or not';
COMMENT ON COLUMN reporting.daily_usage_by_model.answered_requests IS '응답된 요청 수: requests whose response_time is known';
COMMENT ON COLUMN reporting.daily_usage_by_model.requests_without_tokens IS '토큰 수 미상 요청 수: requests whose token_used '
    'is not known; tokens leaves them out';
COMMENT ON COLUMN reporting.daily_usage_by_model.tokens IS '사용 토큰 수: sum of the known token_used, in tokens; 0 when '
    'none is known';

GRANT SELECT ON reporting.daily_usage_by_model TO llm_analyst;
