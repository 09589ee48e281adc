CALL audit.watch('llm.model_types');
