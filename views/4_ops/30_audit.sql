-- needs: 0030.audit

-- Writes down one change. Of an UPDATE only what changed, so one that changes nothing leaves no row. The key's columns
-- are asked of the catalog, so that none that is renamed makes it wrong. TimeZone is set, as times are written as text.
CREATE OR REPLACE FUNCTION audit.record()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
AS $$
DECLARE
    -- Both are NULL after TRUNCATE.
    was constant jsonb := to_jsonb(OLD);
    is_now constant jsonb := to_jsonb(NEW);
    key_columns constant text [] := ARRAY(
        SELECT a.attname
        FROM pg_catalog.pg_index AS i
        CROSS JOIN LATERAL unnest(i.indkey) WITH ORDINALITY AS k (attnum, place)
        INNER JOIN pg_catalog.pg_attribute AS a ON i.indrelid = a.attrelid AND k.attnum = a.attnum
        WHERE i.indrelid = TG_RELID AND i.indisprimary AND TG_LEVEL = 'ROW'
        ORDER BY k.place
    );
    old_values jsonb := was;
    new_values jsonb := is_now;
BEGIN
    IF TG_OP = 'UPDATE' THEN
        SELECT jsonb_object_agg(o.key, o.value), jsonb_object_agg(o.key, is_now -> o.key)
        INTO old_values, new_values
        FROM jsonb_each(was) AS o
        WHERE o.value <> is_now -> o.key;
        IF old_values IS NULL THEN
            RETURN NULL;
        END IF;
    END IF;
    -- The union of a key with itself is one row.
    INSERT INTO audit.changes (table_name, row_key, operation, old_values, new_values)
    SELECT TG_TABLE_SCHEMA || '.' || TG_TABLE_NAME, k.row_key, TG_OP, old_values, new_values
    FROM (
        SELECT ARRAY(SELECT coalesce(was, is_now) ->> c FROM unnest(key_columns) AS c) AS row_key
        UNION
        SELECT ARRAY(SELECT coalesce(is_now, was) ->> c FROM unnest(key_columns) AS c)
    ) AS k;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION audit.record() IS 'Trigger: writes a change to audit.changes. Runs as its owner, so that who '
    'changes something need not, and cannot, write there';
REVOKE ALL ON FUNCTION audit.record() FROM public;

CREATE OR REPLACE PROCEDURE audit.watch(watched regclass)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    made record;
BEGIN
    FOR made IN
        SELECT format('%I', c.relname || t.suffix) AS name, t.event, t.level, t.comment
        FROM pg_catalog.pg_class AS c
        CROSS JOIN (
            VALUES
            ('_changes_are_audited', 'INSERT OR UPDATE OR DELETE', 'ROW', 'Every change is in audit.changes'),
            ('_truncation_is_audited', 'TRUNCATE', 'STATEMENT', 'TRUNCATE deletes')
        ) AS t (suffix, event, level, comment)
        WHERE c.oid = watched
    LOOP
        EXECUTE format(
            'CREATE OR REPLACE TRIGGER %s AFTER %s ON %s FOR EACH %s EXECUTE FUNCTION audit.record()',
            made.name, made.event, watched, made.level
        );
        EXECUTE format('COMMENT ON TRIGGER %s ON %s IS %L', made.name, watched, made.comment);
    END LOOP;
END
$$;
COMMENT ON PROCEDURE audit.watch(regclass) IS 'Makes the two triggers that write a table''s changes to audit.changes; '
    'each table''s file in views/5_triggers calls it';
REVOKE ALL ON PROCEDURE audit.watch(regclass) FROM public;

-- Who may write here at all is the owner, and what runs as it. This is against a slip of the owner's hand, and for the
-- few functions whose work it is; docs/audit.md says what it cannot stop.
CREATE OR REPLACE FUNCTION audit.refuse_change()
RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF current_setting('audit.may_change', true) = 'on' THEN
        RETURN CASE TG_OP WHEN 'UPDATE' THEN NEW ELSE OLD END;
    END IF;
    RAISE EXCEPTION '% on audit.changes is refused: what is in it stays as it is', TG_OP
        USING ERRCODE = 'insufficient_privilege',
            HINT = 'llm.erase_user() takes the data of a person out of it, audit.drop_old_months() drops old months.';
END
$$;
COMMENT ON FUNCTION audit.refuse_change() IS 'Trigger: refuses UPDATE, DELETE and TRUNCATE with '
    'insufficient_privilege, also to the owner, unless audit.may_change is on';
REVOKE ALL ON FUNCTION audit.refuse_change() FROM public;

CREATE OR REPLACE FUNCTION audit.history(changed_table text, VARIADIC key_values text [])
RETURNS SETOF audit.changes
LANGUAGE sql
STABLE
BEGIN ATOMIC
    SELECT
        c.changed_at, c.change_id, c.transaction_id, c.table_name, c.row_key, c.operation, c.login_name, c.role_name,
        c.actor, c.old_values, c.new_values
    FROM audit.changes AS c
    WHERE c.table_name = changed_table AND c.row_key IN (key_values, '{}')
    ORDER BY c.change_id, c.changed_at;
END;
COMMENT ON FUNCTION audit.history(text, text []) IS '행 이력: the changes of one row, oldest first, given its table '
    'and its key: audit.history(''llm.users'', ''42''); a TRUNCATE of the table is among them';
REVOKE ALL ON FUNCTION audit.history(text, text []) FROM public;

-- With its owner's rights, for the reporting time zone is not the auditor's to read.
CREATE OR REPLACE FUNCTION audit.changes_by_day(day date)
RETURNS SETOF audit.changes
LANGUAGE sql
STABLE
SECURITY DEFINER
BEGIN ATOMIC
    SELECT
        c.changed_at, c.change_id, c.transaction_id, c.table_name, c.row_key, c.operation, c.login_name, c.role_name,
        c.actor, c.old_values, c.new_values
    FROM audit.changes AS c
    WHERE c.changed_at >= rollup.day_start(day::timestamp, reporting.time_zone())
        AND c.changed_at < rollup.day_start((day + 1)::timestamp, reporting.time_zone())
    ORDER BY c.change_id, c.changed_at;
END;
COMMENT ON FUNCTION audit.changes_by_day(date) IS '일자별 변경: the changes of one day of the reporting time zone, oldest '
    'first';
REVOKE ALL ON FUNCTION audit.changes_by_day(date) FROM public;
