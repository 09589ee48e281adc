SELECT
    n.name, n.rows,
    (
        SELECT sum(pg_catalog.citus_total_relation_size(p.relid))::bigint
        FROM pg_partition_tree(n.name::regclass) AS p
        WHERE p.isleaf
    ) AS bytes
FROM (
    SELECT 'llm.sessions', (SELECT count(*) FROM llm.sessions)
    UNION ALL
    SELECT 'llm.session_logs', (SELECT count(*) FROM llm.session_logs)
) AS n (name, rows)
