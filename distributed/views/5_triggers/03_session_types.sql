-- after: views/5_triggers/03_session_types.sql
CALL cluster.watch_keys('llm.session_types', 'code');
