-- needs: 0031.retention

CREATE OR REPLACE FUNCTION ops.check_lost_state()
RETURNS TABLE (level text, object text, detail text, what_to_do text)
LANGUAGE sql
STABLE
BEGIN ATOMIC
    SELECT
        'error',
        'rollup.state',
        'it has lost its row: most reports, a refresh, and every new log and session fail',
        'INSERT INTO rollup.state DEFAULT VALUES; SELECT ops.restart_rollups(); CALL ops.refresh_rollups();'
    WHERE NOT EXISTS (SELECT FROM rollup.state);
END;
COMMENT ON FUNCTION ops.check_lost_state() IS 'The row of rollup.state is gone, as after a restore without it: error. '
    'Nobody knows what is summed up, so reports and writers stop. The reporting time zone is the default afterwards';
REVOKE ALL ON FUNCTION ops.check_lost_state() FROM public;

CREATE OR REPLACE FUNCTION ops.check_unfit_sums()
RETURNS TABLE (level text, object text, detail text, what_to_do text)
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- What every report asks first. Where the row is lost, ops.check_lost_state() says so.
    PERFORM rollup.noted_days(e) FROM rollup.state CROSS JOIN unnest(ARRAY['logs', 'sessions']) AS e;
EXCEPTION
    WHEN object_not_in_prerequisite_state THEN
        RETURN QUERY SELECT
            'error', 'rollup.state', SQLERRM, 'SELECT ops.restart_rollups(); CALL ops.refresh_rollups();';
END
$$;
COMMENT ON FUNCTION ops.check_unfit_sums() IS 'The sums and rollup.state cannot belong together, as after a restore of '
    'some tables: error. Reports, a refresh and retention refuse to work';
REVOKE ALL ON FUNCTION ops.check_unfit_sums() FROM public;

CREATE OR REPLACE FUNCTION ops.check_late_refresh()
RETURNS TABLE (level text, object text, detail text, what_to_do text)
LANGUAGE sql
STABLE
BEGIN ATOMIC
    SELECT
        CASE WHEN l.oldest < now() - interval '1 day' THEN 'error' ELSE 'warning' END,
        'rollup.state',
        format('requests since %s are not summed up', l.oldest),
        'CALL ops.refresh_rollups();'
    FROM rollup.state AS s
    CROSS JOIN LATERAL (
        SELECT min(g.request_time) AS oldest
        FROM llm.session_logs AS g
        -- Older ones the reports do not know (rollup.known_time()).
        WHERE g.request_time >= greatest(s.closed_before, '2000-01-01 00:00Z')
    ) AS l
    WHERE l.oldest < now() - interval '1 hour';
END;
COMMENT ON FUNCTION ops.check_late_refresh() IS 'The oldest request that is not summed up came an hour ago: warning; a '
    'day ago: error. It is to be done every few minutes; until then reports read more and more logs. A refresh that '
    'ends and closes nothing is held up by a transaction that writes';
REVOKE ALL ON FUNCTION ops.check_late_refresh() FROM public;

CREATE OR REPLACE FUNCTION ops.check_wrong_clock()
RETURNS TABLE (level text, object text, detail text, what_to_do text)
LANGUAGE sql
STABLE
BEGIN ATOMIC
    SELECT
        'error',
        'rollup.state',
        format('what comes before %s counts as summed up, and that time is still to come', s.closed_before),
        'SELECT ops.restart_rollups(); CALL ops.refresh_rollups();'
    FROM rollup.state AS s
    WHERE s.closed_before > now()
    UNION ALL
    SELECT
        'warning',
        'llm.retention',
        format('nothing is dropped: %s', d.doubt),
        'UPDATE rollup.state SET steady_since = ''-infinity''; -- if the clock is right, and not before a refresh'
    FROM (SELECT ops.clock_doubt() AS doubt) AS d
    WHERE d.doubt IS NOT NULL AND EXISTS (SELECT FROM llm.retention);
END;
COMMENT ON FUNCTION ops.check_wrong_clock() IS 'Time is closed that is still to come: error. The clock was wrong once, '
    'or is now. Every new log leaves a note, and a refresh refuses to work. A step of the clock by itself, where '
    'llm.retention has a rule: warning. Nothing is dropped by rule until refreshes have seen it go on for a day';
REVOKE ALL ON FUNCTION ops.check_wrong_clock() FROM public;

CREATE OR REPLACE FUNCTION ops.check_many_notes()
RETURNS TABLE (level text, object text, detail text, what_to_do text)
LANGUAGE sql
STABLE
BEGIN ATOMIC
    SELECT 'warning', 'rollup.notes', 'it has more than 100000 rows', 'CALL ops.refresh_rollups();'
    WHERE (SELECT count(*) FROM (SELECT FROM rollup.notes LIMIT 100001) AS n) > 100000;
END;
COMMENT ON FUNCTION ops.check_many_notes() IS 'More than 100,000 notes of late rows and corrections: warning. Every '
    'report reads them, and the days they name from the logs; a refresh takes them away';
REVOKE ALL ON FUNCTION ops.check_many_notes() FROM public;

CREATE OR REPLACE FUNCTION ops.check_many_counters()
RETURNS TABLE (level text, object text, detail text, what_to_do text)
LANGUAGE sql
STABLE
-- As text, so that it stands in the way of no change of the counters' table.
SET search_path = pg_catalog, pg_temp
AS $$
    -- By template: the key's order finds those that are to be folded without reading the others.
    SELECT
        'warning',
        'llm.prompt_template_uses',
        'more than 10000 counters wait to be folded',
        'SELECT llm.fold_template_uses();'
    WHERE (
        SELECT count(*)
        FROM (
            SELECT
            FROM llm.prompt_templates_base AS t
            INNER JOIN LATERAL (
                SELECT FROM llm.prompt_template_uses AS u WHERE u.template_id = t.template_id AND u.slot < 0 LIMIT 10001
            ) AS u ON true
            LIMIT 10001
        ) AS f
    ) > 10000;
$$;
COMMENT ON FUNCTION ops.check_many_counters() IS 'More than 10,000 counters of REPEATABLE READ and SERIALIZABLE '
    'transactions: warning. Each such transaction leaves one for each template, and usage_count adds them all up';
REVOKE ALL ON FUNCTION ops.check_many_counters() FROM public;
