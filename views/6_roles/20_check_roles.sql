CREATE OR REPLACE FUNCTION ops.check_roles()
RETURNS TABLE (level text, object text, detail text, what_to_do text)
LANGUAGE sql
STABLE
BEGIN ATOMIC
    SELECT
        'warning',
        format('role %I', g.role_name),
        CASE WHEN g.role_exists THEN format('lacks %s rights', count(*)) ELSE 'does not exist' END,
        CASE WHEN g.role_exists THEN '' ELSE format('CREATE ROLE %I NOLOGIN; ', g.role_name) END
        || 'SELECT ops.grant_to_roles();'
    FROM ops.role_grants AS g
    WHERE NOT g.is_given
    GROUP BY g.role_name, g.role_exists;
END;
COMMENT ON FUNCTION ops.check_roles() IS 'A role of docs/roles.md does not exist, or lacks what it should have: '
    'warning. Who is in it cannot work; ops.role_grants has each statement';
REVOKE ALL ON FUNCTION ops.check_roles() FROM public;
