-- One row per log, with everything that is known about it.
--
-- Every join is a LEFT JOIN to a key, also where the foreign key is NOT NULL: it can neither lose nor multiply a log,
-- and the planner leaves out a table whose columns a query does not ask for, which it never does for an INNER JOIN. The
-- department at the time is made a key by GROUP BY. Each request looks its own up, so that a short answer reads no more
-- with 100,000 people; rollup.department_spans would be faster only for the departments of a million requests at once.
CREATE OR REPLACE VIEW reporting.requests AS
SELECT
    l.session_id,
    l.log_sequence,
    l.request_time,
    l.response_time,
    t.local_time::date AS request_day,
    date_trunc('hour', t.local_time) AS request_hour,
    (extract(EPOCH FROM l.latency) * 1000)::double precision AS latency_ms,
    l.token_used,
    s.session_type,
    st.label_ko AS session_type_ko,
    st.label_en AS session_type_en,
    s.status AS session_status,
    ss.label_ko AS session_status_ko,
    ss.label_en AS session_status_en,
    s.user_id,
    u.user_name || (SELECT '' WHERE reporting.may_read_people()) AS user_name,
    u.user_email || (SELECT '' WHERE reporting.may_read_people()) AS user_email,
    u.role AS user_role,
    ur.label_ko AS user_role_ko,
    ur.label_en AS user_role_en,
    h.department_id,
    hd.department_name,
    s.project_id,
    p.project_name,
    p.department_id AS project_department_id,
    pd.department_name AS project_department_name,
    l.deployment_id,
    e.server_name,
    e.environment,
    en.label_ko AS environment_ko,
    en.label_en AS environment_en,
    e.status AS deployment_status,
    ds.label_ko AS deployment_status_ko,
    ds.label_en AS deployment_status_en,
    e.dataset_id,
    e.model_id,
    m.model_name,
    m.model_type,
    mt.label_ko AS model_type_ko,
    mt.label_en AS model_type_en,
    l.config_id,
    c.config_name,
    l.template_id,
    pt.template_name,
    pt.version AS template_version,
    pt.task_category,
    tc.label_ko AS task_category_ko,
    tc.label_en AS task_category_en,
    u.department_id AS current_department_id,
    d.department_name AS current_department_name
FROM llm.session_logs AS l
CROSS JOIN LATERAL (
    SELECT
        -- No time zone is called that, so this raises. A function that raises would have to be looked up each time.
        rollup.known_time(l.request_time) AT TIME ZONE coalesce(
            (SELECT z.time_zone FROM rollup.state AS z), 'of rollup.state, whose row llm-db migrate puts back,'
        ) AS local_time
) AS t
LEFT JOIN llm.sessions AS s ON l.session_id = s.session_id
LEFT JOIN llm.session_types AS st ON s.session_type = st.code
LEFT JOIN llm.session_statuses AS ss ON s.status = ss.code
LEFT JOIN llm.users AS u ON s.user_id = u.user_id
LEFT JOIN llm.roles AS ur ON u.role = ur.code
LEFT JOIN llm.departments AS d ON u.department_id = d.department_id
LEFT JOIN LATERAL (
    SELECT
        ud.user_id,
        (array_agg(ud.department_id ORDER BY ud.since DESC))[1] AS department_id
    FROM llm.user_departments AS ud
    WHERE ud.user_id = s.user_id AND ud.since <= l.request_time
    GROUP BY ud.user_id
) AS h ON s.user_id = h.user_id
LEFT JOIN llm.departments AS hd ON h.department_id = hd.department_id
LEFT JOIN llm.projects AS p ON s.project_id = p.project_id
LEFT JOIN llm.departments AS pd ON p.department_id = pd.department_id
LEFT JOIN llm.deployments AS e ON l.deployment_id = e.deployment_id
LEFT JOIN llm.environments AS en ON e.environment = en.code
LEFT JOIN llm.deployment_statuses AS ds ON e.status = ds.code
LEFT JOIN llm.models AS m ON e.model_id = m.model_id
LEFT JOIN llm.model_types AS mt ON m.model_type = mt.code
LEFT JOIN llm.model_configs AS c ON l.config_id = c.config_id
LEFT JOIN llm.prompt_templates_base AS pt ON l.template_id = pt.template_id
LEFT JOIN llm.task_categories AS tc ON pt.task_category = tc.code;
COMMENT ON VIEW reporting.requests IS '세션 로그: 저장된 모든 요청과 그 세션, 사용자, 부서, 프로젝트, 배포, 모델, 설정, 템플릿; 요청마다 한 행. 일자와 시간은 보고 '
    '시간대 기준 | '
    'Requests: every stored request with its session, user, department, project, deployment, model, preset and '
    'template; one row per request. Days and hours are those of the reporting time zone';
COMMENT ON COLUMN reporting.requests.session_id IS '세션 고유 식별자: 세션; log_sequence와 함께 행의 키 | '
    'Session ID: the session; with log_sequence the key of a row';
COMMENT ON COLUMN reporting.requests.log_sequence IS '세션 내 로그 순번: 세션 안에서 1, 2, 3... | '
    'Log sequence: 1, 2, 3... within the session';
COMMENT ON COLUMN reporting.requests.request_time IS '요청 시간: 요청이 발생한 시간 | Request time: when the request was made';
COMMENT ON COLUMN reporting.requests.response_time IS '응답 시간: 응답이 완료된 시간; NULL = 진행중이거나 알 수 없음 | '
    'Response time: when the answer was complete; NULL = running or not known';
COMMENT ON COLUMN reporting.requests.request_day IS '요청 일자: 보고 시간대로 본 request_time의 일자 | '
    'Day of request: the day of request_time in the reporting time zone';
COMMENT ON COLUMN reporting.requests.request_hour IS '요청 시간대: request_time이 속한 시간의 시작, 보고 시간대의 시계 기준 | '
    'Hour of request: the start of the hour of request_time, as clocks in the reporting time zone show it';
COMMENT ON COLUMN reporting.requests.latency_ms IS '처리 시간: 요청부터 응답까지, 밀리초; NULL = 응답이 기록되지 않음 | '
    'Latency: from request to answer, in milliseconds; NULL = no answer known';
COMMENT ON COLUMN reporting.requests.token_used IS '사용 토큰 수: 입력과 출력의 합, 토큰 단위; NULL = 알 수 없음 | '
    'Tokens used: input plus output, in tokens; NULL = not known';
COMMENT ON COLUMN reporting.requests.session_type IS '세션 유형: 세션의 용도 코드 | Session type: code of the session''s purpose';
COMMENT ON COLUMN reporting.requests.session_type_ko IS '세션 유형: 한국어 이름 | Session type: Korean label';
COMMENT ON COLUMN reporting.requests.session_type_en IS '세션 유형: 영어 이름 | Session type: English label';
COMMENT ON COLUMN reporting.requests.session_status IS '세션 상태: 세션의 현재 상태 코드 | '
    'Session status: code of the session''s status now';
COMMENT ON COLUMN reporting.requests.session_status_ko IS '세션 상태: 한국어 이름 | Session status: Korean label';
COMMENT ON COLUMN reporting.requests.session_status_en IS '세션 상태: 영어 이름 | Session status: English label';
COMMENT ON COLUMN reporting.requests.user_id IS '사용자 고유 식별자: 요청한 사용자 | User ID: who made the request';
COMMENT ON COLUMN reporting.requests.user_name IS '사용자 실명: 사용자의 이름, 유일하지 않음; NULL = 볼 권한 '
    '없음(reporting.may_read_people() 참고) | '
    'User: name of the user; not unique; NULL = not for you, see reporting.may_read_people()';
COMMENT ON COLUMN reporting.requests.user_email IS '이메일: 사용자의 이메일, 유일; NULL = 볼 권한 없음(reporting.may_read_people() '
    '참고) | '
    'E-mail: address of the user; unique; NULL = not for you, see reporting.may_read_people()';
COMMENT ON COLUMN reporting.requests.user_role IS '사용자 역할: 사용자의 현재 역할 코드 | User role: code of the user''s role now';
COMMENT ON COLUMN reporting.requests.user_role_ko IS '사용자 역할: 한국어 이름 | User role: Korean label';
COMMENT ON COLUMN reporting.requests.user_role_en IS '사용자 역할: 영어 이름 | User role: English label';
COMMENT ON COLUMN reporting.requests.department_id IS '부서 고유 식별자: 요청 시점에 사용자가 소속된 부서; NULL = 알 수 없음 | '
    'Department ID: the department the user worked for at request_time; NULL = not known';
COMMENT ON COLUMN reporting.requests.department_name IS '부서명: 그 부서의 이름 | Department: name of that department';
COMMENT ON COLUMN reporting.requests.project_id IS '프로젝트 고유 식별자: 세션의 프로젝트; NULL = 없음 | '
    'Project ID: the session''s project; NULL = none';
COMMENT ON COLUMN reporting.requests.project_name IS '프로젝트명: 프로젝트의 이름, 유일하지 않음; NULL = 프로젝트 없음 | '
    'Project: name of the project; not unique; NULL = no project';
COMMENT ON COLUMN reporting.requests.project_department_id IS '프로젝트의 부서: 프로젝트가 지금 속한 부서, 사용자의 부서와 다를 수 있다; NULL = 프로젝트 '
    '없음 | '
    'Project''s department ID: the department the project belongs to now, which need not be the user''s; NULL = no '
    'project';
COMMENT ON COLUMN reporting.requests.project_department_name IS '프로젝트의 부서명: 그 부서의 이름; NULL = 프로젝트 없음 | '
    'Project''s department: its name; NULL = no project';
COMMENT ON COLUMN reporting.requests.deployment_id IS '배포 고유 식별자: 요청을 처리한 배포 | '
    'Deployment ID: the deployment that served the request';
COMMENT ON COLUMN reporting.requests.server_name IS '서버명: 배포가 실행되는 호스트, 한 서버에 여러 배포가 있을 수 있다 | '
    'Server: host of the deployment; a server may run several deployments';
COMMENT ON COLUMN reporting.requests.environment IS '배포 환경: 배포 환경 코드 | Environment: code of the deployment''s stage';
COMMENT ON COLUMN reporting.requests.environment_ko IS '배포 환경: 한국어 이름 | Environment: Korean label';
COMMENT ON COLUMN reporting.requests.environment_en IS '배포 환경: 영어 이름 | Environment: English label';
COMMENT ON COLUMN reporting.requests.deployment_status IS '배포 상태: 배포의 현재 상태 코드 | '
    'Deployment status: code of the deployment''s availability now';
COMMENT ON COLUMN reporting.requests.deployment_status_ko IS '배포 상태: 한국어 이름 | Deployment status: Korean label';
COMMENT ON COLUMN reporting.requests.deployment_status_en IS '배포 상태: 영어 이름 | Deployment status: English label';
COMMENT ON COLUMN reporting.requests.dataset_id IS '데이터셋 고유 식별자: 배포의 학습에 쓰인 데이터셋; NULL = 없음 | '
    'Dataset ID: the data the deployment was trained with; NULL = none';
COMMENT ON COLUMN reporting.requests.model_id IS '모델 고유 식별자: 배포의 모델 | Model ID: the model of the deployment';
COMMENT ON COLUMN reporting.requests.model_name IS '모델명: 모델의 공식 명칭, 유일 | Model: official name of the model; unique';
COMMENT ON COLUMN reporting.requests.model_type IS '모델 유형: 모델의 주요 용도 코드 | Model type: code of the model''s main use';
COMMENT ON COLUMN reporting.requests.model_type_ko IS '모델 유형: 한국어 이름 | Model type: Korean label';
COMMENT ON COLUMN reporting.requests.model_type_en IS '모델 유형: 영어 이름 | Model type: English label';
COMMENT ON COLUMN reporting.requests.config_id IS '설정 고유 식별자: 적용된 모델 설정; NULL = 없거나 알 수 없음 | '
    'Preset ID: the preset applied; NULL = none or not known';
COMMENT ON COLUMN reporting.requests.config_name IS '설정명: 모델 설정의 이름, 같은 모델 안에서 유일; NULL = 없거나 알 수 없음 | '
    'Preset: name of the preset, unique within its model; NULL = none or not known';
COMMENT ON COLUMN reporting.requests.template_id IS '템플릿 고유 식별자: 사용된 템플릿; NULL = 없음 | '
    'Template ID: the template used; NULL = none';
COMMENT ON COLUMN reporting.requests.template_name IS '템플릿명: 템플릿의 이름; NULL = 없음 | '
    'Template: name of the template; NULL = none';
COMMENT ON COLUMN reporting.requests.template_version IS '버전: 템플릿의 버전; NULL = 없음 | '
    'Version: version of the template; NULL = none';
COMMENT ON COLUMN reporting.requests.task_category IS '작업 카테고리: 템플릿의 작업 카테고리 코드; NULL = 템플릿 없음 | '
    'Task category: code of the template''s task; NULL = no template';
COMMENT ON COLUMN reporting.requests.task_category_ko IS '작업 카테고리: 한국어 이름; NULL = 템플릿 없음 | '
    'Task category: Korean label; NULL = no template';
COMMENT ON COLUMN reporting.requests.task_category_en IS '작업 카테고리: 영어 이름; NULL = 템플릿 없음 | '
    'Task category: English label; NULL = no template';
COMMENT ON COLUMN reporting.requests.current_department_id IS '현재 부서: 사용자가 지금 소속된 부서 | '
    'Current department ID: the department the user works for now';
COMMENT ON COLUMN reporting.requests.current_department_name IS '현재 부서명: 그 부서의 이름 | Current department: its name';

GRANT SELECT ON reporting.requests TO llm_analyst;
