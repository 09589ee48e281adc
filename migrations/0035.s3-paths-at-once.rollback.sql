CREATE OR REPLACE FUNCTION llm.is_s3_uri(path text)
RETURNS boolean
LANGUAGE sql
IMMUTABLE STRICT PARALLEL SAFE
RETURN path ~ '^s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]/.+$';
