-- needs: 0032.department-logins

-- Which departments reports show to who asks. Views ask by a subquery, which is run once a query and before any row.
--
-- A function of the reader's own, which may tell what it is given, must not be asked about other departments' rows. A
-- barrier is sure, but keeps conditions from indexes and takes time to plan: it is round small tables, and round what
-- is for one department only. In usage, reports of departments show sums, the calendar's days, and coalesce() of the
-- keys of two tables, which is known above their join: no condition on these gets down to the rows.
--
-- Where a role is missing nobody is in it. The owner and superusers may read the table itself.
CREATE OR REPLACE FUNCTION rollup.sees_all(reader name)
RETURNS boolean
LANGUAGE plpgsql
STABLE STRICT PARALLEL SAFE
-- As rollup.noted_days(): the reader may not use schema llm.
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN has_table_privilege(reader, 'llm.department_logins', 'SELECT')
        OR NOT coalesce(pg_has_role(reader, to_regrole('llm_manager'), 'USAGE'), false)
        OR coalesce(pg_has_role(reader, to_regrole('llm_analyst'), 'USAGE'), false);
END
$$;
COMMENT ON FUNCTION rollup.sees_all(name) IS 'Whether reports show all departments to a role: not to a member of '
    'llm_manager who is neither an analyst nor the owner';
REVOKE ALL ON FUNCTION rollup.sees_all(name) FROM public;
GRANT EXECUTE ON FUNCTION rollup.sees_all(name) TO llm_analyst;

CREATE OR REPLACE FUNCTION rollup.department_of(reader name)
RETURNS bigint
LANGUAGE plpgsql
STABLE STRICT PARALLEL SAFE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (SELECT l.department_id FROM llm.department_logins AS l WHERE l.role_name = reader);
END
$$;
COMMENT ON FUNCTION rollup.department_of(name) IS 'The department that reports show to a role that does not see all; '
    'NULL = none';
REVOKE ALL ON FUNCTION rollup.department_of(name) FROM public;
GRANT EXECUTE ON FUNCTION rollup.department_of(name) TO llm_analyst;

CREATE OR REPLACE VIEW rollup.departments WITH (security_barrier) AS
SELECT
    d.department_id,
    d.department_name,
    d.manager_id
FROM llm.departments AS d
WHERE (SELECT rollup.sees_all(current_user))
    OR d.department_id = (SELECT rollup.department_of(current_user));
COMMENT ON VIEW rollup.departments IS '부서: those that the reader sees';
CALL ops.describe('rollup.departments', 'llm.departments');
