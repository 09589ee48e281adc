-- A rollback refuses while rows would be lost: sums can be made again as long as their logs are stored.
DO $$
BEGIN
    IF EXISTS (SELECT FROM rollup.usage WHERE month IS NULL)
        OR EXISTS (SELECT FROM rollup.sessions WHERE month IS NULL) THEN
        RAISE EXCEPTION 'not rolled back: rollups would lose sums whose logs are no longer stored'
            USING ERRCODE = 'object_not_in_prerequisite_state',
                HINT = 'Export the tables of schema rollup first and empty them. Where they must stay, migrate forward '
                    'instead.';
    END IF;
END
$$;

DROP TABLE rollup.activity;
DROP TABLE rollup.sessions;
DROP TABLE rollup.slowest;
DROP TABLE rollup.hours;
DROP TABLE rollup.usage;
DROP TABLE rollup.notes;
DROP TABLE rollup.state;
DROP TYPE rollup.dimension;
DROP TYPE rollup.latency_histogram;
DROP SCHEMA rollup;
COMMENT ON SCHEMA ops IS 'What DBAs read: the state of partitions and counters';

-- As 0008 made it: without rollups a month is dropped as it is.
CREATE OR REPLACE FUNCTION llm.drop_month(month date)
RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    suffix constant text := to_char(month, 'YYYY_MM');
    entity text;
BEGIN
    PERFORM llm.lock_for_month_change('ACCESS EXCLUSIVE', suffix);
    IF to_regclass('llm.sessions_' || suffix) IS NULL THEN
        RETURN false;
    END IF;
    -- Logs first: a session that is still referred to cannot leave.
    FOREACH entity IN ARRAY ARRAY['session_logs', 'sessions'] LOOP
        EXECUTE format('ALTER TABLE llm.%I DETACH PARTITION llm.%I', entity, entity || '_' || suffix);
        EXECUTE format('DROP TABLE llm.%I', entity || '_' || suffix);
    END LOOP;
    RETURN true;
END
$$;
COMMENT ON FUNCTION llm.drop_month(date) IS 'Drops one month (UTC) of sessions and session_logs with all its rows. '
    'Returns whether there was one. usage_count is not lowered';

CREATE OR REPLACE PROCEDURE llm.drop_old_months(keep_months integer)
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
