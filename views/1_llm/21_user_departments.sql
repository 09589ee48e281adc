-- needs: 0012.user-departments

CREATE OR REPLACE FUNCTION llm.keep_user_department()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    INSERT INTO llm.user_departments (user_id, since, department_id)
    VALUES (NEW.user_id, CASE TG_OP WHEN 'INSERT' THEN '-infinity' ELSE clock_timestamp() END, NEW.department_id);
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION llm.keep_user_department() IS 'Trigger: writes down since when a user works for a department. Runs '
    'as its owner, so that who may move users need not, and cannot, rewrite history';
REVOKE ALL ON FUNCTION llm.keep_user_department() FROM public;
