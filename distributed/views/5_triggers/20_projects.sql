-- after: views/5_triggers/20_projects.sql
CALL cluster.watch_keys('llm.projects', 'project_id');
