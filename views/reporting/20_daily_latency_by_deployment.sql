CREATE OR REPLACE VIEW reporting.daily_latency_by_deployment AS
SELECT
    u.day AS request_day,
    u.key AS deployment_id,
    e.server_name,
    e.environment,
    en.label_ko AS environment_ko,
    en.label_en AS environment_en,
    e.model_id,
    m.model_name,
    u.requests,
    u.answered_requests,
    llm.histogram_percentile_ms(u.latencies, 0.50) AS latency_p50_ms,
    llm.histogram_percentile_ms(u.latencies, 0.95) AS latency_p95_ms,
    llm.histogram_percentile_ms(u.latencies, 0.99) AS latency_p99_ms,
    u.max_latency_us / 1000.0::double precision AS latency_max_ms,
    u.latency_us / nullif(u.answered_requests, 0)::double precision / 1000 AS latency_mean_ms
FROM (
    SELECT
        r.day,
        r.key,
        sum(r.requests)::bigint AS requests,
        sum(r.answered_requests)::bigint AS answered_requests,
        sum(r.latency_us)::bigint AS latency_us,
        max(r.max_latency_us) AS max_latency_us,
        llm.histogram_sum(r.latencies) AS latencies
    FROM llm.usage_rows AS r
    WHERE r.dimension = 'deployment'
    GROUP BY r.day, r.key
) AS u
LEFT JOIN llm.deployments AS e ON u.key = e.deployment_id
LEFT JOIN llm.environments AS en ON e.environment = en.code
LEFT JOIN llm.models AS m ON e.model_id = m.model_id;
COMMENT ON VIEW reporting.daily_latency_by_deployment IS '배포별 일별 처리 시간: latency percentiles, one row per deployment '
    'and day (reporting time zone) with requests. Percentiles of days cannot be averaged: for a longer time ask '
    'reporting.latency_percentiles()';
COMMENT ON COLUMN reporting.daily_latency_by_deployment.request_day IS '일자: the day in the reporting time zone';
COMMENT ON COLUMN reporting.daily_latency_by_deployment.deployment_id IS '배포 고유 식별자: the deployment';
COMMENT ON COLUMN reporting.daily_latency_by_deployment.server_name IS '서버명: host of the deployment; a server may run '
    'several deployments';
COMMENT ON COLUMN reporting.daily_latency_by_deployment.environment IS '배포 환경: code of the stage';
COMMENT ON COLUMN reporting.daily_latency_by_deployment.environment_ko IS '배포 환경: Korean label';
COMMENT ON COLUMN reporting.daily_latency_by_deployment.environment_en IS '배포 환경: English label';
COMMENT ON COLUMN reporting.daily_latency_by_deployment.model_id IS '모델 고유 식별자: the deployed model';
COMMENT ON COLUMN reporting.daily_latency_by_deployment.model_name IS '모델명: its official name';
COMMENT ON COLUMN reporting.daily_latency_by_deployment.requests IS '요청 수: all requests, answered or not';
COMMENT ON COLUMN reporting.daily_latency_by_deployment.answered_requests IS '응답된 요청 수: requests whose response_time '
    'is known';
COMMENT ON COLUMN reporting.daily_latency_by_deployment.latency_p50_ms IS '처리 시간 p50: 50 % of the answered requests '
    'took at most this, in milliseconds; within 2 % of percentile_disc over the requests themselves; NULL = none was '
    'answered';
COMMENT ON COLUMN reporting.daily_latency_by_deployment.latency_p95_ms IS '처리 시간 p95: 95 % of the answered requests '
    'took at most this, in milliseconds; within 2 % of percentile_disc over the requests themselves; NULL = none was '
    'answered';
COMMENT ON COLUMN reporting.daily_latency_by_deployment.latency_p99_ms IS '처리 시간 p99: 99 % of the answered requests '
    'took at most this, in milliseconds; within 2 % of percentile_disc over the requests themselves; NULL = none was '
    'answered';
COMMENT ON COLUMN reporting.daily_latency_by_deployment.latency_max_ms IS '최대 처리 시간: the slowest answered request, '
    'exact, in milliseconds; NULL = none was answered';
COMMENT ON COLUMN reporting.daily_latency_by_deployment.latency_mean_ms IS '평균 처리 시간: mean of the answered requests, '
    'exact, in milliseconds; NULL = none was answered';

GRANT SELECT ON reporting.daily_latency_by_deployment TO llm_analyst;
