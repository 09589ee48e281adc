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
        rollup.bigint_sum(h.requests) AS requests,
        rollup.bigint_sum(h.answered_requests) AS answered_requests,
        rollup.bigint_sum(h.requests_without_tokens) AS requests_without_tokens,
        rollup.bigint_sum(h.tokens) AS tokens
    FROM rollup.hour_rows AS h
    GROUP BY h.local_hour, h.hour, h.deployment_id
) AS u
LEFT JOIN llm.deployments AS e ON u.deployment_id = e.deployment_id
LEFT JOIN llm.environments AS en ON e.environment = en.code
LEFT JOIN llm.models AS m ON e.model_id = m.model_id;
COMMENT ON VIEW reporting.hourly_usage_by_deployment IS '배포별 시간별 사용량: 요청과 토큰, 요청이 있는 배포와 시간(보고 시간대)마다 한 행 | '
    'Hourly usage by deployment: requests and tokens, one row per deployment and hour (reporting time zone) with '
    'requests';
CALL ops.describe('reporting.hourly_usage_by_deployment', 'reporting.daily_usage_by_deployment', 'reporting.requests');
COMMENT ON COLUMN reporting.hourly_usage_by_deployment.hour_start IS '시간대 시작: 해당 시간이 시작된 시각; 시계를 되돌려 같은 시간이 두 번 오는 때를 '
    '구분한다 | '
    'Start of hour: the instant the hour began; tells apart the hour that comes twice when clocks are put back';
COMMENT ON COLUMN reporting.hourly_usage_by_deployment.hour_of_day IS '시: 하루 중의 시, 0~23 | '
    'Hour of day: hour of the day, 0 to 23';

GRANT SELECT ON reporting.hourly_usage_by_deployment TO llm_analyst;
