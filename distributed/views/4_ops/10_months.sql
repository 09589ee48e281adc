-- instead of: views/4_ops/10_months.sql

-- On a worker, for each shard.
CREATE OR REPLACE FUNCTION cluster.sizes_beside(shard oid)
RETURNS TABLE (of_table text, bytes bigint, estimated_rows bigint)
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN QUERY
    SELECT theirs.logicalrelid::text, pg_total_relation_size(c.oid), nullif(c.reltuples, -1)::bigint
    FROM pg_dist_shard AS ours
    INNER JOIN pg_dist_shard AS theirs ON ours.shardminvalue = theirs.shardminvalue
    INNER JOIN pg_class AS c ON c.oid = to_regclass(shard_name(theirs.logicalrelid, theirs.shardid))
    WHERE ours.shardid = substring(shard::regclass::text FROM '[0-9]+$')::bigint;
END
$$;
COMMENT ON FUNCTION cluster.sizes_beside(oid) IS 'What a shard takes, and each that lies beside it, by its table';
REVOKE ALL ON FUNCTION cluster.sizes_beside(oid) FROM public;

CREATE OR REPLACE FUNCTION cluster.shard_sizes()
RETURNS TABLE (relation regclass, bytes bigint, estimated_rows bigint)
LANGUAGE plpgsql
STABLE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN QUERY
    SELECT s.of_table::regclass, s.bytes, s.estimated_rows
    FROM (
        SELECT t.of_table, sum(t.bytes)::bigint AS bytes, sum(t.estimated_rows)::bigint AS estimated_rows
        FROM cluster.state AS a
        CROSS JOIN LATERAL cluster.sizes_beside(a.tableoid) AS t
        GROUP BY t.of_table
    ) AS s;
END
$$;
COMMENT ON FUNCTION cluster.shard_sizes() IS 'What the shards of each distributed table take together';
-- Views call it for whoever reads them. The schema is open to nobody.
GRANT EXECUTE ON FUNCTION cluster.shard_sizes() TO public;

CREATE OR REPLACE VIEW ops.shard_sizes AS
SELECT s.relation, s.bytes, s.estimated_rows
FROM cluster.shard_sizes() AS s;
