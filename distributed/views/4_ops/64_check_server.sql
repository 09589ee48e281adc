-- instead of: views/4_ops/64_check_server.sql

CREATE OR REPLACE FUNCTION ops.check_prepared_transaction()
RETURNS TABLE (level text, object text, detail text, what_to_do text)
LANGUAGE plpgsql
STABLE
AS $$
BEGIN
    RETURN QUERY
    SELECT
        p.level,
        p.gid,
        format('a transaction of %s is prepared since %s on node %s', p.owner, p.prepared, r.nodeid),
        CASE
            WHEN p.gid LIKE 'citus\_%' THEN 'SELECT recover_prepared_transactions();'
            ELSE format('ROLLBACK PREPARED %L; -- in database %I of node %s, or COMMIT PREPARED', p.gid, p.database, r.nodeid)
        END
    FROM run_command_on_all_nodes($command$
        SELECT coalesce(json_agg(json_build_object(
            'level', CASE WHEN p.prepared < now() - interval '1 hour' THEN 'error' ELSE 'warning' END,
            'gid', p.gid, 'owner', p.owner, 'prepared', p.prepared::text, 'database', p.database
        )), '[]')
        FROM pg_catalog.pg_prepared_xacts AS p
        WHERE p.prepared < now() - interval '00:05:00'
    $command$) AS r
    CROSS JOIN json_to_recordset(CASE WHEN r.success THEN r.result ELSE '[]' END::json)
        AS p (level text, gid text, owner text, prepared text, database text);
END
$$;
