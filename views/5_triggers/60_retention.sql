CALL audit.watch('llm.retention');
