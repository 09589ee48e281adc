CALL audit.watch('llm.environments');
