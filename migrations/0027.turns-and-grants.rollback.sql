DROP TABLE llm.append_turn;

-- As 0007 made it: without turns, sessions are locked as their rows come.
CREATE OR REPLACE FUNCTION llm.assign_log_sequence()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- Appends to one session take turns on its row; other sessions are not touched. The lock is held to the end of
    -- the transaction, so the statement below, with a snapshot of its own, sees every number given out before.
    PERFORM FROM llm.sessions WHERE session_id = NEW.session_id FOR NO KEY UPDATE;
    SELECT coalesce(max(log_sequence), 0) + 1 INTO NEW.log_sequence
    FROM llm.session_logs
    WHERE session_id = NEW.session_id;
    RETURN NEW;
END
$$;
