-- `described` is what PostgreSQL calls the object in its messages, in the language of this session; `in_catalog` is its
-- name in catalog.sql.
SELECT
    o.class_id, o.object_id, i.type AS kind, i.identity, t.tgrelid::pg_catalog.regclass::text AS on_table,
    pg_catalog.pg_describe_object(o.class_id, o.object_id, 0) AS described,
    CASE
        WHEN t.oid IS NOT NULL THEN t.tgrelid::pg_catalog.regclass::text || '.' || t.tgname::text
        WHEN o.class_id = 'pg_catalog.pg_proc'::pg_catalog.regclass THEN o.object_id::pg_catalog.regprocedure::text
        ELSE o.object_id::pg_catalog.regclass::text
    END AS in_catalog
FROM unnest(%(class_ids)s::oid[], %(object_ids)s::oid[]) AS o (class_id, object_id)
CROSS JOIN pg_catalog.pg_identify_object(o.class_id, o.object_id, 0) AS i
LEFT JOIN pg_catalog.pg_trigger AS t
    ON o.class_id = 'pg_catalog.pg_trigger'::pg_catalog.regclass AND t.oid = o.object_id
