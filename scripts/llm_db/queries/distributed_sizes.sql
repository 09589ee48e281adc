SELECT t.name, n.rows, pg_catalog.citus_total_relation_size(t.name::regclass) AS bytes
FROM (
    SELECT 'llm.sessions', (SELECT count(*) FROM llm.sessions)
    UNION ALL
    SELECT 'llm.session_logs', (SELECT count(*) FROM llm.session_logs)
) AS n (name, rows)
CROSS JOIN LATERAL (VALUES (n.name)) AS t (name)
