-- instead of: views/4_ops/14_return_months.sql

-- It acts as its owner, whom Citus lets see nothing that another one has written in the same transaction.
DO $$
BEGIN
    EXECUTE cluster.changed(
        pg_get_functiondef('llm.return_month(date)'::regprocedure), 'llm.return_month', 'cluster.return_month'
    );
END
$$;
COMMENT ON FUNCTION cluster.return_month(date) IS 'llm.return_month() of one node';
REVOKE ALL ON FUNCTION cluster.return_month(date) FROM public;
CREATE OR REPLACE FUNCTION llm.return_month(month date)
RETURNS text
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN cluster.return_month(month);
EXCEPTION
    WHEN active_sql_transaction THEN
        RAISE EXCEPTION 'on a cluster a month that was dropped comes back by the owner of this database only'
            USING ERRCODE = 'object_not_in_prerequisite_state',
                HINT = 'Load the archive as the role that migrates.';
END
$$;
