CREATE OR REPLACE VIEW reporting.daily_usage_by_deployment AS
SELECT
    p.first_day AS request_day,
    p.key AS deployment_id,
    e.server_name,
    e.environment,
    en.label_ko AS environment_ko,
    en.label_en AS environment_en,
    e.model_id,
    m.model_name,
    p.requests,
    p.answered_requests,
    p.requests_without_tokens,
    p.tokens,
    p.request_share,
    p.token_share,
    p.requests_before,
    p.tokens_before,
    p.requests_change,
    p.tokens_change,
    e.gpu_count
FROM rollup.usage_periods AS p
LEFT JOIN llm.deployments AS e ON p.key = e.deployment_id
LEFT JOIN llm.environments AS en ON e.environment = en.code
LEFT JOIN llm.models AS m ON e.model_id = m.model_id
WHERE p.grain = 'day' AND p.dimension = 'deployment';
COMMENT ON VIEW reporting.daily_usage_by_deployment IS '배포별 일별 사용량: 요청과 토큰, 요청이 있는 배포와 일자(보고 시간대)마다 한 행. 오늘은 어제 하루 전체와 '
    '비교한다 | '
    'Daily usage by deployment: requests and tokens, one row per deployment and day (reporting time zone) with '
    'requests. Today is compared with the whole of yesterday';
CALL ops.describe('reporting.daily_usage_by_deployment', 'rollup.usage_periods', 'reporting.requests');
COMMENT ON COLUMN reporting.daily_usage_by_deployment.deployment_id IS '배포 고유 식별자: 배포 | Deployment ID: the deployment';
COMMENT ON COLUMN reporting.daily_usage_by_deployment.gpu_count IS 'GPU 개수: 배포에 지금 할당된 GPU | '
    'GPUs: GPUs of the deployment now';

GRANT SELECT ON reporting.daily_usage_by_deployment TO llm_analyst;
