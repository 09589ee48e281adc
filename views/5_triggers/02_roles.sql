CALL audit.watch('llm.roles');
