-- instead of: views/3_reporting/00_may_read_people.sql

-- Citus wants whatever a view on a distributed table calls to be known to the workers, so it may refer to no table.
CREATE OR REPLACE FUNCTION reporting.may_read_people()
RETURNS boolean
LANGUAGE sql
STABLE PARALLEL SAFE
RETURN has_column_privilege('llm.users'::text, 'user_name', 'SELECT');
