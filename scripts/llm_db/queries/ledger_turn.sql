CREATE TABLE llm_db.turn ();
-- As every table that a publication FOR ALL TABLES takes in.
ALTER TABLE llm_db.turn REPLICA IDENTITY FULL;
COMMENT ON TABLE llm_db.turn IS 'Locked by the llm-db that is at work, and by nobody who may not write here; no rows';
