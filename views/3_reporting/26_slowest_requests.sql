CREATE OR REPLACE VIEW reporting.slowest_requests AS
SELECT
    r.dimension,
    r.key AS dimension_id,
    n.name AS dimension_name,
    r.day AS request_day,
    r.rank,
    r.latency_us / 1000.0::double precision AS latency_ms,
    r.session_id,
    r.log_sequence,
    r.request_time,
    r.token_used,
    CASE r.dimension
        WHEN 'config' THEN '모델 설정'
        WHEN 'department' THEN '부서'
        WHEN 'deployment' THEN '배포'
        WHEN 'model' THEN '모델'
        WHEN 'project' THEN '프로젝트'
        WHEN 'template' THEN '템플릿'
    END AS dimension_ko,
    CASE r.dimension
        WHEN 'config' THEN 'Preset'
        WHEN 'department' THEN 'Department'
        WHEN 'deployment' THEN 'Deployment'
        WHEN 'model' THEN 'Model'
        WHEN 'project' THEN 'Project'
        WHEN 'template' THEN 'Template'
    END AS dimension_en
FROM (
    SELECT
        s.dimension,
        s.key,
        s.day,
        s.latency_us,
        s.session_id,
        s.log_sequence,
        s.request_time,
        s.token_used,
        row_number() OVER (
            PARTITION BY s.dimension, s.key, s.day ORDER BY s.latency_us DESC, s.session_id ASC, s.log_sequence ASC
        ) AS rank
    FROM rollup.slowest_rows AS s
) AS r
LEFT JOIN rollup.dimension_names AS n ON r.dimension = n.dimension AND r.key = n.key
WHERE r.rank <= 10;
COMMENT ON VIEW reporting.slowest_requests IS '느린 요청: 일자(보고 시간대)와 각 모델 설정, 부서, 배포, 모델, 프로젝트, 템플릿에서 가장 느린 응답된 요청 열 개; '
    '구분(dimension) 하나를 골라 조회한다. 한 달의 가장 느린 열 개는 그 날들의 열 개 안에 있다 | '
    'Slowest requests: the ten slowest answered requests of each day (reporting time zone) and each config, '
    'department, deployment, model, project and template; ask for one dimension. The ten slowest of a month are among '
    'those of its days';
CALL ops.describe('reporting.slowest_requests', 'reporting.requests');
COMMENT ON COLUMN reporting.slowest_requests.dimension IS '구분: dimension_id의 종류를 나타내는 코드 | '
    'Kind: what dimension_id is: config, department, deployment, model, project or template';
COMMENT ON COLUMN reporting.slowest_requests.dimension_ko IS '구분: 한국어 이름 | Kind: Korean label';
COMMENT ON COLUMN reporting.slowest_requests.dimension_en IS '구분: 영어 이름 | Kind: English label';
COMMENT ON COLUMN reporting.slowest_requests.dimension_id IS '고유 식별자: 모델 설정, 부서(요청 시점), 배포 등의 식별자; NULL = 해당 항목이 없는 '
    '요청 | '
    'ID: of the config, department (when the request was made), deployment...; NULL = requests without one';
COMMENT ON COLUMN reporting.slowest_requests.dimension_name IS '이름: 해당 항목의 이름; 설정은 모델명과, 템플릿은 버전과 함께; NULL = 해당 항목이 없는 '
    '요청 | '
    'Name: what it is called; a config with its model, a template with its version; NULL = requests without one';
COMMENT ON COLUMN reporting.slowest_requests.rank IS '순위: 1 = 그날 가장 느린 요청 | Rank: 1 = the slowest of the day';
COMMENT ON COLUMN reporting.slowest_requests.latency_ms IS '처리 시간: 요청부터 응답까지, 정확한 값, 밀리초 | '
    'Latency: from request to answer, exact, in milliseconds';
COMMENT ON COLUMN reporting.slowest_requests.session_id IS '세션 고유 식별자: log_sequence와 함께 reporting.requests의 요청을 가리킨다, '
    '저장되어 있는 동안 | '
    'Session ID: with log_sequence, the request in reporting.requests, as long as it is stored';

GRANT SELECT ON reporting.slowest_requests TO llm_analyst;
