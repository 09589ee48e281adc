-- needs: 0038.deployment-usage

CREATE OR REPLACE VIEW rollup.running_rows AS
WITH noted AS MATERIALIZED (
    SELECT n.days, n.spans FROM rollup.noted('logs') AS n
), open AS MATERIALIZED (
    SELECT
        h.hour,
        o.deployment_id,
        h.busy_us::numeric AS busy_us,
        l.minutes,
        l.in_flight
    FROM noted AS n
    CROSS JOIN LATERAL rollup.open_logs(n.spans) AS o
    CROSS JOIN LATERAL rollup.running_hours(o.request_time, o.latency_us, o.hour) AS h
    CROSS JOIN LATERAL (
        SELECT
            coalesce(array_agg(g.minute::smallint ORDER BY g.minute), '{}') AS minutes,
            coalesce(array_agg(1), '{}') AS in_flight
        FROM generate_series(h.first_minute, h.last_minute) AS g (minute)
    ) AS l
)

SELECT
    r.hour,
    r.deployment_id,
    r.busy_us,
    r.minutes,
    r.in_flight
FROM rollup.running AS r
WHERE r.month IS NULL OR r.day <> all((SELECT n.days FROM noted AS n)::date [])
UNION ALL
SELECT o.hour, o.deployment_id, o.busy_us, o.minutes, o.in_flight FROM open AS o;
COMMENT ON VIEW rollup.running_rows IS '동시 요청: of all time, exact, to be summed up: a minute may come several times';
CALL ops.describe('rollup.running_rows', 'rollup.running');
