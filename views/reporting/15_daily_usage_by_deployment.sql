CREATE OR REPLACE VIEW reporting.daily_usage_by_deployment AS
SELECT
    p.first_day AS request_day,
    p.key AS deployment_id,
    e.server_name,
    e.environment,
    en.label_ko AS environment_ko,
    en.label_en AS environment_en,
    e.model_id,
    m.model_name,
    p.requests,
    p.answered_requests,
    p.requests_without_tokens,
    p.tokens,
    p.request_share,
    p.token_share,
    p.requests_before,
    p.tokens_before,
    p.requests_change,
    p.tokens_change,
    e.gpu_count
FROM llm.usage_periods AS p
LEFT JOIN llm.deployments AS e ON p.key = e.deployment_id
LEFT JOIN llm.environments AS en ON e.environment = en.code
LEFT JOIN llm.models AS m ON e.model_id = m.model_id
WHERE p.grain = 'day' AND p.dimension = 'deployment';
COMMENT ON VIEW reporting.daily_usage_by_deployment IS '배포별 일별 사용량: requests and tokens, one row per deployment and '
    'day (reporting time zone) with requests. Today is compared with the whole of yesterday';
COMMENT ON COLUMN reporting.daily_usage_by_deployment.request_day IS '일자: the day in the reporting time zone';
COMMENT ON COLUMN reporting.daily_usage_by_deployment.deployment_id IS '배포 고유 식별자: the deployment';
COMMENT ON COLUMN reporting.daily_usage_by_deployment.server_name IS '서버명: host of the deployment; a server may run '
    'several deployments';
COMMENT ON COLUMN reporting.daily_usage_by_deployment.environment IS '배포 환경: code of the stage';
COMMENT ON COLUMN reporting.daily_usage_by_deployment.environment_ko IS '배포 환경: Korean label';
COMMENT ON COLUMN reporting.daily_usage_by_deployment.environment_en IS '배포 환경: English label';
COMMENT ON COLUMN reporting.daily_usage_by_deployment.model_id IS '모델 고유 식별자: the deployed model';
COMMENT ON COLUMN reporting.daily_usage_by_deployment.model_name IS '모델명: its official name';
COMMENT ON COLUMN reporting.daily_usage_by_deployment.requests IS '요청 수: all requests, answered or not';
COMMENT ON COLUMN reporting.daily_usage_by_deployment.answered_requests IS '응답된 요청 수: requests whose response_time is '
    'known';
COMMENT ON COLUMN reporting.daily_usage_by_deployment.requests_without_tokens IS '토큰 수 미상 요청 수: requests whose '
    'token_used is not known; tokens leaves them out';
COMMENT ON COLUMN reporting.daily_usage_by_deployment.tokens IS '사용 토큰 수: sum of the known token_used, in tokens; 0 '
    'when none is known';
COMMENT ON COLUMN reporting.daily_usage_by_deployment.request_share IS '요청 비율: share of the day''s requests on the '
    'whole platform, 0 to 1';
COMMENT ON COLUMN reporting.daily_usage_by_deployment.token_share IS '토큰 비율: share of the day''s known tokens on the '
    'whole platform, 0 to 1; NULL = none is known';
COMMENT ON COLUMN reporting.daily_usage_by_deployment.requests_before IS '이전 기간 요청 수: requests of the day before; 0 = '
    'none';
COMMENT ON COLUMN reporting.daily_usage_by_deployment.tokens_before IS '이전 기간 토큰 수: tokens of the day before, in '
    'tokens; 0 = none';
COMMENT ON COLUMN reporting.daily_usage_by_deployment.requests_change IS '요청 증감률: of requests against the day before, '
    '0.25 = 25 % more; NULL = none before';
COMMENT ON COLUMN reporting.daily_usage_by_deployment.tokens_change IS '토큰 증감률: of tokens against the day before, 0.25 '
    '= 25 % more; NULL = none before';
COMMENT ON COLUMN reporting.daily_usage_by_deployment.gpu_count IS 'GPU 수: GPUs of the deployment now';

GRANT SELECT ON reporting.daily_usage_by_deployment TO llm_analyst;
