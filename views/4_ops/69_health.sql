-- Each check by itself: one that fails is a row of its own and stops no other. None waits long for a lock.
CREATE OR REPLACE FUNCTION ops.run_checks()
RETURNS TABLE (name text, level text, object text, detail text, what_to_do text)
LANGUAGE plpgsql
STABLE
SECURITY DEFINER
SET jit = off
SET lock_timeout = '1s'
-- What is shown is the same whoever asks, and names are as they were written down.
SET datestyle = 'ISO'
SET timezone = 'UTC'
SET quote_all_identifiers = off
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    hint text;
BEGIN
    FOR name IN
        SELECT substr(p.proname, length('check_') + 1)
        FROM pg_proc AS p
        -- What is run here has the owner's rights, so the owner has made it.
        WHERE p.pronamespace = 'ops'::regnamespace AND p.proname LIKE 'check\_%' AND p.pronargs = 0
            AND pg_get_userbyid(p.proowner) = current_user
        ORDER BY p.proname
    LOOP
        BEGIN
            RETURN QUERY EXECUTE format('SELECT %L, c.* FROM ops.%I() AS c', name, 'check_' || name);
        EXCEPTION
            WHEN OTHERS THEN
                GET STACKED DIAGNOSTICS hint = PG_EXCEPTION_HINT;
                RETURN QUERY SELECT
                    name,
                    CASE WHEN SQLSTATE = '55P03' THEN 'warning' ELSE 'error' END,
                    format('ops.check_%s()', name),
                    format('this check failed: %s', SQLERRM),
                    coalesce(nullif(hint, ''), format('SELECT * FROM ops.check_%s();', name));
        END;
    END LOOP;
END
$$;
COMMENT ON FUNCTION ops.run_checks() IS 'Runs every function ops.check_NAME() of its owner, with its owner''s rights: '
    'the rows of ops.health. A check that fails is an error row, or a warning where it would have waited for a lock '
    'for over a second. Times in the texts are UTC';
REVOKE ALL ON FUNCTION ops.run_checks() FROM public;

CREATE OR REPLACE VIEW ops.health AS
SELECT
    c.name,
    c.level,
    c.object,
    c.detail,
    c.what_to_do
FROM ops.run_checks() AS c
ORDER BY c.level, c.name, c.object;
COMMENT ON VIEW ops.health IS '상태 점검: what is wrong, or soon will be, a row for each thing; no row: nothing is. Reads '
    'only, on a standby too';
COMMENT ON COLUMN ops.health.name IS '점검 항목: which check says so; docs/health.md lists them';
COMMENT ON COLUMN ops.health.level IS '수준: error = something fails, or data goes wrong, today; warning = it will';
COMMENT ON COLUMN ops.health.object IS '대상: what it is about';
COMMENT ON COLUMN ops.health.detail IS '설명: what is wrong with it';
COMMENT ON COLUMN ops.health.what_to_do IS '조치: the statement, or the command of llm-db, that puts it right';
