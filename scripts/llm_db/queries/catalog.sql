-- Objects are found by OID below; names are for reading, so pg_catalog alone is searched and all else is qualified.
WITH schemas AS (
    SELECT oid, nspname, nspowner, nspacl FROM pg_namespace WHERE nspname = any(%(schemas)s)
), relations AS (
    SELECT
        c.oid, c.relkind, c.relpersistence, c.reloptions, c.relrowsecurity, c.relforcerowsecurity, c.relowner, c.relacl,
        c.relpartbound, s.nspname, s.nspowner,
        s.nspname || '.' || c.relname AS name,
        CASE c.relkind
            WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view' WHEN 'S' THEN 'sequence'
            WHEN 'f' THEN 'foreign table' WHEN 'c' THEN 'type' ELSE 'table'
        END AS kind
    FROM pg_class AS c
    INNER JOIN schemas AS s ON s.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'f', 'v', 'm', 'S', 'c')
        AND (NOT c.relispartition OR pg_get_expr(c.relpartbound, c.oid) = 'DEFAULT')
        -- The sequence of an identity column is part of that column.
        AND NOT EXISTS (
            SELECT FROM pg_depend AS d
            WHERE c.relkind = 'S' AND d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'i'
        )
), functions AS (
    SELECT p.*, p.oid::regprocedure::text AS name,
        CASE p.prokind WHEN 'p' THEN 'procedure' WHEN 'a' THEN 'aggregate' ELSE 'function' END AS kind, s.nspname,
        s.nspowner
    FROM pg_proc AS p
    INNER JOIN schemas AS s ON s.oid = p.pronamespace
), columns AS (
    SELECT
        a.*, r.name AS relation, r.relowner, r.name || '.' || a.attname AS name, r.kind IN ('table', 'foreign table')
        AS stored, pg_get_expr(d.adbin, d.adrelid) AS expression
    FROM pg_attribute AS a
    INNER JOIN relations AS r ON r.oid = a.attrelid AND r.kind <> 'sequence'
    LEFT JOIN pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    WHERE a.attnum > 0 AND NOT a.attisdropped
), grants AS (
    SELECT 'schema ' || s.nspname AS object, s.nspname::text AS part_of, s.nspowner AS owner, g.*
    FROM schemas AS s
    CROSS JOIN LATERAL aclexplode(coalesce(s.nspacl, acldefault('n', s.nspowner))) AS g
    UNION ALL
    SELECT r.kind || ' ' || r.name, r.name, r.relowner, g.*
    FROM relations AS r
    CROSS JOIN LATERAL aclexplode(
        coalesce(r.relacl, acldefault(CASE r.relkind WHEN 'S' THEN 's' ELSE 'r' END::"char", r.relowner))  -- noqa: RF06
    ) AS g
    WHERE r.kind <> 'type'
    UNION ALL
    SELECT 'column ' || c.name, c.name, c.relowner, g.*
    FROM columns AS c
    CROSS JOIN LATERAL aclexplode(c.attacl) AS g
    UNION ALL
    SELECT f.kind || ' ' || f.name, f.name, f.proowner, g.*
    FROM functions AS f
    CROSS JOIN LATERAL aclexplode(coalesce(f.proacl, acldefault('f', f.proowner))) AS g
)

SELECT 'schema' AS kind, s.nspname::text AS name, ''::text AS part_of, v.property, v.value
FROM schemas AS s
CROSS JOIN LATERAL (VALUES ('comment', obj_description(s.oid, 'pg_namespace'))) AS v (property, value)

UNION ALL
SELECT r.kind, r.name, r.nspname, v.property, v.value
FROM relations AS r
CROSS JOIN LATERAL (VALUES
    ('partition', CASE
        WHEN r.relkind = 'p' THEN 'partitioned by ' || pg_get_partkeydef(r.oid)
        WHEN r.relpartbound IS NOT NULL THEN (
            SELECT 'DEFAULT of ' || i.inhparent::regclass::text FROM pg_inherits AS i WHERE i.inhrelid = r.oid
        )
    END),
    ('persistence', CASE r.relpersistence WHEN 'u' THEN 'unlogged' ELSE 'logged' END),
    ('row security', CASE
        WHEN r.relforcerowsecurity THEN 'forced' WHEN r.relrowsecurity THEN 'on' ELSE 'off'
    END),
    -- A DBA tunes the storage options of tables; those of views decide about security.
    ('options', CASE
        WHEN r.kind = 'view' THEN (SELECT string_agg(o, ', ' ORDER BY o) FROM unnest(r.reloptions) AS o)
    END),
    ('definition', CASE WHEN r.relkind IN ('v', 'm') THEN pg_get_viewdef(r.oid) END),
    ('owner', CASE WHEN r.relowner = r.nspowner THEN 'that of its schema' ELSE 'another role' END),
    ('comment', obj_description(r.oid, 'pg_class'))
) AS v (property, value)

UNION ALL
SELECT 'column', c.name, c.relation, v.property, v.value
FROM columns AS c
CROSS JOIN LATERAL (VALUES
    ('type', format_type(c.atttypid, c.atttypmod)),
    ('nullability', CASE WHEN c.attnotnull THEN 'NOT NULL' ELSE 'NULL' END),
    ('default', CASE WHEN c.attgenerated = '' THEN c.expression END),
    ('generated', CASE c.attgenerated
        WHEN 's' THEN c.expression || ' STORED' WHEN 'v' THEN c.expression || ' VIRTUAL'
    END),
    ('identity', CASE c.attidentity WHEN 'a' THEN 'ALWAYS' WHEN 'd' THEN 'BY DEFAULT' END),
    -- The database's own collation is its DBA's choice.
    ('collation', CASE WHEN c.attcollation <> 'default'::regcollation THEN nullif(c.attcollation, 0)::regcollation END
        ::text),
    ('comment', col_description(c.attrelid, c.attnum))
) AS v (property, value)

UNION ALL
SELECT 'constraint', r.name || '.' || n.conname, r.name, v.property, v.value
FROM pg_constraint AS n
INNER JOIN relations AS r ON r.oid = n.conrelid
CROSS JOIN LATERAL (VALUES
    ('definition', regexp_replace(pg_get_constraintdef(n.oid), ' NOT VALID$', '')),
    ('comment', obj_description(n.oid, 'pg_constraint'))
) AS v (property, value)
-- Clones on partitions are their parent's; NOT NULL (a constraint since 18) is the column's; constraint triggers are
-- triggers.
WHERE n.conparentid = 0 AND n.contype NOT IN ('n', 't')

UNION ALL
SELECT 'index', i.indexrelid::regclass::text, r.name, v.property, v.value
FROM pg_index AS i
INNER JOIN relations AS r ON r.oid = i.indrelid
CROSS JOIN LATERAL (VALUES
    ('definition', pg_get_indexdef(i.indexrelid)),
    ('comment', obj_description(i.indexrelid, 'pg_class'))
) AS v (property, value)
WHERE NOT EXISTS (SELECT FROM pg_constraint AS n WHERE n.conindid = i.indexrelid AND n.contype IN ('p', 'u', 'x'))
    AND NOT EXISTS (SELECT FROM pg_inherits AS h WHERE h.inhrelid = i.indexrelid)

UNION ALL
SELECT f.kind, f.name, f.nspname, v.property, v.value
FROM functions AS f
CROSS JOIN LATERAL (VALUES
    ('arguments', pg_get_function_arguments(f.oid)),
    ('result', pg_get_function_result(f.oid)),
    ('language', (SELECT l.lanname FROM pg_language AS l WHERE l.oid = f.prolang)),
    ('body', coalesce(pg_get_function_sqlbody(f.oid), f.prosrc)),
    ('security', CASE WHEN f.prosecdef THEN 'definer' ELSE 'invoker' END),
    ('settings', (SELECT string_agg(o, ', ' ORDER BY o) FROM unnest(f.proconfig) AS o)),
    ('volatility', CASE f.provolatile WHEN 'i' THEN 'immutable' WHEN 's' THEN 'stable' ELSE 'volatile' END),
    ('on NULL input', CASE WHEN f.proisstrict THEN 'strict' ELSE 'called' END),
    ('parallel', CASE f.proparallel WHEN 's' THEN 'safe' WHEN 'r' THEN 'restricted' ELSE 'unsafe' END),
    ('leakproof', f.proleakproof::text),
    ('owner', CASE WHEN f.proowner = f.nspowner THEN 'that of its schema' ELSE 'another role' END),
    ('comment', obj_description(f.oid, 'pg_proc'))
) AS v (property, value)

UNION ALL
SELECT 'trigger', r.name || '.' || t.tgname, r.name, v.property, v.value
FROM pg_trigger AS t
INNER JOIN relations AS r ON r.oid = t.tgrelid
CROSS JOIN LATERAL (VALUES
    ('definition', pg_get_triggerdef(t.oid)),
    ('firing', CASE t.tgenabled WHEN 'O' THEN 'enabled' WHEN 'D' THEN 'disabled' WHEN 'R' THEN 'replica'
        ELSE 'always' END),
    ('comment', obj_description(t.oid, 'pg_trigger'))
) AS v (property, value)
WHERE NOT t.tgisinternal AND t.tgparentid = 0

UNION ALL
SELECT 'rule', r.name || '.' || u.rulename, r.name, 'definition', pg_get_ruledef(u.oid)
FROM pg_rewrite AS u
INNER JOIN relations AS r ON r.oid = u.ev_class
WHERE u.rulename <> '_RETURN'

UNION ALL
SELECT 'policy', r.name || '.' || p.polname, r.name, 'definition',
    concat_ws(' ', p.polcmd, pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid))
FROM pg_policy AS p
INNER JOIN relations AS r ON r.oid = p.polrelid

UNION ALL
-- The types that are not a table's row, nor an array.
SELECT 'type', format_type(t.oid, NULL), s.nspname, 'definition', coalesce(
    (SELECT string_agg(e.enumlabel, ', ' ORDER BY e.enumsortorder) FROM pg_enum AS e WHERE e.enumtypid = t.oid),
    format_type(nullif(t.typbasetype, 0), t.typtypmod)
)
FROM pg_type AS t
INNER JOIN schemas AS s ON s.oid = t.typnamespace
WHERE t.typtype IN ('d', 'e', 'r')

UNION ALL
SELECT 'grant', g.privilege_type || ' on ' || g.object || ' to ' || CASE g.grantee
    WHEN 0 THEN 'PUBLIC' WHEN g.owner THEN 'its owner' ELSE pg_get_userbyid(g.grantee)::text
END, g.part_of, 'grant option', CASE WHEN bool_or(g.is_grantable) THEN 'yes' ELSE 'no' END
FROM grants AS g
-- MAINTAIN is new in 17, and an owner has it from the start.
WHERE NOT (g.grantee = g.owner AND g.privilege_type = 'MAINTAIN')
GROUP BY g.privilege_type, g.object, g.part_of, g.owner, g.grantee
