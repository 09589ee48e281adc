-- A row of rollup.running belongs to the hour it began in. Where a clock is put by half an hour (Lord Howe), an hour by
-- the clock is followed by half of one that belongs to it.
CREATE OR REPLACE VIEW reporting.hourly_capacity_by_deployment AS
WITH zone AS MATERIALIZED (
    SELECT s.time_zone FROM rollup.state AS s
), spans AS MATERIALIZED (
    SELECT g.deployment_id, g.since, g.until_time, g.gpus FROM rollup.gpu_spans AS g WHERE g.gpus > 0
), hours AS (
    SELECT
        s.hour,
        s.hour AT TIME ZONE z.time_zone AS local_hour,
        CASE
            WHEN date_trunc('hour', s.hour + interval '1 hour', z.time_zone) = s.hour + interval '1 hour'
                THEN s.hour + interval '1 hour'
            ELSE s.hour + interval '90 minutes'
        END AS until_time
    FROM zone AS z
    CROSS JOIN LATERAL (
        SELECT h.hour
        FROM generate_series(
            date_trunc(
                'hour',
                least((SELECT min(g.since) FROM spans AS g), (SELECT min(r.hour) FROM rollup.running_rows AS r)),
                z.time_zone
            ),
            now(), interval '30 minutes'
        ) AS h (hour)
        WHERE date_trunc('hour', h.hour, z.time_zone) = h.hour
        UNION
        SELECT date_trunc('hour', r.hour, z.time_zone) FROM rollup.running_rows AS r WHERE r.hour > now()
    ) AS s
)

SELECT
    h.local_hour AS capacity_hour,
    c.deployment_id,
    e.server_name,
    e.environment,
    en.label_ko AS environment_ko,
    en.label_en AS environment_en,
    e.model_id,
    m.model_name,
    c.gpus AS gpu_count,
    c.gpu_us / 3.6e9 AS gpu_hours,
    c.busy_us / 3.6e9 AS busy_hours,
    c.busy_us / nullif(c.gpu_us, 0) AS utilisation_rate,
    c.busy_us / t.seen_us AS mean_in_flight,
    c.p95_in_flight,
    c.max_in_flight,
    h.hour AS hour_start,
    h.local_hour::date AS capacity_day,
    date_part('hour', h.local_hour)::integer AS hour_of_day
FROM hours AS h
CROSS JOIN LATERAL (
    -- An hour that is running has been looked at as often as it has minutes; one to come, whose clock was wrong, is
    -- whole.
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
        FROM rollup.running_rows AS r
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
        WHERE g.since < h.until_time AND g.until_time > h.hour AND h.hour < now()
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
) AS c
LEFT JOIN llm.deployments AS e ON c.deployment_id = e.deployment_id
LEFT JOIN llm.environments AS en ON e.environment = en.code
LEFT JOIN llm.models AS m ON e.model_id = m.model_id;
COMMENT ON VIEW reporting.hourly_capacity_by_deployment IS '배포별 시간별 여유: 배포의 GPU 사용률과 동시 요청, GPU를 보유했거나 요청이 처리된 배포와 '
    '시간(보고 시간대)마다 '
    '한 행 | '
    'Hourly capacity by deployment: how busy its GPUs were and how many requests ran at once; one row per deployment '
    'and hour (reporting time zone) in which it held GPUs or requests ran';
CALL ops.describe('reporting.hourly_capacity_by_deployment', 'reporting.hourly_usage_by_deployment');
COMMENT ON COLUMN reporting.hourly_capacity_by_deployment.capacity_hour IS '시간대: 시간의 시작, 보고 시간대의 시계 기준 | '
    'Hour: its start, as clocks in the reporting time zone show it';
COMMENT ON COLUMN reporting.hourly_capacity_by_deployment.deployment_id IS '배포 고유 식별자: 배포 | '
    'Deployment ID: the deployment';
COMMENT ON COLUMN reporting.hourly_capacity_by_deployment.gpu_count IS 'GPU 개수: 그 시간에 보유한 최대 개수 | '
    'GPUs: the most it held at a time within the hour';
COMMENT ON COLUMN reporting.hourly_capacity_by_deployment.gpu_hours IS 'GPU 시간: 그 시간에 GPU를 보유한 시간을 GPU마다 더한 값(지금 시간은 '
    '지금까지), 시간 '
    '단위 | '
    'GPU hours: how long it held each GPU within the hour (this hour: so far), added up, in hours';
COMMENT ON COLUMN reporting.hourly_capacity_by_deployment.busy_hours IS '처리 시간 합계: 그 시간에 응답된 요청이 처리되던 시간을 모두 더한 값, 시간 '
    '단위; 동시에 처리된 '
    '요청도 각각 더한다 | '
    'Busy hours: how long answered requests ran within the hour, added up, in hours; requests that run at once each '
    'count';
COMMENT ON COLUMN reporting.hourly_capacity_by_deployment.utilisation_rate IS '사용률: busy_hours를 gpu_hours로 나눈 값, 1 = '
    'GPU마다 요청 '
    '하나, 여러 요청을 함께 처리하면 1보다 크다; NULL = GPU를 보유하지 않음 | '
    'Utilisation: busy_hours / gpu_hours; 1 = one request per GPU all the time, more where several are served at once; '
    'NULL = it held no GPU';
COMMENT ON COLUMN reporting.hourly_capacity_by_deployment.mean_in_flight IS '평균 동시 요청 수: 그 시간 동안 처리되던 응답된 요청의 평균 | '
    'Mean in flight: answered requests that ran at once, on average over the hour';
COMMENT ON COLUMN reporting.hourly_capacity_by_deployment.p95_in_flight IS '동시 요청 수 p95: 그 시간의 매분 시작에 본 동시 요청 수, 그 '
    '가운데 95 %는 이 '
    '값 이하 | '
    'Requests in flight p95: as seen at the beginning of each minute of the hour, 95 % of the looks saw at most this';
COMMENT ON COLUMN reporting.hourly_capacity_by_deployment.max_in_flight IS '최대 동시 요청 수: 그 시간의 매분 시작에 본 동시 요청 수의 최댓값 | '
    'Most in flight: the most that was seen at the beginning of a minute of the hour';
COMMENT ON COLUMN reporting.hourly_capacity_by_deployment.capacity_day IS '일자: 그 시간의 일자, 보고 시간대 기준 | '
    'Day: of the hour, in the reporting time zone';
COMMENT ON COLUMN reporting.hourly_capacity_by_deployment.hour_start IS '시간대 시작: 그 시간이 시작된 순간, 시계를 되돌려 두 번 오는 시간을 '
    '구별한다 | '
    'Start of the hour: the instant it began; tells apart the hour that comes twice when clocks are put back';
COMMENT ON COLUMN reporting.hourly_capacity_by_deployment.hour_of_day IS '시: 하루 중의 시, 0~23 | '
    'Hour of day: 0 to 23';

GRANT SELECT ON reporting.hourly_capacity_by_deployment TO llm_analyst;
