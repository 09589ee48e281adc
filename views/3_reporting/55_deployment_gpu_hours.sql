CREATE OR REPLACE VIEW reporting.deployment_gpu_hours AS
SELECT
    u.day AS request_day,
    u.deployment_id,
    e.server_name,
    e.environment,
    en.label_ko AS environment_ko,
    en.label_en AS environment_en,
    e.model_id,
    m.model_name,
    u.gpus AS gpu_count,
    (u.gpu_us / 3600000000)::double precision AS gpu_hours,
    u.latency_us::double precision / 3.6e9 AS busy_hours,
    u.requests,
    u.requests_without_tokens,
    u.tokens,
    u.tokens / nullif((u.gpu_us / 3600000000)::double precision, 0) AS tokens_per_gpu_hour,
    (u.gpu_us_without_rate / 3600000000)::double precision AS unpriced_gpu_hours
FROM rollup.deployment_days AS u
LEFT JOIN llm.deployments AS e ON u.deployment_id = e.deployment_id
LEFT JOIN llm.environments AS en ON e.environment = en.code
LEFT JOIN llm.models AS m ON e.model_id = m.model_id;
COMMENT ON VIEW reporting.deployment_gpu_hours IS '배포별 GPU 시간: 배포가 보유한 GPU와 처리한 양; GPU를 보유했거나 요청이 있는 배포와 일자(보고 시간대)마다 '
    '한 행 | '
    'GPU hours by deployment: what GPUs a deployment held and what they yielded; one row per deployment and day '
    '(reporting time zone) on which it held GPUs or had requests';
CALL ops.describe('reporting.deployment_gpu_hours', 'reporting.daily_usage_by_deployment', 'rollup.cost_periods');
COMMENT ON COLUMN reporting.deployment_gpu_hours.request_day IS '일자: 보고 시간대의 일자 | '
    'Day: in the reporting time zone';
COMMENT ON COLUMN reporting.deployment_gpu_hours.gpu_count IS 'GPU 개수: 그날 보유한 최대 개수, 비활성인 동안은 0 | '
    'GPUs: the most it held at a time on that day; none while it was inactive';
COMMENT ON COLUMN reporting.deployment_gpu_hours.gpu_hours IS 'GPU 시간: 그날 GPU를 보유한 시간을 GPU마다 더한 값(오늘은 지금까지), 시간 단위 | '
    'GPU hours: how long it held each GPU on that day (today: so far), added up, in hours';
COMMENT ON COLUMN reporting.deployment_gpu_hours.tokens_per_gpu_hour IS 'GPU 시간당 토큰 수: tokens를 gpu_hours로 나눈 값; NULL = '
    'GPU를 보유하지 않음 | '
    'Tokens per GPU hour: tokens / gpu_hours; NULL = it held no GPU';
COMMENT ON COLUMN reporting.deployment_gpu_hours.unpriced_gpu_hours IS '단가 없는 GPU 시간: gpu_hours 가운데 단가가 없어 비용이 되지 '
    '않은 시간, 시간 단위 | '
    'Unpriced GPU hours: of gpu_hours, those that have no price and so cost nothing, in hours';

GRANT SELECT ON reporting.deployment_gpu_hours TO llm_analyst;
