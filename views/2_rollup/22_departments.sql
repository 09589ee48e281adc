-- needs: 0032.department-logins

-- Whether the reader of a report sees one department only: a login of llm_manager that neither llm_analyst nor a right
-- to the table itself (its owner's, a superuser's) lets see all. Where a role is missing nobody is in it.
CREATE OR REPLACE FUNCTION rollup.is_held()
RETURNS boolean
LANGUAGE sql
STABLE PARALLEL SAFE
RETURN NOT has_table_privilege('llm.department_logins'::regclass, 'SELECT') AND coalesce((
    SELECT bool_and(r.rolname = 'llm_manager')
    FROM pg_catalog.pg_roles AS r
    WHERE r.rolname IN ('llm_analyst', 'llm_manager') AND pg_has_role(r.oid, 'USAGE')
), false);
COMMENT ON FUNCTION rollup.is_held() IS 'Whether who asks sees the department of llm.department_logins only: a member '
    'of llm_manager who is neither an analyst nor the owner';
REVOKE ALL ON FUNCTION rollup.is_held() FROM public;
GRANT EXECUTE ON FUNCTION rollup.is_held() TO llm_analyst;

-- What all see, and what one sees of a department, are two branches of each sum, and the first column gates the former:
-- a one-time filter, before any row. The latter has a barrier: a function of the reader's own, which may tell what it is
-- given, is asked about rows of that department only. A barrier for all would keep conditions from indexes.
CREATE OR REPLACE VIEW rollup.reader AS
SELECT
    h.sees_all,
    CASE WHEN NOT h.sees_all THEN (
        SELECT l.department_id FROM llm.department_logins AS l WHERE l.role_name = current_user
    ) END AS department_id
FROM (SELECT NOT rollup.is_held() AS sees_all) AS h;
COMMENT ON VIEW rollup.reader IS '읽는 사람: which departments reports show to who asks; one row. Each column is asked for '
    'by a subquery, which is run once a query';
COMMENT ON COLUMN rollup.reader.sees_all IS '전체 열람 여부: whether it is all of them';
COMMENT ON COLUMN rollup.reader.department_id IS '부서: the one that is shown otherwise; NULL = none, or all';

CREATE OR REPLACE VIEW rollup.departments WITH (security_barrier) AS
SELECT
    d.department_id,
    d.department_name,
    d.manager_id
FROM llm.departments AS d
WHERE (SELECT a.sees_all FROM rollup.reader AS a)
    OR d.department_id = (SELECT a.department_id FROM rollup.reader AS a);
COMMENT ON VIEW rollup.departments IS '부서: those that the reader sees';
CALL ops.describe('rollup.departments', 'llm.departments');

CREATE OR REPLACE VIEW rollup.own_usage WITH (security_barrier) AS
SELECT
    r.key, r.day, r.month, r.requests, r.answered_requests, r.requests_without_tokens, r.at_max_tokens_requests,
    r.tokens, r.latency_us, r.max_latency_us, r.first_request_time, r.last_request_time, r.latencies
FROM rollup.usage AS r
WHERE (SELECT NOT a.sees_all FROM rollup.reader AS a)
    AND r.dimension = 'department' AND r.key = (SELECT a.department_id FROM rollup.reader AS a);
COMMENT ON VIEW rollup.own_usage IS '부서 사용량 집계: of the one department that the reader sees; no rows where all are seen';
CALL ops.describe('rollup.own_usage', 'rollup.usage');
