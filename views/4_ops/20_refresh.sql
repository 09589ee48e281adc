-- needs: 0039.rates-and-budgets

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
        'sessions_truncation_is_noted', 'sessions_take_their_logs_along',
        'session_logs_additions_are_noted', 'session_logs_changes_are_noted', 'session_logs_removals_are_noted',
        'session_logs_truncation_is_noted', 'user_departments_are_noted', 'user_departments_truncation_is_noted',
        'deployment_history_is_noted', 'deployment_history_truncation_is_noted', 'model_configs_max_tokens_is_noted',
        'deployment_usage_additions_forget_costs', 'deployment_usage_changes_forget_costs',
        'deployment_usage_removals_forget_costs', 'deployment_usage_truncation_forgets_costs',
        'costs_truncation_forgets_costs', 'user_costs_truncation_forgets_costs'
    ]) AS n (name)
    LEFT JOIN pg_trigger AS t ON n.name = t.tgname AND t.tgparentid = 0 AND t.tgenabled IN ('O', 'A')
    LEFT JOIN pg_class AS c ON t.tgrelid = c.oid AND c.relnamespace IN ('llm'::regnamespace, 'rollup'::regnamespace)
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

-- A refresh is a row of steps, each a transaction of whoever takes them (ops.refresh_rollups(), llm.maintain()), and
-- what comes next is handed from one to the other. How far time may be closed is not: a step believes
-- rollup.announcements, so that nobody who may call it can close time that a writer takes for open.
CREATE OR REPLACE FUNCTION rollup.unaware_writers(of_announcement xid8)
RETURNS bigint
LANGUAGE sql
STABLE
SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT count(*)
    FROM rollup.announcements AS a
    INNER JOIN rollup.writers() AS w ON w = any(a.awaited)
    WHERE a.announced_in = of_announcement;
END;
COMMENT ON FUNCTION rollup.unaware_writers(xid8) IS 'How many transactions are still writing that may not have heard '
    'of an announcement; known once somebody has looked who was writing when it was made';
REVOKE ALL ON FUNCTION rollup.unaware_writers(xid8) FROM public;

CREATE OR REPLACE FUNCTION ops.begin_refresh(close_before timestamptz, patience interval, batch_logs integer)
RETURNS jsonb
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF close_before IS NULL OR NOT isfinite(close_before) OR batch_logs IS NULL OR batch_logs < 1 THEN
        RAISE EXCEPTION 'cannot close before % in batches of % logs', close_before, batch_logs
            USING ERRCODE = 'invalid_parameter_value',
                HINT = 'CALL ops.refresh_rollups() closes all but the last five minutes.';
    END IF;
    IF close_before > clock_timestamp() THEN
        RAISE EXCEPTION 'cannot close before %, which is still to come', close_before
            USING ERRCODE = 'invalid_parameter_value',
                HINT = 'Writers would note every row until then. CALL ops.refresh_rollups() closes all but the last '
                    'five minutes.';
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
    -- Tell writers what is about to be closed. The next step waits for those who may not have heard of it.
    UPDATE rollup.state AS s SET noted_before = greatest(s.noted_before, close_before);
    INSERT INTO rollup.announcements AS a (announced_in, noted_before)
    VALUES (pg_current_xact_id(), close_before)
    ON CONFLICT (announced_in) DO UPDATE SET noted_before = excluded.noted_before, awaited = NULL;
    RETURN jsonb_build_object(
        'announced_in', pg_current_xact_id()::text,
        'close_before', close_before, 'patience', patience, 'give_up_at', clock_timestamp() + patience,
        'batch_logs', batch_logs, 'told_at', clock_timestamp(), 'phase', 'announced'
    );
END
$$;
COMMENT ON FUNCTION ops.begin_refresh(timestamptz, interval, integer) IS 'The first step of a refresh, for '
    'ops.refresh_rollups(): announces what is to be closed, and returns what ops.refresh_step() takes. Raises '
    'lock_not_available while another transaction is at work on the rollups';
REVOKE ALL ON FUNCTION ops.begin_refresh(timestamptz, interval, integer) FROM public;

CREATE OR REPLACE FUNCTION ops.refresh_step(step jsonb)
RETURNS jsonb
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    mine constant xid8 := (step ->> 'announced_in')::xid8;
    unaware bigint;
    low timestamptz;
    high timestamptz;
    border timestamptz;
    low_day date;
    high_day date;
    did text;
BEGIN
    IF step ->> 'phase' = 'wait' THEN
        PERFORM pg_sleep(0.02);
        -- Asking who writes keeps locks on all months until COMMIT, so what waits for its turn is the next step: who
        -- drops a month has the turn, and waits for these locks.
        IF rollup.unaware_writers(mine) > 0 AND clock_timestamp() < (step ->> 'give_up_at')::timestamptz THEN
            RETURN step;
        END IF;
        RETURN step || '{"phase": "announced"}';
    END IF;
    PERFORM rollup.lock_state(true);
    IF step ->> 'phase' <> 'close' THEN
        -- What this very transaction has announced nobody can have heard of.
        UPDATE rollup.announcements AS a SET awaited = ARRAY(SELECT w FROM rollup.writers() AS w)
        WHERE a.awaited IS NULL AND a.announced_in <> pg_current_xact_id();
        unaware := rollup.unaware_writers(mine);
        IF unaware > 0 AND clock_timestamp() > (step ->> 'give_up_at')::timestamptz THEN
            RAISE WARNING 'nothing more was closed: % transactions that write began more than % ago and have not ended',
                unaware, step ->> 'patience'
                USING HINT = 'Reports are right, but read more logs. pg_stat_activity and pg_prepared_xacts show them.';
            step := step || '{"close_before": "-infinity"}';
        ELSIF unaware > 0 THEN
            RETURN step || '{"phase": "wait"}';
        END IF;
        SELECT step || jsonb_build_object(
            'phase', 'close', 'days', coalesce(jsonb_agg(jsonb_build_array(c.entity, c.day)), '[]')
        ) INTO step
        FROM rollup.cut_notes() AS c;
    END IF;

    -- Never beyond what all who write have heard of: somebody may have restarted the rollups meanwhile.
    SELECT
        s.closed_before,
        least((step ->> 'close_before')::timestamptz, s.noted_before, (
            SELECT coalesce(max(a.noted_before), '-infinity')
            FROM rollup.announcements AS a
            WHERE a.awaited IS NOT NULL AND rollup.unaware_writers(a.announced_in) = 0
        ))
    INTO low, border
    FROM rollup.state AS s;
    IF jsonb_array_length(step -> 'days') > 0 THEN
        PERFORM rollup.fold_noted_day(step #>> '{days,0,0}', (step #>> '{days,0,1}')::date);
        did := 'rolled up again: ' || (step #>> '{days,0,1}');
        step := step #- '{days,0}';
    ELSIF low < border THEN
        high := coalesce(rollup.batch_end(low, border, (step ->> 'batch_logs')::integer), border);
        PERFORM rollup.close_until(high);
        did := format('rolled up until %s', high);
    ELSE
        SELECT
            (SELECT min(u.day) FROM rollup.usage AS u WHERE u.dimension = 'user' AND u.day >= s.activity_before),
            (s.closed_before AT TIME ZONE s.time_zone)::date
        INTO low_day, high_day
        FROM rollup.state AS s
        WHERE s.activity_before < (s.closed_before AT TIME ZONE s.time_zone)::date;
        IF FOUND THEN
            high_day := least(high_day, low_day + 30);
            PERFORM rollup.fold_activity(high_day);
            did := format('counted who was active until %s', high_day);
        ELSE
            low_day := rollup.price_days(30);
            IF low_day IS NULL THEN
                UPDATE rollup.state AS s
                SET refreshed_at = clock_timestamp(),
                    steady_since = CASE
                        WHEN ops.clock_stepped(s.refreshed_at) THEN clock_timestamp()
                        ELSE s.steady_since
                    END;
                -- Mine, and those of refreshes that were cut off.
                DELETE FROM rollup.announcements AS a WHERE a.announced_in = mine OR a.noted_before <= low;
                RETURN NULL;
            END IF;
            did := format('worked out costs since %s', low_day);
        END IF;
    END IF;
    IF clock_timestamp() > (step ->> 'told_at')::timestamptz + interval '2 seconds' THEN
        RAISE NOTICE '%', did;
        step := step || jsonb_build_object('told_at', clock_timestamp());
    END IF;
    RETURN step;
END
$$;
COMMENT ON FUNCTION ops.refresh_step(jsonb) IS 'Does the next piece of a refresh, for ops.refresh_rollups(), and '
    'returns what is to be handed to the one after it; NULL = it was the last. The caller commits after each';
REVOKE ALL ON FUNCTION ops.refresh_step(jsonb) FROM public;

-- Of its search_path: 11_create_months.sql.
CREATE OR REPLACE PROCEDURE ops.refresh_rollups(
    close_before timestamptz DEFAULT now() - interval '5 minutes',
    patience interval DEFAULT interval '1 minute',
    batch_logs integer DEFAULT 200000
)
LANGUAGE plpgsql
AS $$
DECLARE
    step pg_catalog.jsonb;
BEGIN
    SET LOCAL search_path = pg_catalog, pg_temp;
    step := ops.begin_refresh(close_before, patience, batch_logs);
    WHILE step IS NOT NULL LOOP
        COMMIT;
        SET LOCAL search_path = pg_catalog, pg_temp;
        step := ops.refresh_step(step);
    END LOOP;
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
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    sums regclass;
BEGIN
    PERFORM rollup.lock_state(true);
    FOR sums IN SELECT rollup.sums_of_months() LOOP
        EXECUTE format('DELETE FROM %s WHERE month IS NOT NULL', sums);
    END LOOP;
    DELETE FROM rollup.activity;
    DELETE FROM rollup.costs;
    DELETE FROM rollup.user_costs;
    DELETE FROM rollup.priced_days;
    DELETE FROM rollup.notes;
    DELETE FROM rollup.announcements;
    UPDATE rollup.state SET closed_before = DEFAULT, noted_before = DEFAULT, activity_before = DEFAULT;
END
$$;
COMMENT ON FUNCTION ops.restart_rollups() IS 'Forgets all sums that can be made again; reports read the logs until '
    'ops.refresh_rollups() has made them';
REVOKE ALL ON FUNCTION ops.restart_rollups() FROM public;

CREATE OR REPLACE FUNCTION ops.change_time_zone(zone text)
RETURNS boolean
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT EXISTS (SELECT 1 FROM pg_catalog.pg_timezone_names AS n WHERE n.name = zone) THEN
        RAISE EXCEPTION 'there is no time zone %', coalesce(zone, 'NULL')
            USING ERRCODE = 'invalid_parameter_value', HINT = 'SELECT name FROM pg_timezone_names lists them.';
    END IF;
    IF EXISTS (SELECT 1 FROM rollup.state AS s WHERE s.time_zone = zone) THEN
        RETURN false;
    END IF;
    PERFORM ops.restart_rollups();
    UPDATE rollup.state SET time_zone = zone;
    IF EXISTS (SELECT 1 FROM rollup.usage) THEN
        RAISE NOTICE 'days whose logs are no longer stored stay those of the old time zone';
    END IF;
    RETURN true;
END
$$;
COMMENT ON FUNCTION ops.change_time_zone(text) IS 'Forgets all sums that can be made again, and makes them in another '
    'time zone from the next refresh on, for ops.set_reporting_time_zone(). Returns whether it was another one';
REVOKE ALL ON FUNCTION ops.change_time_zone(text) FROM public;

CREATE OR REPLACE PROCEDURE ops.set_reporting_time_zone(zone text)
LANGUAGE plpgsql
AS $$
BEGIN
    SET LOCAL search_path = pg_catalog, pg_temp;
    IF NOT ops.change_time_zone(zone) THEN
        COMMIT;
        RETURN;
    END IF;
    COMMIT;
    SET LOCAL search_path = pg_catalog, pg_temp;
    CALL ops.refresh_rollups();
    COMMIT;
END
$$;
COMMENT ON PROCEDURE ops.set_reporting_time_zone(text) IS 'Changes whose days and hours the reports count in, such as '
    'Asia/Seoul, and rolls up again all logs that are stored. Reports are right meanwhile, but slower';
REVOKE ALL ON PROCEDURE ops.set_reporting_time_zone(text) FROM public;
