-- Run on a cluster only, to leave it. Nobody else is at work: every note can be collected, every counter added up.
SELECT cluster.collect_notes();
-- What views/3_reporting/00_requests.sql gives on a cluster.
REVOKE USAGE ON SCHEMA llm, rollup FROM llm_analyst;
REVOKE ALL ON llm.session_logs FROM llm_analyst;
REVOKE ALL ON llm.sessions FROM llm_analyst;
-- In slot 0, which no transaction takes.
DO $$
DECLARE
    used record;
BEGIN
    FOR used IN SELECT s.template_id, s.uses FROM cluster.uses_on_shards() AS s LOOP
        INSERT INTO llm.prompt_template_uses AS u (template_id, slot, uses) VALUES (used.template_id, 0, used.uses)
        ON CONFLICT (template_id, slot) DO UPDATE SET uses = u.uses + excluded.uses;
    END LOOP;
END
$$;
-- Citus makes the tables anew, without what was said of them and given on them.
CREATE TEMPORARY TABLE kept ON COMMIT DROP AS
WITH ours AS (
    SELECT p.relid, c.relkind, c.relacl, c.relowner
    FROM (VALUES ('llm.sessions'::regclass), ('llm.session_logs')) AS t (name)
    CROSS JOIN LATERAL pg_partition_tree(t.name) AS p
    INNER JOIN pg_class AS c ON p.relid = c.oid
), columns AS (
    SELECT o.relid, o.relowner, a.attnum, a.attname, a.attacl
    FROM ours AS o
    INNER JOIN pg_attribute AS a ON o.relid = a.attrelid
    WHERE a.attnum > 0 AND NOT a.attisdropped
), privileges AS (
    SELECT o.relid, a.*, '' AS of_column
    FROM ours AS o
    CROSS JOIN LATERAL aclexplode(o.relacl) AS a
    WHERE a.grantee <> o.relowner
    UNION ALL
    SELECT c.relid, a.*, format(' (%I)', c.attname)
    FROM columns AS c
    CROSS JOIN LATERAL aclexplode(c.attacl) AS a
)
SELECT format('COMMENT ON TABLE %s IS %L', o.relid::regclass, obj_description(o.relid, 'pg_class')) AS statement
FROM ours AS o
WHERE obj_description(o.relid, 'pg_class') IS NOT NULL
UNION ALL
SELECT format('COMMENT ON COLUMN %s.%I IS %L', c.relid::regclass, c.attname, col_description(c.relid, c.attnum))
FROM columns AS c
WHERE col_description(c.relid, c.attnum) IS NOT NULL
UNION ALL
SELECT format(
    'COMMENT ON TRIGGER %I ON %s IS %L', t.tgname, o.relid::regclass, obj_description(t.oid, 'pg_trigger')
)
FROM ours AS o
INNER JOIN pg_trigger AS t ON o.relid = t.tgrelid
WHERE obj_description(t.oid, 'pg_trigger') IS NOT NULL
UNION ALL
SELECT format('COMMENT ON INDEX %s IS %L', i.indexrelid::regclass, obj_description(i.indexrelid, 'pg_class'))
FROM ours AS o
INNER JOIN pg_index AS i ON o.relid = i.indrelid
WHERE obj_description(i.indexrelid, 'pg_class') IS NOT NULL
UNION ALL
-- The foreign keys are gone by now.
SELECT format(
    'COMMENT ON CONSTRAINT %I ON %s IS %L', k.conname, o.relid::regclass, obj_description(k.oid, 'pg_constraint')
)
FROM ours AS o
INNER JOIN pg_constraint AS k ON o.relid = k.conrelid
WHERE obj_description(k.oid, 'pg_constraint') IS NOT NULL
UNION ALL
SELECT format(
    'GRANT %s%s ON %s TO %s%s', p.privilege_type, p.of_column, p.relid::regclass,
    CASE p.grantee WHEN 0 THEN 'PUBLIC' ELSE p.grantee::regrole::text END,
    CASE WHEN p.is_grantable THEN ' WITH GRANT OPTION' END
)
FROM privileges AS p;
SELECT undistribute_table('llm.session_logs');
SELECT undistribute_table('llm.sessions');
DO $$
DECLARE
    statement text;
BEGIN
    FOR statement IN SELECT k.statement FROM kept AS k LOOP
        EXECUTE statement;
    END LOOP;
END
$$;
