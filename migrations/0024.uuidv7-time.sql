-- depends: 0023.index-session-ends

-- The same times in half the time: the bytes of a UUID are cut, not its text. Refreshes ask it for every log.
CREATE OR REPLACE FUNCTION llm.uuidv7_time(id uuid)
RETURNS timestamptz
LANGUAGE sql
IMMUTABLE STRICT PARALLEL SAFE
RETURN to_timestamp(
    ('x' || encode(substr(uuid_send(id), 1, 6), 'hex'))::bit(48)::bigint / 1000.0::double precision
);
