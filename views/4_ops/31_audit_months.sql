-- needs: 0030.audit

CREATE OR REPLACE VIEW audit.months AS
SELECT
    to_date(substring(c.relname FROM '^changes_([0-9]{4}_[0-9]{2})$'), 'YYYY_MM') AS month,
    c.relname::text AS partition_name,
    -- Before the first ANALYZE or VACUUM, reltuples is -1: not known.
    nullif(c.reltuples, -1)::bigint AS estimated_rows,
    pg_total_relation_size(c.oid) AS total_bytes
FROM pg_catalog.pg_inherits AS i
INNER JOIN pg_catalog.pg_class AS c ON i.inhrelid = c.oid
WHERE i.inhparent = 'audit.changes'::regclass
ORDER BY month NULLS LAST;
COMMENT ON VIEW audit.months IS '월별 감사 기록: the months (UTC) of audit.changes with their sizes, and last the '
    'DEFAULT partition';
COMMENT ON COLUMN audit.months.month IS '월: first day of the month (UTC); NULL = DEFAULT';
COMMENT ON COLUMN audit.months.partition_name IS '파티션: table in schema audit';
COMMENT ON COLUMN audit.months.estimated_rows IS '행 수 추정: rows as of the last ANALYZE or VACUUM; NULL = neither '
    'has run';
COMMENT ON COLUMN audit.months.total_bytes IS '저장 크기: table, indexes and TOAST, in bytes';

-- Who writes one of the audited tables holds a lock on audit.changes until COMMIT. A change of months asks for its own
-- for 100 ms and gives up, so that nobody waits for longer and nobody deadlocks; whatever calls it daily or more often
-- tries again.
CREATE OR REPLACE FUNCTION audit.create_month(month date)
RETURNS boolean
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '100ms'
AS $$
DECLARE
    first_day constant timestamp := date_trunc('month', month::timestamp);
    name constant text := 'changes_' || to_char(first_day, 'YYYY_MM');
    low constant timestamptz := first_day AT TIME ZONE 'UTC';
    high constant timestamptz := (first_day + interval '1 month') AT TIME ZONE 'UTC';
    -- As in ops.make_month().
    published constant boolean := EXISTS (SELECT FROM pg_publication);
    given text;
BEGIN
    IF month IS NULL OR month NOT BETWEEN '1970-01-01' AND '9999-12-31' THEN
        RAISE EXCEPTION 'there can be no month %', coalesce(month::text, 'NULL')
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Give any day of the years 1970 to 9999.';
    END IF;
    IF to_regclass('audit.' || name) IS NOT NULL THEN
        RETURN false;
    END IF;
    -- A writer that had chosen DEFAULT for its row would find that it no longer belongs there, and fail; a reader that
    -- waited at DEFAULT would not see the rows that have left it.
    LOCK TABLE ONLY audit.changes IN ACCESS EXCLUSIVE MODE;
    LOCK TABLE audit.changes_default IN ACCESS EXCLUSIVE MODE;
    IF to_regclass('audit.' || name) IS NOT NULL THEN
        RETURN false;  -- made by someone else while we waited
    END IF;
    EXECUTE format('CREATE TABLE audit.%I (LIKE audit.changes INCLUDING ALL)', name);
    EXECUTE format('COMMENT ON TABLE audit.%I IS %L', name,
        'Partition of audit.changes: ' || to_char(first_day, 'YYYY-MM') || ' (UTC)');
    -- Default privileges may let others into every new table.
    FOR given IN
        SELECT DISTINCT CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END
        FROM pg_catalog.pg_class AS c
        CROSS JOIN LATERAL aclexplode(c.relacl) AS a
        WHERE c.oid = to_regclass('audit.' || name) AND a.grantee <> c.relowner
    LOOP
        EXECUTE format('REVOKE ALL ON audit.%I FROM %s', name, given);
    END LOOP;
    IF published THEN
        CREATE UNLOGGED TABLE audit.changes_moving (LIKE audit.changes);
    END IF;
    PERFORM set_config('audit.may_change', 'on', true);
    EXECUTE format(
        'WITH moved AS (DELETE FROM audit.changes_default WHERE changed_at >= %L AND changed_at < %L RETURNING *) '
        'INSERT INTO audit.%I SELECT * FROM moved', low, high, CASE WHEN published THEN 'changes_moving' ELSE name END
    );
    PERFORM set_config('audit.may_change', '', true);
    EXECUTE format('ALTER TABLE audit.changes ATTACH PARTITION audit.%I FOR VALUES FROM (%L) TO (%L)', name, low, high);
    IF published THEN
        EXECUTE format('INSERT INTO audit.%I SELECT * FROM audit.changes_moving', name);
        DROP TABLE audit.changes_moving;
    END IF;
    -- Row triggers come along with ATTACH, this one does not.
    EXECUTE format(
        'CREATE TRIGGER changes_are_not_truncated BEFORE TRUNCATE ON audit.%I '
        'FOR EACH STATEMENT EXECUTE FUNCTION audit.refuse_change()', name
    );
    EXECUTE format('COMMENT ON TRIGGER changes_are_not_truncated ON audit.%I IS %L', name, 'The audit is append-only');
    RETURN true;
END
$$;
COMMENT ON FUNCTION audit.create_month(date) IS 'Makes the partition of one month (UTC) of audit.changes and moves its '
    'rows out of DEFAULT. Returns whether it made it: false when it is there already. lock_not_available where a '
    'transaction holds the table for longer than 100 ms: nothing changed, call again';
REVOKE ALL ON FUNCTION audit.create_month(date) FROM public;

CREATE OR REPLACE FUNCTION audit.create_months(ahead integer DEFAULT 3)
RETURNS integer
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF ahead IS NULL OR ahead NOT BETWEEN 0 AND 12 THEN
        RAISE EXCEPTION 'cannot make % months ahead', coalesce(ahead::text, 'NULL')
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Give 0 to 12.';
    END IF;
    RETURN (
        SELECT count(*) FILTER (
            WHERE audit.create_month((now() AT TIME ZONE 'UTC' + make_interval(months => n))::date)
        )
        FROM generate_series(0, ahead) AS n
    );
END
$$;
COMMENT ON FUNCTION audit.create_months(integer) IS 'Makes the partitions of audit.changes for this month (UTC) and so '
    'many after it, and returns how many it made. Fails as audit.create_month() does';
REVOKE ALL ON FUNCTION audit.create_months(integer) FROM public;

CREATE OR REPLACE FUNCTION audit.drop_old_months(keep_months integer)
RETURNS integer
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '100ms'
AS $$
DECLARE
    keep_from constant timestamptz := ops.retention_border(keep_months);
    old record;
    gone bigint;
    dropped integer := 0;
BEGIN
    IF keep_months < 12 THEN
        RAISE EXCEPTION 'keep_months is %, but the audit of the last 12 months stays', keep_months
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Give 12 or more.';
    END IF;
    PERFORM ops.require_steady_clock();
    FOR old IN SELECT m.month, m.partition_name FROM audit.months AS m WHERE m.month < keep_from AT TIME ZONE 'UTC' LOOP
        LOCK TABLE ONLY audit.changes IN ACCESS EXCLUSIVE MODE;
        CONTINUE WHEN to_regclass('audit.' || old.partition_name) IS NULL;  -- dropped by someone else while we waited
        EXECUTE format('SELECT count(*) FROM audit.%I', old.partition_name) INTO gone;
        EXECUTE format('ALTER TABLE audit.changes DETACH PARTITION audit.%I', old.partition_name);
        EXECUTE format('DROP TABLE audit.%I', old.partition_name);
        INSERT INTO audit.changes (table_name, row_key, operation, new_values)
        VALUES ('audit.' || old.partition_name, '{}', 'DROP', jsonb_build_object('rows', gone));
        dropped := dropped + 1;
    END LOOP;
    -- Of a clock that was wrong, or of months that nobody made.
    PERFORM set_config('audit.may_change', 'on', true);
    DELETE FROM audit.changes_default WHERE changed_at < keep_from;
    GET DIAGNOSTICS gone = ROW_COUNT;
    PERFORM set_config('audit.may_change', '', true);
    IF gone > 0 THEN
        INSERT INTO audit.changes (table_name, row_key, operation, new_values)
        VALUES ('audit.changes_default', '{}', 'DROP', jsonb_build_object('rows', gone));
    END IF;
    RETURN dropped;
END
$$;
COMMENT ON FUNCTION audit.drop_old_months(integer) IS 'Drops the months of audit.changes that are over since more than '
    'keep_months months (UTC), and writes down that it did. Returns how many months it dropped. At least 12 are kept, '
    'whoever asks, and all while the clock is in doubt (ops.clock_doubt()). lock_not_available where a transaction '
    'holds the table for longer than 100 ms: nothing changed, call again';
REVOKE ALL ON FUNCTION audit.drop_old_months(integer) FROM public;
