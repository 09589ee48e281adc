-- The models come first, so that one that is not deployed shows; what hangs on a deployment follows it as a whole.
CREATE OR REPLACE VIEW reporting.model_lineage AS
SELECT
    m.model_id,
    m.model_name,
    m.model_type,
    mt.label_ko AS model_type_ko,
    mt.label_en AS model_type_en,
    e.deployment_id,
    e.server_name,
    e.gpu_count,
    e.environment,
    en.label_ko AS environment_ko,
    en.label_en AS environment_en,
    e.status AS deployment_status,
    ds.label_ko AS deployment_status_ko,
    ds.label_en AS deployment_status_en,
    e.dataset_id,
    a.learning_type,
    lt.label_ko AS learning_type_ko,
    lt.label_en AS learning_type_en,
    a.description,
    a.s3_path,
    coalesce(l.requests, 0) AS requests,
    coalesce(l.requests_without_tokens, 0) AS requests_without_tokens,
    coalesce(l.tokens, 0) AS tokens,
    l.first_request_time,
    l.last_request_time
FROM llm.models AS m
INNER JOIN llm.model_types AS mt ON m.model_type = mt.code
LEFT JOIN llm.deployments AS e ON m.model_id = e.model_id
LEFT JOIN llm.environments AS en ON e.environment = en.code
LEFT JOIN llm.deployment_statuses AS ds ON e.status = ds.code
LEFT JOIN llm.datasets AS a ON e.dataset_id = a.dataset_id
LEFT JOIN llm.learning_types AS lt ON a.learning_type = lt.code
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
COMMENT ON VIEW reporting.model_lineage IS '모델 계보: from each model to its deployments, the dataset each was trained '
    'with and their use of all time; one row per model and deployment, and one for a model that is not deployed';
COMMENT ON COLUMN reporting.model_lineage.model_id IS '모델 고유 식별자: the model';
COMMENT ON COLUMN reporting.model_lineage.model_name IS '모델명: official name; unique';
COMMENT ON COLUMN reporting.model_lineage.model_type IS '모델 유형: code of its main use';
COMMENT ON COLUMN reporting.model_lineage.model_type_ko IS '모델 유형: Korean label';
COMMENT ON COLUMN reporting.model_lineage.model_type_en IS '모델 유형: English label';
COMMENT ON COLUMN reporting.model_lineage.deployment_id IS '배포 고유 식별자: a deployment of it; NULL = none';
COMMENT ON COLUMN reporting.model_lineage.server_name IS '서버명: host of the deployment; NULL = no deployment';
COMMENT ON COLUMN reporting.model_lineage.gpu_count IS 'GPU 개수: GPUs of the deployment; NULL = no deployment';
COMMENT ON COLUMN reporting.model_lineage.environment IS '배포 환경: code of the stage; NULL = no deployment';
COMMENT ON COLUMN reporting.model_lineage.environment_ko IS '배포 환경: Korean label; NULL = no deployment';
COMMENT ON COLUMN reporting.model_lineage.environment_en IS '배포 환경: English label; NULL = no deployment';
COMMENT ON COLUMN reporting.model_lineage.deployment_status IS '배포 상태: code of the availability; NULL = no deployment';
COMMENT ON COLUMN reporting.model_lineage.deployment_status_ko IS '배포 상태: Korean label; NULL = no deployment';
COMMENT ON COLUMN reporting.model_lineage.deployment_status_en IS '배포 상태: English label; NULL = no deployment';
COMMENT ON COLUMN reporting.model_lineage.dataset_id IS '데이터셋 고유 식별자: what the deployment was trained with; NULL = '
    'none';
COMMENT ON COLUMN reporting.model_lineage.learning_type IS '학습 유형: code of how it is learned from; NULL = no dataset';
COMMENT ON COLUMN reporting.model_lineage.learning_type_ko IS '학습 유형: Korean label; NULL = no dataset';
COMMENT ON COLUMN reporting.model_lineage.learning_type_en IS '학습 유형: English label; NULL = no dataset';
COMMENT ON COLUMN reporting.model_lineage.description IS '데이터셋 설명: source, size, quality, purpose; NULL = none '
    'written, or no dataset';
COMMENT ON COLUMN reporting.model_lineage.s3_path IS 'S3 저장 경로: s3://bucket/key of the data; NULL = no dataset';
COMMENT ON COLUMN reporting.model_lineage.requests IS '요청 수: requests the deployment served; 0 when none';
COMMENT ON COLUMN reporting.model_lineage.requests_without_tokens IS '토큰 수 미상 요청 수: those of them whose token_used is '
    'not known; tokens leaves them out';
COMMENT ON COLUMN reporting.model_lineage.tokens IS '사용 토큰 수: sum of the known token_used, in tokens; 0 when none is '
    'known';
COMMENT ON COLUMN reporting.model_lineage.first_request_time IS '첫 요청 시간: of the deployment; NULL = none';
COMMENT ON COLUMN reporting.model_lineage.last_request_time IS '마지막 요청 시간: of the deployment; NULL = none';

GRANT SELECT ON reporting.model_lineage TO llm_analyst;
