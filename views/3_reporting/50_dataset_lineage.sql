-- The datasets come first, so that one that is not deployed shows; what hangs on a deployment follows it as a whole.
CREATE OR REPLACE VIEW reporting.dataset_lineage AS
SELECT
    a.dataset_id,
    a.learning_type,
    lt.label_ko AS learning_type_ko,
    lt.label_en AS learning_type_en,
    a.description || (SELECT '' WHERE reporting.may_read_people()) AS description,
    a.s3_path || (SELECT '' WHERE reporting.may_read_people()) AS s3_path,
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
LEFT JOIN rollup.usage_totals AS l ON l.dimension = 'deployment' AND e.deployment_id = l.key;
COMMENT ON VIEW reporting.dataset_lineage IS '데이터셋 계보: 각 데이터셋과 그것으로 학습한 배포, 그 모델, 전체 기간의 사용; 데이터셋과 배포마다 한 행, 배포가 없는 '
    '데이터셋은 한 행. 데이터셋이 없는 배포는 reporting.model_lineage에 있다 | '
    'Dataset lineage: from each dataset to the deployments trained with it, their models and their use of all time; '
    'one row per dataset and deployment, and one for a dataset without any. Deployments without a dataset are in '
    'reporting.model_lineage';
CALL ops.describe(
    'reporting.dataset_lineage', 'rollup.usage_totals', 'reporting.daily_usage_by_deployment', 'reporting.requests'
);
COMMENT ON COLUMN reporting.dataset_lineage.created_at IS '생성 시간: 데이터셋이 준비된 시간 | '
    'Created at: when the dataset was ready';
COMMENT ON COLUMN reporting.dataset_lineage.dataset_id IS '데이터셋 고유 식별자: 데이터셋 | Dataset ID: the dataset';
COMMENT ON COLUMN reporting.dataset_lineage.learning_type IS '학습 유형: 학습 유형 코드 | '
    'Learning type: code of how it is learned from';
COMMENT ON COLUMN reporting.dataset_lineage.learning_type_ko IS '학습 유형: 한국어 이름 | Learning type: Korean label';
COMMENT ON COLUMN reporting.dataset_lineage.learning_type_en IS '학습 유형: 영어 이름 | Learning type: English label';
COMMENT ON COLUMN reporting.dataset_lineage.description IS '데이터셋 설명: 출처, 크기, 품질, 용도; NULL = 작성되지 않았거나 볼 권한 '
    '없음(reporting.may_read_people() 참고) | '
    'Dataset description: source, size, quality, purpose; NULL = none written, or not for you, see '
    'reporting.may_read_people()';
COMMENT ON COLUMN reporting.dataset_lineage.s3_path IS 'S3 저장 경로: 데이터 파일의 위치; NULL = 볼 권한 '
    '없음(reporting.may_read_people() 참고) | '
    'S3 path: s3://bucket/key; NULL = not for you, see reporting.may_read_people()';
COMMENT ON COLUMN reporting.dataset_lineage.deployment_id IS '배포 고유 식별자: 이 데이터셋으로 학습한 배포; NULL = 없음, 배포와 그 모델의 컬럼도 모두 '
    'NULL | '
    'Deployment ID: a deployment trained with it; NULL = none, and so are the columns of the deployment and its model';

GRANT SELECT ON reporting.dataset_lineage TO llm_analyst;
