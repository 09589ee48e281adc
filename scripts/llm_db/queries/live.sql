-- A version is where the row of the catalog is and who wrote it: another one after each CREATE OR REPLACE. That of a
-- view is the version of its rule, which a GRANT leaves alone; that of a routine is another one after a GRANT, too.
-- `made` is not: of a routine it is the version of what says that it depends on schemas, its own and those its body
-- names.
SELECT
    'pg_class'::pg_catalog.regclass::oid AS class_id, c.oid AS object_id, v.version, v.version AS made
FROM pg_catalog.pg_class AS c
INNER JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
INNER JOIN pg_catalog.pg_rewrite AS r ON r.ev_class = c.oid AND r.rulename = '_RETURN'
CROSS JOIN LATERAL (SELECT r.xmin::text || r.ctid::text AS version) AS v
WHERE n.nspname = any(%(schemas)s) AND c.relkind = 'v'
UNION ALL
SELECT 'pg_proc'::pg_catalog.regclass, p.oid, p.xmin::text || p.ctid::text, d.made
FROM pg_catalog.pg_proc AS p
INNER JOIN pg_catalog.pg_namespace AS n ON n.oid = p.pronamespace
CROSS JOIN LATERAL (
    SELECT pg_catalog.string_agg(e.xmin::text || e.ctid::text, ' ' ORDER BY e.ctid) AS made
    FROM pg_catalog.pg_depend AS e
    WHERE e.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND e.objid = p.oid
        AND e.refclassid = 'pg_catalog.pg_namespace'::pg_catalog.regclass
) AS d
WHERE n.nspname = any(%(schemas)s)
UNION ALL
SELECT 'pg_trigger'::pg_catalog.regclass, t.oid, v.version, v.version AS made
FROM pg_catalog.pg_trigger AS t
INNER JOIN pg_catalog.pg_class AS c ON c.oid = t.tgrelid
INNER JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
CROSS JOIN LATERAL (SELECT t.xmin::text || t.ctid::text AS version) AS v
WHERE n.nspname = any(%(schemas)s) AND NOT t.tgisinternal AND t.tgparentid = 0
