CALL audit.watch('llm.session_types');
