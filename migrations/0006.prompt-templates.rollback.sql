-- A rollback drops tables, never rows.
DO $$
BEGIN
    IF EXISTS (SELECT FROM llm.prompt_templates_base) THEN
        RAISE EXCEPTION 'not rolled back: prompt_templates_base would lose rows'
            USING ERRCODE = 'object_not_in_prerequisite_state',
                HINT = 'Empty or move them first. Where the rows must stay, migrate forward instead.';
    END IF;
END
$$;

DROP VIEW llm.prompt_templates;
DROP TABLE llm.prompt_template_uses;
DROP TABLE llm.prompt_templates_base;
