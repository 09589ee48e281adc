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
    a.description || (SELECT '' WHERE reporting.may_read_people()) AS description,
    a.s3_path || (SELECT '' WHERE reporting.may_read_people()) AS s3_path,
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
LEFT JOIN rollup.usage_totals AS l ON l.dimension = 'deployment' AND e.deployment_id = l.key;
COMMENT ON VIEW reporting.model_lineage IS '모델 계보: 각 모델과 그 배포, 배포의 학습에 쓰인 데이터셋, 전체 기간의 사용; 모델과 배포마다 한 행, 배포되지 않은 모델은 한 '
    '행 | '
    'Model lineage: from each model to its deployments, the dataset each was trained with and their use of all time; '
    'one row per model and deployment, and one for a model that is not deployed';
CALL ops.describe('reporting.model_lineage', 'reporting.dataset_lineage');
COMMENT ON COLUMN reporting.model_lineage.model_id IS '모델 고유 식별자: 모델 | Model ID: the model';
COMMENT ON COLUMN reporting.model_lineage.deployment_id IS '배포 고유 식별자: 이 모델의 배포; NULL = 없음, 배포와 그 데이터셋의 컬럼도 모두 NULL | '
    'Deployment ID: a deployment of it; NULL = none, and so are the columns of the deployment and its dataset';
COMMENT ON COLUMN reporting.model_lineage.dataset_id IS '데이터셋 고유 식별자: 배포의 학습에 쓰인 데이터셋; NULL = 없음, 데이터셋의 컬럼도 모두 NULL | '
    'Dataset ID: what the deployment was trained with; NULL = none, and so are the columns of the dataset';
COMMENT ON COLUMN reporting.model_lineage.description IS '데이터셋 설명: 출처, 크기, 품질, 용도; NULL = 작성되지 않았거나 데이터셋이 없거나 볼 권한 '
    '없음(reporting.may_read_people() 참고) | '
    'Dataset description: source, size, quality, purpose; NULL = none written, no dataset, or not for you, see '
    'reporting.may_read_people()';

GRANT SELECT ON reporting.model_lineage TO llm_analyst;
