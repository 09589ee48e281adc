-- Columns and roles may have gone meanwhile. The owner comes first. A file that says itself who may call its routine
-- is right.
WITH kept AS (
    DELETE FROM llm_db.grants WHERE object = %(object)s RETURNING *
)

SELECT column_name, role_name, privilege, is_grantable
FROM kept
WHERE
    (role_name IS NULL OR role_name IN (SELECT rolname FROM pg_catalog.pg_roles))
    AND (column_name IS NULL OR column_name IN (
        SELECT attname FROM pg_catalog.pg_attribute WHERE attrelid = %(object_id)s AND attnum > 0
    ))
    AND NOT (privilege = 'NOT PUBLIC' AND EXISTS (
        SELECT FROM pg_catalog.pg_proc WHERE oid = %(object_id)s AND proacl IS NOT NULL
    ))
ORDER BY privilege <> 'OWNER'
