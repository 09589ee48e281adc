"""The demo company: exact, repeatable, shaped like real use, and never built over anything else."""

import hashlib
from datetime import UTC, datetime

import psycopg
import pytest

from conftest import fresh_database
from llm_db import demo
from llm_db.errors import Problem

ANCHOR = datetime(2026, 3, 11, tzinfo=UTC)
# Every row of every table the demo fills, in the order of its key.
CHECKSUMS = {
    "departments": "department_id",
    "users": "user_id",
    "projects": "project_id",
    "models": "model_id",
    "model_configs": "config_id",
    "datasets": "dataset_id",
    "deployments": "deployment_id",
    "deployment_history": "deployment_id, since",
    "gpu_rates": "rate_id",
    "budgets": "budget_id",
    "prompt_templates": "template_id",
    "sessions": "session_id",
    "session_logs": "session_id, log_sequence",
}


def quiet(_: str) -> None:
    pass


def build(db: psycopg.Connection, logs: int) -> demo.DemoResult:
    return demo.run(db, logs, quiet, ANCHOR)


def one(db: psycopg.Connection, query: str) -> object:
    return db.execute(query).fetchone()[0]


def checksums(db: psycopg.Connection) -> dict[str, str]:
    with db.transaction():
        db.execute("SET LOCAL TimeZone = 'UTC'")
        return {
            table: one(db, f"SELECT md5(string_agg(t::text, '|' ORDER BY {key})) FROM llm.{table} AS t")
            for table, key in CHECKSUMS.items()
        }


@pytest.mark.parametrize("logs", [1, 10, 2_000])
def test_has_exactly_the_logs_asked_for(db, logs):
    result = build(db, logs)
    assert result.created
    assert result.counts["session_logs"] == logs == one(db, "SELECT count(*) FROM llm.session_logs")
    assert result.counts["sessions"] == one(db, "SELECT count(*) FROM llm.sessions")
    assert result.counts["sessions"] == one(db, "SELECT count(DISTINCT session_id) FROM llm.session_logs")


def test_same_size_and_anchor_give_the_same_rows_on_any_database_and_in_any_time_zone(db, server, template):
    build(db, 2_000)
    with fresh_database(server, template) as dsn, psycopg.connect(dsn, autocommit=True) as other:
        other.execute("SET TimeZone = 'America/New_York'")
        other.execute("SELECT nextval('llm.users_user_id_seq'), nextval('llm.models_model_id_seq')")
        build(other, 2_000)
        assert checksums(other) == checksums(db)


def test_the_rows_are_the_same_on_every_server(db):
    """Whoever changes the demo on purpose writes the new sum here; a server that computes another one is the bug."""
    build(db, 2_000)
    assert hashlib.sha256("".join(checksums(db).values()).encode()).hexdigest()[:16] == "b184ee87a4b5299e"


def test_twice_does_not_double_it(db):
    build(db, 500)
    before = checksums(db)
    said = []
    result = demo.run(db, 1_000, said.append, ANCHOR)
    assert not result.created
    assert result.counts["session_logs"] == 500
    assert said == ["The demo company is there already, with 500 logs; nothing was changed."]
    assert checksums(db) == before


def test_refuses_a_database_with_other_data(db, company):
    before = checksums(db)
    with pytest.raises(Problem, match="data that is not the demo company's") as refusal:
        build(db, 500)
    assert refusal.value.hint
    assert checksums(db) == before


@pytest.mark.parametrize("logs", [0, -1, demo.MAX_LOGS + 1])
def test_refuses_a_size_it_cannot_build(db, logs):
    with pytest.raises(Problem, match="cannot have"):
        build(db, logs)


def test_leaves_nothing_half(db):
    def stop(message: str) -> None:
        if "of 500 logs" in message:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        demo.run(db, 500, stop, ANCHOR)
    assert one(db, "SELECT count(*) FROM llm.users") == 0
    assert build(db, 500).created


def test_what_comes_next_gets_a_free_key(db):
    build(db, 500)
    manager = "INSERT INTO llm.users (user_name, user_email, role, department_id) VALUES ('n', 'n@n', 'admin', 1)"
    assert one(db, f"{manager} RETURNING user_id") == one(db, "SELECT max(user_id) FROM llm.users")
    assert one(db, "SELECT llm.found_department('새부서', 'm', 'm@m')") == 11


@pytest.fixture(scope="module")
def built(server, template):
    """20,000 logs, only read."""
    with fresh_database(server, template) as dsn, psycopg.connect(dsn, autocommit=True) as connection:
        build(connection, 20_000)
        yield connection


def test_users_are_zipf_like(built):
    share = one(
        built,
        """
        SELECT sum(u.logs) FILTER (WHERE u.place <= 0.1 * (SELECT count(*) FROM llm.users)) / sum(u.logs)
        FROM (
            SELECT count(*) AS logs, row_number() OVER (ORDER BY count(*) DESC) AS place
            FROM llm.session_logs INNER JOIN llm.sessions USING (session_id)
            GROUP BY user_id
        ) AS u
        """,
    )
    assert 0.35 < share < 0.8


def test_follows_the_office_week_of_seoul(built):
    per_day = dict(
        built.execute(
            "SELECT extract(ISODOW FROM request_time AT TIME ZONE 'Asia/Seoul')::integer, count(*)"
            " FROM llm.session_logs GROUP BY 1"
        ).fetchall()
    )
    assert max(per_day[6], per_day[7]) < 0.4 * min(per_day[day] for day in range(1, 6))
    per_hour = dict(
        built.execute(
            "SELECT extract(HOUR FROM request_time AT TIME ZONE 'Asia/Seoul')::integer, count(*)"
            " FROM llm.session_logs GROUP BY 1"
        ).fetchall()
    )
    assert min(per_hour[hour] for hour in (10, 14, 15, 16)) > 5 * max(per_hour[hour] for hour in (1, 2, 3, 4))
    assert per_hour[12] < per_hour[11]


def test_lies_in_the_180_days_before_the_anchor_and_in_months(built):
    first, last = built.execute(
        "SELECT min(start_time), greatest(max(end_time), max(request_time), max(response_time))"
        " FROM llm.sessions INNER JOIN llm.session_logs USING (session_id)"
    ).fetchone()
    assert first >= ANCHOR - demo.SPAN
    assert last < ANCHOR
    assert (last - first).days >= 178
    assert one(built, "SELECT count(*) FROM llm.sessions_default") == 0
    assert one(built, "SELECT count(*) FROM llm.sessions WHERE llm.uuidv7_time(session_id) <> start_time") == 0


@pytest.mark.one_node("Citus does not know its question, a correlated subquery")
def test_usage_count_is_the_number_of_logs(built):
    uses = built.execute(
        "SELECT template_id, usage_count,"
        " (SELECT count(*) FROM llm.session_logs AS l WHERE l.template_id = t.template_id)"
        " FROM llm.prompt_templates AS t"
    ).fetchall()
    assert all(counted == logs for _, counted, logs in uses)
    assert sum(counted for _, counted, _ in uses) > 10_000


def test_newer_template_versions_are_taken_up(built):
    shares = [
        share
        for (share,) in built.execute(
            """
            SELECT avg((version <> '1.0')::integer)::double precision
            FROM llm.session_logs INNER JOIN llm.prompt_templates USING (template_id)
            WHERE template_name = '이메일요약'
            GROUP BY date_trunc('month', request_time)
            HAVING count(*) > 100
            ORDER BY date_trunc('month', request_time)
            """
        )
    ]
    assert shares[0] < 0.1
    assert shares[-1] > 0.8


def test_some_sessions_run_and_some_fail(built):
    share = dict(
        built.execute(
            "SELECT status, count(*)::double precision / sum(count(*)) OVER () FROM llm.sessions GROUP BY status"
        ).fetchall()
    )
    assert 0 < share["running"] < 0.02
    assert 0.01 < share["error"] < 0.05
    assert 0.02 < share["aborted"] < 0.08
    assert share["completed"] > 0.85


def test_the_last_request_of_a_failed_session_has_no_response(built):
    answered = one(
        built,
        """
        SELECT count(*)
        FROM (
            SELECT DISTINCT ON (session_id) session_id, response_time, token_used, response_s3_path
            FROM llm.session_logs
            ORDER BY session_id, log_sequence DESC
        ) AS l
        INNER JOIN llm.sessions AS s USING (session_id)
        WHERE s.status IN ('error', 'aborted')
            AND num_nonnulls(l.response_time, l.token_used, l.response_s3_path) > 0
        """,
    )
    assert answered == 0


@pytest.mark.parametrize(
    ("table", "column", "low", "high"),
    [
        ("sessions", "project_id", 0.1, 0.3),
        ("session_logs", "template_id", 0.3, 0.5),
        ("session_logs", "config_id", 0.05, 0.12),
        ("session_logs", "response_time", 0.005, 0.03),
        ("session_logs", "request_prompt_s3_path", 0.01, 0.03),
        ("deployments", "dataset_id", 0.2, 0.7),
    ],
)
def test_not_everything_is_known(built, table, column, low, high):
    assert low < one(built, f"SELECT avg(({column} IS NULL)::integer) FROM llm.{table}") < high


# Each counts the rows that contradict themselves.
CONTRADICTIONS = {
    "a preset of another model": """
        SELECT count(*) FROM llm.session_logs AS l
        INNER JOIN llm.deployments AS d USING (deployment_id)
        INNER JOIN llm.model_configs AS c USING (config_id)
        WHERE c.model_id <> d.model_id
    """,
    "more tokens than the preset allows": """
        SELECT count(*) FROM llm.session_logs INNER JOIN llm.model_configs USING (config_id)
        WHERE token_used > max_tokens
    """,
    "a request outside its session": """
        SELECT count(*) FROM llm.session_logs INNER JOIN llm.sessions USING (session_id)
        WHERE request_time < start_time OR greatest(request_time, response_time) > end_time
    """,
    "a gap in log_sequence, or time running backwards": """
        SELECT count(*) FROM (
            SELECT
                log_sequence,
                request_time,
                row_number() OVER in_order AS place,
                lag(coalesce(response_time, request_time)) OVER in_order AS before
            FROM llm.session_logs
            WINDOW in_order AS (PARTITION BY session_id ORDER BY log_sequence)
        ) AS l
        WHERE log_sequence <> place OR request_time < before
    """,
    "a template used before it was written": """
        SELECT count(*) FROM llm.session_logs INNER JOIN llm.prompt_templates USING (template_id)
        WHERE request_time < created_at
    """,
    "a session of a project to come": """
        SELECT count(*) FROM llm.sessions INNER JOIN llm.projects USING (project_id) WHERE start_time < created_at
    """,
    "a session without a login": """
        SELECT count(*) FROM llm.sessions INNER JOIN llm.users USING (user_id)
        WHERE last_login IS NULL OR start_time > last_login + interval '20 minutes'
    """,
    "a manager from elsewhere, or gone": """
        SELECT count(*) FROM llm.departments AS d INNER JOIN llm.users AS u ON d.manager_id = u.user_id
        WHERE u.department_id <> d.department_id OR NOT u.is_active
    """,
}


@pytest.mark.parametrize("claim", CONTRADICTIONS)
def test_does_not_contradict_itself(built, claim):
    assert one(built, CONTRADICTIONS[claim]) == 0


def test_people_left_and_stopped(built):
    left, last = built.execute("SELECT count(*), max(last_login) FROM llm.users WHERE NOT is_active").fetchone()
    assert left >= 2
    assert last < ANCHOR


def test_latency_follows_tokens_and_has_a_long_tail(built):
    correlation, half, tail = built.execute(
        """
        SELECT
            corr(ln(extract(EPOCH FROM latency)::double precision), ln(token_used::double precision)),
            percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(EPOCH FROM latency)),
            percentile_cont(0.99) WITHIN GROUP (ORDER BY extract(EPOCH FROM latency))
        FROM llm.session_logs
        WHERE latency IS NOT NULL
        """
    ).fetchone()
    assert correlation > 0.5
    assert tail > 8 * half


def test_speaks_korean(built):
    names = {name for (name,) in built.execute("SELECT department_name FROM llm.departments")}
    assert {"AI연구팀", "데이터분석팀", "개발1팀"} <= names
    assert one(built, "SELECT count(*) FROM llm.users WHERE user_name !~ '^[가-힣]{3}$'") == 0
