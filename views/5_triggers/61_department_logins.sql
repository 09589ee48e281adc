CALL audit.watch('llm.department_logins');
