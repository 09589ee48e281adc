-- instead of: views/1_llm/40_log_sequence.sql

-- The turn of one node does not reach over several servers. Who locks sessions in opposite orders may be a deadlock, of
-- which Citus ends one.
CREATE OR REPLACE FUNCTION llm.assign_log_sequence()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    taken integer;
BEGIN
    EXECUTE format(
        'SELECT 1 FROM %s WHERE session_id = $1 FOR NO KEY UPDATE', cluster.beside(TG_RELID, 'llm.sessions')
    ) USING NEW.session_id;
    EXECUTE format(
        'SELECT coalesce(max(log_sequence), 0) FROM %s WHERE session_id = $1', cluster.beside(TG_RELID, 'llm.session_logs')
    ) INTO taken USING NEW.session_id;
    IF taken = 2147483647 THEN
        RAISE EXCEPTION 'session % has no log_sequence left after %', NEW.session_id, taken
            USING ERRCODE = 'check_violation', CONSTRAINT = TG_NAME, SCHEMA = 'llm', TABLE = 'session_logs',
                HINT = 'Log into a new session, or give log_sequence, a number that is free.';
    END IF;
    NEW.log_sequence := taken + 1;
    RETURN NEW;
END
$$;
