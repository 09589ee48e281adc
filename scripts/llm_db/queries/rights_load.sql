-- Who loads files has what docs/dba.md lists.
SELECT pg_catalog.format('GRANT USAGE ON SCHEMA %I TO %I', nspname, current_user)
FROM pg_catalog.pg_namespace
WHERE nspname IN ('llm', 'llm_db') AND NOT pg_catalog.has_schema_privilege(oid, 'USAGE')
UNION ALL
SELECT pg_catalog.format('GRANT SELECT ON ALL TABLES IN SCHEMA llm TO %I', current_user)
WHERE EXISTS (
    SELECT FROM pg_catalog.pg_class
    WHERE relnamespace = pg_catalog.to_regnamespace('llm')
        AND relkind IN ('r', 'p', 'v') AND NOT relispartition
        AND NOT pg_catalog.has_table_privilege(oid, 'SELECT')
)
UNION ALL
SELECT pg_catalog.format(
    'GRANT %s ON %I.%I TO %I',
    pg_catalog.string_agg(needed.privilege, ', ' ORDER BY needed.number), n.nspname, c.relname, current_user
)
FROM (VALUES
    (1, 'llm', 'sessions', 'INSERT'), (2, 'llm', 'sessions', 'UPDATE'),
    (3, 'llm', 'session_logs', 'INSERT'), (4, 'llm', 'session_logs', 'UPDATE'),
    (5, 'llm_db', 'loads', 'SELECT'), (6, 'llm_db', 'loads', 'INSERT'),
    (7, 'llm_db', 'load_rejects', 'SELECT'), (8, 'llm_db', 'load_rejects', 'INSERT'),
    (9, 'llm_db', 'load_rejects', 'DELETE')
) AS needed (number, schema_name, table_name, privilege)
INNER JOIN pg_catalog.pg_namespace AS n ON n.nspname = needed.schema_name
INNER JOIN pg_catalog.pg_class AS c ON c.relnamespace = n.oid AND c.relname = needed.table_name
WHERE NOT pg_catalog.has_table_privilege(c.oid, needed.privilege)
GROUP BY n.nspname, c.relname
UNION ALL
SELECT pg_catalog.format('GRANT TEMPORARY ON DATABASE %I TO %I', pg_catalog.current_database(), current_user)
WHERE NOT pg_catalog.has_database_privilege(pg_catalog.current_database(), 'TEMPORARY')
