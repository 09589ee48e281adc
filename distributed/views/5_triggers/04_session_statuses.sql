-- after: views/5_triggers/04_session_statuses.sql
CALL cluster.watch_keys('llm.session_statuses', 'code');
