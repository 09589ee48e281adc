-- Who loads files has what llm_loader has, by that role or another.
SELECT pg_catalog.format('GRANT USAGE ON SCHEMA %I TO %I', nspname, current_user)
FROM pg_catalog.pg_namespace
WHERE nspname IN ('llm', 'llm_db') AND NOT pg_catalog.has_schema_privilege(oid, 'USAGE')
UNION ALL
SELECT pg_catalog.format(
    'GRANT %s ON %I.%I TO %I',
    pg_catalog.string_agg(
        needed.privilege || coalesce(' (' || pg_catalog.array_to_string(needed.columns, ', ') || ')', ''),
        ', ' ORDER BY needed.number
    ),
    n.nspname, c.relname, current_user
)
FROM (VALUES
    (1, 'llm', 'session_types', 'SELECT', NULL), (1, 'llm', 'session_statuses', 'SELECT', NULL),
    (1, 'llm', 'projects', 'SELECT', NULL),
    (1, 'llm', 'models', 'SELECT', NULL), (1, 'llm', 'model_configs', 'SELECT', NULL),
    (1, 'llm', 'deployments', 'SELECT', NULL), (1, 'llm', 'prompt_templates_base', 'SELECT', NULL),
    (1, 'llm', 'users', 'SELECT', ARRAY['user_id', 'user_email']),
    (1, 'llm', 'sessions', 'SELECT', NULL), (2, 'llm', 'sessions', 'INSERT', NULL),
    (3, 'llm', 'sessions', 'UPDATE', ARRAY['start_time', 'end_time']),
    (1, 'llm', 'session_logs', 'SELECT', NULL), (2, 'llm', 'session_logs', 'INSERT', NULL),
    (1, 'llm_db', 'loads', 'SELECT', NULL), (2, 'llm_db', 'loads', 'INSERT', NULL),
    (1, 'llm_db', 'load_rejects', 'SELECT', NULL), (2, 'llm_db', 'load_rejects', 'INSERT', NULL),
    (3, 'llm_db', 'load_rejects', 'DELETE', NULL)
) AS needed (number, schema_name, table_name, privilege, columns)
INNER JOIN pg_catalog.pg_namespace AS n ON n.nspname = needed.schema_name
INNER JOIN pg_catalog.pg_class AS c ON c.relnamespace = n.oid AND c.relname = needed.table_name
WHERE CASE
    WHEN needed.columns IS NULL THEN NOT pg_catalog.has_table_privilege(c.oid, needed.privilege)
    ELSE EXISTS (
        SELECT FROM pg_catalog.pg_attribute AS a
        WHERE a.attrelid = c.oid AND a.attname = any(needed.columns)
            AND NOT pg_catalog.has_column_privilege(c.oid, a.attnum, needed.privilege)
    )
END
GROUP BY n.nspname, c.relname
UNION ALL
SELECT pg_catalog.format('GRANT TEMPORARY ON DATABASE %I TO %I', pg_catalog.current_database(), current_user)
WHERE NOT pg_catalog.has_database_privilege(pg_catalog.current_database(), 'TEMPORARY')
