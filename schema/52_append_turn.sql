-- Its lock is what it is for: the transaction that appends to several sessions holds it, one at a time.
-- views/1_llm/40_log_sequence.sql says why. Nobody can take a table's lock without a right to it.
CREATE TABLE llm.append_turn ();
COMMENT ON TABLE llm.append_turn IS 'Never has a row: its lock is held by the one transaction that adds logs without '
    'log_sequence to several sessions';
-- It has no key, and a publication of all tables wants to know how rows are told apart.
ALTER TABLE llm.append_turn REPLICA IDENTITY FULL;
