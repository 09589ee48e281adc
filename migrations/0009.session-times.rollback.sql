DROP INDEX llm.sessions_end_time_idx;
DROP INDEX llm.sessions_start_time_idx;
ALTER TABLE llm.sessions
    DROP CONSTRAINT sessions_session_id_within_year_9999,
    ADD CONSTRAINT sessions_session_id_before_year_10000
    CHECK (session_id < llm.uuidv7_floor('9999-12-31 24:00:00+00'));
ALTER TABLE llm.sessions DROP CONSTRAINT sessions_times_within_2000_to_2099;

-- In 0.1.0 migrations made the functions: those that views/ has changed since go back to what 0001, 0007 and 0008 made.
CREATE OR REPLACE FUNCTION llm.uuidv7_time(id uuid)
RETURNS timestamptz
LANGUAGE sql
IMMUTABLE STRICT PARALLEL SAFE
RETURN to_timestamp(
    ('x' || substr(replace(id::text, '-', ''), 1, 12))::bit(48)::bigint / 1000.0::double precision
);

CREATE OR REPLACE FUNCTION llm.create_month(month date)
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
    -- What a session_id can carry; sessions_session_id_before_year_10000 keeps the far end.
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

CREATE OR REPLACE PROCEDURE llm.create_months(
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

CREATE OR REPLACE PROCEDURE llm.move_default_rows()
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

CREATE OR REPLACE FUNCTION llm.take_usage_slot()
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    counters constant integer := 'llm.prompt_template_uses'::regclass::oid::integer;
    slot integer := coalesce(nullif(current_setting('llm.usage_slot', true), '')::integer, 1);
BEGIN
    -- Above READ COMMITTED, a counter that another transaction changed since our snapshot could not be updated
    -- without a serialization failure. Such a transaction writes counters of its own; llm.fold_template_uses() adds
    -- them up later.
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RETURN -(pg_current_xact_id()::text::bigint);
    END IF;
    -- A try-lock cannot wait, so it cannot deadlock. It is released after commit has made our counters visible. A
    -- backend remembers its slot: the first try nearly always succeeds, and there are about as many slots as
    -- concurrent writers.
    IF pg_try_advisory_xact_lock(counters, slot) THEN
        RETURN slot;
    END IF;
    slot := 1;
    WHILE NOT pg_try_advisory_xact_lock(counters, slot) LOOP
        slot := slot + 1;
    END LOOP;
    PERFORM set_config('llm.usage_slot', slot::text, false);
    RETURN slot;
END
$$;

CREATE OR REPLACE FUNCTION llm.fold_template_uses()
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    folded bigint;
BEGIN
    -- Negative slots are written by one transaction only, and slot 0 only here: no writer can be waiting for either.
    PERFORM pg_advisory_xact_lock('llm.prompt_template_uses'::regclass::oid::integer, 0);
    WITH gone AS (
        DELETE FROM llm.prompt_template_uses WHERE slot < 0 RETURNING template_id, uses
    ), sums AS (
        INSERT INTO llm.prompt_template_uses AS u (template_id, slot, uses)
        SELECT template_id, 0, sum(uses) FROM gone GROUP BY template_id
        ON CONFLICT (template_id, slot) DO UPDATE SET uses = u.uses + excluded.uses
    )
    SELECT count(*) INTO folded FROM gone;
    RETURN folded;
END
$$;

CREATE OR REPLACE FUNCTION llm.lock_for_month_change(lock_mode text, suffix text)
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

-- And whoever could log in could call them.
GRANT EXECUTE ON ALL ROUTINES IN SCHEMA llm TO public;
