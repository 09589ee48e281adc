-- after: views/5_triggers/40_prompt_templates.sql
CALL cluster.watch_keys('llm.prompt_templates_base', 'template_id');
