"""What the reports must say, worked out from the rows themselves: each question of the rollups is asked of the logs as
well, in one statement and so in one snapshot. Months that were dropped are kept here as they were counted then."""

from collections.abc import Iterator

import psycopg
from psycopg import sql

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
    l.response_time IS NOT NULL AS answered,
    (extract(epoch FROM l.response_time - l.request_time) * 1000000)::bigint AS latency_us,
    l.token_used >= c.max_tokens AS at_max_tokens,
    l.config_id, l.deployment_id, e.model_id, s.project_id, l.template_id, s.user_id,
    (
        SELECT h.department_id FROM llm.user_departments AS h
        WHERE h.user_id = s.user_id AND h.since <= l.request_time
        ORDER BY h.since DESC LIMIT 1
    ) AS department_id
FROM model.raw_logs AS l
JOIN model.raw_sessions AS s USING (session_id)
JOIN llm.deployments AS e USING (deployment_id)
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
)
"""


def make_model(db: psycopg.Connection) -> None:
    [is_cluster] = db.execute("SELECT to_regclass('cluster.state') IS NOT NULL").fetchone()
    db.execute((ROWS_OF_SHARDS if is_cluster else ROWS) + MODEL)


def differences(db: psycopg.Connection, questions: tuple[str, ...] = tuple(QUESTIONS)) -> Iterator[str]:
    """Where the reports and the rows disagree."""
    for question in questions:
        report, rows = QUESTIONS[question]
        query = f"""
            WITH {COMMON}, report AS MATERIALIZED ({report}), rows AS MATERIALIZED ({rows})
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
