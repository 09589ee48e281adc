CREATE OR REPLACE VIEW reporting.deployment_gpu_hours AS
SELECT
    u.request_day,
    u.deployment_id,
    e.server_name,
    e.environment,
    en.label_ko AS environment_ko,
    en.label_en AS environment_en,
    e.model_id,
    m.model_name,
    e.gpu_count,
    e.gpu_count * h.hours AS gpu_hours,
    u.busy_hours,
    u.requests,
    u.requests_without_tokens,
    u.tokens,
    u.tokens / nullif(e.gpu_count * h.hours, 0) AS tokens_per_gpu_hour
FROM (
    SELECT
        r.day AS request_day,
        r.key AS deployment_id,
        rollup.bigint_sum(r.requests) AS requests,
        rollup.bigint_sum(r.requests_without_tokens) AS requests_without_tokens,
        rollup.bigint_sum(r.tokens) AS tokens,
        sum(r.latency_us)::double precision / 3.6e9 AS busy_hours
    FROM rollup.usage_rows AS r
    WHERE r.dimension = 'deployment'
    GROUP BY r.day, r.key
) AS u
-- From midnight to midnight by the clock: 23 or 25 hours where it is changed. A LEFT JOIN, so that rollup.usage_rows,
-- which raise where rollup.state has no row, are read first.
LEFT JOIN LATERAL (
    SELECT
        greatest(
            extract(
                EPOCH FROM least(rollup.day_start((u.request_day + 1)::timestamp, s.time_zone), now())
                - rollup.day_start(u.request_day::timestamp, s.time_zone)
            ), 0
        )::double precision / 3600 AS hours
    FROM rollup.state AS s
) AS h ON true
LEFT JOIN llm.deployments AS e ON u.deployment_id = e.deployment_id
LEFT JOIN llm.environments AS en ON e.environment = en.code
LEFT JOIN llm.models AS m ON e.model_id = m.model_id;
COMMENT ON VIEW reporting.deployment_gpu_hours IS '배포별 GPU 시간: 배포의 GPU가 처리한 양; 요청이 있는 배포와 일자마다 한 행. GPU 개수는 현재 값이다: '
    '당시의 개수는 기록되지 않는다. 요청이 전혀 없는 날은 없다, reporting.idle_deployments 참고 | '
    'GPU hours by deployment: what the GPUs of a deployment yielded; one row per deployment and day with requests. The '
    'GPUs are those it has now: how many it had then is not kept. Days without any request are not here, see '
    'reporting.idle_deployments';
CALL ops.describe('reporting.deployment_gpu_hours', 'reporting.daily_usage_by_deployment');
COMMENT ON COLUMN reporting.deployment_gpu_hours.gpu_hours IS 'GPU 시간: gpu_count에 그날의 시간 수(오늘은 지금까지)를 곱한 값, 시간 단위 | '
    'GPU hours: gpu_count x the hours of the day (today: the hours so far), in hours';
COMMENT ON COLUMN reporting.deployment_gpu_hours.busy_hours IS '처리 시간 합계: 응답된 요청의 처리 시간을 모두 더한 값, 시간 단위; 동시에 처리된 요청도 '
    '각각 더한다 | '
    'Busy hours: latency of all answered requests added up, in hours; requests that run at once each count';
COMMENT ON COLUMN reporting.deployment_gpu_hours.tokens_per_gpu_hour IS 'GPU 시간당 토큰 수: tokens를 gpu_hours로 나눈 값; NULL = '
    'GPU가 없는 배포 | '
    'Tokens per GPU hour: tokens / gpu_hours; NULL = the deployment has no GPU';

GRANT SELECT ON reporting.deployment_gpu_hours TO llm_analyst;
