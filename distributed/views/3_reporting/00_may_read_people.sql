-- instead of: views/3_reporting/00_may_read_people.sql

-- Citus wants whatever a view on a distributed table calls to be known to the workers, so it may refer to no table; and
-- by its name nobody finds it who may not use its schema.
CREATE OR REPLACE FUNCTION reporting.may_read_people()
RETURNS boolean
LANGUAGE sql
STABLE PARALLEL SAFE
RETURN (
    SELECT has_column_privilege(c.oid, 'user_name', 'SELECT')
    FROM pg_catalog.pg_class AS c
    INNER JOIN pg_catalog.pg_namespace AS n ON c.relnamespace = n.oid
    WHERE n.nspname = 'llm' AND c.relname = 'users'
);
