CALL audit.watch('llm.task_categories');
