-- after: views/5_triggers/11_users.sql
CALL cluster.watch_keys('llm.users', 'user_id');
