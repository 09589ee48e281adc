-- What the other files build on: the parameters, and chance that is none. A hash of a row's number and of a salt, which
-- names the question, is the same on every server and in every run, and no draw disturbs another.
CREATE TEMPORARY TABLE demo_span ON COMMIT DROP AS
SELECT
    current_setting('llm_demo.logs')::bigint AS logs,
    current_setting('llm_demo.anchor')::timestamptz AS ends_at,
    current_setting('llm_demo.anchor')::timestamptz - interval '180 days' AS starts_at,
    -- The company grows with its usage, more slowly.
    least(2000, greatest(60, ceil(0.7 * sqrt(current_setting('llm_demo.logs')::double precision))))::bigint AS users;

CREATE FUNCTION pg_temp.uniform(n bigint, salt bigint)
RETURNS double precision
LANGUAGE sql
IMMUTABLE PARALLEL SAFE
RETURN (hashint8extended(n, salt) & 9007199254740991)::double precision / 9007199254740992::double precision;
COMMENT ON FUNCTION pg_temp.uniform(bigint, bigint) IS 'From 0 up to, not including, 1: 53 bits of a hash';

CREATE FUNCTION pg_temp.normal(n bigint, salt bigint)
RETURNS double precision
LANGUAGE sql
IMMUTABLE PARALLEL SAFE
RETURN sqrt(-2 * ln(1 - pg_temp.uniform(n, salt))) * cos(2 * pi() * pg_temp.uniform(n, salt + 1));
COMMENT ON FUNCTION pg_temp.normal(bigint, bigint) IS 'Standard normal by Box and Muller; takes two salts';

CREATE FUNCTION pg_temp.uuidv7(at timestamptz, n bigint)
RETURNS uuid
LANGUAGE sql
IMMUTABLE PARALLEL SAFE
RETURN (
    lpad(to_hex(floor(extract(EPOCH FROM at) * 1000)::bigint), 12, '0')
    || '7' || lpad(to_hex(hashint8extended(n, 1) & 4095), 3, '0')
    || to_hex((hashint8extended(n, 2) & 16383) | 32768)
    || lpad(to_hex(hashint8extended(n, 3) & 281474976710655), 12, '0')
)::uuid;
COMMENT ON FUNCTION pg_temp.uuidv7(timestamptz, bigint) IS 'llm.uuidv7 with a hash in place of its random bits';
