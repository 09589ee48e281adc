-- A version is where the row of the catalog is and who wrote it: another one after each CREATE OR REPLACE. A GRANT, of
-- another file too, must leave it alone: of a view it is that of its rule, of a routine that of what says that it depends
-- on its schema.
SELECT 'pg_class'::pg_catalog.regclass::oid AS class_id, c.oid AS object_id, r.xmin::text || r.ctid::text AS version
FROM pg_catalog.pg_class AS c
INNER JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
INNER JOIN pg_catalog.pg_rewrite AS r ON r.ev_class = c.oid AND r.rulename = '_RETURN'
WHERE n.nspname = any(%(schemas)s) AND c.relkind = 'v'
UNION ALL
SELECT d.classid, d.objid, d.xmin::text || d.ctid::text
FROM pg_catalog.pg_depend AS d
INNER JOIN pg_catalog.pg_namespace AS n ON n.oid = d.refobjid
WHERE n.nspname = any(%(schemas)s) AND d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass
    AND d.refclassid = 'pg_catalog.pg_namespace'::pg_catalog.regclass
UNION ALL
SELECT 'pg_trigger'::pg_catalog.regclass, t.oid, t.xmin::text || t.ctid::text
FROM pg_catalog.pg_trigger AS t
INNER JOIN pg_catalog.pg_class AS c ON c.oid = t.tgrelid
INNER JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname = any(%(schemas)s) AND NOT t.tgisinternal AND t.tgparentid = 0
