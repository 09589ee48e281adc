CREATE OR REPLACE FUNCTION ops.at_work(on_table regclass, lock_mode text)
RETURNS text
LANGUAGE sql
STABLE
SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT 'At work: ' || coalesce(
        string_agg(DISTINCT coalesce('pid ' || k.pid, 'a prepared transaction'), ', '), 'one that has ended since'
    )
    FROM pg_catalog.pg_locks AS k
    WHERE k.relation = on_table AND k.mode = lock_mode AND k.granted AND k.pid IS DISTINCT FROM pg_backend_pid()
        AND k.database = (SELECT d.oid FROM pg_catalog.pg_database AS d WHERE d.datname = current_database());
END;
COMMENT ON FUNCTION ops.at_work(regclass, text) IS 'Who holds the lock by which upkeep takes turns, for the DETAIL of '
    'the error of whoever came second. Everybody sees pg_locks, so nobody needs a right for it';
REVOKE ALL ON FUNCTION ops.at_work(regclass, text) FROM public;
