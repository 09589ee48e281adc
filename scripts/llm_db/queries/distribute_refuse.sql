SELECT 'you are not a superuser, who may make triggers on distributed tables', 'connect as a superuser'
WHERE NOT (SELECT r.rolsuper FROM pg_roles AS r WHERE r.rolname = current_user)
UNION ALL
SELECT 'the extension citus, 13.0 or later, is not in this database',
    'CREATE EXTENSION citus; on each server, and then SELECT citus_set_coordinator_host(...); and SELECT '
    'citus_add_node(...); for each worker'
WHERE NOT EXISTS (
    SELECT 1 FROM pg_extension AS e
    WHERE e.extname = 'citus' AND split_part(split_part(e.extversion, '-', 1), '.', 1)::integer >= 13
)
UNION ALL
(
    SELECT 'another session is at work: pid ' || a.pid || ' of ' || coalesce(a.usename, '?'),
        'wait for it, or SELECT pg_terminate_backend(' || a.pid || ');'
    FROM pg_stat_activity AS a
    WHERE a.datname = current_database() AND a.pid <> pg_backend_pid() AND a.backend_type = 'client backend'
        AND a.xact_start IS NOT NULL AND a.application_name NOT LIKE 'citus_internal%%'
    ORDER BY a.pid
)
UNION ALL
SELECT 'a transaction is prepared: ' || p.gid, 'COMMIT PREPARED or ROLLBACK PREPARED ' || quote_literal(p.gid)
FROM pg_prepared_xacts AS p
WHERE p.database = current_database() AND p.gid NOT LIKE 'citus%%'
UNION ALL
SELECT 'the month ' || to_char(m.month, 'YYYY-MM') || ' is not whole', m.problem
FROM ops.months AS m
WHERE m.problem IS NOT NULL
UNION ALL
SELECT 'the constraint ' || k.conname || ' of ' || k.conrelid::regclass || ' is not validated',
    format('ALTER TABLE %%s VALIDATE CONSTRAINT %%I;', k.conrelid::regclass, k.conname)
FROM pg_constraint AS k
WHERE NOT k.convalidated AND k.conrelid IN (
    SELECT p.relid FROM pg_partition_tree('llm.sessions') AS p
    UNION ALL
    SELECT p.relid FROM pg_partition_tree('llm.session_logs') AS p
)
UNION ALL
SELECT 'the publication ' || p.pubname || ' sends sessions or logs', format('DROP PUBLICATION %%I;', p.pubname)
FROM pg_publication_tables AS p
WHERE p.schemaname = 'llm' AND p.tablename ~ '^session'
    AND NOT %(undo)s
