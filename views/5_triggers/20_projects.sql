CALL audit.watch('llm.projects');
