-- instead of: views/1_llm/42_session_month.sql

CREATE OR REPLACE FUNCTION llm.delete_logs()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    EXECUTE format('DELETE FROM %s WHERE session_id = $1', cluster.beside(TG_RELID, 'llm.session_logs'))
    USING OLD.session_id;
    RETURN OLD;
END
$$;
