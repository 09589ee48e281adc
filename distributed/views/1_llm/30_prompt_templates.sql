-- instead of: views/1_llm/30_prompt_templates.sql

CREATE OR REPLACE FUNCTION cluster.uses_on_shards()
RETURNS TABLE (template_id bigint, uses bigint)
LANGUAGE plpgsql
STABLE
-- As who reads the view may read no counter.
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN QUERY SELECT u.template_id, sum(u.uses)::bigint FROM cluster.template_uses AS u GROUP BY u.template_id;
END
$$;
COMMENT ON FUNCTION cluster.uses_on_shards() IS 'The uses of templates that are counted beside the logs';
-- Views call it for whoever reads them. The schema is open to nobody.
GRANT EXECUTE ON FUNCTION cluster.uses_on_shards() TO public;

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
    (
        coalesce((SELECT sum(u.uses) FROM llm.prompt_template_uses AS u WHERE u.template_id = t.template_id), 0)
        + coalesce((SELECT s.uses FROM cluster.uses_on_shards() AS s WHERE s.template_id = t.template_id), 0)
    )::bigint AS usage_count
FROM llm.prompt_templates_base AS t;
