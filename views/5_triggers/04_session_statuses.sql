CALL audit.watch('llm.session_statuses');
