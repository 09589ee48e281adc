CREATE OR REPLACE VIEW llm.prompt_templates AS
SELECT
    t.template_id,
    t.template_name,
    t.prompt_s3_path,
    t.description,
    t.task_category,
    t.variables,
    t.created_at,
    t.version,
    t.created_by,
    coalesce(
        (SELECT sum(u.uses) FROM llm.prompt_template_uses AS u WHERE u.template_id = t.template_id), 0
    )::bigint AS usage_count
FROM llm.prompt_templates_base AS t;
COMMENT ON VIEW llm.prompt_templates IS '프롬프트 템플릿: reusable prompts, one row per version. INSERT, UPDATE, DELETE '
    'and ON CONFLICT work here (MERGE from PostgreSQL 17; on 15 and 16 merge into llm.prompt_templates_base); '
    'usage_count refuses writes';
CALL ops.describe('llm.prompt_templates', 'llm.prompt_templates_base');
COMMENT ON COLUMN llm.prompt_templates.usage_count IS '사용 횟수: requests that used this version over all time; exact, '
    'also within the writer''s own transaction; deleting logs or dropping months never lowers it';
