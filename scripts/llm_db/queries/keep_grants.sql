-- What people gave on objects that are about to go, and whose they are. Everybody may call a routine unless that was
-- taken away.
INSERT INTO llm_db.grants (object, column_name, role_name, privilege, is_grantable)
WITH objects AS (
    SELECT o.object, c.oid AS view_id, coalesce(c.relowner, p.proowner) AS owner, coalesce(c.relacl, p.proacl) AS acl
    FROM unnest(%(objects)s::text[], %(class_ids)s::oid[], %(object_ids)s::oid[]) AS o (object, class_id, object_id)
    LEFT JOIN pg_catalog.pg_class AS c
        ON o.class_id = 'pg_catalog.pg_class'::pg_catalog.regclass AND c.oid = o.object_id
    LEFT JOIN pg_catalog.pg_proc AS p
        ON o.class_id = 'pg_catalog.pg_proc'::pg_catalog.regclass AND p.oid = o.object_id
), given AS (
    SELECT o.object, NULL::name AS column_name, o.owner, acl.*
    FROM objects AS o
    CROSS JOIN LATERAL pg_catalog.aclexplode(o.acl) AS acl
    UNION ALL
    SELECT o.object, a.attname, o.owner, acl.*
    FROM objects AS o
    INNER JOIN pg_catalog.pg_attribute AS a ON a.attrelid = o.view_id
    CROSS JOIN LATERAL pg_catalog.aclexplode(a.attacl) AS acl
)

SELECT object, NULL, pg_catalog.pg_get_userbyid(owner), 'OWNER', false
FROM objects
WHERE owner <> current_user::regrole
UNION ALL
SELECT object, NULL, NULL, 'NOT PUBLIC', false
FROM objects
WHERE view_id IS NULL AND acl IS NOT NULL AND NOT EXISTS (
    SELECT FROM pg_catalog.aclexplode(acl) AS a WHERE a.grantee = 0
)
UNION ALL
SELECT object, column_name, CASE WHEN grantee <> 0 THEN pg_catalog.pg_get_userbyid(grantee) END, privilege_type,
    bool_or(is_grantable)
FROM given
WHERE grantee <> owner
GROUP BY object, column_name, grantee, privilege_type
ON CONFLICT DO NOTHING
