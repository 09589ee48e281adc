-- Whether the demo company may be built here. It is recognised by its departments: all ten of these names together.
CREATE TEMPORARY TABLE demo_departments (
    department_id   bigint           NOT NULL,
    department_name text             NOT NULL,
    role            text             NOT NULL,
    head_count      double precision NOT NULL
) ON COMMIT DROP;

-- The role most members have, and the department's share of the staff.
INSERT INTO demo_departments (department_id, department_name, role, head_count)
VALUES
    (1, 'AI연구팀', 'researcher', 0.14),
    (2, '데이터분석팀', 'analyst', 0.13),
    (3, '개발1팀', 'developer', 0.17),
    (4, '개발2팀', 'developer', 0.14),
    (5, '플랫폼운영팀', 'developer', 0.09),
    (6, '고객지원팀', 'analyst', 0.12),
    (7, '마케팅팀', 'analyst', 0.08),
    (8, '경영기획팀', 'analyst', 0.05),
    (9, '법무팀', 'analyst', 0.04),
    (10, '정보보안팀', 'developer', 0.04);

CREATE TEMPORARY TABLE demo_state ON COMMIT DROP AS
SELECT
    CASE
        WHEN NOT EXISTS (
            SELECT FROM demo_departments AS wanted
            WHERE NOT EXISTS (SELECT FROM llm.departments AS d WHERE d.department_name = wanted.department_name)
        ) THEN 'demo'
        WHEN EXISTS (SELECT FROM llm.departments)
            OR EXISTS (SELECT FROM llm.users)
            OR EXISTS (SELECT FROM llm.models)
            OR EXISTS (SELECT FROM llm.datasets) THEN 'other'
        ELSE 'empty'  -- every other entity refers to one of these
    END AS state;
