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
    SELECT
        z.time_zone,
        (
            least(
                (SELECT min(g.since) FROM spans AS g), (SELECT min(r.hour) FROM rollup.running AS r),
                (SELECT min(o.hour) FROM open AS o)
            ) AT TIME ZONE z.time_zone
        )::date AS first_day,
        (now() AT TIME ZONE z.time_zone)::date AS last_day
    -- As in rollup.cost_periods: who has no row of rollup.state is told.
    FROM noted AS n
    LEFT JOIN (SELECT s.time_zone FROM rollup.state AS s LIMIT 1) AS z ON n.days IS NOT NULL
), later AS MATERIALIZED (
    -- An hour of a clock that is ahead is looked for in its day.
    SELECT DISTINCT (r.hour AT TIME ZONE (SELECT d.time_zone FROM days AS d))::date AS day
    FROM running AS r
    WHERE r.hour >= (SELECT rollup.day_start(d.last_day + interval '1 day', d.time_zone) FROM days AS d)
)

SELECT
    c.local_hour,
    c.hour,
    c.deployment_id,
    c.gpus,
    c.gpu_us,
    c.busy_us,
    c.busy_us / t.seen_us AS mean_in_flight,
    -- The nearest rank from above; a minute in which nothing was seen is 0, and comes last.
    coalesce(l.most[t.place], 0) AS p95_in_flight,
    coalesce(l.most[1], 0) AS max_in_flight
FROM (
    -- By the hour of the question: its condition gets down to the calendar.
    SELECT
        h.local_hour,
        h.hour,
        e.until_time,
        n.deployment_id,
        n.gpus,
        n.gpu_us,
        n.busy_us,
        n.parts,
        n.minutes,
        n.in_flight
    FROM days AS d
    CROSS JOIN LATERAL (
        SELECT
            s.hour,
            s.hour AT TIME ZONE d.time_zone AS local_hour
        FROM (
            SELECT d.first_day, d.last_day
            UNION ALL
            SELECT l.day, l.day AS last_day FROM later AS l
        ) AS a
        -- As rollup.calendar(), of which an array is another one.
        CROSS JOIN LATERAL unnest(array(
            SELECT g.hour
            FROM generate_series(
                rollup.day_start(a.first_day::timestamp, d.time_zone),
                rollup.day_start(a.last_day + interval '1 day', d.time_zone) - interval '1 microsecond',
                interval '30 minutes'
            ) AS g (hour)
        )) AS s (hour)
        WHERE date_trunc('hour', s.hour, d.time_zone) = s.hour
    ) AS h
    CROSS JOIN LATERAL (
        SELECT
            CASE
                WHEN date_trunc('hour', h.hour + interval '1 hour', d.time_zone) = h.hour + interval '1 hour'
                    THEN h.hour + interval '1 hour'
                ELSE h.hour + interval '90 minutes'
            END AS until_time
        FROM (VALUES (1)) AS o (once)
        -- Once an hour, and not for whatever is compared with it.
        OFFSET 0
    ) AS e
    CROSS JOIN LATERAL (
        SELECT
            u.deployment_id,
            max(u.gpus) AS gpus,
            sum(u.gpu_us) AS gpu_us,
            sum(u.busy_us)::double precision AS busy_us,
            count(u.minutes) AS parts,
            rollup.array_sum(u.minutes) FILTER (WHERE u.minutes IS NOT NULL) AS minutes,
            rollup.array_sum(u.in_flight) FILTER (WHERE u.minutes IS NOT NULL) AS in_flight
        FROM (
            SELECT
                g.deployment_id, g.gpus,
                -- Whole microseconds of an hour are exact as floats, which are faster.
                g.gpus * round(
                    date_part('epoch', least(g.until_time, e.until_time, now()) - greatest(g.since, h.hour)) * 1e6
                ) AS gpu_us,
                0 AS busy_us, NULL::smallint [] AS minutes, NULL::integer [] AS in_flight
            FROM spans AS g
            WHERE g.since < least(e.until_time, now()) AND g.until_time > h.hour AND h.hour < now()
            UNION ALL
            SELECT r.deployment_id, 0, 0, r.busy_us, r.minutes, r.in_flight
            FROM running AS r
            WHERE r.hour >= h.hour AND r.hour < e.until_time
        ) AS u
        GROUP BY u.deployment_id
    ) AS n
) AS c
CROSS JOIN LATERAL (
    -- An hour that is running has been looked at as often as it has had minutes; one of a clock that is ahead is whole.
    SELECT
        date_part('epoch', y.seen) * 1e6 AS seen_us,
        (y.looks - ceil(0.95 * y.looks) + 1)::integer AS place
    FROM (
        SELECT x.seen, ceil(date_part('epoch', x.seen) / 60)::integer AS looks
        FROM (
            SELECT
                CASE WHEN c.hour < now() THEN least(c.until_time, now()) ELSE c.until_time END - c.hour AS seen
        ) AS x
    ) AS y
) AS t
CROSS JOIN LATERAL (
    -- Of one row of sums, as there is of most hours, no minute comes twice.
    SELECT array_agg(k.requests ORDER BY k.requests DESC) AS most
    FROM (
        SELECT
            unnest(CASE
                WHEN c.parts > 1 THEN (SELECT s.in_flight FROM rollup.in_flight_sum(c.minutes, c.in_flight) AS s)
                ELSE c.in_flight
            END) AS requests
    ) AS k
) AS l;
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
