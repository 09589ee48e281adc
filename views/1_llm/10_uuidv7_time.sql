CREATE OR REPLACE FUNCTION llm.uuidv7_time(id uuid)
RETURNS timestamptz
LANGUAGE sql
IMMUTABLE STRICT PARALLEL SAFE
RETURN to_timestamp(
    ('x' || encode(substr(uuid_send(id), 1, 6), 'hex'))::bit(48)::bigint / 1000.0::double precision
);
COMMENT ON FUNCTION llm.uuidv7_time(uuid) IS 'The time a UUIDv7 carries, to the millisecond';
REVOKE ALL ON FUNCTION llm.uuidv7_time(uuid) FROM public;
GRANT EXECUTE ON FUNCTION llm.uuidv7_time(uuid) TO public;
