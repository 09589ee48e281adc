-- When each session begins, how many requests it has, and how the requests are cut into steps.

-- How busy each hour is, by Seoul's clock and calendar; usage grows over the span, and no two days are quite alike.
CREATE TEMPORARY TABLE demo_hours ON COMMIT DROP AS
WITH hours AS (
    SELECT
        span.starts_at + n * interval '1 hour' AS at,
        (span.starts_at + n * interval '1 hour') AT TIME ZONE 'Asia/Seoul' AS seoul,
        0.6 + 0.8 * n / 4320.0 AS growth
    FROM demo_span AS span
    CROSS JOIN LATERAL generate_series(0, 180 * 24 - 1) AS n
), weights AS (
    SELECT
        h.at,
        (
            h.growth
            * (0.85 + 0.3 * pg_temp.uniform(h.seoul::date - date '2000-01-01', 41))
            * CASE extract(ISODOW FROM h.seoul) WHEN 6 THEN 0.16 WHEN 7 THEN 0.11 WHEN 5 THEN 0.88 ELSE 1 END
            * (ARRAY[
                0.10, 0.06, 0.04, 0.03, 0.03, 0.04, 0.08, 0.25, 0.60, 1.10, 1.45, 1.30,
                0.55, 1.05, 1.50, 1.55, 1.45, 1.20, 0.70, 0.45, 0.35, 0.30, 0.24, 0.16
            ])[extract(HOUR FROM h.seoul)::integer + 1]
        )::numeric AS weight
    FROM hours AS h
)
SELECT
    w.at,
    -- As numeric, which does not depend on the order it is added up in, so that the last hour reaches 1 exactly.
    sum(w.weight) OVER (ORDER BY w.at) / sum(w.weight) OVER () AS upto
FROM weights AS w;

-- More sessions than needed are drawn, 9 requests each on average; the one that reaches the wanted number is cut short.
CREATE TEMPORARY TABLE demo_sessions ON COMMIT DROP AS
WITH drawn AS (
    SELECT n, least(200, 1 + floor(exp(1.75 + 0.85 * pg_temp.normal(n, 42))))::bigint AS requests
    FROM demo_span AS span
    CROSS JOIN LATERAL generate_series(1, span.logs / 4 + 100) AS n
), added_up AS (
    SELECT
        d.n,
        d.requests,
        sum(d.requests) OVER (ORDER BY d.n ROWS UNBOUNDED PRECEDING)::bigint - d.requests AS requests_before
    FROM drawn AS d
)
SELECT
    a.n,
    least(a.requests, span.logs - a.requests_before) AS requests,
    a.requests_before
FROM added_up AS a
CROSS JOIN demo_span AS span
WHERE a.requests_before < span.logs;
CREATE UNIQUE INDEX demo_sessions_n_key ON demo_sessions (n);
ANALYZE demo_sessions;

-- Sessions are numbered in the order of time: each hour takes as many of the numbers as its share says.
CREATE TEMPORARY TABLE demo_starts ON COMMIT DROP AS
SELECT
    n,
    h.at + floor(3600000 * pg_temp.uniform(n, 43)) * interval '1 millisecond' AS starts_at,
    -- The last ones are still open, however short they are.
    n > total.sessions - greatest(1, least(12, total.sessions / 500)) AS is_open
FROM (SELECT count(*) AS sessions FROM demo_sessions) AS total
CROSS JOIN (SELECT at, upto, lag(upto, 1, 0::numeric) OVER (ORDER BY at) AS since FROM demo_hours) AS h
CROSS JOIN LATERAL generate_series(
    floor(total.sessions * h.since)::bigint + 1,
    floor(total.sessions * h.upto)::bigint
) AS n;
CREATE UNIQUE INDEX demo_starts_n_key ON demo_starts (n);
ANALYZE demo_starts;

CREATE TEMPORARY TABLE demo_steps ON COMMIT DROP AS
SELECT
    min(s.n) AS first_n,
    max(s.n) AS last_n,
    sum(s.requests)::bigint AS requests,
    min(b.starts_at) AS starts_at
FROM demo_sessions AS s
INNER JOIN demo_starts AS b USING (n)
GROUP BY s.requests_before / 50000;

-- Who is drawn how often: for each kind of session its deployments, for each kind of model its templates.
CREATE TEMPORARY TABLE demo_deployment_draws ON COMMIT DROP AS
SELECT
    t.session_type,
    array_agg(t.deployment_id ORDER BY t.deployment_id) AS deployment_ids,
    array_agg(t.upto ORDER BY t.deployment_id) AS upto
FROM (
    SELECT
        k.session_type,
        d.deployment_id,
        (
            sum(d.weight * k.weight) OVER (PARTITION BY k.session_type ORDER BY d.deployment_id)
            / sum(d.weight * k.weight) OVER (PARTITION BY k.session_type)
        )::double precision AS upto
    FROM demo_deployments AS d
    INNER JOIN (
        VALUES
            ('production', 'production', 1.0),
            ('development', 'development', 1.0), ('development', 'production', 0.3),
            ('test', 'test', 1.0), ('test', 'staging', 0.8),
            ('experiment', 'staging', 1.0), ('experiment', 'development', 0.5), ('experiment', 'production', 0.2)
    ) AS k (session_type, environment, weight) USING (environment)
) AS t
GROUP BY t.session_type;

CREATE TEMPORARY TABLE demo_template_draws ON COMMIT DROP AS
SELECT
    t.is_coding,
    array_agg(t.place ORDER BY t.place) AS places,
    array_agg(t.upto ORDER BY t.place) AS upto
FROM (
    SELECT
        task_category = 'coding' AS is_coding,
        place,
        (
            sum(1.0 / place) OVER (PARTITION BY task_category = 'coding' ORDER BY place)
            / sum(1.0 / place) OVER (PARTITION BY task_category = 'coding')
        )::double precision AS upto
    FROM demo_templates
    WHERE number = 1
) AS t
GROUP BY t.is_coding;

CREATE TEMPORARY TABLE demo_template_chains ON COMMIT DROP AS
SELECT
    t.place,
    min(t.template_id) AS first_id,
    coalesce(max(span.starts_at + t.since * interval '1 day') FILTER (WHERE t.number = 2), 'infinity') AS second_at,
    coalesce(max(span.starts_at + t.since * interval '1 day') FILTER (WHERE t.number = 3), 'infinity') AS third_at
FROM demo_templates AS t
CROSS JOIN demo_span AS span
GROUP BY t.place;

-- Filled and emptied by each step of 60_requests.sql.
CREATE TEMPORARY TABLE demo_step_sessions (
    n             bigint           NOT NULL,
    requests      bigint           NOT NULL,
    first_request bigint           NOT NULL,
    starts_at     timestamptz      NOT NULL,
    is_open       boolean          NOT NULL,
    user_id       bigint           NOT NULL,
    project_id    bigint           NULL,
    session_type  text             NOT NULL,
    adoption      interval         NOT NULL,
    deployment_id bigint           NOT NULL,
    fails_as      text             NULL
) ON COMMIT DROP;

CREATE TEMPORARY TABLE demo_step_requests (
    n             bigint  NOT NULL,
    place         bigint  NOT NULL,
    request       bigint  NOT NULL,
    deployment_id bigint  NOT NULL,
    config_id     bigint  NULL,
    template_id   bigint  NULL,
    token_used    bigint  NOT NULL,
    asked_ms      bigint  NOT NULL,
    latency_ms    bigint  NOT NULL
) ON COMMIT DROP;

CREATE TEMPORARY TABLE demo_step_ends (
    n           bigint      NOT NULL,
    session_id  uuid        NOT NULL,
    starts_at   timestamptz NOT NULL,
    ends_at     timestamptz NULL,
    status      text        NOT NULL,
    s3_folder   text        NOT NULL
) ON COMMIT DROP;
