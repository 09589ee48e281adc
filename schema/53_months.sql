-- Months: making, filling and dropping the partitions of sessions and session_logs, always as a pair.
--
-- Attaching and detaching lock both tables and, through the foreign keys, the tables they refer to. A writer that
-- already holds one of these and wants the next would deadlock with us, and after deadlock_timeout (1 s) PostgreSQL
-- might end the writer. So all locks are asked for at once, none for longer than 100 ms, and given back in between:
-- we give way first.
CREATE FUNCTION llm.lock_for_month_change(lock_mode text, suffix text)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    patience constant interval := '60 seconds';
    give_up_at constant timestamptz := clock_timestamp() + patience;
    timeout_before constant text := current_setting('lock_timeout');
    -- The month's own tables, if it has any: someone may be reading them by their own names.
    own_tables text;
BEGIN
    -- One change at a time; only other month changes wait here.
    PERFORM pg_advisory_xact_lock('llm.sessions'::regclass::oid::bigint);
    SELECT string_agg(', ' || own::text, '') INTO own_tables
    FROM unnest(ARRAY[to_regclass('llm.sessions_' || suffix), to_regclass('llm.session_logs_' || suffix)]) AS own
    WHERE own IS NOT NULL;
    LOOP
        BEGIN
            PERFORM set_config('lock_timeout', '100ms', true);
            EXECUTE format(
                'LOCK TABLE ONLY llm.sessions, ONLY llm.session_logs, llm.users, llm.projects, llm.deployments, '
                'llm.model_configs, llm.prompt_templates_base, llm.session_types, llm.session_statuses IN %s MODE',
                lock_mode
            );
            EXECUTE format(
                'LOCK TABLE llm.sessions_default, llm.session_logs_default%s IN ACCESS EXCLUSIVE MODE', own_tables
            );
            PERFORM set_config('lock_timeout', timeout_before, true);
            RETURN;
        EXCEPTION
            WHEN lock_not_available OR deadlock_detected THEN
                IF clock_timestamp() > give_up_at THEN
                    RAISE EXCEPTION 'could not lock sessions and session_logs within %', patience
                        USING ERRCODE = 'lock_not_available',
                            HINT = 'A long transaction holds them, see pg_stat_activity. Nothing changed; call again.';
                END IF;
        END;
        PERFORM pg_sleep(0.05 + random() * 0.2);
    END LOOP;
END
$$;
COMMENT ON FUNCTION llm.lock_for_month_change(text, text) IS 'Locks what a change of months needs, without ever '
    'making a writer wait for more than moments or deadlock; gives up with lock_not_available after 60 seconds';

CREATE FUNCTION llm.create_month(month date)
RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    first_day constant timestamp := date_trunc('month', month::timestamp);
    suffix constant text := to_char(first_day, 'YYYY_MM');
    low uuid;
    high uuid;
    entity text;
    columns text;
    moved bigint;
BEGIN
    -- What a session_id can carry; sessions_session_id_within_year_9999 keeps the far end.
    IF month IS NULL OR month NOT BETWEEN '1970-01-01' AND '9999-12-31' THEN
        RAISE EXCEPTION 'there can be no month %', coalesce(month::text, 'NULL')
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Give any day of the years 1970 to 9999.';
    END IF;
    low := llm.uuidv7_floor(first_day AT TIME ZONE 'UTC');
    high := llm.uuidv7_floor((first_day + interval '1 month') AT TIME ZONE 'UTC');
    IF to_regclass('llm.sessions_' || suffix) IS NOT NULL THEN
        RETURN false;
    END IF;
    PERFORM llm.lock_for_month_change('SHARE ROW EXCLUSIVE', suffix);
    IF to_regclass('llm.sessions_' || suffix) IS NOT NULL THEN
        RETURN false;  -- made by someone else while we waited
    END IF;

    -- Logs leave DEFAULT before their sessions do: the cascade of the sessions' delete must find none.
    FOREACH entity IN ARRAY ARRAY['session_logs', 'sessions'] LOOP
        EXECUTE format('CREATE TABLE llm.%I (LIKE llm.%I INCLUDING ALL)', entity || '_' || suffix, entity);
        EXECUTE format('COMMENT ON TABLE llm.%I IS %L', entity || '_' || suffix,
            format('Partition of llm.%s: %s (UTC)', entity, to_char(first_day, 'YYYY-MM')));
        SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) INTO columns
        FROM pg_attribute
        WHERE attrelid = format('llm.%I', entity)::regclass
            AND attnum > 0 AND NOT attisdropped AND attgenerated = '';
        EXECUTE format(
            'WITH moved AS (DELETE FROM llm.%I WHERE session_id >= %L AND session_id < %L RETURNING *) '
            'INSERT INTO llm.%I (%s) SELECT %5$s FROM moved',
            entity || '_default', low, high, entity || '_' || suffix, columns
        );
        GET DIAGNOSTICS moved = ROW_COUNT;
        IF moved > 0 THEN
            RAISE NOTICE 'moved % rows from %_default to %_%', moved, entity, entity, suffix;
        END IF;
    END LOOP;

    -- Sessions first: attaching the logs checks their foreign key to them, over all rows at once.
    FOREACH entity IN ARRAY ARRAY['sessions', 'session_logs'] LOOP
        EXECUTE format('ALTER TABLE llm.%I ATTACH PARTITION llm.%I FOR VALUES FROM (%L) TO (%L)',
            entity, entity || '_' || suffix, low, high);
    END LOOP;
    RETURN true;
END
$$;
COMMENT ON FUNCTION llm.create_month(date) IS 'Makes the partitions of one month (UTC) of sessions and session_logs '
    'and moves the month''s rows out of DEFAULT into them. Returns whether it made them: false when they are there '
    'already. While rows are moved, writers wait; a month made ahead has none to move';

CREATE PROCEDURE llm.create_months(
    first_month date DEFAULT current_date, last_month date DEFAULT (current_date + interval '3 months')::date
)
LANGUAGE plpgsql
AS $$
DECLARE
    month date;
BEGIN
    IF first_month IS NULL OR last_month IS NULL OR first_month > last_month THEN
        RAISE EXCEPTION 'no months from % to %', first_month, last_month
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Give the first month before the last one.';
    END IF;
    FOR month IN
        SELECT m::date
        FROM generate_series(date_trunc('month', first_month::timestamp), last_month::timestamp, '1 month') AS m
    LOOP
        PERFORM llm.create_month(month);
        COMMIT;  -- locks are held for one month at a time
    END LOOP;
END
$$;
COMMENT ON PROCEDURE llm.create_months(date, date) IS 'Makes the partitions of every month from the first to the '
    'last; by default from this month to three months ahead. Run it daily: it does nothing where they are there '
    'already';

CREATE PROCEDURE llm.move_default_rows()
LANGUAGE plpgsql
AS $$
DECLARE
    month date;
BEGIN
    FOR month IN
        SELECT DISTINCT date_trunc('month', llm.uuidv7_time(session_id) AT TIME ZONE 'UTC')::date
        FROM llm.sessions_default
        ORDER BY 1
    LOOP
        PERFORM llm.create_month(month);
        COMMIT;
    END LOOP;
END
$$;
COMMENT ON PROCEDURE llm.move_default_rows() IS 'Moves every row out of the DEFAULT partitions into its month, made '
    'as needed; commits month by month';

CREATE FUNCTION llm.is_rolled_up(suffix text, log_days date [], session_days date [])
RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    rolled_up boolean;
BEGIN
    -- A touched day counts if rows of the month are on it, or if its sums have some that are gone since.
    EXECUTE format(
        'SELECT NOT EXISTS ('
        '    SELECT FROM llm.%1$I WHERE request_time >= (SELECT closed_before FROM llm.rollup_state)'
        ') AND NOT EXISTS ('
        '    SELECT FROM llm.touched_days(''logs'') AS t'
        '    WHERE t.day = ANY($1) OR EXISTS ('
        '        SELECT FROM llm.%1$I AS l WHERE l.request_time >= t.from_time AND l.request_time < t.until_time'
        '    )'
        ') AND NOT EXISTS ('
        '    SELECT FROM llm.touched_days(''sessions'') AS t'
        '    WHERE t.day = ANY($2) OR EXISTS ('
        '        SELECT FROM llm.%2$I AS s WHERE s.start_time >= t.from_time AND s.start_time < t.until_time'
        '    )'
        ')', 'session_logs_' || suffix, 'sessions_' || suffix
    ) INTO rolled_up USING log_days, session_days;
    RETURN rolled_up;
END
$$;
COMMENT ON FUNCTION llm.is_rolled_up(text, date [], date []) IS 'Whether the rollups are right for a month, given by '
    'the end of its partitions'' names and the days on which it has sums';

CREATE FUNCTION llm.drop_month(month date)
RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    suffix constant text := to_char(month, 'YYYY_MM');
    first_day constant date := date_trunc('month', month::timestamp);
    log_days date [];
    session_days date [];
    entity text;
BEGIN
    IF to_regclass('llm.sessions_' || suffix) IS NULL THEN
        RETURN false;
    END IF;
    -- What is summed up stays, and lets go of the month. Only the rollups are written here, so this is done before
    -- anything is locked that others need.
    PERFORM llm.lock_rollups(true);
    log_days := ARRAY(SELECT DISTINCT r.day FROM llm.rollup_usage AS r WHERE r.month = first_day);
    session_days := ARRAY(SELECT DISTINCT r.day FROM llm.rollup_sessions AS r WHERE r.month = first_day);
    UPDATE llm.rollup_usage AS r SET month = NULL WHERE r.month = first_day;
    UPDATE llm.rollup_hours AS r SET month = NULL WHERE r.month = first_day;
    UPDATE llm.rollup_slowest AS r SET month = NULL WHERE r.month = first_day;
    UPDATE llm.rollup_sessions AS r SET month = NULL WHERE r.month = first_day;
    PERFORM llm.lock_for_month_change('ACCESS EXCLUSIVE', suffix);
    IF to_regclass('llm.sessions_' || suffix) IS NULL THEN
        RETURN false;
    END IF;
    IF NOT llm.is_rolled_up(suffix, log_days, session_days) THEN
        RAISE EXCEPTION 'the month % is not rolled up, so reports would lose it', to_char(first_day, 'YYYY-MM')
            USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'CALL llm.refresh_rollups() and try again.';
    END IF;
    -- Sessions that never ended are counted as they are.
    INSERT INTO llm.rollup_sessions
    SELECT
        s.day, NULL, s.department_id, s.sessions, s.duration_us, s.requests, s.requests_without_tokens, s.tokens,
        s.has_project, s.session_type, s.status
    FROM llm.open_sessions() AS s
    WHERE s.month = first_day;
    -- Logs first: a session that is still referred to cannot leave.
    FOREACH entity IN ARRAY ARRAY['session_logs', 'sessions'] LOOP
        EXECUTE format('ALTER TABLE llm.%I DETACH PARTITION llm.%I', entity, entity || '_' || suffix);
        EXECUTE format('DROP TABLE llm.%I', entity || '_' || suffix);
    END LOOP;
    RETURN true;
END
$$;
COMMENT ON FUNCTION llm.drop_month(date) IS 'Drops one month (UTC) of sessions and session_logs with all its rows. '
    'Returns whether there was one. Refuses a month that is not rolled up; rollups and usage_count stay as they are';

CREATE PROCEDURE llm.drop_old_months(keep_months integer)
LANGUAGE plpgsql
AS $$
DECLARE
    month date;
BEGIN
    IF keep_months IS NULL OR keep_months < 1 THEN
        RAISE EXCEPTION 'keep_months is %, but at least 1 month must be kept', coalesce(keep_months::text, 'NULL')
            USING ERRCODE = 'invalid_parameter_value', HINT = 'CALL llm.drop_old_months(13) keeps 13 months and this one.';
    END IF;
    CALL llm.move_default_rows();  -- rows past their retention may lie in DEFAULT too
    FOR month IN
        SELECT to_date(substring(c.relname FROM '[0-9]{4,}_[0-9]{2}$'), 'YYYY_MM') AS of
        FROM pg_catalog.pg_inherits AS i
        INNER JOIN pg_catalog.pg_class AS c ON i.inhrelid = c.oid
        WHERE i.inhparent = 'llm.sessions'::regclass AND c.relname ~ '^sessions_[0-9]{4,}_[0-9]{2}$'
            AND to_date(substring(c.relname FROM '[0-9]{4,}_[0-9]{2}$'), 'YYYY_MM')
            < date_trunc('month', now() AT TIME ZONE 'UTC') - make_interval(months => keep_months)
        ORDER BY of
    LOOP
        IF llm.drop_month(month) THEN
            RAISE NOTICE 'dropped the month %', to_char(month, 'YYYY-MM');
        END IF;
        COMMIT;
    END LOOP;
END
$$;
COMMENT ON PROCEDURE llm.drop_old_months(integer) IS 'Drops the months of sessions and session_logs that began more '
    'than keep_months months before the current month (UTC); a session counts to the month it began in. Commits '
    'month by month';

-- Made ahead from the first day: this month and the next three.
SELECT llm.create_month((date_trunc('month', now() AT TIME ZONE 'UTC') + make_interval(months => n))::date)
FROM generate_series(0, 3) AS n;
