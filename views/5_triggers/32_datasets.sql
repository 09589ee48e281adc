CALL audit.watch('llm.datasets');
