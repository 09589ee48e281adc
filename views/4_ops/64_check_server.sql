CREATE OR REPLACE FUNCTION ops.check_long_transaction()
RETURNS TABLE (level text, object text, detail text, what_to_do text)
LANGUAGE sql
STABLE
BEGIN ATOMIC
    SELECT
        CASE WHEN a.xact_start < now() - interval '1 day' THEN 'error' ELSE 'warning' END,
        format('pid %s', a.pid),
        format('a transaction of %s is open since %s and is %s', a.usename, a.xact_start, a.state),
        format('SELECT pg_terminate_backend(%s, 5000);', a.pid)
    FROM pg_catalog.pg_stat_activity AS a
    WHERE a.datname = current_database() AND a.backend_type = 'client backend'
        AND a.xact_start < now() - interval '1 hour';
END;
COMMENT ON FUNCTION ops.check_long_transaction() IS 'A transaction in this database is open for an hour: warning; for '
    'a day: error. Nothing that died since can be vacuumed away; if it writes, a refresh closes nothing, and months '
    'can be neither made nor dropped';
REVOKE ALL ON FUNCTION ops.check_long_transaction() FROM public;

CREATE OR REPLACE FUNCTION ops.check_prepared_transaction()
RETURNS TABLE (level text, object text, detail text, what_to_do text)
LANGUAGE sql
STABLE
BEGIN ATOMIC
    SELECT
        CASE WHEN p.prepared < now() - interval '1 hour' THEN 'error' ELSE 'warning' END,
        p.gid,
        format('a transaction of %s is prepared since %s', p.owner, p.prepared),
        format('ROLLBACK PREPARED %L; -- in database %I, or COMMIT PREPARED', p.gid, p.database)
    FROM pg_catalog.pg_prepared_xacts AS p
    WHERE p.prepared < now() - interval '5 minutes';
END;
COMMENT ON FUNCTION ops.check_prepared_transaction() IS 'A transaction is prepared for five minutes: warning; for an '
    'hour: error. It holds its locks and all that died since, also over a restart, until somebody ends it';
REVOKE ALL ON FUNCTION ops.check_prepared_transaction() FROM public;

CREATE OR REPLACE FUNCTION ops.check_replication_slot()
RETURNS TABLE (level text, object text, detail text, what_to_do text)
LANGUAGE sql
STABLE
BEGIN ATOMIC
    SELECT
        CASE
            WHEN s.wal_status IN ('unreserved', 'lost') OR h.bytes > pg_size_bytes('50 GB') THEN 'error' ELSE 'warning'
        END,
        s.slot_name::text,
        format(
            'holds %s of WAL, which is %s, and is %s', coalesce(pg_size_pretty(h.bytes), 'nothing'), s.wal_status,
            CASE WHEN s.active THEN 'in use' ELSE 'not in use' END
        ),
        format('SELECT pg_drop_replication_slot(%L);', s.slot_name)
    FROM pg_catalog.pg_replication_slots AS s
    CROSS JOIN LATERAL (
        SELECT pg_wal_lsn_diff(
            CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END, s.restart_lsn
        ) AS bytes
    ) AS h
    WHERE s.wal_status IN ('unreserved', 'lost')
        OR h.bytes > pg_size_bytes(CASE WHEN s.active THEN '10 GB' ELSE '1 GB' END);
END;
COMMENT ON FUNCTION ops.check_replication_slot() IS 'A replication slot that nobody uses holds over 1 GB of WAL, or '
    'one in use over 10 GB: warning; over 50 GB, or its WAL is lost or about to be: error. The disk fills until the '
    'standby or subscriber has caught up, or the slot is dropped; one that has lost its WAL must be made anew';
REVOKE ALL ON FUNCTION ops.check_replication_slot() FROM public;

CREATE OR REPLACE FUNCTION ops.check_unseen_sessions()
RETURNS TABLE (level text, object text, detail text, what_to_do text)
LANGUAGE sql
STABLE
BEGIN ATOMIC
    SELECT
        'warning',
        format('role %I', current_user),
        'it owns ops.health and does not see how long others'' transactions are open',
        format('GRANT pg_read_all_stats TO %I;', current_user)
    WHERE NOT pg_has_role(current_user, 'pg_read_all_stats', 'USAGE');
END;
COMMENT ON FUNCTION ops.check_unseen_sessions() IS 'The owner of ops.health is neither a superuser nor in '
    'pg_read_all_stats: warning. Long transactions of others stay unseen';
REVOKE ALL ON FUNCTION ops.check_unseen_sessions() FROM public;
