CREATE OR REPLACE VIEW reporting.hourly_usage_by_deployment AS
SELECT
    r.request_hour,
    r.deployment_id,
    r.server_name,
    r.environment,
    r.environment_ko,
    r.environment_en,
    r.model_id,
    r.model_name,
    count(*) AS requests,
    count(r.response_time) AS answered_requests,
    count(*) FILTER (WHERE r.token_used IS NULL) AS requests_without_tokens,
    coalesce(sum(r.token_used), 0)::bigint AS tokens
FROM reporting.requests AS r
GROUP BY
    r.request_hour, r.deployment_id, r.server_name, r.environment,
    r.environment_ko, r.environment_en, r.model_id, r.model_name;
COMMENT ON VIEW reporting.hourly_usage_by_deployment IS '배포별 시간별 사용량: requests and tokens, one row per deployment and '
    'hour (Asia/Seoul) with requests';
COMMENT ON COLUMN reporting.hourly_usage_by_deployment.request_hour IS '시간대: the start of the hour, as clocks in '
    'Asia/Seoul show it';
COMMENT ON COLUMN reporting.hourly_usage_by_deployment.deployment_id IS '배포 고유 식별자: the deployment';
COMMENT ON COLUMN reporting.hourly_usage_by_deployment.server_name IS '서버명: host of the deployment; a server may run '
    'several deployments';
COMMENT ON COLUMN reporting.hourly_usage_by_deployment.environment IS '배포 환경: code of the stage';
COMMENT ON COLUMN reporting.hourly_usage_by_deployment.environment_ko IS '배포 환경: Korean label';
COMMENT ON COLUMN reporting.hourly_usage_by_deployment.environment_en IS '배포 환경: English label';
COMMENT ON COLUMN reporting.hourly_usage_by_deployment.model_id IS '모델 고유 식별자: the deployed model';
COMMENT ON COLUMN reporting.hourly_usage_by_deployment.model_name IS '모델명: its official name';
COMMENT ON COLUMN reporting.hourly_usage_by_deployment.requests IS '요청 수: all requests, answered or not';
COMMENT ON COLUMN reporting.hourly_usage_by_deployment.answered_requests IS '응답된 요청 수: requests whose response_time is '
    'known';
COMMENT ON COLUMN reporting.hourly_usage_by_deployment.requests_without_tokens IS '토큰 수 미상 요청 수: requests whose '
    'token_used is not known; tokens leaves them out';
COMMENT ON COLUMN reporting.hourly_usage_by_deployment.tokens IS '사용 토큰 수: sum of the known token_used, in tokens; 0 '
    'when none is known';

GRANT SELECT ON reporting.hourly_usage_by_deployment TO llm_analyst;
