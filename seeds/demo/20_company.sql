-- Departments, people and projects. Keys are given, not drawn: a sequence remembers runs that failed, and the next run
-- would build other rows.

-- The first ten people manage a department each and the next twenty have been there all along: they wrote the projects
-- and the templates. Of the others some joined, some left within the time span.
CREATE TEMPORARY TABLE demo_users ON COMMIT DROP AS
WITH surnames (place, hangul, latin, upto) AS (
    VALUES
        (1, '김', 'kim', 0.22), (2, '이', 'lee', 0.37), (3, '박', 'park', 0.46), (4, '최', 'choi', 0.51),
        (5, '정', 'jung', 0.56), (6, '강', 'kang', 0.60), (7, '조', 'cho', 0.64), (8, '윤', 'yoon', 0.68),
        (9, '장', 'jang', 0.72), (10, '임', 'lim', 0.76), (11, '한', 'han', 0.79), (12, '오', 'oh', 0.82),
        (13, '서', 'seo', 0.85), (14, '신', 'shin', 0.88), (15, '권', 'kwon', 0.90), (16, '황', 'hwang', 0.92),
        (17, '안', 'ahn', 0.94), (18, '송', 'song', 0.96), (19, '류', 'ryu', 0.98), (20, '홍', 'hong', 1.00)
), given_names (place, hangul, latin) AS (
    VALUES
        (1, '민준', 'minjun'), (2, '서연', 'seoyeon'), (3, '도윤', 'doyun'), (4, '지우', 'jiwoo'),
        (5, '하준', 'hajun'), (6, '서윤', 'seoyun'), (7, '지훈', 'jihoon'), (8, '수빈', 'subin'),
        (9, '현우', 'hyunwoo'), (10, '지민', 'jimin'), (11, '준호', 'junho'), (12, '유진', 'yujin'),
        (13, '성민', 'sungmin'), (14, '은지', 'eunji'), (15, '재현', 'jaehyun'), (16, '예린', 'yerin'),
        (17, '태영', 'taeyoung'), (18, '소영', 'soyoung'), (19, '동현', 'donghyun'), (20, '다은', 'daeun'),
        (21, '승현', 'seunghyun'), (22, '혜진', 'hyejin'), (23, '영호', 'youngho'), (24, '미영', 'miyoung'),
        (25, '건우', 'gunwoo'), (26, '채원', 'chaewon'), (27, '우진', 'woojin'), (28, '나연', 'nayeon'),
        (29, '상훈', 'sanghoon'), (30, '지은', 'jieun'), (31, '정호', 'jungho'), (32, '수아', 'sua'),
        (33, '시우', 'siwoo'), (34, '윤서', 'yunseo'), (35, '경민', 'kyungmin'), (36, '하은', 'haeun'),
        (37, '진우', 'jinwoo'), (38, '보람', 'boram'), (39, '기훈', 'kihoon'), (40, '선영', 'sunyoung')
), shares AS (
    SELECT
        d.department_id,
        d.role,
        sum(d.head_count) OVER (ORDER BY d.department_id) AS upto
    FROM demo_departments AS d
), people AS (
    SELECT
        n AS user_id,
        CASE
            WHEN n <= 30 THEN (n - 1) % 10 + 1
            ELSE (
                SELECT min(s.department_id) FROM shares AS s
                WHERE pg_temp.uniform(n, 11) < s.upto OR s.department_id = 10  -- the shares' sum may round to below 1
            )
        END AS department_id,
        (SELECT min(s.place) FROM surnames AS s WHERE pg_temp.uniform(n, 12) < s.upto) AS surname,
        floor(40 * pg_temp.uniform(n, 13))::integer + 1 AS given_name,
        CASE WHEN n > 30 AND pg_temp.uniform(n, 14) < 0.15 THEN 150 * pg_temp.uniform(n, 15) END AS joined_on,
        CASE WHEN n > 30 AND pg_temp.uniform(n, 14) > 0.93 THEN 170 * pg_temp.uniform(n, 15) END AS left_on,
        -- Zipf: shuffled ranks, so that a low user_id does not mean a heavy user.
        1 / power(row_number() OVER (ORDER BY hashint8extended(n, 16)), 0.95)::numeric AS weight
    FROM demo_span AS span
    CROSS JOIN LATERAL generate_series(1, span.users) AS n
)
SELECT
    p.user_id,
    p.department_id,
    s.hangul || g.hangul AS user_name,
    g.latin || '.' || s.latin
    || coalesce(nullif(row_number() OVER (PARTITION BY p.surname, p.given_name ORDER BY p.user_id), 1)::text, '')
    || '@company.com' AS user_email,
    CASE
        WHEN p.user_id <= 10 THEN 'admin'
        WHEN pg_temp.uniform(p.user_id, 17) < 0.8 THEN d.role
        ELSE (ARRAY['developer', 'researcher', 'analyst'])[floor(3 * pg_temp.uniform(p.user_id, 18))::integer + 1]
    END AS role,
    coalesce(span.starts_at + p.joined_on * interval '1 day', '-infinity') AS joined_at,
    coalesce(span.starts_at + p.left_on * interval '1 day', 'infinity') AS left_at,
    -- Added up as numeric, which does not depend on the order, so that the last one reaches 1 exactly.
    (sum(p.weight) OVER (ORDER BY p.user_id) / sum(p.weight) OVER ())::double precision AS upto
FROM people AS p
INNER JOIN surnames AS s ON p.surname = s.place
INNER JOIN given_names AS g ON p.given_name = g.place
INNER JOIN demo_departments AS d ON p.department_id = d.department_id
CROSS JOIN demo_span AS span;

INSERT INTO llm.departments (department_id, department_name, manager_id)
SELECT department_id, department_name, department_id AS manager_id FROM demo_departments;

INSERT INTO llm.users (user_id, user_name, user_email, role, is_active, department_id)
SELECT user_id, user_name, user_email, role, left_at = 'infinity', department_id
FROM demo_users
ORDER BY user_id;

INSERT INTO llm.projects (project_id, project_name, description, created_at, created_by, department_id)
SELECT
    p.project_id,
    p.project_name,
    p.description,
    span.starts_at + (p.began_on + pg_temp.uniform(p.project_id, 21) / 3) * interval '1 day',
    -- A founding member of the department: its manager, or one of the two who came with them.
    p.department_id + 10 * (p.project_id % 3),
    p.department_id
FROM demo_span AS span
CROSS JOIN (
    VALUES
        (1, '고객서비스 챗봇', '고객 문의에 24시간 답하는 챗봇. 예상 결과물: 상담 건수 30% 절감', 6, -210),
        (2, '문서요약 시스템', '사내 보고서와 회의록 자동 요약. 마일스톤: 베타, 전사 배포', 2, -190),
        (3, '코드리뷰 자동화', '병합 요청마다 리뷰 의견을 먼저 제시', 3, -160),
        (4, '기술문서 번역', '한영 기술문서 번역과 용어 통일', 4, -140),
        (5, '사내 지식검색', '규정과 매뉴얼을 근거로 답하는 검색 (RAG)', 1, -120),
        (6, '모델 평가 벤치마크', '오픈소스 모델의 한국어 성능 비교', 1, -100),
        (7, '마케팅 문구 생성', '캠페인별 광고 문구 초안 작성', 7, -90),
        (8, '로그 이상탐지', '운영 로그 요약과 이상 징후 설명', 5, -80),
        (9, '계약서 검토 지원', '계약 조항의 위험 요소 표시', 9, -60),
        (10, 'SQL 생성 도우미', '자연어 질문을 분석용 SQL로 변환', 2, -45),
        (11, '단위테스트 자동생성', '변경된 코드의 단위테스트 초안 생성', 3, -30),
        (12, '상담품질 분석', '상담 기록의 감정과 해결 여부 분석', 6, -20),
        (13, '경영보고 초안작성', '월간 보고서 초안 작성', 8, 10),
        (14, '레거시 코드 변환', '구형 배치 프로그램의 언어 전환', 4, 35),
        (15, '보안점검 도우미', '취약점 보고서 요약과 조치 안내', 10, 60),
        (16, '멀티모달 문서인식', '스캔 문서의 표와 그림 해석', 1, 85),
        (17, 'GPU 사용량 예측', '배포별 자원 수요 예측', 5, 110),
        (18, '제품리뷰 요약', '고객 리뷰를 주제별로 요약', 7, 135)
) AS p (project_id, project_name, description, department_id, began_on);
