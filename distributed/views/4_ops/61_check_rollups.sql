-- instead of: views/4_ops/61_check_rollups.sql

-- As ops.check_rows_in_default().
CREATE OR REPLACE FUNCTION ops.check_late_refresh()
RETURNS TABLE (level text, object text, detail text, what_to_do text)
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    border constant timestamptz := (SELECT greatest(s.closed_before, '2000-01-01 00:00Z') FROM rollup.state AS s);
    oldest timestamptz;
BEGIN
    SELECT min(g.request_time) INTO oldest FROM llm.session_logs AS g WHERE g.request_time >= border;
    IF oldest < now() - interval '1 hour' THEN
        level := CASE WHEN oldest < now() - interval '1 day' THEN 'error' ELSE 'warning' END;
        object := 'rollup.state';
        detail := format('requests since %s are not summed up', oldest);
        what_to_do := 'CALL ops.refresh_rollups();';
        RETURN NEXT;
    END IF;
END
$$;
