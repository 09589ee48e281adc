-- after: views/5_triggers/31_model_configs.sql
CALL cluster.watch_keys('llm.model_configs', 'config_id');
