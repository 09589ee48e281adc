-- depends: 0008.months

-- CHECKs are tried in the order of their names, and one random UUID in ten also lies beyond the year 9999. By its new
-- name this one comes after sessions_session_id_is_uuidv7, which says what is wrong with all of them. Months follow.
-- No row is looked at, so the lock, which stops reading and writing sessions, is held for moments.
ALTER TABLE llm.sessions
    -- squawk-ignore renaming-object
    RENAME CONSTRAINT sessions_session_id_before_year_10000 TO sessions_session_id_within_year_9999;

-- As before, but for the name in its first comment.
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
