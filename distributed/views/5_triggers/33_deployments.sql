-- after: views/5_triggers/33_deployments.sql
CALL cluster.watch_keys('llm.deployments', 'deployment_id');
