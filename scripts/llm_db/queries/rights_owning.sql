-- What the schemas' owner alone may do. The role is the only thing that migrations make outside of them.
SELECT pg_catalog.format('GRANT CREATE ON DATABASE %I TO %I', pg_catalog.current_database(), current_user)
WHERE NOT pg_catalog.has_database_privilege(pg_catalog.current_database(), 'CREATE')
UNION ALL
SELECT pg_catalog.format('as a role with CREATEROLE: CREATE ROLE llm_analyst NOLOGIN')
FROM pg_catalog.pg_roles AS me
WHERE me.rolname = current_user AND NOT (me.rolcreaterole OR me.rolsuper)
    AND NOT EXISTS (SELECT FROM pg_catalog.pg_roles AS analyst WHERE analyst.rolname = 'llm_analyst')
