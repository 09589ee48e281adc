-- needs: 0038.deployment-usage

CREATE OR REPLACE FUNCTION rollup.open_running(noted tstzmultirange)
RETURNS TABLE (hour timestamptz, deployment_id bigint, busy_us numeric, minutes smallint [], in_flight integer [])
LANGUAGE sql
STABLE ROWS 100
SET jit = off
SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT
        l.hour,
        l.deployment_id,
        sum(l.busy_us),
        coalesce(array_agg(l.minute ORDER BY l.minute) FILTER (WHERE l.minute IS NOT NULL), '{}'),
        coalesce(array_agg(l.requests ORDER BY l.minute) FILTER (WHERE l.minute IS NOT NULL), '{}')
    FROM (
        SELECT h.hour, o.deployment_id, m.minute, sum(m.busy_us) AS busy_us, count(*)::integer AS requests
        FROM rollup.open_logs(noted) AS o
        CROSS JOIN LATERAL rollup.running_hours(o.request_time, o.latency_us, o.hour) AS h
        CROSS JOIN LATERAL (
            SELECT NULL::smallint AS minute, h.busy_us
            UNION ALL
            SELECT g.minute::smallint, 0
            FROM unnest(array(SELECT m.minute FROM generate_series(h.first_minute, h.last_minute) AS m (minute)))
            AS g (minute)
        ) AS m
        GROUP BY h.hour, o.deployment_id, m.minute
    ) AS l
    GROUP BY l.hour, l.deployment_id;
END;
COMMENT ON FUNCTION rollup.open_running(tstzmultirange) IS 'The running requests that reports look at themselves, '
    'columns as in rollup.running: of open time, and of the noted parts of closed time, given by rollup.noted()';
REVOKE ALL ON FUNCTION rollup.open_running(tstzmultirange) FROM public;
GRANT EXECUTE ON FUNCTION rollup.open_running(tstzmultirange) TO llm_analyst;
