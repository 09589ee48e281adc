CREATE OR REPLACE VIEW reporting.traffic_by_weekday_and_hour AS
SELECT
    h.request_day,
    date_part('isodow', h.request_day)::integer AS weekday,
    ('{월요일,화요일,수요일,목요일,금요일,토요일,일요일}'::text [])[date_part('isodow', h.request_day)::integer]
    AS weekday_ko,
    ('{Monday,Tuesday,Wednesday,Thursday,Friday,Saturday,Sunday}'::text [])[
        date_part('isodow', h.request_day)::integer
    ] AS weekday_en,
    n.hour_of_day,
    coalesce(rollup.bigint_sum(h.requests) FILTER (WHERE h.hour_of_day = n.hour_of_day), 0) AS requests,
    coalesce(rollup.bigint_sum(h.answered_requests) FILTER (WHERE h.hour_of_day = n.hour_of_day), 0)
    AS answered_requests,
    coalesce(rollup.bigint_sum(h.requests_without_tokens) FILTER (WHERE h.hour_of_day = n.hour_of_day), 0)
    AS requests_without_tokens,
    coalesce(rollup.bigint_sum(h.tokens) FILTER (WHERE h.hour_of_day = n.hour_of_day), 0) AS tokens
FROM (
    SELECT
        u.request_day,
        u.hour_of_day,
        rollup.bigint_sum(u.requests) AS requests,
        rollup.bigint_sum(u.answered_requests) AS answered_requests,
        rollup.bigint_sum(u.requests_without_tokens) AS requests_without_tokens,
        rollup.bigint_sum(u.tokens) AS tokens
    FROM reporting.hourly_usage_by_deployment AS u
    GROUP BY u.request_day, u.hour_of_day
) AS h
CROSS JOIN generate_series(0, 23) AS n (hour_of_day)
WHERE h.request_day + make_interval(hours => n.hour_of_day)
    <= now() AT TIME ZONE (SELECT z.time_zone FROM rollup.state AS z)
GROUP BY h.request_day, n.hour_of_day;
COMMENT ON VIEW reporting.traffic_by_weekday_and_hour IS '요일·시간대별 트래픽: 플랫폼 전체의 요청과 토큰, 요청이 있는 일자(보고 시간대)의 시간마다 한 행: '
    '요청이 없는 시간도 있어 여러 날의 평균이 맞다. 오늘의 남은 시간은 제외 | '
    'Traffic by weekday and hour: requests and tokens of the whole platform, one row per hour of each day (reporting '
    'time zone) with requests: also for hours without any, so that means over days are right. Today''s hours to come '
    'are left out';
CALL ops.describe('reporting.traffic_by_weekday_and_hour', 'reporting.hourly_usage_by_deployment');
COMMENT ON COLUMN reporting.traffic_by_weekday_and_hour.weekday IS '요일: 1 = 월요일부터 7 = 일요일까지 | '
    'Weekday: 1 = Monday to 7 = Sunday';
COMMENT ON COLUMN reporting.traffic_by_weekday_and_hour.weekday_ko IS '요일: 한국어 이름 | Weekday: its Korean name';
COMMENT ON COLUMN reporting.traffic_by_weekday_and_hour.weekday_en IS '요일: 영어 이름 | Weekday: its English name';

GRANT SELECT ON reporting.traffic_by_weekday_and_hour TO llm_analyst;
