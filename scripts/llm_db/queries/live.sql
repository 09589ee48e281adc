-- A version is where the row of the catalog is and who wrote it: another one after each CREATE OR REPLACE. That of a
-- view is the version of its rule, which a GRANT leaves alone.
SELECT 'pg_class'::pg_catalog.regclass::oid AS class_id, c.oid AS object_id, r.xmin::text || r.ctid::text AS version
FROM pg_catalog.pg_class AS c
INNER JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
INNER JOIN pg_catalog.pg_rewrite AS r ON r.ev_class = c.oid AND r.rulename = '_RETURN'
WHERE n.nspname = any(%(schemas)s) AND c.relkind = 'v'
UNION ALL
SELECT 'pg_proc'::pg_catalog.regclass, p.oid, p.xmin::text || p.ctid::text
FROM pg_catalog.pg_proc AS p
INNER JOIN pg_catalog.pg_namespace AS n ON n.oid = p.pronamespace
WHERE n.nspname = any(%(schemas)s)
UNION ALL
SELECT 'pg_trigger'::pg_catalog.regclass, t.oid, t.xmin::text || t.ctid::text
FROM pg_catalog.pg_trigger AS t
INNER JOIN pg_catalog.pg_class AS c ON c.oid = t.tgrelid
INNER JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname = any(%(schemas)s) AND NOT t.tgisinternal AND t.tgparentid = 0
