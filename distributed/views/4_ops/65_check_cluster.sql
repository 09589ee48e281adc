-- On a cluster only.
CREATE OR REPLACE FUNCTION ops.check_silent_node()
RETURNS TABLE (level text, object text, detail text, what_to_do text)
LANGUAGE plpgsql
STABLE
AS $$
BEGIN
    RETURN QUERY
    SELECT
        'error',
        format('%s:%s', n.nodename, n.nodeport),
        format('node %s does not answer: %s', n.nodeid, r.result),
        'SELECT * FROM citus_check_cluster_node_health(); -- and start the server there'
    FROM run_command_on_all_nodes('SELECT 1') AS r
    INNER JOIN pg_dist_node AS n ON r.nodeid = n.nodeid
    WHERE NOT r.success;
END
$$;
COMMENT ON FUNCTION ops.check_silent_node() IS 'A server of the cluster does not answer: error. Who needs what lies '
    'there fails, nothing is refreshed, and other checks fail with it';
REVOKE ALL ON FUNCTION ops.check_silent_node() FROM public;

CREATE OR REPLACE FUNCTION ops.check_uneven_shards()
RETURNS TABLE (level text, object text, detail text, what_to_do text)
LANGUAGE plpgsql
STABLE
AS $$
BEGIN
    RETURN QUERY
    WITH nodes AS (
        SELECT n.nodename, n.nodeport, count(s.shardid) AS shards
        FROM pg_dist_node AS n
        LEFT JOIN pg_dist_placement AS p ON n.groupid = p.groupid
        LEFT JOIN pg_dist_shard AS s ON p.shardid = s.shardid AND s.logicalrelid = 'llm.sessions'::regclass
        WHERE n.isactive AND n.shouldhaveshards AND n.noderole = 'primary'
        GROUP BY n.nodeid, n.nodename, n.nodeport
    )
    SELECT
        'warning',
        format('%s:%s', n.nodename, n.nodeport),
        format('it has %s shards, and another node %s', n.shards, most.shards),
        'SELECT citus_rebalance_start(); SELECT citus_rebalance_wait();'
    FROM nodes AS n
    CROSS JOIN (SELECT max(o.shards) AS shards FROM nodes AS o) AS most
    WHERE n.shards < most.shards - 1;
END
$$;
COMMENT ON FUNCTION ops.check_uneven_shards() IS 'A node has at least two shards less than another one, as a node that '
    'was added: warning. The others carry what it could';
REVOKE ALL ON FUNCTION ops.check_uneven_shards() FROM public;

-- As SETTINGS of scripts/llm_db/distribute.py, which gives them.
CREATE OR REPLACE FUNCTION ops.check_lost_settings()
RETURNS TABLE (level text, object text, detail text, what_to_do text)
LANGUAGE plpgsql
STABLE
AS $$
BEGIN
    RETURN QUERY
    SELECT
        'error',
        'citus.' || w.name,
        format('the database does not set it to %s', w.value),
        format('ALTER DATABASE %I SET citus.%s = %L;', current_database(), w.name, w.value)
    FROM (VALUES
        ('enable_unsafe_triggers', 'on'),
        ('multi_shard_modify_mode', 'sequential'),
        ('enable_unsupported_feature_messages', 'off'),
        ('local_table_join_policy', 'prefer-local')
    ) AS w (name, value)
    WHERE NOT EXISTS (
        SELECT 1
        FROM pg_catalog.pg_db_role_setting AS s
        INNER JOIN pg_catalog.pg_database AS d ON s.setdatabase = d.oid
        WHERE d.datname = current_database() AND s.setrole = 0 AND format('citus.%s=%s', w.name, w.value) = any(s.setconfig)
    );
END
$$;
COMMENT ON FUNCTION ops.check_lost_settings() IS 'A setting that llm-db distribute has given the database is gone, as '
    'in a copy: error. Months cannot be made, rows of several shards not written, and sessions not read by their key';
REVOKE ALL ON FUNCTION ops.check_lost_settings() FROM public;
