-- How far the rollups are. Where the row was lost, nobody knows any more: what can be summed up again is forgotten.
DO $$
BEGIN
    INSERT INTO rollup.state DEFAULT VALUES ON CONFLICT DO NOTHING;
    IF FOUND AND to_regprocedure('ops.restart_rollups()') IS NOT NULL THEN
        PERFORM ops.restart_rollups();
        RAISE WARNING 'rollup.state had lost its row: reports read all logs until they are summed up again, in days of %',
            (SELECT s.time_zone FROM rollup.state AS s)
            USING HINT = 'CALL ops.refresh_rollups(); or, for another time zone, CALL ops.set_reporting_time_zone(...);';
    END IF;
END
$$;
