CREATE OR REPLACE FUNCTION llm.uuidv7_time(id uuid)
RETURNS timestamptz
LANGUAGE sql
IMMUTABLE STRICT PARALLEL SAFE
RETURN to_timestamp(
    ('x' || substr(replace(id::text, '-', ''), 1, 12))::bit(48)::bigint / 1000.0::double precision
);
