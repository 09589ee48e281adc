-- needs: 0013.rollups

-- Retention: a session counts to the month it began in, with all its logs. One that began long ago and still runs, or
-- whose last logs are young, holds its month back; so does what the reports would lose.
CREATE OR REPLACE FUNCTION ops.held_back_by(
    month date, keep_from timestamptz, with_running boolean, log_days date [], session_days date []
)
RETURNS text
LANGUAGE plpgsql
-- It is asked again while nobody may write: its bounds are to be known to the planner.
SET plan_cache_mode = force_custom_plan
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    first_day constant date := date_trunc('month', month::timestamp);
    low constant uuid := llm.uuidv7_floor(first_day::timestamp AT TIME ZONE 'UTC');
    high constant uuid := llm.uuidv7_floor((first_day + interval '1 month') AT TIME ZONE 'UTC');
    problem constant text := ops.month_problem(month);
    reasons text [] := '{}';
    many bigint;
    example text;
BEGIN
    IF problem IS NOT NULL THEN
        RETURN problem;
    END IF;
    SELECT count(*), min(s.session_id::text)
    INTO many, example
    FROM llm.sessions AS s
    WHERE s.session_id >= low AND s.session_id < high AND s.end_time IS NULL AND NOT with_running;
    IF many > 0 THEN
        reasons := reasons || format('running sessions: %s, such as %s', many, example);
    END IF;
    SELECT count(*), to_char(max(l.request_time) AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS"Z"')
    INTO many, example
    FROM llm.session_logs AS l
    WHERE l.session_id >= low AND l.session_id < high AND l.request_time >= keep_from;
    IF many > 0 THEN
        reasons := reasons || format(
            'logs since %s: %s, the last of %s', to_char(keep_from AT TIME ZONE 'UTC', 'YYYY-MM-DD'), many, example
        );
    END IF;
    IF NOT rollup.is_rolled_up(first_day, log_days, session_days) THEN
        reasons := reasons || 'it is not rolled up, so reports would lose it'::text;
    END IF;
    RETURN nullif(array_to_string(reasons, '; '), '');
END
$$;
COMMENT ON FUNCTION ops.held_back_by(date, timestamptz, boolean, date [], date []) IS 'Why a month may not be dropped: '
    'only half of it is there, sessions of it run, logs of it are to be kept, or it is not rolled up, given the days '
    'on which it has sums. NULL = nothing holds it back';
REVOKE ALL ON FUNCTION ops.held_back_by(date, timestamptz, boolean, date [], date []) FROM public;

-- What a clock that is years ahead for a minute lets go is gone. No row can tell whether the clock is right: writers,
-- too, go by it. But refreshes come every minute, each a little later than the one before.
CREATE OR REPLACE FUNCTION ops.clock_stepped(since timestamptz)
RETURNS boolean
LANGUAGE sql
STABLE
SET search_path = pg_catalog, pg_temp
-- A refresh a day, by a local time that goes back an hour in autumn, is none. What a transaction drops goes by the time
-- of its beginning, and the clock may have been put right since.
RETURN coalesce(
    clock_timestamp() < since OR greatest(now(), clock_timestamp()) > since + interval '26 hours', false
);
COMMENT ON FUNCTION ops.clock_stepped(timestamptz) IS 'Whether the clock went back since the last refresh, or forward '
    'by over 26 hours, which it also did where nothing was refreshed for so long; false where there was no refresh yet';
REVOKE ALL ON FUNCTION ops.clock_stepped(timestamptz) FROM public;

CREATE OR REPLACE FUNCTION ops.clock_doubt()
RETURNS text
LANGUAGE sql
STABLE
SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT format(
        'the clock was set, or nothing was refreshed for over 26 hours, %s',
        CASE
            WHEN ops.clock_stepped(s.refreshed_at) THEN 'after '
                || to_char(s.refreshed_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI"Z"')
            ELSE 'before ' || to_char(s.steady_since AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI"Z"')
        END
    )
    FROM rollup.state AS s
    WHERE ops.clock_stepped(s.refreshed_at) OR s.steady_since > clock_timestamp() - interval '1 day';
END;
COMMENT ON FUNCTION ops.clock_doubt() IS 'Why retention does not believe the clock; NULL = it does, as refreshes have '
    'seen it go on without a step for a day';
REVOKE ALL ON FUNCTION ops.clock_doubt() FROM public;

CREATE OR REPLACE FUNCTION ops.require_steady_clock()
RETURNS void
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF ops.clock_doubt() IS NOT NULL THEN
        RAISE EXCEPTION 'nothing is dropped: %', ops.clock_doubt()
            USING ERRCODE = 'object_not_in_prerequisite_state',
                HINT = 'After a day of refreshes the clock is believed again. If it is right now: CALL '
                    'ops.refresh_rollups(); UPDATE rollup.state SET steady_since = ''-infinity''; and call again.';
    END IF;
END
$$;
COMMENT ON FUNCTION ops.require_steady_clock() IS 'Raises while retention does not believe the clock';
REVOKE ALL ON FUNCTION ops.require_steady_clock() FROM public;

CREATE OR REPLACE FUNCTION ops.held_back_by(first_day date, keep_from timestamptz)
RETURNS text
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN coalesce(
        ops.clock_doubt(),
        ops.held_back_by(
            first_day,
            keep_from,
            false,
            ARRAY(SELECT DISTINCT u.day FROM rollup.usage AS u WHERE u.month = first_day),
            ARRAY(SELECT DISTINCT s.day FROM rollup.sessions AS s WHERE s.month = first_day)
        )
    );
END
$$;
COMMENT ON FUNCTION ops.held_back_by(date, timestamptz) IS 'Why a month, given by its first day, may not be dropped '
    'while everything since a time is kept, which the clock says; NULL = nothing holds it back';
REVOKE ALL ON FUNCTION ops.held_back_by(date, timestamptz) FROM public;

CREATE OR REPLACE FUNCTION ops.drop_month(
    month date, with_running boolean DEFAULT false, keep_from timestamptz DEFAULT 'infinity'
)
RETURNS boolean
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    suffix constant text := to_char(month, 'YYYY_MM');
    first_day constant date := date_trunc('month', month::timestamp);
    log_days date [];
    session_days date [];
    reason text;
    is_open boolean;
    entity text;
BEGIN
    -- Whoever drops a month holds this lock, so what is there now stays there.
    PERFORM rollup.lock_state(true);
    PERFORM llm.lock_for_month_change(NULL, NULL);
    IF NOT ops.month_exists(month) THEN
        RETURN false;
    END IF;
    log_days := ARRAY(SELECT DISTINCT r.day FROM rollup.usage AS r WHERE r.month = first_day);
    session_days := ARRAY(SELECT DISTINCT r.day FROM rollup.sessions AS r WHERE r.month = first_day);
    -- A first look, so that nobody waits for a month that stays.
    reason := ops.held_back_by(month, keep_from, with_running, log_days, session_days);
    IF reason IS NULL THEN
        -- What is summed up stays, and lets go of the month. Only the rollups are written here, so this is done before
        -- anything is locked that others need.
        UPDATE rollup.usage AS r SET month = NULL WHERE r.month = first_day;
        UPDATE rollup.hours AS r SET month = NULL WHERE r.month = first_day;
        UPDATE rollup.slowest AS r SET month = NULL WHERE r.month = first_day;
        UPDATE rollup.sessions AS r SET month = NULL WHERE r.month = first_day;
        PERFORM llm.lock_for_month_change('ACCESS EXCLUSIVE', suffix);
        -- A second look, at what was written until now.
        reason := ops.held_back_by(month, keep_from, with_running, log_days, session_days);
    END IF;
    IF reason IS NOT NULL THEN
        RAISE EXCEPTION 'the month % is not dropped: %', to_char(first_day, 'YYYY-MM'), reason
            USING ERRCODE = 'object_not_in_prerequisite_state',
                HINT = 'CALL ops.refresh_rollups() rolls up. Of sessions that run no longer, set end_time and status. '
                    'SELECT ops.drop_month(month, with_running => true) takes sessions along that are running.';
    END IF;
    -- Sessions that ended in open time, or never, are counted as they are. Hardly ever there is one, and what sums them
    -- up looks at all months.
    EXECUTE format(
        'SELECT EXISTS (SELECT 1 FROM llm.%I AS s WHERE s.end_time IS NULL OR s.end_time >= $1)', 'sessions_' || suffix
    ) INTO is_open USING (SELECT r.closed_before FROM rollup.state AS r);
    IF is_open THEN
        INSERT INTO rollup.sessions (
            day, month, department_id, sessions, duration_us, requests, requests_without_tokens, tokens, has_project,
            session_type, status
        )
        SELECT
            s.day, first_day, s.department_id, rollup.bigint_sum(s.sessions), sum(s.duration_us),
            rollup.bigint_sum(s.requests), rollup.bigint_sum(s.requests_without_tokens), rollup.bigint_sum(s.tokens),
            s.has_project, s.session_type, s.status
        FROM rollup.open_sessions('{}') AS s
        WHERE s.month = first_day
        GROUP BY s.day, s.department_id, s.has_project, s.session_type, s.status;
        UPDATE rollup.sessions AS r SET month = NULL WHERE r.month = first_day;
    END IF;
    -- Logs first: a session that is still referred to cannot leave.
    FOREACH entity IN ARRAY ARRAY['session_logs', 'sessions'] LOOP
        EXECUTE format('ALTER TABLE llm.%I DETACH PARTITION llm.%I', entity, entity || '_' || suffix);
        EXECUTE format('DROP TABLE llm.%I', entity || '_' || suffix);
    END LOOP;
    RETURN true;
END
$$;
COMMENT ON FUNCTION ops.drop_month(date, boolean, timestamptz) IS 'Drops one month (UTC) of sessions and '
    'session_logs with all its rows. Returns whether there was one. Refuses a month that is not rolled up, of which '
    'sessions run, unless with_running, or which has logs since keep_from. Rollups and usage_count stay as they are';
REVOKE ALL ON FUNCTION ops.drop_month(date, boolean, timestamptz) FROM public;

CREATE OR REPLACE FUNCTION llm.drop_month(month date)
RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN ops.drop_month(month);
END
$$;
COMMENT ON FUNCTION llm.drop_month(date) IS 'Drops one month (UTC) of sessions and session_logs with all its rows. '
    'Returns whether there was one. Refuses a month that is not rolled up, or of which sessions run; rollups and '
    'usage_count stay as they are';
REVOKE ALL ON FUNCTION llm.drop_month(date) FROM public;

CREATE OR REPLACE FUNCTION ops.retention_border(keep_months integer)
RETURNS timestamptz
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF keep_months IS NULL OR keep_months < 1 THEN
        RAISE EXCEPTION 'keep_months is %, but at least 1 month must be kept', coalesce(keep_months::text, 'NULL')
            USING ERRCODE = 'invalid_parameter_value',
                HINT = 'CALL llm.drop_old_months(13) keeps 13 months and this one.';
    END IF;
    RETURN (date_trunc('month', now() AT TIME ZONE 'UTC') - make_interval(months => keep_months)) AT TIME ZONE 'UTC';
END
$$;
COMMENT ON FUNCTION ops.retention_border(integer) IS 'Since when everything is kept, if these many months are and the '
    'current one (UTC)';
REVOKE ALL ON FUNCTION ops.retention_border(integer) FROM public;

CREATE OR REPLACE FUNCTION ops.months_before(keep_from timestamptz)
RETURNS SETOF date
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    first_kept constant date := (keep_from AT TIME ZONE 'UTC')::date;
BEGIN
    RETURN QUERY
    SELECT m.month
    FROM ops.months AS m
    WHERE m.month < first_kept
        -- Not what somebody attached by another name, with bounds of other lengths.
        AND (m.problem IS NOT NULL OR m.sessions_partition = 'sessions_' || to_char(m.month, 'YYYY_MM'))
    UNION
    SELECT d FROM ops.months_in_default() AS d WHERE d < first_kept
    ORDER BY 1;
END
$$;
COMMENT ON FUNCTION ops.months_before(timestamptz) IS 'The months of sessions that began before a time, also those '
    'whose rows lie in DEFAULT';
REVOKE ALL ON FUNCTION ops.months_before(timestamptz) FROM public;

CREATE OR REPLACE FUNCTION ops.months_to_drop(keep_months integer)
RETURNS TABLE (month date, sessions bigint, logs bigint, bytes bigint, held_back_by text)
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    keep_from constant timestamptz := ops.retention_border(keep_months);
BEGIN
    RETURN QUERY
    SELECT
        m.month,
        (SELECT count(*) FROM llm.sessions AS s WHERE s.session_id >= b.low AND s.session_id < b.high),
        (SELECT count(*) FROM llm.session_logs AS l WHERE l.session_id >= b.low AND l.session_id < b.high),
        ops.stored_bytes(to_regclass('llm.sessions_' || b.suffix))
        + ops.stored_bytes(to_regclass('llm.session_logs_' || b.suffix)),
        ops.held_back_by(m.month, keep_from)
    FROM ops.months_before(keep_from) AS m (month)
    CROSS JOIN LATERAL (
        SELECT
            to_char(m.month, 'YYYY_MM') AS suffix,
            llm.uuidv7_floor(m.month::timestamp AT TIME ZONE 'UTC') AS low,
            llm.uuidv7_floor((m.month + interval '1 month') AT TIME ZONE 'UTC') AS high
    ) AS b
    ORDER BY m.month;
END
$$;
COMMENT ON FUNCTION ops.months_to_drop(integer) IS 'What CALL llm.drop_old_months() would drop, without doing it: each '
    'month with its sessions, logs and bytes (NULL = its rows lie in DEFAULT) and what holds it back (NULL = it would '
    'go)';
REVOKE ALL ON FUNCTION ops.months_to_drop(integer) FROM public;

CREATE OR REPLACE FUNCTION ops.drop_next_month(keep_months integer, last_month date)
RETURNS date
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    keep_from constant timestamptz := ops.retention_border(keep_months);
    next_month date;
    held text;
BEGIN
    -- As ops.drop_month() does, and before anything is read.
    PERFORM rollup.lock_state(true);
    PERFORM llm.lock_for_month_change(NULL, NULL);
    next_month := (SELECT min(m) FROM ops.months_before(keep_from) AS m WHERE m > last_month);
    IF next_month IS NOT NULL THEN
        PERFORM ops.require_steady_clock();
        IF ops.held_back_by(next_month, keep_from) IS NULL AND ops.drop_month(next_month, false, keep_from) THEN
            RAISE NOTICE 'dropped the month %', to_char(next_month, 'YYYY-MM');
        END IF;
        RETURN next_month;
    END IF;
    SELECT string_agg(format('%s (%s)', to_char(m.month, 'YYYY-MM'), h.reason), ', ' ORDER BY m.month) INTO held
    FROM ops.months_before(keep_from) AS m (month)
    CROSS JOIN LATERAL (SELECT ops.held_back_by(m.month, keep_from) AS reason) AS h
    WHERE h.reason IS NOT NULL;
    -- An error, so that whatever calls this every night notices; the other months are gone.
    IF held IS NOT NULL THEN
        RAISE EXCEPTION 'months that are not dropped: %', held
            USING ERRCODE = 'object_not_in_prerequisite_state', HINT = format(
                'All others before %s are gone. SELECT * FROM ops.months_to_drop(%s) shows what holds these back. '
                'Of sessions that run no longer, set end_time and status; CALL ops.refresh_rollups(), and call again. '
                'SELECT ops.drop_month(month, with_running => true) drops a month with all that is in it.',
                to_char(keep_from AT TIME ZONE 'UTC', 'YYYY-MM'), keep_months
            );
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION ops.drop_next_month(integer, date) IS 'Looks at the first month after last_month that is past its '
    'retention, drops it unless something holds it back, and returns it; NULL = there is none. Where there is none '
    'left, raises and names those that were held back';
REVOKE ALL ON FUNCTION ops.drop_next_month(integer, date) FROM public;

-- Of its search_path: 11_create_months.sql.
CREATE OR REPLACE PROCEDURE llm.drop_old_months(keep_months integer)
LANGUAGE plpgsql
AS $$
DECLARE
    months pg_catalog.date [];
    month pg_catalog.date;
BEGIN
    SET LOCAL search_path = pg_catalog, pg_temp;
    PERFORM ops.retention_border(keep_months);
    -- Rows past their retention may lie in DEFAULT too.
    months := ARRAY(SELECT d FROM ops.months_in_default() AS d WHERE ops.month_problem(d) IS NULL);
    COMMIT;
    SET LOCAL search_path = pg_catalog, pg_temp;
    WHILE ops.create_next_month(months) LOOP
        COMMIT;
        SET LOCAL search_path = pg_catalog, pg_temp;
    END LOOP;
    month := '-infinity';
    WHILE month IS NOT NULL LOOP
        month := ops.drop_next_month(keep_months, month);
        COMMIT;
        SET LOCAL search_path = pg_catalog, pg_temp;
    END LOOP;
    COMMIT;
END
$$;
COMMENT ON PROCEDURE llm.drop_old_months(integer) IS 'Drops the months of sessions and session_logs that began more '
    'than keep_months months before the current month (UTC); a session counts to the month it began in. Commits '
    'month by month. A month whose sessions run, or have logs of a month that is kept, stays; the others go, and the '
    'call ends with an error that names it. While the clock is in doubt (ops.clock_doubt()) none goes';
REVOKE ALL ON PROCEDURE llm.drop_old_months(integer) FROM public;
