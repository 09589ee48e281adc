"""What the reports must say, worked out from the rows themselves: each question of the rollups is asked of the logs as
well, in one statement and so in one snapshot. Months that were dropped are kept here as they were counted then."""

from collections.abc import Iterator

import psycopg
from psycopg import sql

# A transaction that refreshes wait for. On a cluster one without an id has written nothing.
IS_WRITING = "LOCK TABLE llm.session_logs IN ROW EXCLUSIVE MODE; SELECT pg_current_xact_id()"
# The rows themselves, and where they are stored.
ROWS = """
CREATE SCHEMA model;
CREATE VIEW model.raw_logs AS SELECT l.*, l.tableoid::regclass::text AS partition FROM llm.session_logs AS l;
CREATE VIEW model.raw_sessions AS SELECT s.*, s.tableoid::regclass::text AS partition FROM llm.sessions AS s;
"""
# On a cluster they are fetched first, as Citus cannot ask these questions of its shards, which have a number at the end
# of their names. So report and rows are not of one snapshot: nobody may be writing.
ROWS_OF_SHARDS = """
CREATE SCHEMA model;
CREATE FUNCTION model.fetched(query text) RETURNS SETOF record LANGUAGE plpgsql STABLE
AS $$ BEGIN RETURN QUERY EXECUTE query; END $$;
CREATE VIEW model.raw_logs AS SELECT * FROM model.fetched($$
    SELECT session_id, log_sequence, request_time, response_time, token_used, config_id, deployment_id, template_id,
        regexp_replace(tableoid::regclass::text, '_[0-9]{5,}$', '') FROM llm.session_logs
$$) AS l (
    session_id uuid, log_sequence integer, request_time timestamptz, response_time timestamptz, token_used bigint,
    config_id bigint, deployment_id bigint, template_id bigint, partition text
);
CREATE VIEW model.raw_sessions AS SELECT * FROM model.fetched($$
    SELECT session_id, user_id, project_id, start_time, end_time, session_type, status,
        regexp_replace(tableoid::regclass::text, '_[0-9]{5,}$', '') FROM llm.sessions
$$) AS s (
    session_id uuid, user_id bigint, project_id bigint, start_time timestamptz, end_time timestamptz,
    session_type text, status text, partition text
);
"""
# Not one line of it is the core's: another way to the department, no rollup_state but its time zone.
MODEL = """
CREATE VIEW model.stored_logs AS
SELECT
    l.session_id, l.log_sequence, l.request_time, l.token_used, l.partition,
    (l.request_time AT TIME ZONE z.time_zone)::date AS day,
    date_trunc('hour', l.request_time AT TIME ZONE z.time_zone) AS local_hour,
    l.request_time - (
        l.request_time AT TIME ZONE z.time_zone - date_trunc('hour', l.request_time AT TIME ZONE z.time_zone)
    ) AS hour,
    l.response_time, l.response_time IS NOT NULL AS answered,
    (extract(epoch FROM l.response_time - l.request_time) * 1000000)::bigint AS latency_us,
    l.token_used >= c.max_tokens AS at_max_tokens,
    l.config_id, l.deployment_id, s.project_id, l.template_id, s.user_id,
    (
        SELECT h.department_id FROM llm.user_departments AS h
        WHERE h.user_id = s.user_id AND h.since <= l.request_time
        ORDER BY h.since DESC LIMIT 1
    ) AS department_id,
    (
        SELECT h.model_id FROM llm.deployment_history AS h
        WHERE h.deployment_id = l.deployment_id AND h.since <= l.request_time
        ORDER BY h.since DESC LIMIT 1
    ) AS model_id
FROM model.raw_logs AS l
JOIN model.raw_sessions AS s USING (session_id)
LEFT JOIN llm.model_configs AS c USING (config_id)
CROSS JOIN (SELECT time_zone FROM rollup.state) AS z;

CREATE VIEW model.stored_sessions AS
SELECT
    s.session_id, s.partition, (s.start_time AT TIME ZONE z.time_zone)::date AS day,
    (
        SELECT h.department_id FROM llm.user_departments AS h
        WHERE h.user_id = s.user_id AND h.since <= s.start_time
        ORDER BY h.since DESC LIMIT 1
    ) AS department_id,
    s.project_id IS NOT NULL AS has_project, s.session_type, s.status,
    coalesce((extract(epoch FROM s.end_time - s.start_time) * 1000000)::bigint, 0) AS duration_us,
    g.requests, g.requests_without_tokens, g.tokens
FROM model.raw_sessions AS s
CROSS JOIN (SELECT time_zone FROM rollup.state) AS z
CROSS JOIN LATERAL (
    SELECT
        count(*) AS requests,
        count(*) FILTER (WHERE l.token_used IS NULL) AS requests_without_tokens,
        coalesce(sum(l.token_used), 0) AS tokens
    FROM model.raw_logs AS l WHERE l.session_id = s.session_id
) AS g;

CREATE TABLE model.dropped_logs AS SELECT * FROM model.stored_logs WITH NO DATA;
CREATE TABLE model.dropped_sessions AS SELECT * FROM model.stored_sessions WITH NO DATA;
CREATE VIEW model.logs AS SELECT * FROM model.stored_logs UNION ALL SELECT * FROM model.dropped_logs;
CREATE VIEW model.sessions AS SELECT * FROM model.stored_sessions UNION ALL SELECT * FROM model.dropped_sessions;

CREATE VIEW model.usage AS
SELECT d.dimension, d.key, l.*
FROM model.logs AS l
CROSS JOIN LATERAL (VALUES
    ('all', NULL), ('config', l.config_id), ('department', l.department_id), ('deployment', l.deployment_id),
    ('model', l.model_id), ('project', l.project_id), ('template', l.template_id), ('user', l.user_id)
) AS d (dimension, key);

-- Cost. Times are sets here, and what has a price of its own is taken out of what costs as all do.
CREATE FUNCTION model.us(times tstzmultirange) RETURNS numeric LANGUAGE sql STABLE
RETURN (SELECT coalesce(sum(extract(epoch FROM upper(t) - lower(t)) * 1000000), 0) FROM unnest(times) AS t);

-- A division has as many decimals as what it divides.
CREATE FUNCTION model.per_hour(hourly_us numeric) RETURNS numeric LANGUAGE sql STABLE
RETURN round(hourly_us, 60) / 3600000000;

-- What a deployment held on a day: GPU time in microseconds, and its amount in prices of an hour times microseconds.
CREATE VIEW model.held AS
WITH history AS (
    SELECT *, tstzrange(since, lead(since) OVER (PARTITION BY deployment_id ORDER BY since)) AS span
    FROM llm.deployment_history
), rates AS (
    SELECT *, tstzrange(since, lead(since) OVER (PARTITION BY deployment_id ORDER BY since)) AS span
    FROM llm.gpu_rates
), pieces AS (
    SELECT
        d.day, h.deployment_id, h.model_id, h.gpu_count, tstzmultirange(d.span * h.span) AS times,
        coalesce((
            SELECT range_agg(r.span) FROM rates AS r
            WHERE r.deployment_id = h.deployment_id AND r.price_per_hour IS NOT NULL
        ), '{}') AS own
    FROM (
        SELECT
            s.day::date AS day,
            tstzrange(s.day AT TIME ZONE z.time_zone, least((s.day + interval '1 day') AT TIME ZONE z.time_zone, now()))
            AS span
        FROM rollup.state AS z, generate_series(
            (SELECT min(since) AT TIME ZONE z.time_zone FROM history WHERE gpu_count > 0)::date::timestamp,
            now() AT TIME ZONE z.time_zone, interval '1 day'
        ) AS s (day)
    ) AS d
    JOIN history AS h ON d.span && h.span AND h.gpu_count > 0 AND h.status <> 'inactive'
)
SELECT
    day, deployment_id, model_id, sum(gpu_count * model.us(times)) AS gpu_us,
    sum(gpu_count * coalesce((
        SELECT sum(r.price_per_hour * model.us(
            CASE WHEN r.deployment_id IS NULL THEN times - own ELSE times END * tstzmultirange(r.span)
        ))
        FROM rates AS r WHERE r.deployment_id = p.deployment_id OR r.deployment_id IS NULL
    ), 0)) AS amount
FROM pieces AS p
GROUP BY day, deployment_id, model_id;

-- What of a day's cost of its deployment a request has: part / whole. Of unknown measure, it counts as the mean.
CREATE VIEW model.requests AS
SELECT
    *,
    CASE WHEN total > 0 THEN coalesce(measure * known, total) ELSE 1 END AS part,
    CASE WHEN total > 0 THEN total * requests ELSE requests END AS whole
FROM (
    SELECT
        l.*, m.measure, sum(m.measure) OVER deployments AS total, count(m.measure) OVER deployments AS known,
        count(*) OVER deployments AS requests, coalesce(sum(l.latency_us) OVER deployments, 0) AS busy_us
    FROM model.logs AS l
    CROSS JOIN llm.cost_settings AS c
    CROSS JOIN LATERAL (
        SELECT (CASE c.apportioned_by WHEN 'tokens' THEN l.token_used ELSE l.latency_us END)::numeric AS measure
    ) AS m
    WINDOW deployments AS (PARTITION BY l.day, l.deployment_id)
) AS r;

CREATE FUNCTION model.costs(of_dimension text) RETURNS TABLE (
    grain text, first_day date, key bigint, department_id bigint, is_idle boolean, requests numeric,
    requests_without_tokens numeric, tokens numeric, allocated_cost numeric, used_cost numeric, gpu_hours numeric,
    cost_before numeric, total_cost numeric, total_gpu_hours numeric
) LANGUAGE sql STABLE BEGIN ATOMIC
WITH held AS MATERIALIZED (
    SELECT * FROM model.held
), days AS (
    SELECT day, deployment_id, sum(gpu_us) AS gpu_us, sum(amount) AS amount FROM held GROUP BY day, deployment_id
), parts AS (
    SELECT
        r.day, d.key, d.department_id, false AS is_idle, count(*) AS requests,
        count(*) FILTER (WHERE r.token_used IS NULL) AS requests_without_tokens,
        coalesce(sum(r.token_used), 0) AS tokens,
        coalesce(round(max(h.amount) * sum(r.part), 60) / max(r.whole), 0) AS amount,
        coalesce(
            round(max(h.amount) * sum(r.part) * least(max(r.busy_us), max(h.gpu_us)), 60)
            / (max(r.whole) * max(h.gpu_us)), 0
        ) AS used,
        coalesce(round(max(h.gpu_us) * sum(r.part), 60) / max(r.whole), 0) AS gpu_us
    FROM model.requests AS r
    LEFT JOIN days AS h USING (day, deployment_id)
    CROSS JOIN LATERAL (
        SELECT
            CASE split_part(of_dimension, ' ', 1)
                WHEN 'department' THEN r.department_id
                WHEN 'deployment' THEN r.deployment_id
                WHEN 'model' THEN r.model_id
                WHEN 'project' THEN r.project_id
                WHEN 'template' THEN r.template_id
                WHEN 'user' THEN r.user_id
            END AS key,
            CASE WHEN of_dimension LIKE '% of department' THEN r.department_id END AS department_id
    ) AS d
    GROUP BY r.day, r.deployment_id, d.key, d.department_id
    UNION ALL
    SELECT h.day, d.key, NULL, d.key IS NULL, 0, 0, 0, h.amount, 0, h.gpu_us
    FROM held AS h
    CROSS JOIN LATERAL (
        SELECT CASE of_dimension WHEN 'deployment' THEN h.deployment_id WHEN 'model' THEN h.model_id END AS key
    ) AS d
    WHERE NOT EXISTS (SELECT FROM model.logs AS l WHERE (l.day, l.deployment_id) = (h.day, h.deployment_id))
), periods AS (
    SELECT
        g.grain, date_trunc(g.grain, p.day::timestamp)::date AS first_day, p.key, p.department_id,
        p.is_idle,
        sum(p.requests) AS requests, sum(p.requests_without_tokens) AS requests_without_tokens, sum(p.tokens) AS tokens,
        sum(p.amount) AS amount, sum(p.used) AS used, sum(p.gpu_us) AS gpu_us
    FROM parts AS p, (VALUES ('day'), ('week'), ('month')) AS g (grain)
    GROUP BY 1, 2, 3, 4, 5
), spread AS (
    -- What is idle goes to the others where there are any: of each sum, in proportion to it.
    SELECT
        p.*,
        CASE
            WHEN NOT c.idle_is_spread OR s.amount = 0 THEN p.amount
            WHEN p.is_idle THEN 0
            ELSE p.amount + round(p.amount * s.idle_amount, 60) / s.amount
        END AS amount_spread,
        CASE
            WHEN NOT c.idle_is_spread OR s.gpu_us = 0 THEN p.gpu_us
            WHEN p.is_idle THEN 0
            ELSE p.gpu_us + round(p.gpu_us * s.idle_gpu_us, 60) / s.gpu_us
        END AS gpu_us_spread
    FROM periods AS p
    CROSS JOIN llm.cost_settings AS c
    JOIN (
        SELECT
            grain, first_day,
            coalesce(sum(amount) FILTER (WHERE is_idle), 0) AS idle_amount,
            coalesce(sum(amount) FILTER (WHERE NOT is_idle), 0) AS amount,
            coalesce(sum(gpu_us) FILTER (WHERE is_idle), 0) AS idle_gpu_us,
            coalesce(sum(gpu_us) FILTER (WHERE NOT is_idle), 0) AS gpu_us
        FROM periods GROUP BY grain, first_day
    ) AS s USING (grain, first_day)
)
SELECT
    p.grain, p.first_day, p.key, p.department_id, p.is_idle, p.requests, p.requests_without_tokens, p.tokens,
    model.per_hour(p.amount_spread), model.per_hour(p.used), model.per_hour(p.gpu_us_spread),
    model.per_hour(coalesce(b.amount_spread, 0)),
    -- Exact: of the GPUs themselves.
    round(model.per_hour(h.amount), 10), round(model.per_hour(h.gpu_us), 10)
FROM spread AS p
LEFT JOIN spread AS b
    ON (p.grain, p.is_idle) = (b.grain, b.is_idle)
    AND (p.key, p.department_id) IS NOT DISTINCT FROM (b.key, b.department_id)
    AND b.first_day = p.first_day - ('1 ' || p.grain)::interval
CROSS JOIN LATERAL (
    SELECT coalesce(sum(h.amount), 0) AS amount, coalesce(sum(h.gpu_us), 0) AS gpu_us
    FROM held AS h WHERE date_trunc(p.grain, h.day::timestamp)::date = p.first_day
) AS h;
END;
"""

# The same question twice: of the reports' views, and of the rows.
QUESTIONS = {
    "usage": (
        """
        SELECT dimension::text, key, day, sum(requests), sum(answered_requests), sum(requests_without_tokens),
            sum(at_max_tokens_requests), sum(tokens), sum(latency_us), max(max_latency_us), min(first_request_time),
            max(last_request_time)
        FROM rollup.usage_rows GROUP BY dimension, key, day
        """,
        """
        SELECT dimension, key, day, count(*), count(*) FILTER (WHERE answered),
            count(*) FILTER (WHERE token_used IS NULL), count(*) FILTER (WHERE at_max_tokens),
            coalesce(sum(token_used), 0), coalesce(sum(latency_us), 0), max(latency_us), min(request_time),
            max(request_time)
        FROM model.usage GROUP BY dimension, key, day
        """,
    ),
    "hours": (
        """
        SELECT request_day, request_hour, hour_start, deployment_id, requests, answered_requests,
            requests_without_tokens, tokens
        FROM reporting.hourly_usage_by_deployment
        """,
        """
        SELECT day, local_hour, hour, deployment_id, count(*), count(*) FILTER (WHERE answered),
            count(*) FILTER (WHERE token_used IS NULL), coalesce(sum(token_used), 0)
        FROM model.logs GROUP BY day, local_hour, hour, deployment_id
        """,
    ),
    "sessions": (
        """
        SELECT day, department_id, has_project, session_type, status, sum(sessions), sum(duration_us), sum(requests),
            sum(requests_without_tokens), sum(tokens)
        FROM rollup.session_rows GROUP BY day, department_id, has_project, session_type, status
        """,
        """
        SELECT day, department_id, has_project, session_type, status, count(*), sum(duration_us), sum(requests),
            sum(requests_without_tokens), sum(tokens)
        FROM model.sessions GROUP BY day, department_id, has_project, session_type, status
        """,
    ),
    "slowest": (
        """
        SELECT * FROM (
            SELECT dimension::text, key, day, row_number() OVER (
                PARTITION BY dimension, key, day ORDER BY latency_us DESC, session_id, log_sequence
            ) AS place, latency_us, session_id, log_sequence, request_time, token_used
            FROM rollup.slowest_rows
        ) AS r WHERE place <= 10
        """,
        """
        SELECT * FROM (
            SELECT dimension, key, day, row_number() OVER (
                PARTITION BY dimension, key, day ORDER BY latency_us DESC, session_id, log_sequence
            ) AS place, latency_us, session_id, log_sequence, request_time, token_used
            FROM model.usage WHERE latency_us IS NOT NULL AND dimension NOT IN ('all', 'user')
        ) AS r WHERE place <= 10
        """,
    ),
    "activity": (
        "SELECT day, gap_days, sum(users) FROM rollup.activity_rows GROUP BY day, gap_days",
        """
        SELECT day, gap_days, count(*) FROM (
            SELECT day, day - lag(day) OVER (PARTITION BY user_id ORDER BY day) AS gap_days
            FROM (SELECT DISTINCT user_id, day FROM model.logs) AS u
        ) AS active GROUP BY day, gap_days
        """,
    ),
    "periods": (
        """
        SELECT grain, dimension::text, key, first_day, requests, answered_requests, requests_without_tokens, tokens,
            requests_before, tokens_before, request_share, token_share, requests_change
        FROM rollup.usage_periods
        """,
        """
        SELECT p.grain, p.dimension, p.key, p.first_day, p.requests, p.answered_requests, p.requests_without_tokens,
            p.tokens, coalesce(b.requests, 0), coalesce(b.tokens, 0), p.requests / sum(p.requests) OVER parts::float8,
            p.tokens / nullif(sum(p.tokens) OVER parts, 0)::float8, p.requests / b.requests::float8 - 1
        FROM periods AS p
        LEFT JOIN periods AS b
            ON (p.grain, p.dimension) = (b.grain, b.dimension) AND p.key IS NOT DISTINCT FROM b.key
            AND b.first_day = p.first_day - ('1 ' || p.grain)::interval
        WINDOW parts AS (PARTITION BY p.grain, p.dimension, p.first_day)
        """,
    ),
    "last_requests": (
        "SELECT user_id, last_request_time FROM reporting.dormant_accounts",
        """
        SELECT u.user_id, max(l.request_time)
        FROM llm.users AS u LEFT JOIN model.logs AS l USING (user_id)
        GROUP BY u.user_id
        HAVING NOT u.is_active OR coalesce(greatest(u.last_login, max(l.request_time)), '-infinity')
            < now() - interval '90 days'
        """,
    ),
    "percentiles": (
        # A report that is within 2 % says what the rows say; else it says what it says.
        """
        SELECT r.dimension, r.key, r.day, f.p,
            CASE WHEN abs(s.said - e.exact) <= 0.02 * e.exact THEN e.exact ELSE s.said END,
            r.ranks[cardinality(r.ranks)]
        FROM (
            SELECT dimension::text, key, day, (rollup.histogram_sum(latencies)).* FROM rollup.usage_rows
            WHERE dimension <> 'user' GROUP BY dimension, key, day
        ) AS r
        CROSS JOIN LATERAL (SELECT (r.buckets, r.ranks)::rollup.latency_histogram AS h) AS x
        CROSS JOIN (VALUES (0.01), (0.5), (0.95), (0.99)) AS f (p)
        CROSS JOIN LATERAL (SELECT rollup.histogram_percentile_ms(x.h, f.p) AS said) AS s
        LEFT JOIN exact AS e
            ON (r.dimension, r.day, f.p) = (e.dimension, e.day, e.p) AND r.key IS NOT DISTINCT FROM e.key
        WHERE r.buckets IS NOT NULL
        """,
        "SELECT dimension, key, day, p, exact, answered FROM exact",
    ),
    "deployment_usage": (
        """
        SELECT dimension::text, day, deployment_id, model_id, key, department_id, sum(requests), sum(answered_requests),
            sum(requests_without_tokens), sum(tokens), sum(latency_us)
        FROM (
            SELECT dimension, day, deployment_id, model_id, key, department_id, requests, answered_requests,
                requests_without_tokens, tokens, latency_us
            FROM rollup.deployment_usage WHERE month IS NULL OR day <> ALL ((SELECT days FROM noted)::date[])
            UNION ALL
            SELECT o.* FROM noted, rollup.open_deployment_usage(spans) AS o
        ) AS r
        GROUP BY dimension, day, deployment_id, model_id, key, department_id
        """,
        """
        SELECT d.dimension, day, deployment_id, model_id, d.key, d.department_id, count(*),
            count(*) FILTER (WHERE answered), count(*) FILTER (WHERE token_used IS NULL), coalesce(sum(token_used), 0),
            coalesce(sum(latency_us), 0)
        FROM model.logs AS l
        CROSS JOIN LATERAL (VALUES
            ('department', l.department_id, NULL), ('project', project_id, NULL), ('template', template_id, NULL),
            ('user', user_id, l.department_id)
        ) AS d (dimension, key, department_id)
        GROUP BY d.dimension, day, deployment_id, model_id, d.key, d.department_id
        """,
    ),
    # An hour's busy time, and what was in flight at the beginning of each of its minutes.
    "running": (
        """
        SELECT r.hour, r.deployment_id, m.minute, sum(m.number)
        FROM (
            SELECT hour, deployment_id, busy_us, minutes, in_flight
            FROM rollup.running WHERE month IS NULL OR day <> ALL ((SELECT days FROM noted)::date[])
            UNION ALL
            SELECT h.hour, o.deployment_id, h.busy_us, g.minutes, array_fill(1, ARRAY[cardinality(g.minutes)])
            FROM noted, rollup.open_logs(spans) AS o,
                rollup.running_hours(o.request_time, o.latency_us, o.hour) AS h,
                LATERAL (SELECT ARRAY(SELECT generate_series(first_minute, last_minute)) AS minutes) AS g
        ) AS r
        CROSS JOIN LATERAL (
            SELECT NULL::integer AS minute, r.busy_us AS number UNION ALL SELECT * FROM unnest(r.minutes, r.in_flight)
        ) AS m
        GROUP BY r.hour, r.deployment_id, m.minute
        """,
        """
        SELECT h.hour, l.deployment_id, m.minute, sum(m.number)
        FROM model.logs AS l
        CROSS JOIN LATERAL generate_series(l.hour, l.response_time, interval '1 hour') AS h (hour)
        CROSS JOIN LATERAL (
            SELECT NULL::integer AS minute, extract(epoch FROM upper(s) - lower(s)) * 1000000 AS number
            FROM (SELECT tstzrange(l.request_time, l.response_time, '[]')
                * tstzrange(h.hour, h.hour + interval '1 hour', '[]') AS s) AS s
            UNION ALL
            SELECT extract(minute FROM m.at - h.hour)::integer, 1
            FROM generate_series(h.hour, h.hour + interval '59 minutes', interval '1 minute') AS m (at)
            WHERE m.at >= l.request_time AND m.at < l.response_time
        ) AS m
        GROUP BY h.hour, l.deployment_id, m.minute
        """,
    ),
}
# Of cost, by dimension. A report asks for one period after the other, so years without a log take their time.
COSTS = {
    f"costs by {dimension}": (
        # Each row is rounded so that they add up; a row that is within that says what the rows say.
        f"""
        SELECT r.grain, r.first_day, r.key, r.department_id, r.is_idle, r.requests, r.requests_without_tokens, r.tokens,
            said.*,
            sum(r.allocated_cost) OVER parts, sum(r.used_cost + r.idle_cost) OVER parts, sum(r.gpu_hours) OVER parts
        FROM rollup.cost_periods AS r
        LEFT JOIN rows AS e
            ON (r.grain, r.first_day, r.is_idle) = (e.grain, e.first_day, e.is_idle)
            AND (r.key, r.department_id) IS NOT DISTINCT FROM (e.key, e.department_id)
        CROSS JOIN LATERAL (
            SELECT array_agg(CASE WHEN abs(s.said - s.exact) < 2e-10 THEN s.exact ELSE s.said END ORDER BY s.place)
            FROM unnest(ARRAY[r.allocated_cost, r.used_cost, r.gpu_hours, r.cost_before], e.amounts)
            WITH ORDINALITY AS s (said, exact, place)
        ) AS said
        WHERE r.dimension = '{dimension}'
        WINDOW parts AS (PARTITION BY r.grain, r.first_day)
        """,
        f"""
        SELECT grain, first_day, key, department_id, is_idle, requests, requests_without_tokens, tokens,
            ARRAY[allocated_cost, used_cost, gpu_hours, cost_before] AS amounts, total_cost, total_cost, total_gpu_hours
        FROM model.costs('{dimension}')
        """,
    )
    for dimension in (
        "department",
        "deployment",
        "model",
        "project",
        "template",
        "user",
        "model of department",
        "user of department",
    )
}
# Read by the questions above.
COMMON = """
periods AS (
    SELECT grain, dimension, key, date_trunc(grain, day::timestamp)::date AS first_day, count(*) AS requests,
        count(*) FILTER (WHERE answered) AS answered_requests,
        count(*) FILTER (WHERE token_used IS NULL) AS requests_without_tokens, coalesce(sum(token_used), 0) AS tokens
    FROM model.usage CROSS JOIN (VALUES ('day'), ('week'), ('month')) AS g (grain)
    GROUP BY 1, 2, 3, 4
), exact AS (
    SELECT dimension, key, day, p, count(latency_us) AS answered,
        (array_agg(latency_us ORDER BY latency_us) FILTER (WHERE latency_us IS NOT NULL))[
            greatest(ceil(p * count(latency_us)), 1)::integer
        ] / 1000.0::float8 AS exact
    FROM model.usage CROSS JOIN (VALUES (0.01), (0.5), (0.95), (0.99)) AS f (p)
    WHERE dimension <> 'user' AND latency_us IS NOT NULL
    GROUP BY dimension, key, day, p
), noted AS (
    SELECT * FROM rollup.noted('logs')
)
"""


def make_model(db: psycopg.Connection) -> None:
    [is_cluster] = db.execute("SELECT to_regclass('cluster.state') IS NOT NULL").fetchone()
    db.execute((ROWS_OF_SHARDS if is_cluster else ROWS) + MODEL)


def differences(db: psycopg.Connection, questions: tuple[str, ...] = tuple(QUESTIONS)) -> Iterator[str]:
    """Where the reports and the rows disagree."""
    for question in questions:
        report, rows = (QUESTIONS | COSTS)[question]
        query = f"""
            WITH {COMMON}, rows AS MATERIALIZED ({rows}), report AS MATERIALIZED ({report})
            (SELECT 'reported', r.* FROM (SELECT * FROM report EXCEPT ALL SELECT * FROM rows) AS r)
            UNION ALL
            (SELECT 'is', m.* FROM (SELECT * FROM rows EXCEPT ALL SELECT * FROM report) AS m)
            LIMIT 10
        """
        for who, *row in db.execute(query):
            yield f"{question}: {who} {', '.join(map(str, row))}"


def assert_exact(db: psycopg.Connection, *questions: str) -> None:
    found = list(differences(db, questions or tuple(QUESTIONS)))
    assert not found, "\n" + "\n".join(found)


def drop_month(db: psycopg.Connection, month: str) -> bool:
    """ops.drop_month(), with what the month is counted as put aside. Nobody may be writing."""
    partition = month[:7].replace("-", "_")
    with db.transaction():
        for entity in ("logs", "sessions"):
            name = f"llm.session_logs_{partition}" if entity == "logs" else f"llm.sessions_{partition}"
            db.execute(
                sql.SQL("INSERT INTO model.{} SELECT * FROM model.{} WHERE partition = %s").format(
                    sql.Identifier(f"dropped_{entity}"), sql.Identifier(f"stored_{entity}")
                ),
                [name],
            )
        return db.execute("SELECT ops.drop_month(%s::date, with_running => true)", [month]).fetchone()[0]
