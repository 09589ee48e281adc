CREATE OR REPLACE VIEW reporting.hourly_capacity_by_deployment AS
SELECT
    c.local_hour AS capacity_hour,
    c.deployment_id,
    e.server_name,
    e.environment,
    en.label_ko AS environment_ko,
    en.label_en AS environment_en,
    e.model_id,
    m.model_name,
    c.gpus AS gpu_count,
    c.gpu_us / 3.6e9 AS gpu_hours,
    c.busy_us / 3.6e9 AS busy_hours,
    c.busy_us / nullif(c.gpu_us, 0) AS utilisation_rate,
    c.mean_in_flight,
    c.p95_in_flight,
    c.max_in_flight,
    c.hour AS hour_start,
    c.local_hour::date AS capacity_day,
    date_part('hour', c.local_hour)::integer AS hour_of_day
FROM rollup.capacity_hours AS c
LEFT JOIN llm.deployments AS e ON c.deployment_id = e.deployment_id
LEFT JOIN llm.environments AS en ON e.environment = en.code
LEFT JOIN llm.models AS m ON e.model_id = m.model_id;
COMMENT ON VIEW reporting.hourly_capacity_by_deployment IS '배포별 시간별 여유: 배포의 GPU 사용률과 동시 요청, GPU를 보유했거나 요청이 처리된 배포와 '
    '시간(보고 시간대)마다 '
    '한 행 | '
    'Hourly capacity by deployment: how busy its GPUs were and how many requests ran at once; one row per deployment '
    'and hour (reporting time zone) in which it held GPUs or requests ran';
CALL ops.describe(
    'reporting.hourly_capacity_by_deployment',
    'reporting.hourly_usage_by_deployment', 'rollup.capacity_hours'
);
COMMENT ON COLUMN reporting.hourly_capacity_by_deployment.capacity_hour IS '시간대: 시간의 시작, 보고 시간대의 시계 기준 | '
    'Hour: its start, as clocks in the reporting time zone show it';
COMMENT ON COLUMN reporting.hourly_capacity_by_deployment.deployment_id IS '배포 고유 식별자: 배포 | '
    'Deployment ID: the deployment';
COMMENT ON COLUMN reporting.hourly_capacity_by_deployment.gpu_count IS 'GPU 개수: 그 시간에 보유한 최대 개수 | '
    'GPUs: the most it held at a time within the hour';
COMMENT ON COLUMN reporting.hourly_capacity_by_deployment.gpu_hours IS 'GPU 시간: 그 시간에 GPU를 보유한 시간을 GPU마다 더한 값(지금 시간은 '
    '지금까지), 시간 '
    '단위 | '
    'GPU hours: how long it held each GPU within the hour (this hour: so far), added up, in hours';
COMMENT ON COLUMN reporting.hourly_capacity_by_deployment.busy_hours IS '처리 시간 합계: 그 시간에 응답된 요청이 처리되던 시간을 모두 더한 값, 시간 '
    '단위; 동시에 처리된 '
    '요청도 각각 더한다 | '
    'Busy hours: how long answered requests ran within the hour, added up, in hours; requests that run at once each '
    'count';
COMMENT ON COLUMN reporting.hourly_capacity_by_deployment.utilisation_rate IS '사용률: busy_hours를 gpu_hours로 나눈 값, 1 = '
    'GPU마다 요청 '
    '하나, 여러 요청을 함께 처리하면 1보다 크다; NULL = GPU를 보유하지 않음 | '
    'Utilisation: busy_hours / gpu_hours; 1 = one request per GPU all the time, more where several are served at once; '
    'NULL = it held no GPU';
COMMENT ON COLUMN reporting.hourly_capacity_by_deployment.capacity_day IS '일자: 그 시간의 일자, 보고 시간대 기준 | '
    'Day: of the hour, in the reporting time zone';
COMMENT ON COLUMN reporting.hourly_capacity_by_deployment.hour_start IS '시간대 시작: 그 시간이 시작된 순간, 시계를 되돌려 두 번 오는 시간을 '
    '구별한다 | '
    'Start of the hour: the instant it began; tells apart the hour that comes twice when clocks are put back';
COMMENT ON COLUMN reporting.hourly_capacity_by_deployment.hour_of_day IS '시: 하루 중의 시, 0~23 | '
    'Hour of day: 0 to 23';

GRANT SELECT ON reporting.hourly_capacity_by_deployment TO llm_analyst;
