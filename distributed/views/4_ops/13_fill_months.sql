-- instead of: views/4_ops/13_fill_months.sql

CREATE OR REPLACE FUNCTION ops.require_new_month(month date, look_in_default boolean)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- A month that is full would be copied to the workers, row by row as an INSERT does.
    RAISE EXCEPTION 'on a cluster months are not filled beside the others'
        USING ERRCODE = 'serialization_failure', HINT = 'Write to llm.sessions and llm.session_logs.';
END
$$;
