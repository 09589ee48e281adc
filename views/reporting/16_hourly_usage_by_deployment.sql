CREATE OR REPLACE VIEW reporting.hourly_usage_by_deployment AS
SELECT
    u.local_hour AS request_hour,
    u.deployment_id,
    e.server_name,
    e.environment,
    en.label_ko AS environment_ko,
    en.label_en AS environment_en,
    e.model_id,
    m.model_name,
    u.requests,
    u.answered_requests,
    u.requests_without_tokens,
    u.tokens,
    u.hour AS hour_start,
    u.local_hour::date AS request_day,
    date_part('hour', u.local_hour)::integer AS hour_of_day
FROM (
    SELECT
        h.local_hour,
        h.hour,
        h.deployment_id,
        llm.bigint_sum(h.requests) AS requests,
        llm.bigint_sum(h.answered_requests) AS answered_requests,
        llm.bigint_sum(h.requests_without_tokens) AS requests_without_tokens,
        llm.bigint_sum(h.tokens) AS tokens
    FROM llm.hour_rows AS h
    GROUP BY h.local_hour, h.hour, h.deployment_id
) AS u
LEFT JOIN llm.deployments AS e ON u.deployment_id = e.deployment_id
LEFT JOIN llm.environments AS en ON e.environment = en.code
LEFT JOIN llm.models AS m ON e.model_id = m.model_id;
COMMENT ON VIEW reporting.hourly_usage_by_deployment IS '배포별 시간별 사용량: requests and tokens, one row per deployment and '
    'hour (reporting time zone) with requests';
COMMENT ON COLUMN reporting.hourly_usage_by_deployment.request_hour IS '시간대: the start of the hour, as clocks in the '
    'reporting time zone show it';
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
COMMENT ON COLUMN reporting.hourly_usage_by_deployment.hour_start IS '시간대 시작: the instant the hour began; tells apart '
    'the hour that comes twice when clocks are put back';
COMMENT ON COLUMN reporting.hourly_usage_by_deployment.request_day IS '일자: the day in the reporting time zone';
COMMENT ON COLUMN reporting.hourly_usage_by_deployment.hour_of_day IS '시: hour of the day, 0 to 23';

GRANT SELECT ON reporting.hourly_usage_by_deployment TO llm_analyst;
