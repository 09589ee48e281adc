-- The schemas, the analysts' role, and the small functions that columns and checks are built on.
CREATE SCHEMA llm;
COMMENT ON SCHEMA llm IS 'The LLM platform''s entities: who works where, projects, sessions and their request logs, '
    'models, deployments, datasets and prompt templates';

CREATE SCHEMA reporting;
COMMENT ON SCHEMA reporting IS 'What analysts read: views only, each with its meaning and units in its comments';

CREATE SCHEMA ops;
COMMENT ON SCHEMA ops IS 'What DBAs read: the state of partitions and counters';

-- The one object that lives outside our schemas. Roles belong to the whole cluster, so another database of it (or the
-- DBA, beforehand) may have made it already, even at this very moment.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'llm_analyst') THEN
        CREATE ROLE llm_analyst NOLOGIN;
    END IF;
EXCEPTION
    WHEN duplicate_object OR unique_violation THEN NULL;
END
$$;

GRANT USAGE ON SCHEMA reporting TO llm_analyst;

-- RFC 9562, section 5.7: 48 bits of Unix milliseconds, then version, variant and random bits. A version 4 UUID
-- becomes a version 7 by writing the time over its head and two bits of its version. PostgreSQL 18 has uuidv7()
-- built in; 15 to 17 do not, and one implementation for all keeps every server's catalog the same.
CREATE FUNCTION llm.uuidv7(at timestamptz DEFAULT clock_timestamp())
RETURNS uuid
LANGUAGE sql
VOLATILE STRICT PARALLEL SAFE
RETURN encode(
    set_bit(
        set_bit(
            overlay(
                uuid_send(gen_random_uuid()),
                substring(int8send(floor(extract(EPOCH FROM at) * 1000)::bigint) FROM 3),
                1,
                6
            ), 52, 1
        ), 53, 1
    ), 'hex'
)::uuid;
COMMENT ON FUNCTION llm.uuidv7(timestamptz) IS 'A new UUIDv7 (RFC 9562, section 5.7) carrying the given time to the '
    'millisecond. For a session that began in the past pass its start_time, so that it is stored in its own month';

CREATE FUNCTION llm.uuidv7_floor(at timestamptz)
RETURNS uuid
LANGUAGE sql
IMMUTABLE STRICT PARALLEL SAFE
RETURN (encode(substring(int8send(floor(extract(EPOCH FROM at) * 1000)::bigint) FROM 3), 'hex')
    || '00000000000000000000')::uuid;
COMMENT ON FUNCTION llm.uuidv7_floor(timestamptz) IS 'The lowest UUID of the given millisecond: every UUIDv7 made '
    'at or after that time is greater, every earlier one is less. Partition bounds, and filters that skip partitions';

CREATE FUNCTION llm.uuidv7_time(id uuid)
RETURNS timestamptz
LANGUAGE sql
IMMUTABLE STRICT PARALLEL SAFE
RETURN to_timestamp(
    ('x' || encode(substr(uuid_send(id), 1, 6), 'hex'))::bit(48)::bigint / 1000.0::double precision
);
COMMENT ON FUNCTION llm.uuidv7_time(uuid) IS 'The time a UUIDv7 carries, to the millisecond';

CREATE FUNCTION llm.is_uuidv7(id uuid)
RETURNS boolean
LANGUAGE sql
IMMUTABLE STRICT PARALLEL SAFE
RETURN get_byte(uuid_send(id), 6) >> 4 = 7 AND get_byte(uuid_send(id), 8) >> 6 = 2;
COMMENT ON FUNCTION llm.is_uuidv7(uuid) IS 'Whether a UUID has version 7 and the RFC 9562 variant';

CREATE FUNCTION llm.is_s3_uri(path text)
RETURNS boolean
LANGUAGE sql
IMMUTABLE STRICT PARALLEL SAFE
RETURN path ~ '^s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]/.+$';
COMMENT ON FUNCTION llm.is_s3_uri(text) IS 'Whether a path is s3://bucket/key, the bucket named as Amazon S3 allows';

CREATE FUNCTION llm.is_variable_list(variables text [])
RETURNS boolean
LANGUAGE sql
IMMUTABLE STRICT PARALLEL SAFE
RETURN (SELECT count(*) = count(*) FILTER (WHERE item ~ '^\{[^{}[:space:]]+\}$') FROM unnest(variables) AS item);
COMMENT ON FUNCTION llm.is_variable_list(text []) IS 'Whether every item is a {name}: braces around one name without '
    'spaces or braces. An empty list is one too';
