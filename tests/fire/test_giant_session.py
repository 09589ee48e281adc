"""One session with a million logs (in the suite's default fewer): what is done to it takes as long as its rows are
many, and what is done to one of its rows no longer than in any other session."""

import csv
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from statistics import median
from uuid import UUID

import psycopg
from sizes import size

from command import llm_db
from conftest import Company
from rollup_model import assert_exact, make_model

LOGS = size(20_000, 1_000_000)
BATCH = 1000
APPENDED = 300
# Of the smaller one's time. What has to look at each log would be a hundred times slower, or more.
SLOWER = 4


def timed(what: str, work: Callable[[], object]) -> float:
    began = time.monotonic()
    work()
    took = time.monotonic() - began
    print(f"{what}: {took:.2f} s")
    return took


def append(db: psycopg.Connection, company: Company, session: UUID) -> float:
    """How long the usual log without a number takes, in milliseconds."""
    seconds = []
    for _ in range(APPENDED):
        began = time.monotonic()
        db.execute(
            "INSERT INTO llm.session_logs (session_id, deployment_id, config_id, template_id, token_used)"
            " VALUES (%s, %s, %s, %s, 7)",
            [session, company.deployment_id, company.config_id, company.template_id],
        )
        seconds.append(time.monotonic() - began)
    return median(seconds) * 1000


def make_session(db: psycopg.Connection, company: Company, days_ago: int) -> UUID:
    return db.execute(
        "INSERT INTO llm.sessions (session_id, user_id, project_id, start_time, session_type)"
        " SELECT llm.uuidv7(t), %s, %s, t, 'production' FROM (SELECT now() - make_interval(days => %s)) AS x (t)"
        " RETURNING session_id",
        [company.user_id, company.project_id, days_ago],
    ).fetchone()[0]


def value(db: psycopg.Connection, query: str, *parameters: object) -> object:
    return db.execute(query, parameters).fetchone()[0]


def test_a_giant_session(db: psycopg.Connection, dsn: str, company: Company, tmp_path: Path) -> None:
    make_model(db)
    small, giant = (make_session(db, company, 3) for _ in range(2))
    db.execute("CALL llm.move_default_rows()")
    append(db, company, small)
    of_small = append(db, company, small)
    fill = (
        "INSERT INTO llm.session_logs (session_id, log_sequence, request_time, response_time, deployment_id, config_id,"
        " template_id, token_used)"
        " SELECT %s, {number}, t, t + interval '1 ms' * (n %% 5000), %s, %s, CASE WHEN n %% 2 = 0 THEN %s::bigint END,"
        " n %% 900"
        " FROM generate_series(1, {many}) AS n"
        " CROSS JOIN LATERAL (SELECT now() - interval '2 days' + interval '40 hours' * n / {many} AS t) AS x"
    )
    row = [giant, company.deployment_id, company.config_id, company.template_id]
    timed(f"{LOGS:,} logs with numbers", lambda: db.execute(fill.format(number="n", many=LOGS), row))
    timed(f"{BATCH:,} logs without", lambda: db.execute(fill.format(number="NULL", many=BATCH), row))
    db.execute("ANALYZE")
    of_giant = append(db, company, giant)
    print(f"a log more: {of_small:.2f} ms in a session of {2 * APPENDED}, {of_giant:.2f} ms in the giant one")
    assert of_giant < SLOWER * of_small
    logs = LOGS + BATCH + APPENDED
    uses = 2 * APPENDED + (LOGS + BATCH) // 2 + APPENDED
    numbers = (
        "SELECT count(*), max(log_sequence), count(DISTINCT log_sequence) FROM llm.session_logs WHERE session_id = %s"
    )
    assert db.execute(numbers, [giant]).fetchone() == (logs, logs, logs)
    usage_count = "SELECT usage_count FROM llm.prompt_templates WHERE template_id = %s"
    assert value(db, usage_count, company.template_id) == uses

    summary = "SELECT requests FROM reporting.session_summaries WHERE session_id = %s"
    timed("its line in session_summaries", lambda: db.execute(summary, [giant]).fetchone())
    assert value(db, summary, giant) == logs
    timed("a refresh of all of it", lambda: db.execute("CALL ops.refresh_rollups(clock_timestamp())"))
    assert_exact(db, "usage", "sessions")
    timed("daily_sessions, of closed time", lambda: db.execute("SELECT * FROM reporting.daily_sessions").fetchall())

    # A row that comes late, and a file.
    db.execute(
        "INSERT INTO llm.session_logs (session_id, request_time, deployment_id)"
        " VALUES (%s, now() - interval '1 day', %s)",
        [giant, company.deployment_id],
    )
    timed("daily_sessions, after a late row", lambda: db.execute("SELECT * FROM reporting.daily_sessions").fetchall())
    assert_exact(db, "usage", "sessions")
    timed("a refresh after a late row", lambda: db.execute("CALL ops.refresh_rollups(clock_timestamp())"))
    path = tmp_path / "more.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["session_id", "request_time", "server_name", "token_used"])
        at = value(db, "SELECT (now() - interval '3 hours')::timestamptz(0)")
        writer.writerows(
            [giant, (at + timedelta(seconds=n)).isoformat(), "AI연구팀-gpu-01", n] for n in range(APPENDED)
        )
    loaded = []
    timed(f"llm-db load of {APPENDED} rows", lambda: loaded.append(llm_db("load", str(path), "--dsn", dsn)))
    assert loaded[0].returncode == 0, loaded[0].stderr
    logs += 1 + APPENDED
    assert db.execute(numbers, [giant]).fetchone() == (logs, logs, logs)
    db.execute("UPDATE llm.sessions SET end_time = now(), status = 'completed' WHERE session_id = %s", [giant])
    timed("a refresh after its end", lambda: db.execute("CALL ops.refresh_rollups(clock_timestamp())"))
    assert_exact(db, "usage", "sessions")

    timed("deleting it", lambda: db.execute("DELETE FROM llm.sessions WHERE session_id = %s", [giant]))
    assert value(db, "SELECT count(*) FROM llm.session_logs") == 2 * APPENDED
    assert value(db, usage_count, company.template_id) == uses
    print(f"it leaves {value(db, 'SELECT count(*) FROM rollup.notes')} notes")
    assert_exact(db)
    timed("a refresh after that", lambda: db.execute("CALL ops.refresh_rollups(clock_timestamp())"))
    assert_exact(db)
