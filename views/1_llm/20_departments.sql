-- WORKS_FOR is total on both sides: a department has a member. No foreign key can say so, hence two deferred
-- constraint triggers over one check.
CREATE OR REPLACE FUNCTION llm.check_department_has_member()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    -- A department asks about itself, as it is now; a user who leaves, about the department left behind.
    asked bigint := CASE TG_TABLE_NAME WHEN 'departments' THEN NEW.department_id ELSE OLD.department_id END;
BEGIN
    -- Two transactions that each take away one of the last two members must not both pass. Writing the department's
    -- row makes the second wait and, having waited, see the first one's work (READ COMMITTED) or fail to serialise
    -- (above it); a mere row lock would let the stale snapshot of the latter pass.
    UPDATE llm.departments SET department_name = department_name WHERE department_id = asked;
    IF FOUND AND NOT EXISTS (SELECT FROM llm.users WHERE department_id = asked) THEN
        RAISE EXCEPTION 'department % would be left without a member', asked
            USING ERRCODE = 'check_violation',
                CONSTRAINT = TG_NAME, SCHEMA = 'llm', TABLE = 'departments',
                HINT = 'Move or add a member in the same transaction, or delete the department too.';
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION llm.check_department_has_member() IS 'Trigger: refuses, at commit, a department without a '
    'member. Runs as its owner, to write to the department''s row';
REVOKE ALL ON FUNCTION llm.check_department_has_member() FROM public;

CREATE OR REPLACE FUNCTION llm.found_department(
    department_name text, manager_name text, manager_email text, manager_role text DEFAULT 'admin'
)
RETURNS bigint
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
    -- The foreign keys are checked at commit, so the identities can be drawn first and each row name the other.
    WITH drawn AS (
        SELECT
            nextval('llm.departments_department_id_seq'::regclass) AS department_id,
            nextval('llm.users_user_id_seq'::regclass) AS user_id
    ), manager AS (
        INSERT INTO llm.users (user_id, user_name, user_email, role, department_id)
        SELECT drawn.user_id, manager_name, manager_email, manager_role, drawn.department_id FROM drawn
    )
    INSERT INTO llm.departments (department_id, department_name, manager_id)
    SELECT drawn.department_id, found_department.department_name, drawn.user_id FROM drawn
    RETURNING departments.department_id
$$;
COMMENT ON FUNCTION llm.found_department(text, text, text, text) IS 'Founds a department together with its manager, '
    'its first member, and returns the department_id. Fails as the inserts would: a name or e-mail already taken';
REVOKE ALL ON FUNCTION llm.found_department(text, text, text, text) FROM public;
