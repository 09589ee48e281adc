-- Months: making, filling and dropping the partitions of sessions and session_logs, always as a pair.
--
-- Attaching and detaching lock both tables and, through the foreign keys, the tables they refer to. A writer that
-- already holds one of these and wants the next would deadlock with us, and after deadlock_timeout (1 s) PostgreSQL
-- might end the writer. So we give way first: all locks are asked for within 50 ms, or more the longer that has not
-- been enough, and given back in between. Who opens a session and logs locks sessions first, who logs and ends the
-- session locks them last; we do it in turn, so that writers of either kind who have begun can end.
CREATE OR REPLACE FUNCTION ops.referred_to()
RETURNS text []
LANGUAGE sql
IMMUTABLE
RETURN ARRAY[
    'llm.deployments', 'llm.model_configs', 'llm.prompt_templates_base', 'llm.users', 'llm.projects',
    'llm.session_types', 'llm.session_statuses'
];
COMMENT ON FUNCTION ops.referred_to() IS 'The tables that logs and sessions refer to, in the order in which a writer '
    'of logs locks them';
REVOKE ALL ON FUNCTION ops.referred_to() FROM public;

CREATE OR REPLACE FUNCTION ops.lock_giving_way(wanted text [])
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    -- As long as the caller would wait for any lock, or a minute.
    patience constant interval := coalesce(nullif(current_setting('lock_timeout')::interval, '0'), '60 seconds');
    began constant timestamptz := clock_timestamp();
    give_up_at constant timestamptz := began + patience;
    timeout_before constant text := current_setting('lock_timeout');
    within interval;
    taken_by timestamptz;
    lock text;
BEGIN
    LOOP
        BEGIN
            within := interval '50 ms' + least(clock_timestamp() - began, patience) / 200;
            taken_by := clock_timestamp() + within;
            FOREACH lock IN ARRAY wanted LOOP
                -- 0 would be for ever; and the clock may be set back meanwhile.
                PERFORM set_config(
                    'lock_timeout',
                    greatest(1, floor(extract(EPOCH FROM least(taken_by - clock_timestamp(), within)) * 1000)) || 'ms',
                    true
                );
                EXECUTE 'LOCK TABLE ' || lock;
            END LOOP;
            PERFORM set_config('lock_timeout', timeout_before, true);
            RETURN;
        EXCEPTION
            WHEN lock_not_available OR deadlock_detected THEN
                -- Who waits for a row that this transaction has written will not give back what it holds: to give way
                -- is then for the caller, who can undo the row.
                IF clock_timestamp() NOT BETWEEN began AND give_up_at OR EXISTS (
                    SELECT
                    FROM pg_catalog.pg_locks AS k
                    WHERE k.locktype = 'transactionid' AND NOT k.granted
                        AND pg_backend_pid() = any(pg_blocking_pids(k.pid))
                ) THEN
                    RAISE EXCEPTION 'could not lock sessions and session_logs within %', patience
                        USING ERRCODE = 'lock_not_available',
                            HINT = 'A long transaction holds them, see pg_stat_activity and pg_prepared_xacts. Nothing '
                                'changed; call again.';
                END IF;
        END;
        wanted := ARRAY[wanted[2], wanted[1]] || wanted[3:];
        PERFORM pg_sleep(0.05 + random() * 0.2);
    END LOOP;
END
$$;
COMMENT ON FUNCTION ops.lock_giving_way(text []) IS 'Takes locks, each given as what follows LOCK TABLE, the first two '
    'in either order, without ever making a writer wait for more than moments or deadlock; gives up with '
    'lock_not_available after lock_timeout, or 60 seconds without one, and where a writer waits for a row of this '
    'transaction';
REVOKE ALL ON FUNCTION ops.lock_giving_way(text []) FROM public;

CREATE OR REPLACE FUNCTION llm.lock_for_month_change(lock_mode text, suffix text)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    patience constant interval := coalesce(nullif(current_setting('lock_timeout')::interval, '0'), '60 seconds');
    timeout_before constant text := current_setting('lock_timeout');
BEGIN
    -- One change at a time; only other month changes wait here, and they hold nothing that this one wants. An advisory
    -- lock could be taken, and kept, by any login; this one needs a right to write to the partition by its own name.
    BEGIN
        PERFORM set_config('lock_timeout', extract(EPOCH FROM patience) || 's', true);
        LOCK TABLE llm.sessions_default IN SHARE UPDATE EXCLUSIVE MODE;
    EXCEPTION
        WHEN lock_not_available THEN
            RAISE EXCEPTION 'another change of months did not end within %', patience
                USING ERRCODE = 'lock_not_available',
                    HINT = 'Who locks llm.sessions_default is in pg_locks. Nothing changed; call again.';
    END;
    PERFORM set_config('lock_timeout', timeout_before, true);
    -- Without a mode the turn is all, for whoever has to read first: who has read and then waits for the turn would be
    -- in the way of the one who has it.
    IF lock_mode IS NULL THEN
        RETURN;
    END IF;
    -- The mode is for what the two refer to. Of the two themselves readers wait too, before they look which partitions
    -- there are: one that waited at DEFAULT would know the old ones only, and see of a row that has moved neither the old
    -- version nor the new.
    PERFORM ops.lock_giving_way(
        ARRAY['ONLY llm.session_logs IN ACCESS EXCLUSIVE MODE', 'ONLY llm.sessions IN ACCESS EXCLUSIVE MODE']
        || ARRAY(SELECT format('%s IN %s MODE', r, lock_mode) FROM unnest(ops.referred_to()) AS r)
        || ARRAY(
            -- The month's own tables too, if it has any: someone may be reading them by their own names.
            SELECT own || ' IN ACCESS EXCLUSIVE MODE'
            FROM unnest(ARRAY[
                'llm.session_logs_default'::regclass, 'llm.sessions_default',
                to_regclass('llm.session_logs_' || suffix), to_regclass('llm.sessions_' || suffix)
            ]) AS own
            WHERE own IS NOT NULL
        )
    );
END
$$;
COMMENT ON FUNCTION llm.lock_for_month_change(text, text) IS 'Locks what a change of months needs, without ever '
    'making a writer wait for more than moments or deadlock; gives up with lock_not_available after 60 seconds';
REVOKE ALL ON FUNCTION llm.lock_for_month_change(text, text) FROM public;

CREATE OR REPLACE FUNCTION ops.attach_month(entity text, month date)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    first_day constant timestamp := date_trunc('month', month::timestamp);
    part constant text := entity || to_char(first_day, '_YYYY_MM');
BEGIN
    EXECUTE format(
        'ALTER TABLE llm.%I ATTACH PARTITION llm.%I FOR VALUES FROM (%L) TO (%L)', entity, part,
        llm.uuidv7_floor(first_day AT TIME ZONE 'UTC'),
        llm.uuidv7_floor((first_day + interval '1 month') AT TIME ZONE 'UTC')
    );
    EXECUTE format(
        'COMMENT ON TABLE llm.%I IS %L', part,
        format('Partition of llm.%s: %s (UTC)', entity, to_char(first_day, 'YYYY-MM'))
    );
END
$$;
COMMENT ON FUNCTION ops.attach_month(text, date) IS 'Attaches the table that has a month''s name to llm.sessions or '
    'llm.session_logs, for those who hold the locks';
REVOKE ALL ON FUNCTION ops.attach_month(text, date) FROM public;

CREATE OR REPLACE FUNCTION ops.refer_to_sessions(logs text, its_sessions text)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    EXECUTE format(
        'ALTER TABLE llm.%I ADD CONSTRAINT session_logs_session_id_fkey FOREIGN KEY (session_id) '
        'REFERENCES llm.%I (session_id) ON DELETE CASCADE',
        logs, its_sessions
    );
END
$$;
COMMENT ON FUNCTION ops.refer_to_sessions(text, text) IS 'The foreign key of a month''s logs to the month''s sessions, '
    'both given by their tables'' names; proven for all rows at once';
REVOKE ALL ON FUNCTION ops.refer_to_sessions(text, text) FROM public;

CREATE OR REPLACE FUNCTION ops.make_month(month date)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    first_day constant timestamp := date_trunc('month', month::timestamp);
    suffix constant text := to_char(first_day, 'YYYY_MM');
    low constant uuid := llm.uuidv7_floor(first_day AT TIME ZONE 'UTC');
    high constant uuid := llm.uuidv7_floor((first_day + interval '1 month') AT TIME ZONE 'UTC');
    sessions_attached constant boolean := EXISTS (
        SELECT FROM pg_inherits WHERE inhrelid = to_regclass('llm.sessions_' || suffix)
    );
    logs_attached constant boolean := EXISTS (
        SELECT FROM pg_inherits WHERE inhrelid = to_regclass('llm.session_logs_' || suffix)
    );
    unattached constant text [] := CASE WHEN sessions_attached THEN ARRAY['session_logs']
        ELSE ARRAY['session_logs', 'sessions'] END;
    -- A subscriber is told of rows that leave DEFAULT, which is a partition. Where the month is none yet, it would not be
    -- told of those that come, and lose them: they come when the month is attached, row by row.
    published constant boolean := EXISTS (SELECT FROM pg_publication);
    foreign_key name;
    entity text;
    columns text;
    moved bigint;
BEGIN
    IF EXISTS (SELECT 1 FROM llm.sessions_default AS s WHERE s.session_id >= low AND s.session_id < high) THEN
        RAISE NOTICE 'moving the rows of % out of DEFAULT', to_char(first_day, 'YYYY-MM');
    END IF;
    -- Logs that are there already, attached or not, may be of sessions that lie in DEFAULT, and a foreign key to all
    -- sessions would delete them when these leave it, below.
    IF logs_attached THEN
        EXECUTE format('ALTER TABLE llm.session_logs DETACH PARTITION llm.%I', 'session_logs_' || suffix);
    END IF;
    FOR foreign_key IN
        SELECT conname
        FROM pg_constraint
        WHERE conrelid = to_regclass('llm.session_logs_' || suffix) AND contype = 'f' AND conkey = ARRAY[1::smallint]
    LOOP
        EXECUTE format('ALTER TABLE llm.%I DROP CONSTRAINT %I', 'session_logs_' || suffix, foreign_key);
    END LOOP;
    -- Logs leave DEFAULT before their sessions do: the cascade of the sessions' delete must find none.
    FOREACH entity IN ARRAY unattached LOOP
        IF to_regclass(format('llm.%I', entity || '_' || suffix)) IS NULL THEN
            EXECUTE format('CREATE TABLE llm.%I (LIKE llm.%I INCLUDING ALL)', entity || '_' || suffix, entity);
        END IF;
        SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) INTO columns
        FROM pg_attribute
        WHERE attrelid = format('llm.%I', entity)::regclass
            AND attnum > 0 AND NOT attisdropped AND attgenerated = '';
        IF published THEN
            EXECUTE format('CREATE UNLOGGED TABLE llm.%I (LIKE llm.%I)', entity || '_moving', entity);
        END IF;
        EXECUTE format(
            'WITH moved AS (DELETE FROM llm.%I WHERE session_id >= %L AND session_id < %L RETURNING *) '
            'INSERT INTO llm.%I (%s) SELECT %5$s FROM moved',
            entity || '_default', low, high, entity || '_' || CASE WHEN published THEN 'moving' ELSE suffix END, columns
        );
        GET DIAGNOSTICS moved = ROW_COUNT;
        IF moved > 0 THEN
            RAISE NOTICE 'moved % rows from %_default to %_%', moved, entity, entity, suffix;
        END IF;
    END LOOP;

    PERFORM ops.refer_to_sessions('session_logs_' || suffix, 'sessions_' || suffix);
    FOREACH entity IN ARRAY unattached LOOP
        PERFORM ops.attach_month(entity, month);
    END LOOP;
    IF published THEN
        FOR entity IN SELECT u FROM unnest(unattached) AS u ORDER BY u DESC LOOP
            SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) INTO columns
            FROM pg_attribute
            WHERE attrelid = format('llm.%I', entity)::regclass
                AND attnum > 0 AND NOT attisdropped AND attgenerated = '';
            EXECUTE format(
                'INSERT INTO llm.%I (%s) SELECT %2$s FROM llm.%I', entity || '_' || suffix, columns, entity || '_moving'
            );
            EXECUTE format('DROP TABLE llm.%I', entity || '_moving');
        END LOOP;
    END IF;
END
$$;
COMMENT ON FUNCTION ops.make_month(date) IS 'Makes what is missing of a month, for llm.create_month() and '
    'ops.repair_month(), which hold the locks. What is there of it stays as it is, rows and all';
REVOKE ALL ON FUNCTION ops.make_month(date) FROM public;

CREATE OR REPLACE FUNCTION ops.require_month(month date)
RETURNS void
LANGUAGE plpgsql
IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- What a session_id can carry; sessions_session_id_within_year_9999 keeps the far end.
    IF month IS NULL OR month NOT BETWEEN '1970-01-01' AND '9999-12-31' THEN
        RAISE EXCEPTION 'there can be no month %', coalesce(month::text, 'NULL')
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Give any day of the years 1970 to 9999.';
    END IF;
END
$$;
COMMENT ON FUNCTION ops.require_month(date) IS 'Raises where a day is of no month that sessions can be of';
REVOKE ALL ON FUNCTION ops.require_month(date) FROM public;

CREATE OR REPLACE FUNCTION llm.create_month(month date)
RETURNS boolean
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM ops.require_month(month);
    IF ops.month_exists(month) THEN
        RETURN false;
    END IF;
    PERFORM llm.lock_for_month_change('SHARE ROW EXCLUSIVE', to_char(month, 'YYYY_MM'));
    IF ops.month_exists(month) THEN
        RETURN false;  -- made by someone else while we waited
    END IF;
    PERFORM ops.make_month(month);
    RETURN true;
END
$$;
COMMENT ON FUNCTION llm.create_month(date) IS 'Makes the partitions of one month (UTC) of sessions and session_logs '
    'and moves the month''s rows out of DEFAULT into them. Returns whether it made them: false when they are there '
    'already; raises where half of them is. While rows are moved, writers and readers wait; a month made ahead has '
    'none to move';
REVOKE ALL ON FUNCTION llm.create_month(date) FROM public;

CREATE OR REPLACE FUNCTION ops.repair_month(month date)
RETURNS boolean
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF ops.month_problem(month) IS NULL THEN
        RETURN false;
    END IF;
    PERFORM llm.lock_for_month_change('ACCESS EXCLUSIVE', to_char(month, 'YYYY_MM'));
    IF ops.month_problem(month) IS NULL THEN
        RETURN false;  -- repaired by someone else while we waited
    END IF;
    IF EXISTS (
        SELECT FROM pg_inherits
        WHERE inhdetachpending AND inhrelid IN (
            to_regclass('llm.sessions_' || to_char(month, 'YYYY_MM')),
            to_regclass('llm.session_logs_' || to_char(month, 'YYYY_MM'))
        )
    ) THEN
        PERFORM ops.month_exists(month);  -- raises, and says how to end that first
    END IF;
    PERFORM ops.make_month(month);
    RETURN true;
END
$$;
COMMENT ON FUNCTION ops.repair_month(date) IS 'Makes a whole month of half a one: attaches the tables that have its '
    'names, makes those that are missing, and moves the month''s rows out of DEFAULT into them. Returns whether there '
    'was anything to repair';
REVOKE ALL ON FUNCTION ops.repair_month(date) FROM public;

CREATE OR REPLACE FUNCTION ops.create_next_month(of_months date [])
RETURNS boolean
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    next_month constant date := (
        SELECT min(m) FROM unnest(of_months) AS m
        WHERE to_regclass('llm.sessions_' || to_char(m, 'YYYY_MM')) IS NULL
            AND to_regclass('llm.session_logs_' || to_char(m, 'YYYY_MM')) IS NULL
    );
BEGIN
    IF next_month IS NULL THEN
        -- What is wrong with one month stops none of the others, and is told all the same.
        PERFORM ops.month_exists(m) FROM unnest(of_months) AS m;
        RETURN false;
    END IF;
    IF llm.create_month(next_month) THEN
        RAISE NOTICE 'made the month %', to_char(next_month, 'YYYY-MM');
    END IF;
    RETURN true;
END
$$;
COMMENT ON FUNCTION ops.create_next_month(date []) IS 'Makes the first of these months that is not there. Returns '
    'whether there was one; where there is none left, raises for the first that is there by half. The procedures that '
    'make months call it until it returns false, and commit after each month';
REVOKE ALL ON FUNCTION ops.create_next_month(date []) FROM public;

CREATE OR REPLACE FUNCTION ops.months_between(first_month date, last_month date)
RETURNS date []
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    unusual date;
BEGIN
    IF first_month IS NULL OR last_month IS NULL OR first_month > last_month THEN
        RAISE EXCEPTION 'no months from % to %', first_month, last_month
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Give the first month before the last one.';
    END IF;
    -- A slip of the pen in a year would make tables by the hundred.
    SELECT u.m INTO unusual FROM unnest(ARRAY[first_month, last_month]) AS u (m)
    WHERE NOT llm.is_usual_month(u.m, current_date);
    IF FOUND THEN
        RAISE EXCEPTION 'the month of % is more than ten years ago or more than one year ahead', unusual
            USING ERRCODE = 'invalid_parameter_value',
                HINT = 'If it is meant, SELECT llm.create_month(date) makes one such month.';
    END IF;
    RETURN ARRAY(
        SELECT m::date
        FROM generate_series(date_trunc('month', first_month::timestamp), last_month::timestamp, '1 month') AS m
    );
END
$$;
COMMENT ON FUNCTION ops.months_between(date, date) IS 'The months from the first to the last, for llm.create_months(). '
    'Raises where one of the two is more than ten years ago or more than one year ahead';
REVOKE ALL ON FUNCTION ops.months_between(date, date) FROM public;

-- A procedure that commits can neither act as its owner nor fix its search_path for good. So it touches no table: it
-- calls a function that takes the next step as its owner, and commits, until there is no step left. And so that no name
-- in it means anything of the caller's, each of its transactions begins with SET LOCAL, its variables' types are named
-- with their schema, as they are looked up before that, and it ends with COMMIT, which gives the caller's path back.
CREATE OR REPLACE PROCEDURE llm.create_months(
    first_month date DEFAULT current_date, last_month date DEFAULT (current_date + interval '3 months')::date
)
LANGUAGE plpgsql
AS $$
BEGIN
    SET LOCAL search_path = pg_catalog, pg_temp;
    WHILE ops.create_next_month(ops.months_between(first_month, last_month)) LOOP
        COMMIT;  -- locks are held for one month at a time
        SET LOCAL search_path = pg_catalog, pg_temp;
    END LOOP;
    COMMIT;
END
$$;
COMMENT ON PROCEDURE llm.create_months(date, date) IS 'Makes the partitions of every month from the first to the '
    'last; by default from this month to three months ahead. It does nothing where they are there already; '
    'llm.maintain() does it too. Where there is half a month it makes the others and ends with an error. Months more '
    'than ten years ago or more than one year ahead are refused';
REVOKE ALL ON PROCEDURE llm.create_months(date, date) FROM public;

CREATE OR REPLACE FUNCTION ops.months_in_default()
RETURNS SETOF date
LANGUAGE sql
STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT date_trunc('month', llm.uuidv7_time(s.session_id) AT TIME ZONE 'UTC')::date AS month
    FROM llm.sessions_default AS s
    UNION
    -- Logs alone lie here where a month has only one of its partitions.
    SELECT date_trunc('month', llm.uuidv7_time(l.session_id) AT TIME ZONE 'UTC')::date
    FROM llm.session_logs_default AS l
    ORDER BY month;
END;
COMMENT ON FUNCTION ops.months_in_default() IS 'The months whose rows lie in DEFAULT';
REVOKE ALL ON FUNCTION ops.months_in_default() FROM public;

CREATE OR REPLACE PROCEDURE llm.move_default_rows()
LANGUAGE plpgsql
AS $$
DECLARE
    months pg_catalog.date [];
BEGIN
    SET LOCAL search_path = pg_catalog, pg_temp;
    months := ARRAY(SELECT d FROM ops.months_in_default() AS d);
    COMMIT;
    SET LOCAL search_path = pg_catalog, pg_temp;
    WHILE ops.create_next_month(months) LOOP
        COMMIT;
        SET LOCAL search_path = pg_catalog, pg_temp;
    END LOOP;
    COMMIT;
END
$$;
COMMENT ON PROCEDURE llm.move_default_rows() IS 'Moves every row out of the DEFAULT partitions into its month, made '
    'as needed; commits month by month. Where there is half a month it moves the others'' and ends with an error';
REVOKE ALL ON PROCEDURE llm.move_default_rows() FROM public;
