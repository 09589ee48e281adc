-- needs: 0038.deployment-usage

CREATE OR REPLACE FUNCTION rollup.open_running(noted tstzmultirange)
RETURNS TABLE (hour timestamptz, deployment_id bigint, busy_us numeric, minutes smallint [], in_flight integer [])
LANGUAGE sql
STABLE
BEGIN ATOMIC
    SELECT h.hour, o.deployment_id, h.busy_us, l.minutes, l.in_flight
    FROM rollup.open_logs(noted) AS o
    CROSS JOIN LATERAL rollup.running_hours(o.request_time, o.latency_us, o.hour) AS h
    CROSS JOIN LATERAL (
        SELECT
            coalesce(array_agg(g.minute::smallint ORDER BY g.minute), '{}') AS minutes,
            coalesce(array_agg(1), '{}') AS in_flight
        FROM generate_series(h.first_minute, h.last_minute) AS g (minute)
    ) AS l;
END;
COMMENT ON FUNCTION rollup.open_running(tstzmultirange) IS 'The running requests that reports look at themselves, '
    'columns as in rollup.running, to be summed up: of open time, and of the noted parts of closed time, given by '
    'rollup.noted()';
REVOKE ALL ON FUNCTION rollup.open_running(tstzmultirange) FROM public;
GRANT EXECUTE ON FUNCTION rollup.open_running(tstzmultirange) TO llm_analyst;
