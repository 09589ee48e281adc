-- depends: 0026.names-are-names

-- Its lock is what it is for: the transaction that appends to several sessions holds it, one at a time.
-- views/1_llm/40_log_sequence.sql says why. Nobody can take a table's lock without a right to it.
CREATE TABLE llm.append_turn ();
COMMENT ON TABLE llm.append_turn IS 'Never has a row: its lock is held by the one transaction that adds logs without '
    'log_sequence to several sessions';
-- It has no key, and a publication of all tables wants to know how rows are told apart.
ALTER TABLE llm.append_turn REPLICA IDENTITY FULL;

-- Who may call what. PUBLIC may call what is IMMUTABLE in schema llm, as the CHECKs' functions are, and what is a
-- column's default: they work something out from their arguments and read no table. Every other routine says REVOKE ALL
-- ... FROM public where it is made, and then whom it is for.
GRANT EXECUTE ON FUNCTION llm.uuidv7(timestamptz) TO public;
GRANT EXECUTE ON FUNCTION llm.uuidv7_floor(timestamptz) TO public;
GRANT EXECUTE ON FUNCTION llm.is_uuidv7(uuid) TO public;
GRANT EXECUTE ON FUNCTION llm.is_s3_uri(text) TO public;
GRANT EXECUTE ON FUNCTION llm.is_variable_list(text []) TO public;
GRANT EXECUTE ON FUNCTION llm.blank_characters() TO public;
GRANT EXECUTE ON FUNCTION llm.as_name(text) TO public;
GRANT EXECUTE ON FUNCTION llm.is_name(text) TO public;
GRANT EXECUTE ON FUNCTION llm.is_email(text) TO public;
GRANT EXECUTE ON FUNCTION llm.capitals_are_ascii(text) TO public;
