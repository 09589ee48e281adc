CREATE OR REPLACE VIEW reporting.idle_deployments AS
SELECT
    e.deployment_id,
    e.server_name,
    e.environment,
    en.label_ko AS environment_ko,
    en.label_en AS environment_en,
    e.status AS deployment_status,
    ds.label_ko AS deployment_status_ko,
    ds.label_en AS deployment_status_en,
    e.model_id,
    m.model_name,
    e.gpu_count,
    l.last_request_time,
    extract(DAY FROM now() - l.last_request_time)::integer AS idle_days
FROM llm.deployments AS e
INNER JOIN llm.environments AS en ON e.environment = en.code
INNER JOIN llm.deployment_statuses AS ds ON e.status = ds.code
INNER JOIN llm.models AS m ON e.model_id = m.model_id
LEFT JOIN (
    SELECT
        r.key,
        max(r.last_request_time) AS last_request_time
    FROM llm.usage_rows AS r
    WHERE r.dimension = 'deployment'
    GROUP BY r.key
) AS l ON e.deployment_id = l.key
-- In maintenance or in error it holds its GPUs all the same.
WHERE e.status <> 'inactive' AND (l.last_request_time IS NULL OR l.last_request_time < now() - interval '7 days');
COMMENT ON VIEW reporting.idle_deployments IS '유휴 배포: deployments that are not inactive and have had no request for 7 '
    'days, or ever; one row per deployment';
COMMENT ON COLUMN reporting.idle_deployments.deployment_id IS '배포 고유 식별자: the deployment';
COMMENT ON COLUMN reporting.idle_deployments.server_name IS '서버명: host of the deployment; a server may run several '
    'deployments';
COMMENT ON COLUMN reporting.idle_deployments.environment IS '배포 환경: code of the stage';
COMMENT ON COLUMN reporting.idle_deployments.environment_ko IS '배포 환경: Korean label';
COMMENT ON COLUMN reporting.idle_deployments.environment_en IS '배포 환경: English label';
COMMENT ON COLUMN reporting.idle_deployments.deployment_status IS '배포 상태: code of the availability: any but inactive';
COMMENT ON COLUMN reporting.idle_deployments.deployment_status_ko IS '배포 상태: Korean label';
COMMENT ON COLUMN reporting.idle_deployments.deployment_status_en IS '배포 상태: English label';
COMMENT ON COLUMN reporting.idle_deployments.model_id IS '모델 고유 식별자: the deployed model';
COMMENT ON COLUMN reporting.idle_deployments.model_name IS '모델명: its official name';
COMMENT ON COLUMN reporting.idle_deployments.gpu_count IS 'GPU 개수: GPUs it holds';
COMMENT ON COLUMN reporting.idle_deployments.last_request_time IS '마지막 요청 시간: of all time; NULL = none ever';
COMMENT ON COLUMN reporting.idle_deployments.idle_days IS '유휴 일수: whole days since last_request_time; NULL = none ever';

GRANT SELECT ON reporting.idle_deployments TO llm_analyst;
