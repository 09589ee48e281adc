-- instead of: views/4_ops/12_drop_months.sql

-- Month by month: Citus counts no rows for each row of another table.
CREATE OR REPLACE FUNCTION ops.months_to_drop(keep_months integer)
RETURNS TABLE (month date, sessions bigint, logs bigint, bytes bigint, held_back_by text)
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
    keep_from constant timestamptz := ops.retention_border(keep_months);
    low uuid;
    high uuid;
    suffix text;
BEGIN
    FOR month IN SELECT m FROM ops.months_before(keep_from) AS m ORDER BY m LOOP
        suffix := to_char(month, 'YYYY_MM');
        low := llm.uuidv7_floor(month::timestamp AT TIME ZONE 'UTC');
        high := llm.uuidv7_floor((month + interval '1 month') AT TIME ZONE 'UTC');
        SELECT count(*) INTO sessions FROM llm.sessions AS s WHERE s.session_id >= low AND s.session_id < high;
        SELECT count(*) INTO logs FROM llm.session_logs AS l WHERE l.session_id >= low AND l.session_id < high;
        bytes := ops.stored_bytes(to_regclass('llm.sessions_' || suffix))
            + ops.stored_bytes(to_regclass('llm.session_logs_' || suffix));
        held_back_by := ops.held_back_by(month, keep_from);
        RETURN NEXT;
    END LOOP;
END
$$;
