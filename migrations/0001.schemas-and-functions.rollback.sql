DROP FUNCTION llm.is_variable_list(text []);
DROP FUNCTION llm.is_s3_uri(text);
DROP FUNCTION llm.is_uuidv7(uuid);
DROP FUNCTION llm.uuidv7_time(uuid);
DROP FUNCTION llm.uuidv7_floor(timestamptz);
DROP FUNCTION llm.uuidv7(timestamptz);
DROP SCHEMA ops;
DROP SCHEMA reporting;
-- The role llm_analyst stays: it belongs to the cluster, and other databases of it may use it.
DROP SCHEMA llm;
