ALTER TABLE llm.prompt_templates_base
    DROP CONSTRAINT prompt_templates_template_name_is_name,
    DROP CONSTRAINT prompt_templates_version_has_no_leading_zeros,
    ADD CONSTRAINT prompt_templates_template_name_not_blank CHECK (btrim(template_name) <> '');
