CALL audit.watch('llm.deployment_statuses');
