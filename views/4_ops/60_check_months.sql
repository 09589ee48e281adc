-- needs: 0031.retention

-- Checks: each function ops.check_NAME() is one kind of thing that goes wrong, and gives a row for each that does.
-- 69_health.sql finds it by its name, so a new one needs no entry; its comment is what docs/health.md says of it.
CREATE OR REPLACE FUNCTION ops.check_months_ahead()
RETURNS TABLE (level text, object text, detail text, what_to_do text)
LANGUAGE sql
STABLE
BEGIN ATOMIC
    SELECT
        CASE WHEN min(m.n) < 2 THEN 'error' ELSE 'warning' END,
        p.oid::regclass::text,
        format('there is no month %s', to_char(min(m.month), 'YYYY-MM')),
        'CALL llm.maintain();'
    FROM pg_catalog.pg_class AS p
    CROSS JOIN (
        SELECT g.n, date_trunc('month', now() AT TIME ZONE 'UTC') + make_interval(months => g.n) AS month
        FROM generate_series(0, 2) AS g (n)
    ) AS m
    WHERE ops.is_ours(p.relnamespace) AND p.relkind = 'p'
        -- One that never had a month is new: its rows are in DEFAULT, which is a check of its own.
        AND (SELECT count(*) FROM pg_catalog.pg_inherits AS i WHERE i.inhparent = p.oid) > 1
        AND NOT EXISTS (
            SELECT
            FROM pg_catalog.pg_inherits AS i
            WHERE i.inhparent = p.oid AND NOT i.inhdetachpending
                AND i.inhrelid = to_regclass(format('%s_%s', p.oid::regclass, to_char(m.month, 'YYYY_MM')))
        )
    GROUP BY p.oid;
END;
COMMENT ON FUNCTION ops.check_months_ahead() IS 'This month (UTC) or the next has no partition: error; the one after '
    'that has none: warning. Rows without one go to DEFAULT, and moving them out makes writers wait';
REVOKE ALL ON FUNCTION ops.check_months_ahead() FROM public;

CREATE OR REPLACE FUNCTION ops.check_rows_in_default()
RETURNS TABLE (level text, object text, detail text, what_to_do text)
LANGUAGE sql
STABLE
BEGIN ATOMIC
    SELECT
        'warning',
        d.object,
        format('%s%s rows wait for their months', d.waiting, CASE WHEN d.waiting = 10000 THEN ' or more' END),
        d.what_to_do
    FROM (
        SELECT 'llm.sessions_default', count(*), 'CALL llm.move_default_rows();'
        FROM (SELECT FROM llm.sessions_default LIMIT 10000) AS s
        UNION ALL
        SELECT 'llm.session_logs_default', count(*), 'CALL llm.move_default_rows();'
        FROM (SELECT FROM llm.session_logs_default LIMIT 10000) AS l
        UNION ALL
        SELECT 'audit.changes_default', count(*), format('SELECT audit.create_month(%L);', min(c.changed_at)::date)
        FROM (SELECT a.changed_at FROM audit.changes_default AS a ORDER BY a.changed_at LIMIT 10000) AS c
    ) AS d (object, waiting, what_to_do)
    WHERE d.waiting > 0;
END;
COMMENT ON FUNCTION ops.check_rows_in_default() IS 'Rows lie in DEFAULT, for want of a month: warning. The more there '
    'are, the longer writers wait when they are moved into it';
REVOKE ALL ON FUNCTION ops.check_rows_in_default() FROM public;

CREATE OR REPLACE FUNCTION ops.check_late_retention()
RETURNS TABLE (level text, object text, detail text, what_to_do text)
LANGUAGE sql
STABLE
BEGIN ATOMIC
    SELECT
        'warning',
        i.inhparent::regclass::text,
        format('%s months are older than the %s that llm.retention keeps', count(*), r.keep_months),
        CASE r.what
            WHEN 'sessions' THEN format('CALL llm.drop_old_months(%s);', r.keep_months) ELSE 'CALL llm.maintain();'
        END
    FROM llm.retention AS r
    INNER JOIN pg_catalog.pg_inherits AS i
        ON i.inhparent = CASE r.what WHEN 'sessions' THEN 'llm.sessions'::regclass ELSE 'audit.changes'::regclass END
    INNER JOIN pg_catalog.pg_class AS c ON i.inhrelid = c.oid
    WHERE substring(c.relname FROM '_([0-9]{4}_(?:0[1-9]|1[0-2]))$')
        < to_char((now() AT TIME ZONE 'UTC') - interval '1 day' - make_interval(months => r.keep_months), 'YYYY_MM')
    GROUP BY i.inhparent, r.what, r.keep_months;
END;
COMMENT ON FUNCTION ops.check_late_retention() IS 'A month should have been dropped over a day ago, as llm.retention '
    'says: warning. What holds it back, such as a session that nobody ended, the statement names in its error';
REVOKE ALL ON FUNCTION ops.check_late_retention() FROM public;

CREATE OR REPLACE FUNCTION ops.check_broken_month()
RETURNS TABLE (level text, object text, detail text, what_to_do text)
LANGUAGE sql
STABLE
BEGIN ATOMIC
    SELECT
        'error',
        to_char(m.month, 'YYYY-MM'),
        split_part(m.problem, '. To have', 1),
        substring(m.problem FROM 'To have the month back: (.*;) to keep')
    FROM ops.months AS m
    WHERE m.problem IS NOT NULL;
END;
COMMENT ON FUNCTION ops.check_broken_month() IS 'One of a month''s two tables is missing, not attached, or was never '
    'quite detached: error. What is not attached is in no report, and the month can be neither made nor dropped';
REVOKE ALL ON FUNCTION ops.check_broken_month() FROM public;

CREATE OR REPLACE FUNCTION ops.check_growth()
RETURNS TABLE (level text, object text, detail text, what_to_do text)
LANGUAGE sql
STABLE
BEGIN ATOMIC
    SELECT
        'warning',
        s.table_name,
        format(
            'takes %s now; the next twelve months will take %s if they grow as the last six did',
            pg_size_pretty(s.bytes), pg_size_pretty(s.next_12_months_bytes)
        ),
        'SELECT * FROM ops.sizes;'
    FROM ops.sizes AS s
    WHERE s.full_months >= 3 AND s.next_12_months_bytes > 2 * 12 * s.mean_month_bytes
        AND s.next_12_months_bytes > pg_size_bytes('100 GB');
END;
COMMENT ON FUNCTION ops.check_growth() IS 'The next twelve months will take over 100 GB, and over twice what they '
    'would if each was as the last six were: warning. No statement can ask how large the disk is; ops.sizes has the '
    'forecast';
REVOKE ALL ON FUNCTION ops.check_growth() FROM public;
