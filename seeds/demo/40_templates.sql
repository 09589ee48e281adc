-- Prompt templates in several versions. A newer version is taken up person by person (60_requests.sql).
CREATE TEMPORARY TABLE demo_templates ON COMMIT DROP AS
SELECT
    t.place,
    t.template_name,
    t.task_category,
    t.variables,
    t.slug,
    v.version,
    v.number,
    v.since,
    10 * (t.place - 1) + v.number AS template_id
FROM (
    VALUES
        (1, '이메일요약', 'summarization', '{"{user_input}"}'::text [], 'email-summary', 40, 115),
        (2, '번역템플릿', 'translation', '{"{user_input}","{language}"}', 'translation', 25, 130),
        (3, '회의록요약', 'summarization', '{"{user_input}","{context}"}', 'meeting-summary', 70, NULL),
        (4, '고객답변초안', 'generation', '{"{user_input}","{context}","{tone}"}', 'customer-reply', 15, 95),
        (5, '데이터분석질의', 'analysis', '{"{user_input}","{schema}"}', 'data-question', 60, NULL),
        (6, '보고서작성', 'generation', '{"{user_input}","{context}"}', 'report', NULL, NULL),
        (7, '감정분석', 'analysis', '{"{user_input}"}', 'sentiment', 80, 140),
        (8, '광고문구', 'generation', '{"{product}","{tone}"}', 'ad-copy', NULL, NULL),
        (9, '계약서검토', 'analysis', '{"{context}"}', 'contract-review', 105, NULL),
        (10, '코드리뷰', 'coding', '{"{code}","{language}"}', 'code-review', 30, 100),
        (11, '단위테스트작성', 'coding', '{"{code}","{language}","{framework}"}', 'unit-test', 65, NULL),
        (12, 'SQL생성', 'coding', '{"{user_input}","{schema}"}', 'sql', 45, 125),
        (13, '코드설명', 'coding', '{"{code}"}', 'code-explanation', NULL, NULL)
) AS t (place, template_name, task_category, variables, slug, second_on, third_on)
CROSS JOIN LATERAL (
    VALUES
        (1, '1.0', -120.0 + 5 * t.place),
        (2, '1.1', t.second_on::numeric),
        (3, '2.0', t.third_on::numeric)
) AS v (number, version, since)
WHERE v.since IS NOT NULL;

INSERT INTO llm.prompt_templates (
    template_id, template_name, prompt_s3_path, description, task_category, variables, created_at, version, created_by
)
SELECT
    t.template_id,
    t.template_name,
    's3://company-llm/templates/' || t.slug || '/' || t.version || '.txt',
    t.template_name || ' ' || t.version || ': 입력 ' || array_to_string(t.variables, ', ')
    || CASE t.number WHEN 1 THEN '' WHEN 2 THEN '. 출력 형식을 다듬음' ELSE '. 예시를 넣어 다시 씀' END,
    t.task_category,
    t.variables,
    span.starts_at + t.since * interval '1 day',
    t.version,
    1 + t.place % 30
FROM demo_templates AS t
CROSS JOIN demo_span AS span
ORDER BY t.template_id;
