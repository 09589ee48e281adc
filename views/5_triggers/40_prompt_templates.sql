CALL audit.watch('llm.prompt_templates_base');
