-- Run on a cluster only.
SET LOCAL citus.enable_unsafe_triggers = on;
-- What one statement does on all shards it does one after the other: others of its transaction may need them after it.
SET LOCAL citus.multi_shard_modify_mode = 'sequential';
SELECT create_reference_table('cluster.' || t)
FROM unnest(ARRAY[
    'users', 'projects', 'session_types', 'session_statuses', 'deployments', 'model_configs', 'prompt_templates_base'
]) AS t;
SELECT create_distributed_table('llm.sessions', 'session_id');
SELECT create_distributed_table('llm.session_logs', 'session_id', colocate_with => 'llm.sessions');
SELECT create_distributed_table('cluster.state', 'shard', colocate_with => 'llm.sessions');
SELECT create_distributed_table('cluster.notes', 'by_session', colocate_with => 'llm.sessions');
SELECT create_distributed_table('cluster.template_uses', 'shard', colocate_with => 'llm.sessions');
