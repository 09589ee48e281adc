SELECT t.name, sum(greatest(c.reltuples, 0))::bigint AS rows, sum(pg_total_relation_size(c.oid))::bigint AS bytes
FROM unnest(ARRAY['llm.sessions', 'llm.session_logs']) AS t (name)
CROSS JOIN LATERAL pg_partition_tree(t.name::regclass) AS p
INNER JOIN pg_class AS c ON p.relid = c.oid
WHERE p.isleaf
GROUP BY t.name
ORDER BY t.name DESC
