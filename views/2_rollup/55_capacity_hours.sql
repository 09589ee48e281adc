-- needs: 0038.deployment-usage

-- A row of rollup.running belongs to the hour it began in. Where a clock is put by half an hour (Lord Howe), an hour by
-- the clock is followed by half of one that belongs to it.
CREATE OR REPLACE VIEW rollup.capacity_hours AS
WITH noted AS MATERIALIZED (
    SELECT n.days, n.spans FROM rollup.noted('logs') AS n
), open AS MATERIALIZED (
    SELECT o.hour, o.deployment_id, o.busy_us, o.minutes, o.in_flight
    FROM noted AS n
    CROSS JOIN LATERAL rollup.open_running(n.spans) AS o
), running AS NOT MATERIALIZED (
    SELECT r.hour, r.deployment_id, r.busy_us, r.minutes, r.in_flight
    FROM rollup.running AS r
    WHERE r.month IS NULL OR r.day <> all((SELECT n.days FROM noted AS n)::date [])
    UNION ALL
    SELECT o.hour, o.deployment_id, o.busy_us, o.minutes, o.in_flight FROM open AS o
), spans AS MATERIALIZED (
    SELECT g.deployment_id, g.since, g.until_time, g.gpus FROM rollup.gpu_spans AS g WHERE g.gpus > 0
), days AS MATERIALIZED (
    -- An hour that is running, or of a clock that is ahead, is looked for in its day.
    SELECT
        z.time_zone,
        (least((SELECT min(g.since) FROM spans AS g), (SELECT min(r.hour) FROM running AS r)) AT TIME ZONE z.time_zone)
        ::date AS first_day,
        (greatest(now(), (SELECT max(r.hour) FROM running AS r)) AT TIME ZONE z.time_zone)::date AS last_day
    -- As in rollup.cost_periods: who has no row of rollup.state is told.
    FROM noted AS n
    LEFT JOIN rollup.state AS z ON n.days IS NOT NULL
), hours AS (
    SELECT
        s.hour,
        s.local_hour,
        s.until_time
    FROM days AS d
    CROSS JOIN LATERAL (
        SELECT
            h.hour,
            h.hour AT TIME ZONE d.time_zone AS local_hour,
            CASE
                WHEN date_trunc('hour', h.hour + interval '1 hour', d.time_zone) = h.hour + interval '1 hour'
                    THEN h.hour + interval '1 hour'
                ELSE h.hour + interval '90 minutes'
            END AS until_time
        FROM generate_series(
            rollup.day_start(d.first_day::timestamp, d.time_zone),
            rollup.day_start(d.last_day + interval '1 day', d.time_zone) - interval '1 microsecond',
            interval '30 minutes'
        ) AS h (hour)
        WHERE date_trunc('hour', h.hour, d.time_zone) = h.hour
    ) AS s
    -- As in rollup.cost_periods.
    WHERE EXISTS (
        SELECT FROM spans AS g WHERE g.since < s.until_time AND g.until_time > s.hour AND s.hour < now()
    ) OR EXISTS (
        SELECT FROM running AS r WHERE r.hour >= s.hour AND r.hour < s.until_time
    )
)

SELECT
    h.local_hour,
    h.hour,
    c.deployment_id,
    c.gpus,
    c.gpu_us,
    c.busy_us,
    c.busy_us / t.seen_us AS mean_in_flight,
    c.p95_in_flight,
    c.max_in_flight
FROM hours AS h
CROSS JOIN LATERAL (
    -- An hour that is running has been looked at as often as it has had minutes; one of a clock that is ahead is whole.
    SELECT
        date_part('epoch', x.seen_until - h.hour) * 1e6 AS seen_us,
        ceil(date_part('epoch', x.seen_until - h.hour) / 60)::integer AS looks
    FROM (
        SELECT CASE WHEN h.hour < now() THEN least(h.until_time, now()) ELSE h.until_time END AS seen_until
    ) AS x
) AS t
CROSS JOIN LATERAL (
    WITH ran AS MATERIALIZED (
        SELECT r.deployment_id, r.busy_us, r.minutes, r.in_flight
        FROM running AS r
        WHERE r.hour >= h.hour AND r.hour < h.until_time
    )

    SELECT
        u.deployment_id,
        max(u.gpus) AS gpus,
        sum(u.gpu_us)::double precision AS gpu_us,
        sum(u.busy_us)::double precision AS busy_us,
        max(u.p95_in_flight) AS p95_in_flight,
        max(u.max_in_flight) AS max_in_flight
    FROM (
        SELECT
            g.deployment_id, g.gpus,
            g.gpus * extract(
                EPOCH FROM least(g.until_time, h.until_time, now()) - greatest(g.since, h.hour)
            ) * 1000000 AS gpu_us,
            0 AS busy_us, 0 AS p95_in_flight, 0 AS max_in_flight
        FROM spans AS g
        WHERE g.since < least(h.until_time, now()) AND g.until_time > h.hour AND h.hour < now()
        UNION ALL
        SELECT r.deployment_id, 0, 0, r.busy_us, 0, 0 FROM ran AS r
        UNION ALL
        -- The nearest rank from above; a minute in which nothing was seen is 0, and comes last.
        SELECT
            l.deployment_id, 0, 0, 0,
            coalesce(max(l.requests) FILTER (WHERE l.place = t.looks - ceil(0.95 * t.looks) + 1), 0), max(l.requests)
        FROM (
            SELECT
                r.deployment_id,
                sum(k.requests)::integer AS requests,
                row_number() OVER (PARTITION BY r.deployment_id ORDER BY sum(k.requests) DESC) AS place
            FROM ran AS r
            CROSS JOIN LATERAL unnest(r.minutes, r.in_flight) AS k (minute, requests)
            GROUP BY r.deployment_id, k.minute
        ) AS l
        GROUP BY l.deployment_id
    ) AS u
    GROUP BY u.deployment_id
) AS c;
COMMENT ON VIEW rollup.capacity_hours IS '시간대별 여유: what a deployment held and ran, a row per deployment and hour '
    'in which it held GPUs or requests ran';
COMMENT ON COLUMN rollup.capacity_hours.local_hour IS '시간대: the start of the hour, as clocks in the reporting time '
    'zone show it';
COMMENT ON COLUMN rollup.capacity_hours.hour IS '시간대 시작: the instant it began';
COMMENT ON COLUMN rollup.capacity_hours.deployment_id IS '배포: which held GPUs or ran requests';
COMMENT ON COLUMN rollup.capacity_hours.gpus IS 'GPU 개수: the most it held at a time';
COMMENT ON COLUMN rollup.capacity_hours.gpu_us IS 'GPU 시간: in microseconds; of this hour as far as it has gone';
COMMENT ON COLUMN rollup.capacity_hours.busy_us IS '처리 시간: of answered requests within the hour, in microseconds';
COMMENT ON COLUMN rollup.capacity_hours.mean_in_flight IS '평균 동시 요청 수: 그 시간 동안 처리되던 응답된 요청의 평균 | '
    'Mean in flight: answered requests that ran at once, on average over the hour';
COMMENT ON COLUMN rollup.capacity_hours.p95_in_flight IS '동시 요청 수 p95: 그 시간의 매분 시작에 본 동시 요청 수, 그 가운데 95 %는 이 값 이하 | '
    'Requests in flight p95: as seen at the beginning of each minute of the hour, 95 % of the looks saw at most this';
COMMENT ON COLUMN rollup.capacity_hours.max_in_flight IS '최대 동시 요청 수: 그 시간의 매분 시작에 본 동시 요청 수의 최댓값 | '
    'Most in flight: the most that was seen at the beginning of a minute of the hour';
