SELECT 'the extension citus, 13.0 or later, is not in this database', -- noqa: AM07
    CASE
        WHEN e.extversion IS NULL THEN 'CREATE EXTENSION citus; on each server, and then SELECT '
            'citus_set_coordinator_host(...); and SELECT citus_add_node(...); for each worker'
        ELSE format('it is %%s: ALTER EXTENSION citus UPDATE; on each server, with Citus 13.0 or later', e.extversion)
    END
FROM (VALUES ('citus')) AS c (name)
LEFT JOIN pg_extension AS e ON c.name = e.extname
WHERE coalesce(split_part(split_part(e.extversion, '-', 1), '.', 1)::integer, 0) < 13
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
UNION ALL
SELECT 'the subscription ' || u.subname || ' writes to sessions or logs', format('DROP SUBSCRIPTION %%I;', u.subname)
FROM pg_subscription_rel AS w
INNER JOIN pg_stat_subscription AS u ON w.srsubid = u.subid
WHERE w.srrelid IN (SELECT o.relid FROM pg_partition_tree('llm.sessions') AS o)
    OR w.srrelid IN (SELECT o.relid FROM pg_partition_tree('llm.session_logs') AS o)
UNION ALL
-- Its reader would be told of all rows once more, or that they are gone.
SELECT 'the logical slot ' || r.slot_name || ' reads what is changed in this database',
    format('SELECT pg_drop_replication_slot(%%L);', r.slot_name)
FROM pg_replication_slots AS r
WHERE r.slot_type = 'logical' AND r.database = current_database() AND r.slot_name NOT LIKE 'citus%%'
UNION ALL
SELECT 'row-level security is on for ' || c.oid::regclass,
    format('ALTER TABLE %%s DISABLE ROW LEVEL SECURITY;', c.oid::regclass)
FROM pg_class AS c
WHERE c.relrowsecurity AND c.oid IN ('llm.sessions'::regclass, 'llm.session_logs'::regclass)
UNION ALL
-- What somebody else built on them neither goes along nor comes back.
(
    WITH tables AS MATERIALIZED (
        SELECT p.relid, c.reltype, y.typarray
        FROM (VALUES ('llm.sessions'::regclass), ('llm.session_logs')) AS t (name)
        CROSS JOIN LATERAL pg_partition_tree(t.name) AS p
        INNER JOIN pg_class AS c ON p.relid = c.oid
        INNER JOIN pg_type AS y ON c.reltype = y.oid
    ), built AS MATERIALIZED (
        SELECT DISTINCT
            CASE WHEN r.oid IS NULL THEN d.classid ELSE 'pg_class'::regclass END AS class_id,
            coalesce(r.ev_class, d.objid) AS object_id, k.conrelid, k.conname
        FROM (
            SELECT 'pg_class'::regclass, relid FROM tables
            UNION ALL
            SELECT 'pg_type'::regclass, unnest(ARRAY[reltype, typarray]) FROM tables
        ) AS o (class_id, object_id)
        INNER JOIN pg_depend AS d ON o.class_id = d.refclassid AND o.object_id = d.refobjid AND d.deptype <> 'i'
        LEFT JOIN pg_rewrite AS r ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
        LEFT JOIN pg_constraint AS k
            ON d.classid = 'pg_constraint'::regclass AND d.objid = k.oid AND k.contype = 'f' AND k.conparentid = 0
            AND k.conrelid NOT IN (SELECT relid FROM tables)
        LEFT JOIN pg_trigger AS g
            ON d.classid = 'pg_trigger'::regclass AND d.objid = g.oid AND NOT g.tgisinternal AND g.tgparentid = 0
        WHERE num_nonnulls(r.oid, k.oid, g.oid) > 0 OR d.classid IN ('pg_proc'::regclass, 'pg_policy'::regclass)
    )
    SELECT
        'the ' || i.type || ' ' || i.identity || ' is built on sessions or logs',
        CASE
            WHEN b.conname IS NULL THEN format('DROP %%s %%s', upper(i.type), i.identity)
            ELSE format('ALTER TABLE %%s DROP CONSTRAINT %%I', b.conrelid::regclass, b.conname)
        END || '; and make it again afterwards'
    FROM built AS b
    CROSS JOIN LATERAL pg_identify_object(b.class_id, b.object_id, 0) AS i
    WHERE i.type || ' ' || i.identity NOT IN (SELECT unnest(m.objects) FROM llm_db.repeatables AS m)
    ORDER BY 1
)
