CREATE OR REPLACE VIEW reporting.daily_cost_by_deployment AS
SELECT
    p.first_day AS cost_day,
    p.key AS deployment_id,
    e.server_name,
    e.environment,
    en.label_ko AS environment_ko,
    en.label_en AS environment_en,
    e.model_id,
    m.model_name,
    p.currency,
    p.gpu_hours,
    p.allocated_cost,
    p.used_cost,
    p.idle_cost,
    p.cost_share,
    p.cost_before,
    p.cost_change,
    p.requests,
    p.requests_without_tokens,
    p.tokens,
    p.cost_per_1000_requests,
    p.cost_per_million_tokens,
    p.used_cost_per_million_tokens,
    p.cost_case,
    cc.label_ko AS cost_case_ko,
    cc.label_en AS cost_case_en
FROM rollup.cost_periods AS p
LEFT JOIN llm.deployments AS e ON p.key = e.deployment_id
LEFT JOIN llm.environments AS en ON e.environment = en.code
LEFT JOIN llm.models AS m ON e.model_id = m.model_id
LEFT JOIN rollup.cost_cases AS cc ON p.cost_case = cc.code
WHERE p.grain = 'day' AND p.dimension = 'deployment';
COMMENT ON VIEW reporting.daily_cost_by_deployment IS '배포별 일별 비용: 배포의 GPU에 든 비용, 사용 여부와 무관; 사용이나 비용이 있는 배포마다, 일자(보고 '
    '시간대)마다 한 행. 오늘은 어제 하루 전체와 비교한다 | '
    'Daily cost by deployment: what its GPUs cost, used or not; one row per deployment and day (reporting time '
    'zone) with use or cost. Today is compared with the whole of yesterday';
CALL ops.describe(
    'reporting.daily_cost_by_deployment',
    'rollup.cost_periods', 'reporting.requests'
);
COMMENT ON COLUMN reporting.daily_cost_by_deployment.cost_day IS '비용 일자: 보고 시간대의 일자 | '
    'Day: in the reporting time zone';
COMMENT ON COLUMN reporting.daily_cost_by_deployment.deployment_id IS '배포 고유 식별자: 비용이 든 배포 | '
    'Deployment ID: the deployment whose cost it is';
COMMENT ON COLUMN reporting.daily_cost_by_deployment.cost_case_ko IS '비용 유형: 한국어 설명과 할 일; NULL = 아는 토큰 수나 비용이 없음 | '
    'Cost case: what it means and what to do, in Korean; NULL = no tokens are known, or it cost nothing';
COMMENT ON COLUMN reporting.daily_cost_by_deployment.cost_case_en IS '비용 유형: 영어 설명과 할 일; NULL = 아는 토큰 수나 비용이 없음 | '
    'Cost case: what it means and what to do; NULL = no tokens are known, or it cost nothing';

GRANT SELECT ON reporting.daily_cost_by_deployment TO llm_analyst;
