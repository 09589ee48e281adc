-- A rollback drops tables, never rows: sums can be made again as long as their logs are stored.
DO $$
BEGIN
    IF EXISTS (SELECT FROM llm.rollup_usage WHERE month IS NULL)
        OR EXISTS (SELECT FROM llm.rollup_sessions WHERE month IS NULL) THEN
        RAISE EXCEPTION 'not rolled back: rollups would lose sums whose logs are no longer stored'
            USING ERRCODE = 'object_not_in_prerequisite_state',
                HINT = 'Export the llm.rollup_* tables first and empty them. Where they must stay, migrate forward instead.';
    END IF;
END
$$;

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

DROP FUNCTION llm.is_rolled_up(text, date [], date []);
DROP FUNCTION reporting.time_zone();
DROP PROCEDURE llm.set_reporting_time_zone(text);
DROP FUNCTION llm.restart_rollups();
DROP PROCEDURE llm.refresh_rollups(timestamptz, interval, integer);
DROP FUNCTION llm.writers();
DROP FUNCTION llm.lock_rollups(boolean);
DROP FUNCTION llm.fold_activity(date);
DROP FUNCTION llm.close_until(timestamptz, uuid);
DROP FUNCTION llm.cut_touches();
DROP FUNCTION llm.batch_end(timestamptz, timestamptz, integer);
DROP FUNCTION llm.first_session_since(timestamptz);
DROP FUNCTION llm.fold_touched_day(text, date);
DROP FUNCTION llm.fold_sessions(timestamptz, timestamptz);
DROP FUNCTION llm.fold_logs(timestamptz, timestamptz);
DROP FUNCTION llm.open_sessions();
DROP FUNCTION llm.session_log_sums(timestamptz, timestamptz, uuid, timestamptz);
DROP FUNCTION llm.session_sums(timestamptz, timestamptz, timestamptz, timestamptz, timestamptz);
DROP FUNCTION llm.open_logs();
DROP FUNCTION llm.open_from();
DROP FUNCTION llm.touched_spans(text);
DROP FUNCTION llm.touched_days(text);
DROP FUNCTION llm.day_start(timestamp, text);
DROP FUNCTION llm.histogram_of(smallint []);
DROP FUNCTION llm.histogram_percentile_ms(llm.latency_histogram, double precision);
DROP AGGREGATE llm.histogram_sum(llm.latency_histogram);
DROP FUNCTION llm.histogram_merge(llm.latency_histogram []);
DROP FUNCTION llm.bucket_latency_ms(integer);
DROP FUNCTION llm.latency_bucket(bigint);
DROP FUNCTION llm.note_all();
DROP FUNCTION llm.note_sessions();
DROP FUNCTION llm.note_logs();
DROP FUNCTION llm.note_quarters(text, timestamptz []);
DROP FUNCTION llm.noted_before();
DROP FUNCTION llm.quarter(timestamptz);
DROP VIEW llm.session_facts;
DROP VIEW llm.log_facts;
DROP VIEW llm.department_spans;
DROP TABLE llm.rollup_activity;
DROP TABLE llm.rollup_sessions;
DROP TABLE llm.rollup_slowest;
DROP TABLE llm.rollup_hours;
DROP TABLE llm.rollup_usage;
DROP TABLE llm.rollup_touches;
DROP TABLE llm.rollup_state;
DROP AGGREGATE llm.bigint_sum(bigint);
DROP TYPE llm.rollup_dimension;
DROP TYPE llm.latency_histogram;
