-- A view or routine that was made anew may have lost what its roles were given, and a role may be there since.
DO $$
BEGIN
    IF to_regprocedure('ops.grant_to_roles()') IS NOT NULL THEN
        PERFORM ops.grant_to_roles();
    END IF;
END
$$;
