-- needs: 0013.rollups

CREATE OR REPLACE FUNCTION rollup.require_triggers()
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    missing text;
BEGIN
    SELECT n.name INTO missing
    FROM unnest(ARRAY[
        'sessions_additions_are_noted', 'sessions_changes_are_noted', 'sessions_removals_are_noted',
        'session_logs_additions_are_noted', 'session_logs_changes_are_noted', 'session_logs_removals_are_noted',
        'session_logs_truncation_is_noted', 'user_departments_are_noted', 'user_departments_truncation_is_noted',
        'deployments_model_is_noted', 'model_configs_max_tokens_is_noted'
    ]) AS n (name)
    LEFT JOIN pg_trigger AS t ON n.name = t.tgname AND t.tgparentid = 0 AND t.tgenabled IN ('O', 'A')
    LEFT JOIN pg_class AS c ON t.tgrelid = c.oid AND c.relnamespace = 'llm'::regnamespace
    WHERE c.oid IS NULL
    ORDER BY n.name
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'the trigger % is missing or disabled, so changes of closed time would go unnoticed', missing
            USING ERRCODE = 'object_not_in_prerequisite_state',
                HINT = 'llm-db migrate makes it again, ALTER TABLE ... ENABLE TRIGGER enables it. If time was closed '
                    'meanwhile: SELECT ops.restart_rollups();';
    END IF;
END
$$;
COMMENT ON FUNCTION rollup.require_triggers() IS 'Raises where a trigger that notes changes is missing or disabled: '
    'time must not be closed then';
REVOKE ALL ON FUNCTION rollup.require_triggers() FROM public;

-- Of their search_path: 11_create_months.sql.
CREATE OR REPLACE PROCEDURE ops.refresh_rollups(
    close_before timestamptz DEFAULT now() - interval '5 minutes',
    patience interval DEFAULT interval '1 minute',
    batch_logs integer DEFAULT 200000
)
LANGUAGE plpgsql
AS $$
DECLARE
    give_up_at pg_catalog.timestamptz;
    told_at pg_catalog.timestamptz;
    in_flight pg_catalog.text [];
    noted_entity pg_catalog.text;
    noted_day pg_catalog.date;
    low pg_catalog.timestamptz;
    border pg_catalog.timestamptz;
    high pg_catalog.timestamptz;
    low_day pg_catalog.date;
    high_day pg_catalog.date;
BEGIN
    SET LOCAL search_path = pg_catalog, pg_temp;
    give_up_at := clock_timestamp() + patience;
    told_at := clock_timestamp();
    IF close_before IS NULL OR NOT isfinite(close_before) OR batch_logs IS NULL OR batch_logs < 1 THEN
        RAISE EXCEPTION 'cannot close before % in batches of % logs', close_before, batch_logs
            USING ERRCODE = 'invalid_parameter_value',
                HINT = 'CALL ops.refresh_rollups() closes all but the last five minutes.';
    END IF;
    IF close_before > clock_timestamp() THEN
        RAISE EXCEPTION 'cannot close before %, which is still to come', close_before
            USING ERRCODE = 'invalid_parameter_value',
                HINT = 'Writers would note every row until then. CALL ops.refresh_rollups() closes all but the last five '
                    'minutes.';
    END IF;
    IF (SELECT s.closed_before FROM rollup.state AS s) > clock_timestamp() THEN
        RAISE EXCEPTION 'the rollups are closed until %, which is still to come: the clock was wrong',
            (SELECT s.closed_before FROM rollup.state AS s)
            USING ERRCODE = 'object_not_in_prerequisite_state',
                HINT = 'SELECT ops.restart_rollups(); and call again: all stored logs are summed up once more.';
    END IF;
    PERFORM rollup.require_triggers();
    IF NOT rollup.lock_state(false) THEN
        RAISE EXCEPTION 'another transaction is at work on the rollups, so nothing was done'
            USING ERRCODE = 'lock_not_available',
                HINT = 'A refresh, or a month that is dropped. Call again when it has ended, see pg_stat_activity.';
    END IF;

    -- Tell writers what is about to be closed, and wait for those who may not have heard of it. Nobody is held up.
    UPDATE rollup.state AS s SET noted_before = greatest(s.noted_before, close_before);
    COMMIT;
    SET LOCAL search_path = pg_catalog, pg_temp;
    in_flight := ARRAY(SELECT w FROM rollup.writers() AS w);
    LOOP
        in_flight := ARRAY(SELECT w FROM rollup.writers() AS w WHERE w = ANY(in_flight));
        EXIT WHEN in_flight = '{}';
        IF clock_timestamp() > give_up_at THEN
            RAISE WARNING 'nothing more was closed: % transactions that write began more than % ago and have not ended',
                cardinality(in_flight), patience
                USING HINT = 'Reports are right, but read more logs. pg_stat_activity and pg_prepared_xacts show them.';
            close_before := '-infinity';
            EXIT;
        END IF;
        COMMIT;
        SET LOCAL search_path = pg_catalog, pg_temp;
        PERFORM pg_sleep(0.02);
    END LOOP;
    COMMIT;
    SET LOCAL search_path = pg_catalog, pg_temp;

    PERFORM rollup.lock_state(true);
    FOR noted_entity, noted_day IN SELECT c.entity, c.day FROM rollup.cut_notes() AS c LOOP
        PERFORM rollup.lock_state(true);
        PERFORM rollup.fold_noted_day(noted_entity, noted_day);
        COMMIT;
        SET LOCAL search_path = pg_catalog, pg_temp;
    END LOOP;
    COMMIT;
    SET LOCAL search_path = pg_catalog, pg_temp;

    LOOP
        PERFORM rollup.lock_state(true);
        -- Never beyond what was announced: somebody may have restarted the rollups meanwhile.
        SELECT s.closed_before, least(close_before, s.noted_before) INTO low, border FROM rollup.state AS s;
        EXIT WHEN low >= border;
        high := coalesce(rollup.batch_end(low, border, batch_logs), border);
        PERFORM rollup.close_until(high);
        COMMIT;
        SET LOCAL search_path = pg_catalog, pg_temp;
        IF clock_timestamp() > told_at + interval '2 seconds' THEN
            RAISE NOTICE 'rolled up until %', high;
            told_at := clock_timestamp();
        END IF;
    END LOOP;
    COMMIT;
    SET LOCAL search_path = pg_catalog, pg_temp;

    LOOP
        PERFORM rollup.lock_state(true);
        SELECT
            (SELECT min(u.day) FROM rollup.usage AS u WHERE u.dimension = 'user' AND u.day >= s.activity_before),
            (s.closed_before AT TIME ZONE s.time_zone)::date
        INTO low_day, high_day
        FROM rollup.state AS s
        WHERE s.activity_before < (s.closed_before AT TIME ZONE s.time_zone)::date;
        EXIT WHEN NOT FOUND;
        PERFORM rollup.fold_activity(least(high_day, low_day + 30));
        COMMIT;
        SET LOCAL search_path = pg_catalog, pg_temp;
    END LOOP;
    UPDATE rollup.state SET refreshed_at = clock_timestamp();
    COMMIT;
END
$$;
COMMENT ON PROCEDURE ops.refresh_rollups(timestamptz, interval, integer) IS 'Rolls up what is open before a time (by '
    'default, all but the last five minutes) and does noted days again. Run it every few minutes, outside of a '
    'transaction: it commits batch by batch, can be cut off anywhere and goes on where it was. Writers are never held '
    'up; those in flight are waited for, up to patience. Fails with lock_not_available while another is at work. '
    'Reports are right before, during and after';
REVOKE ALL ON PROCEDURE ops.refresh_rollups(timestamptz, interval, integer) FROM public;

CREATE OR REPLACE FUNCTION ops.restart_rollups()
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM rollup.lock_state(true);
    DELETE FROM rollup.usage WHERE month IS NOT NULL;
    DELETE FROM rollup.hours WHERE month IS NOT NULL;
    DELETE FROM rollup.slowest WHERE month IS NOT NULL;
    DELETE FROM rollup.sessions WHERE month IS NOT NULL;
    DELETE FROM rollup.activity;
    DELETE FROM rollup.notes;
    UPDATE rollup.state SET closed_before = DEFAULT, noted_before = DEFAULT, activity_before = DEFAULT;
END
$$;
COMMENT ON FUNCTION ops.restart_rollups() IS 'Forgets all sums that can be made again; reports read the logs until '
    'ops.refresh_rollups() has made them';
REVOKE ALL ON FUNCTION ops.restart_rollups() FROM public;

CREATE OR REPLACE PROCEDURE ops.set_reporting_time_zone(zone text)
LANGUAGE plpgsql
AS $$
BEGIN
    SET LOCAL search_path = pg_catalog, pg_temp;
    IF NOT EXISTS (SELECT 1 FROM pg_catalog.pg_timezone_names AS n WHERE n.name = zone) THEN
        RAISE EXCEPTION 'there is no time zone %', coalesce(zone, 'NULL')
            USING ERRCODE = 'invalid_parameter_value', HINT = 'SELECT name FROM pg_timezone_names lists them.';
    END IF;
    IF EXISTS (SELECT 1 FROM rollup.state AS s WHERE s.time_zone = zone) THEN
        COMMIT;
        RETURN;
    END IF;
    PERFORM ops.restart_rollups();
    UPDATE rollup.state SET time_zone = zone;
    COMMIT;
    SET LOCAL search_path = pg_catalog, pg_temp;
    IF EXISTS (SELECT 1 FROM rollup.usage) THEN
        RAISE NOTICE 'days whose logs are no longer stored stay those of the old time zone';
    END IF;
    CALL ops.refresh_rollups();
    COMMIT;
END
$$;
COMMENT ON PROCEDURE ops.set_reporting_time_zone(text) IS 'Changes whose days and hours the reports count in, such as '
    'Asia/Seoul, and rolls up again all logs that are stored. Reports are right meanwhile, but slower';
REVOKE ALL ON PROCEDURE ops.set_reporting_time_zone(text) FROM public;
