-- One step: the sessions numbered llm_demo.first_n to llm_demo.last_n and their requests. Run once per row of
-- demo_steps, so that memory stays small and progress can be shown.
TRUNCATE demo_step_sessions, demo_step_requests, demo_step_ends;

-- Who, for which project, on which deployment.
INSERT INTO demo_step_sessions (
    n, requests, first_request, starts_at, is_open, user_id, project_id, session_type, adoption, deployment_id,
    fails_as
)
SELECT
    s.n,
    s.requests,
    s.requests_before + 1,
    s.starts_at,
    s.is_open,
    s.user_id,
    p.project_id,
    s.session_type,
    -ln(1 - pg_temp.uniform(s.user_id, 56)) * interval '18 days',
    CASE
        WHEN s.starts_at >= d.serves_from AND s.starts_at < d.serves_until THEN d.deployment_id ELSE d.in_its_place
    END,
    CASE WHEN pg_temp.uniform(s.n, 57) < 0.025 THEN 'error' WHEN pg_temp.uniform(s.n, 57) < 0.07 THEN 'aborted' END
FROM (
    SELECT
        s.n,
        s.requests,
        s.requests_before,
        b.starts_at,
        b.is_open,
        u.user_id,
        u.department_id,
        CASE
            WHEN pg_temp.uniform(s.n, 52) < 0.38 THEN 'production'
            WHEN pg_temp.uniform(s.n, 52) < 0.76 THEN 'development'
            WHEN pg_temp.uniform(s.n, 52) < 0.88 THEN 'test'
            ELSE 'experiment'
        END AS session_type
    FROM demo_sessions AS s
    INNER JOIN demo_starts AS b USING (n)
    CROSS JOIN LATERAL (
        SELECT 1 + width_bucket(
            pg_temp.uniform(s.n, 51), (SELECT array_agg(upto ORDER BY user_id) FROM demo_users)
        ) AS user_id
    ) AS drawn
    INNER JOIN demo_users AS asked ON drawn.user_id = asked.user_id
    -- Someone who is not there at that time is stood in for by the department's manager, who always is.
    INNER JOIN demo_users AS u
        ON CASE
            WHEN b.starts_at BETWEEN asked.joined_at AND asked.left_at THEN asked.user_id ELSE asked.department_id
        END = u.user_id
    WHERE s.n BETWEEN current_setting('llm_demo.first_n')::bigint AND current_setting('llm_demo.last_n')::bigint
) AS s
INNER JOIN demo_deployment_draws AS dd USING (session_type)
INNER JOIN demo_deployments AS d
    ON dd.deployment_ids[1 + width_bucket(pg_temp.uniform(s.n, 53), dd.upto)] = d.deployment_id
-- Mostly a project of the person's own department, now and then another's, often none.
LEFT JOIN (
    SELECT department_id, array_agg(project_id ORDER BY project_id) AS ids FROM llm.projects GROUP BY department_id
) AS own ON s.department_id = own.department_id
LEFT JOIN llm.projects AS p
    ON p.created_at <= s.starts_at
        AND CASE
            WHEN pg_temp.uniform(s.n, 54) < 0.15 THEN NULL
            WHEN pg_temp.uniform(s.n, 54) < 0.27 THEN 1 + floor(18 * power(pg_temp.uniform(s.n, 55), 2))::bigint
            ELSE own.ids[1 + floor(cardinality(own.ids) * power(pg_temp.uniform(s.n, 55), 1.8))::integer]
        END = p.project_id;

-- What each request asks for, what it takes, and when in its session it comes: after the answer before it was read.
INSERT INTO demo_step_requests (
    n, place, request, deployment_id, config_id, template_id, token_used, asked_ms, latency_ms
)
SELECT
    t.n, t.place, t.request, t.deployment_id, t.config_id, t.template_id, t.token_used,
    sum(t.pause_ms + t.latency_ms) OVER (PARTITION BY t.n ORDER BY t.place ROWS UNBOUNDED PRECEDING) - t.latency_ms,
    t.latency_ms
FROM (
    SELECT
        c.n,
        c.place,
        c.request,
        c.deployment_id,
        c.config_id,
        c.template_id,
        c.token_used,
        -- Two seconds up to half an hour; the first question comes soon.
        (1000 * CASE
            WHEN c.place = 1 THEN 2 + 20 * pg_temp.uniform(c.request, 71)
            ELSE least(1800, 2 + exp(3.6 + 1.0 * pg_temp.normal(c.request, 72)))
        END)::bigint AS pause_ms,
        -- Reading the prompt is about 40 times as fast as writing the answer. One request in fifty waits in a queue.
        (1000 * least(
            600,
            0.08
            + (c.token_used * c.answer_share + c.token_used * (1 - c.answer_share) / 40) / c.tokens_per_second
            * exp(0.35 * pg_temp.normal(c.request, 74))
            * CASE WHEN pg_temp.uniform(c.request, 76) < 0.02 THEN 2 + 8 * pg_temp.uniform(c.request, 77) ELSE 1 END
        ))::bigint AS latency_ms
    FROM (
        SELECT
            s.n,
            r.place,
            r.request,
            d.deployment_id,
            d.tokens_per_second,
            config.config_id,
            -- A person takes up a new version some days after it came out; most do within weeks, some very late.
            chain.first_id + CASE
                WHEN s.starts_at >= chain.third_at + s.adoption THEN 2
                WHEN s.starts_at >= chain.second_at + s.adoption THEN 1
                ELSE 0
            END AS template_id,
            CASE d.model_type WHEN 'embedding' THEN 0 ELSE 0.2 + 0.4 * pg_temp.uniform(r.request, 61) END
            AS answer_share,
            greatest(
                8,
                least(
                    coalesce(config.max_tokens, 16384),
                    exp(
                        CASE d.model_type WHEN 'embedding' THEN 5.6 WHEN 'code' THEN 7.0 ELSE 6.6 END
                        + CASE config.place WHEN 4 THEN 1.3 WHEN 2 THEN -0.3 ELSE 0 END
                        + 0.95 * pg_temp.normal(r.request, 62)
                    )
                )
            )::bigint AS token_used
        FROM demo_step_sessions AS s
        INNER JOIN demo_deployments AS main ON s.deployment_id = main.deployment_id
        CROSS JOIN LATERAL (
            SELECT
                place,
                s.first_request + place - 1 AS request
            FROM generate_series(1, s.requests) AS place
        ) AS r
        -- One request in sixteen goes to the other model of choice.
        INNER JOIN demo_deployments AS d
            ON CASE
                WHEN pg_temp.uniform(r.request, 63) < 0.0625 THEN main.deployment_id % 2 + 1
                ELSE main.deployment_id
            END = d.deployment_id
        LEFT JOIN demo_configs AS config
            ON d.model_id = config.model_id
                AND config.place = CASE
                    WHEN pg_temp.uniform(r.request, 64) < 0.08 THEN NULL
                    WHEN d.model_type = 'embedding' THEN 1
                    -- A session keeps to one preset.
                    ELSE (ARRAY[1, 1, 1, 1, 2, 2, 2, 3, 4])[1 + floor(9 * pg_temp.uniform(s.n, 65))::integer]
                END
        LEFT JOIN demo_template_draws AS td
            ON d.model_type <> 'embedding'
                AND (d.model_type = 'code') = td.is_coding
                AND pg_temp.uniform(r.request, 66) < 0.6
        LEFT JOIN demo_template_chains AS chain
            ON td.places[
                1 + width_bucket(
                    -- A session mostly keeps to one template.
                    CASE
                        WHEN pg_temp.uniform(r.request, 67) < 0.7 THEN pg_temp.uniform(s.n, 68)
                        ELSE pg_temp.uniform(r.request, 68)
                    END, td.upto
                )
            ] = chain.place
    ) AS c
) AS t;

-- When each session ended, and how.
INSERT INTO demo_step_ends (n, session_id, starts_at, ends_at, status, s3_folder)
SELECT
    t.n,
    pg_temp.uuidv7(t.starts_at, t.n),
    t.starts_at,
    CASE t.status
        WHEN 'running' THEN NULL
        WHEN 'completed' THEN t.starts_at + t.natural_ms * interval '1 millisecond'
        ELSE t.starts_at + (t.last_asked_ms + 1000 + floor(60000 * pg_temp.uniform(t.n, 82))) * interval '1 millisecond'
    END,
    t.status,
    's3://company-llm-logs/' || to_char(t.starts_at, 'YYYY/MM/DD/') || pg_temp.uuidv7(t.starts_at, t.n) || '/'
FROM (
    SELECT
        s.n,
        -- Requests are made before the span ends: a session that would go on past it began that much earlier.
        least(s.starts_at, span.ends_at - (r.last_asked_ms + 3000) * interval '1 millisecond') AS starts_at,
        r.last_asked_ms,
        r.natural_ms,
        CASE
            WHEN s.is_open OR s.starts_at + r.natural_ms * interval '1 millisecond' >= span.ends_at THEN 'running'
            ELSE coalesce(s.fails_as, 'completed')
        END AS status
    FROM demo_step_sessions AS s
    INNER JOIN (
        SELECT
            n,
            max(asked_ms) AS last_asked_ms,
            max(asked_ms + latency_ms) + 30000 + floor(400000 * pg_temp.uniform(n, 81))::bigint AS natural_ms
        FROM demo_step_requests
        GROUP BY n
    ) AS r USING (n)
    CROSS JOIN demo_span AS span
) AS t;

INSERT INTO llm.sessions (session_id, user_id, project_id, start_time, end_time, session_type, status)
SELECT e.session_id, s.user_id, s.project_id, e.starts_at, e.ends_at, s.session_type, e.status
FROM demo_step_ends AS e
INNER JOIN demo_step_sessions AS s USING (n)
ORDER BY e.session_id;

-- With log_sequence given, the trigger that would number the rows one by one stays out of the way.
INSERT INTO llm.session_logs (
    session_id, log_sequence, request_time, response_time, token_used, deployment_id, config_id, template_id,
    request_prompt_s3_path, response_s3_path
)
SELECT
    t.session_id,
    t.place,
    t.asked_at,
    CASE WHEN t.is_answered THEN t.answered_at END,
    CASE WHEN t.is_answered THEN t.token_used END,
    t.deployment_id,
    t.config_id,
    t.template_id,
    CASE WHEN pg_temp.uniform(t.request, 92) >= 0.02 THEN t.s3_folder || t.place || '/prompt.txt' END,
    CASE
        WHEN t.is_answered AND pg_temp.uniform(t.request, 92) >= 0.02 THEN t.s3_folder || t.place || '/response.txt'
    END
FROM (
    SELECT
        e.session_id,
        e.s3_folder,
        r.request,
        r.place,
        r.token_used,
        r.deployment_id,
        r.config_id,
        r.template_id,
        e.starts_at + r.asked_ms * interval '1 millisecond' AS asked_at,
        e.starts_at + (r.asked_ms + r.latency_ms) * interval '1 millisecond' AS answered_at,
        -- The last question of a session that failed has no answer, nor has one still being worked on; others are rare.
        pg_temp.uniform(r.request, 91) >= 0.004
        AND (
            r.place < s.requests
            OR e.status = 'completed'
            OR (
                e.status = 'running'
                AND pg_temp.uniform(e.n, 93) < 0.5
                AND e.starts_at + (r.asked_ms + r.latency_ms) * interval '1 millisecond' < span.ends_at
            )
        ) AS is_answered
    FROM demo_step_requests AS r
    INNER JOIN demo_step_ends AS e USING (n)
    INNER JOIN demo_step_sessions AS s USING (n)
    CROSS JOIN demo_span AS span
) AS t
ORDER BY t.request;
