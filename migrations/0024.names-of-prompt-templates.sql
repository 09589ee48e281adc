-- depends: 0023.names-of-model-configs
-- squawk-ignore-file ban-drop-constraint

-- As 0018.
ALTER TABLE llm.prompt_templates_base
    DROP CONSTRAINT prompt_templates_template_name_not_blank,
    ADD CONSTRAINT prompt_templates_template_name_is_name CHECK (llm.is_name(template_name)) NOT VALID,
    ADD CONSTRAINT prompt_templates_version_has_no_leading_zeros CHECK (version !~ '(^|\.)0[0-9]') NOT VALID;
