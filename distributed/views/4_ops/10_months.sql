-- instead of: views/4_ops/10_months.sql

-- On a worker, for each shard. Nobody waits there by the lock_timeout of the coordinator's session.
CREATE OR REPLACE FUNCTION cluster.bytes_beside(shard oid, of_table regclass)
RETURNS bigint
LANGUAGE plpgsql
STABLE
SET lock_timeout = '900ms'
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN pg_total_relation_size(cluster.beside(shard, of_table)::regclass);
END
$$;
COMMENT ON FUNCTION cluster.bytes_beside(oid, regclass) IS 'What the shard of a table takes that lies beside another';
REVOKE ALL ON FUNCTION cluster.bytes_beside(oid, regclass) FROM public;

CREATE OR REPLACE FUNCTION cluster.rows_beside(shard oid, of_table regclass)
RETURNS bigint
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (
        SELECT nullif(c.reltuples, -1) FROM pg_class AS c WHERE c.oid = cluster.beside(shard, of_table)::regclass
    );
END
$$;
COMMENT ON FUNCTION cluster.rows_beside(oid, regclass) IS 'How many rows it had at the last ANALYZE or VACUUM';
REVOKE ALL ON FUNCTION cluster.rows_beside(oid, regclass) FROM public;

CREATE OR REPLACE FUNCTION cluster.is_sharded(relation regclass)
RETURNS boolean
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN EXISTS (SELECT 1 FROM pg_dist_partition AS p WHERE p.logicalrelid = relation AND p.partmethod = 'h');
END
$$;
COMMENT ON FUNCTION cluster.is_sharded(regclass) IS 'Whether the rows of a table lie in shards';
REVOKE ALL ON FUNCTION cluster.is_sharded(regclass) FROM public;

CREATE OR REPLACE FUNCTION ops.stored_bytes(relation regclass)
RETURNS bigint
LANGUAGE plpgsql
STABLE STRICT
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    in_shards bigint := 0;
BEGIN
    IF cluster.is_sharded(relation) THEN
        SELECT sum(cluster.bytes_beside(s.tableoid, relation)) INTO in_shards FROM cluster.state AS s;
    END IF;
    RETURN pg_total_relation_size(relation) + in_shards;
END
$$;

CREATE OR REPLACE FUNCTION ops.stored_rows(relation regclass)
RETURNS bigint
LANGUAGE plpgsql
STABLE STRICT
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    in_shards bigint;
BEGIN
    IF cluster.is_sharded(relation) THEN
        SELECT sum(cluster.rows_beside(s.tableoid, relation)) INTO in_shards FROM cluster.state AS s;
        RETURN in_shards;
    END IF;
    RETURN (SELECT nullif(c.reltuples, -1) FROM pg_class AS c WHERE c.oid = relation);
END
$$;
