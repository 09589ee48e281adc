-- Run on a cluster only.
SELECT create_reference_table('cluster.' || t)
FROM unnest(ARRAY[
    'users', 'projects', 'session_types', 'session_statuses', 'deployments', 'model_configs', 'prompt_templates_base'
]) AS t;
SELECT create_distributed_table('llm.sessions', 'session_id');
SELECT create_distributed_table('llm.session_logs', 'session_id', colocate_with => 'llm.sessions');
SELECT create_distributed_table('cluster.state', 'shard', colocate_with => 'llm.sessions');
SELECT create_distributed_table('cluster.notes', 'by_session', colocate_with => 'llm.sessions');
SELECT create_distributed_table('cluster.template_uses', 'shard', colocate_with => 'llm.sessions');
DO $$
DECLARE
    wanted constant bigint := (SELECT count(*) FROM pg_dist_shard WHERE logicalrelid = 'cluster.state'::regclass);
    seen bigint [] := '{}';
    candidate uuid;
    its_shard bigint;
BEGIN
    WHILE cardinality(seen) < wanted LOOP
        candidate := gen_random_uuid();
        its_shard := get_shard_id_for_distribution_column('cluster.state', candidate);
        IF its_shard <> all(seen) THEN
            seen := seen || its_shard;
            EXECUTE format(
                'INSERT INTO cluster.state VALUES (%L, %L)', candidate, (SELECT s.noted_before FROM rollup.state AS s)
            );
        END IF;
    END LOOP;
END
$$;
-- What the workers are to work out. What triggers, defaults and CHECKs name goes there by itself, as the triggers' own
-- functions do when they are replaced.
SELECT create_distributed_function(f)
FROM unnest(ARRAY[
    'llm.uuidv7_floor(timestamptz)',
    'llm.uuidv7_time(uuid)', 'ops.erased(text, text, text)', 'rollup.bigint_sum(bigint)',
    'rollup.known_latency(interval)',
    'rollup.known_time(timestamptz)', 'rollup.known_tokens(bigint)', 'rollup.latency_bucket(bigint)'
]::regprocedure []) AS f;
-- What was copied is still here as well, and is not told to the rollups when it goes.
ALTER TABLE llm.sessions DISABLE TRIGGER sessions_truncation_is_noted;
ALTER TABLE llm.session_logs DISABLE TRIGGER session_logs_truncation_is_noted;
SELECT truncate_local_data_after_distributing_table('llm.session_logs');
SELECT truncate_local_data_after_distributing_table('llm.sessions');
ALTER TABLE llm.sessions ENABLE TRIGGER sessions_truncation_is_noted;
ALTER TABLE llm.session_logs ENABLE TRIGGER session_logs_truncation_is_noted;
