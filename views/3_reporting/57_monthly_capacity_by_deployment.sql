CREATE OR REPLACE VIEW reporting.monthly_capacity_by_deployment AS
SELECT
    p.first_day AS capacity_month,
    p.key AS deployment_id,
    e.server_name,
    e.environment,
    en.label_ko AS environment_ko,
    en.label_en AS environment_en,
    e.model_id,
    m.model_name,
    p.gpu_hours,
    p.busy_hours,
    u.utilisation_rate,
    p.currency,
    p.allocated_cost,
    p.idle_cost,
    p.requests,
    p.requests_without_tokens,
    p.tokens,
    rollup.capacity_case(u.utilisation_rate) AS capacity_case,
    cc.label_ko AS capacity_case_ko,
    cc.label_en AS capacity_case_en
FROM rollup.cost_periods AS p
CROSS JOIN LATERAL (
    SELECT p.busy_hours / nullif(p.gpu_hours, 0)::double precision AS utilisation_rate
) AS u
LEFT JOIN rollup.capacity_cases AS cc ON rollup.capacity_case(u.utilisation_rate) = cc.code
LEFT JOIN llm.deployments AS e ON p.key = e.deployment_id
LEFT JOIN llm.environments AS en ON e.environment = en.code
LEFT JOIN llm.models AS m ON e.model_id = m.model_id
WHERE p.grain = 'month' AND p.dimension = 'deployment';
COMMENT ON VIEW reporting.monthly_capacity_by_deployment IS '배포별 월별 여유: 배포의 GPU 사용률과 유휴 비용, GPU를 보유했거나 요청이 있는 배포와 '
    '달(보고 시간대)마다 한 '
    '행 | '
    'Monthly capacity by deployment: how busy its GPUs were and what their idleness cost; one row per deployment and '
    'month (reporting time zone) in which it held GPUs or had requests';
CALL ops.describe(
    'reporting.monthly_capacity_by_deployment',
    'reporting.monthly_cost_by_deployment', 'rollup.cost_periods', 'reporting.hourly_capacity_by_deployment'
);
COMMENT ON COLUMN reporting.monthly_capacity_by_deployment.capacity_month IS '월: 달의 첫날, 보고 시간대 기준 | '
    'Month: its first day, in the reporting time zone';
COMMENT ON COLUMN reporting.monthly_capacity_by_deployment.deployment_id IS '배포 고유 식별자: 배포 | '
    'Deployment ID: the deployment';
COMMENT ON COLUMN reporting.monthly_capacity_by_deployment.gpu_hours IS 'GPU 시간: GPU를 보유한 시간을 GPU마다 더한 값(이번 달은 지금까지), '
    '시간 단위 | '
    'GPU hours: how long it held each GPU (this month: so far), added up, in hours';
COMMENT ON COLUMN reporting.monthly_capacity_by_deployment.allocated_cost IS '비용: 배포의 GPU에 든 비용, 사용 여부와 무관 | '
    'Cost: what its GPUs cost, used or not';
COMMENT ON COLUMN reporting.monthly_capacity_by_deployment.idle_cost IS '유휴 비용: GPU가 쉬던 시간의 비용 | '
    'Idle cost: that of the time in which nothing was processed';
COMMENT ON COLUMN reporting.monthly_capacity_by_deployment.capacity_case IS '여유 유형: 사용률이 0.1보다 작으면 유휴, 0.8보다 크면 과부하를 '
    '나타내는 코드; NULL = GPU를 보유하지 않음 | '
    'Capacity case: code of its utilisation: idle below 0.1, overloaded above 0.8, else fine; NULL = it held no GPU';
COMMENT ON COLUMN reporting.monthly_capacity_by_deployment.capacity_case_ko IS '여유 유형: 한국어 설명과 할 일; NULL = GPU를 보유하지 '
    '않음 | '
    'Capacity case: what it means and what to do, in Korean; NULL = it held no GPU';
COMMENT ON COLUMN reporting.monthly_capacity_by_deployment.capacity_case_en IS '여유 유형: 영어 설명과 할 일; NULL = GPU를 보유하지 '
    '않음 | '
    'Capacity case: what it means and what to do; NULL = it held no GPU';

GRANT SELECT ON reporting.monthly_capacity_by_deployment TO llm_analyst;
