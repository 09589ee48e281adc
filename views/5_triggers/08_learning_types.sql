CALL audit.watch('llm.learning_types');
