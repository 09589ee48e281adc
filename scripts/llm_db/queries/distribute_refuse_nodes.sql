SELECT 'no worker is in the cluster', 'SELECT citus_add_node(''host'', 5432);'
WHERE NOT EXISTS (SELECT 1 FROM pg_dist_node AS n WHERE n.groupid <> 0 AND n.isactive AND n.shouldhaveshards)
UNION ALL
SELECT 'the coordinator is to have shards', 'SELECT citus_set_node_property(''' || n.nodename || ''', ' || n.nodeport
    || ', ''shouldhaveshards'', false);'
FROM pg_dist_node AS n
WHERE n.groupid = 0 AND n.shouldhaveshards
UNION ALL
SELECT 'the coordinator is not in its own metadata', 'SELECT citus_set_coordinator_host(''host'', 5432);'
WHERE NOT EXISTS (SELECT 1 FROM pg_dist_node AS n WHERE n.groupid = 0)
UNION ALL
SELECT 'each shard is to be on ' || current_setting('citus.shard_replication_factor') || ' workers',
    format('ALTER DATABASE %I SET citus.shard_replication_factor = 1; and connect again', current_database())
WHERE current_setting('citus.shard_replication_factor') <> '1'
