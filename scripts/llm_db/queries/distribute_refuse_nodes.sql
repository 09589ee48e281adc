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
    format('ALTER DATABASE %%I SET citus.shard_replication_factor = 1; and connect again', current_database())
WHERE current_setting('citus.shard_replication_factor') <> '1'
UNION ALL
-- All shards of a worker are made, or dropped, in one transaction. Of each relation, making takes a little over two
-- locks, and dropping five, as it locks types, constraints and triggers too: counted in pg_locks, with 46 shards.
SELECT
    s.shards || ' shards of ' || r.relations || ' tables and indexes are more than a worker can lock',
    CASE
        WHEN %(undo)s THEN ''
        ELSE format(
            'ALTER DATABASE %%I SET citus.shard_count = %%s; and connect again; or ', current_database(),
            greatest(w.room * s.workers / r.relations / s.locks, 1)
        )
    END || format(
        'max_locks_per_transaction = %%s on each worker, and restart it',
        s.shards * r.relations * s.locks / s.workers / w.sessions + 1
    )
FROM (
    SELECT
        count(*) AS workers,
        CASE
            WHEN %(undo)s THEN (SELECT count(*) FROM pg_dist_shard AS d WHERE d.logicalrelid = 'llm.sessions'::regclass)
            ELSE current_setting('citus.shard_count')::bigint
        END AS shards,
        CASE WHEN %(undo)s THEN 6 ELSE 3 END AS locks
    FROM pg_dist_node AS n
    WHERE n.groupid <> 0 AND n.isactive AND n.shouldhaveshards
) AS s
CROSS JOIN (
    SELECT
        sum(
            1 + (SELECT count(*) FROM pg_index AS i WHERE i.indrelid = c.oid)
            + CASE WHEN c.reltoastrelid <> 0 THEN 2 ELSE 0 END
        )::bigint AS relations
    FROM (VALUES ('llm.sessions'::regclass), ('llm.session_logs')) AS t (name)
    CROSS JOIN LATERAL pg_partition_tree(t.name) AS p
    INNER JOIN pg_class AS c ON p.relid = c.oid
) AS r
CROSS JOIN (
    SELECT
        min(split_part(o.result, ' ', 1)::bigint) AS sessions,
        min(split_part(o.result, ' ', 1)::bigint * split_part(o.result, ' ', 2)::bigint) AS room
    FROM run_command_on_workers(
        'SELECT current_setting(''max_connections'')::bigint + current_setting(''max_prepared_transactions'')::bigint'
        ' || '' '' || current_setting(''max_locks_per_transaction'')'
    ) AS o
    WHERE o.success
) AS w
WHERE s.workers > 0 AND s.shards * r.relations * s.locks > w.room * s.workers
