-- instead of: views/4_ops/60_check_months.sql

-- The body of a function in SQL is planned with its parameters, which Citus cannot where it names a distributed table.
CREATE OR REPLACE FUNCTION ops.check_rows_in_default()
RETURNS TABLE (level text, object text, detail text, what_to_do text)
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    of_table text;
    waiting bigint;
BEGIN
    FOREACH of_table IN ARRAY ARRAY['llm.sessions_default', 'llm.session_logs_default', 'audit.changes_default'] LOOP
        EXECUTE format('SELECT count(*) FROM (SELECT 1 FROM %s LIMIT 10000) AS r', of_table) INTO waiting;
        level := 'warning';
        object := of_table;
        detail := format('%s%s rows wait for their months', waiting, CASE WHEN waiting = 10000 THEN ' or more' END);
        what_to_do := 'CALL llm.move_default_rows();';
        IF of_table = 'audit.changes_default' THEN
            SELECT format('SELECT audit.create_month(%L);', min(a.changed_at)::date) INTO what_to_do
            FROM audit.changes_default AS a;
        END IF;
        IF waiting > 0 THEN
            RETURN NEXT;
        END IF;
    END LOOP;
END
$$;

CREATE OR REPLACE FUNCTION ops.check_broken_month()
RETURNS TABLE (level text, object text, detail text, what_to_do text)
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN QUERY
    SELECT
        'error',
        to_char(m.month, 'YYYY-MM'),
        split_part(m.problem, '. To have', 1),
        substring(m.problem FROM 'To have the month back: (.*;) to keep')
    FROM ops.months AS m
    WHERE m.problem IS NOT NULL;
END
$$;
