CREATE OR REPLACE VIEW reporting.daily_latency_by_deployment AS
SELECT
    r.request_day,
    r.deployment_id,
    r.server_name,
    r.environment,
    r.environment_ko,
    r.environment_en,
    r.model_id,
    r.model_name,
    count(*) AS requests,
    count(r.response_time) AS answered_requests,
    percentile_disc(0.50) WITHIN GROUP (ORDER BY r.latency_ms) AS latency_p50_ms,
    percentile_disc(0.95) WITHIN GROUP (ORDER BY r.latency_ms) AS latency_p95_ms,
    percentile_disc(0.99) WITHIN GROUP (ORDER BY r.latency_ms) AS latency_p99_ms,
    max(r.latency_ms) AS latency_max_ms
FROM reporting.requests AS r
GROUP BY
    r.request_day, r.deployment_id, r.server_name, r.environment,
    r.environment_ko, r.environment_en, r.model_id, r.model_name;
COMMENT ON VIEW reporting.daily_latency_by_deployment IS '배포별 일별 처리 시간: latency percentiles, one row per deployment '
    'and day (Asia/Seoul) with requests. Only answered requests count; a percentile is the latency of one of them '
    '(percentile_disc: nearest rank, not interpolated)';
COMMENT ON COLUMN reporting.daily_latency_by_deployment.request_day IS '일자: the day in Asia/Seoul';
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
COMMENT ON COLUMN reporting.daily_latency_by_deployment.latency_p50_ms IS '처리 시간 p50: at least 50% of the answered '
    'requests took at most this, in milliseconds; NULL = none was answered';
COMMENT ON COLUMN reporting.daily_latency_by_deployment.latency_p95_ms IS '처리 시간 p95: at least 95% of the answered '
    'requests took at most this, in milliseconds; NULL = none was answered';
COMMENT ON COLUMN reporting.daily_latency_by_deployment.latency_p99_ms IS '처리 시간 p99: at least 99% of the answered '
    'requests took at most this, in milliseconds; NULL = none was answered';
COMMENT ON COLUMN reporting.daily_latency_by_deployment.latency_max_ms IS '최대 처리 시간: the slowest answered request, in '
    'milliseconds; NULL = none was answered';

GRANT SELECT ON reporting.daily_latency_by_deployment TO llm_analyst;
