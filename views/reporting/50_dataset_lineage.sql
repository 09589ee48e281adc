-- The datasets come first, so that one that is not deployed shows; what hangs on a deployment follows it as a whole.
CREATE OR REPLACE VIEW reporting.dataset_lineage AS
SELECT
    a.dataset_id,
    a.learning_type,
    lt.label_ko AS learning_type_ko,
    lt.label_en AS learning_type_en,
    a.description,
    a.s3_path,
    a.created_at,
    e.deployment_id,
    e.server_name,
    e.gpu_count,
    e.environment,
    en.label_ko AS environment_ko,
    en.label_en AS environment_en,
    e.status AS deployment_status,
    ds.label_ko AS deployment_status_ko,
    ds.label_en AS deployment_status_en,
    e.model_id,
    m.model_name,
    m.model_type,
    mt.label_ko AS model_type_ko,
    mt.label_en AS model_type_en,
    coalesce(l.requests, 0) AS requests,
    coalesce(l.requests_without_tokens, 0) AS requests_without_tokens,
    coalesce(l.tokens, 0) AS tokens,
    l.first_request_time,
    l.last_request_time
FROM llm.datasets AS a
INNER JOIN llm.learning_types AS lt ON a.learning_type = lt.code
LEFT JOIN llm.deployments AS e ON a.dataset_id = e.dataset_id
LEFT JOIN llm.environments AS en ON e.environment = en.code
LEFT JOIN llm.deployment_statuses AS ds ON e.status = ds.code
LEFT JOIN llm.models AS m ON e.model_id = m.model_id
LEFT JOIN llm.model_types AS mt ON m.model_type = mt.code
LEFT JOIN (
    SELECT
        r.key,
        sum(r.requests)::bigint AS requests,
        sum(r.requests_without_tokens)::bigint AS requests_without_tokens,
        sum(r.tokens)::bigint AS tokens,
        min(r.first_request_time) AS first_request_time,
        max(r.last_request_time) AS last_request_time
    FROM llm.usage_rows AS r
    WHERE r.dimension = 'deployment'
    GROUP BY r.key
) AS l ON e.deployment_id = l.key;
COMMENT ON VIEW reporting.dataset_lineage IS '데이터셋 계보: from each dataset to the deployments trained with it, their '
    'models and their use of all time; one row per dataset and deployment, and one for a dataset without any. '
    'Deployments without a dataset are in reporting.model_lineage';
COMMENT ON COLUMN reporting.dataset_lineage.dataset_id IS '데이터셋 고유 식별자: the dataset';
COMMENT ON COLUMN reporting.dataset_lineage.learning_type IS '학습 유형: code of how it is learned from';
COMMENT ON COLUMN reporting.dataset_lineage.learning_type_ko IS '학습 유형: Korean label';
COMMENT ON COLUMN reporting.dataset_lineage.learning_type_en IS '학습 유형: English label';
COMMENT ON COLUMN reporting.dataset_lineage.description IS '데이터셋 설명: source, size, quality, purpose; NULL = none '
    'written';
COMMENT ON COLUMN reporting.dataset_lineage.s3_path IS 'S3 저장 경로: s3://bucket/key of the data';
COMMENT ON COLUMN reporting.dataset_lineage.created_at IS '생성 시간: when the dataset was ready';
COMMENT ON COLUMN reporting.dataset_lineage.deployment_id IS '배포 고유 식별자: a deployment trained with it; NULL = none is';
COMMENT ON COLUMN reporting.dataset_lineage.server_name IS '서버명: host of the deployment; NULL = no deployment';
COMMENT ON COLUMN reporting.dataset_lineage.gpu_count IS 'GPU 개수: GPUs of the deployment; NULL = no deployment';
COMMENT ON COLUMN reporting.dataset_lineage.environment IS '배포 환경: code of the stage; NULL = no deployment';
COMMENT ON COLUMN reporting.dataset_lineage.environment_ko IS '배포 환경: Korean label; NULL = no deployment';
COMMENT ON COLUMN reporting.dataset_lineage.environment_en IS '배포 환경: English label; NULL = no deployment';
COMMENT ON COLUMN reporting.dataset_lineage.deployment_status IS '배포 상태: code of the availability; NULL = no '
    'deployment';
COMMENT ON COLUMN reporting.dataset_lineage.deployment_status_ko IS '배포 상태: Korean label; NULL = no deployment';
COMMENT ON COLUMN reporting.dataset_lineage.deployment_status_en IS '배포 상태: English label; NULL = no deployment';
COMMENT ON COLUMN reporting.dataset_lineage.model_id IS '모델 고유 식별자: the deployed model; NULL = no deployment';
COMMENT ON COLUMN reporting.dataset_lineage.model_name IS '모델명: its official name; NULL = no deployment';
COMMENT ON COLUMN reporting.dataset_lineage.model_type IS '모델 유형: code of its main use; NULL = no deployment';
COMMENT ON COLUMN reporting.dataset_lineage.model_type_ko IS '모델 유형: Korean label; NULL = no deployment';
COMMENT ON COLUMN reporting.dataset_lineage.model_type_en IS '모델 유형: English label; NULL = no deployment';
COMMENT ON COLUMN reporting.dataset_lineage.requests IS '요청 수: requests the deployment served; 0 when none';
COMMENT ON COLUMN reporting.dataset_lineage.requests_without_tokens IS '토큰 수 미상 요청 수: those of them whose token_used '
    'is not known; tokens leaves them out';
COMMENT ON COLUMN reporting.dataset_lineage.tokens IS '사용 토큰 수: sum of the known token_used, in tokens; 0 when none is '
    'known';
COMMENT ON COLUMN reporting.dataset_lineage.first_request_time IS '첫 요청 시간: of the deployment; NULL = none';
COMMENT ON COLUMN reporting.dataset_lineage.last_request_time IS '마지막 요청 시간: of the deployment; NULL = none';

GRANT SELECT ON reporting.dataset_lineage TO llm_analyst;
