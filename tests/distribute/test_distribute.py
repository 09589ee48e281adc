"""`llm-db distribute`: what it refuses; and on a cluster, there and back, killed and run again, exact under writers."""

import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing

import psycopg
import pytest

import citus
from citus import needs_a_cluster
from llm_db import check, database, distribute, migrate, repeatables
from llm_db.errors import Problem

WHERE = "SELECT to_regclass('cluster.state') IS NOT NULL"
OTHERS = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND application_name LIKE 'llm-db%'
"""
LOG = "INSERT INTO llm.session_logs (session_id, deployment_id, template_id, request_time) VALUES (%s, 1, 1, %s)"
# What must be the same wherever the logs lie.
TOTALS = """
SELECT
    (SELECT count(*) FROM llm.sessions), (SELECT count(*) FROM llm.session_logs),
    (SELECT sum(usage_count) FROM llm.prompt_templates), (SELECT sum(requests) FROM reporting.daily_usage),
    (SELECT sum(sessions) FROM rollup.session_rows), (SELECT count(*) FROM reporting.requests)
"""


@pytest.mark.skipif(bool(citus.DSN), reason="on a cluster there is nothing of this to refuse")
def test_without_citus_it_is_refused_with_the_way_there(db: psycopg.Connection) -> None:
    planned = distribute.plan(db)
    assert [reason for reason, _ in planned.reasons] == ["the extension citus, 13.0 or later, is not in this database"]
    assert [table.name for table in planned.tables] == ["llm.sessions", "llm.session_logs"]
    with pytest.raises(Problem, match="the extension citus"):
        distribute.distribute(db, tell=lambda _: None)
    assert distribute.lines(distribute.plan(db, undo=True), undo=True) == ["there is nothing to undo"]


def test_another_session_at_work_is_a_reason(dsn: str, db: psycopg.Connection) -> None:
    with psycopg.connect(dsn) as other:
        pid = other.execute("SELECT pg_backend_pid()").fetchone()[0]
        reasons = [reason for reason, _ in distribute.plan(db, undo=bool(citus.DSN)).reasons]
    assert any(reason.startswith(f"another session is at work: pid {pid} ") for reason in reasons)


def test_what_differs_stands_beside_its_original() -> None:
    originals, differing = ({file.name: file for file in repeatables.files(root)} for root in repeatables.ROOTS)
    for name, file in differing.items():
        says = file.text.partition("\n")[0]
        expected = (
            (f"instead of: views/{name}.sql", f"after: views/{name}.sql")
            if name in originals
            else ("On a cluster only",)
        )
        assert says.removeprefix("-- ").startswith(expected), f"{file.path} begins with {says}"


@pytest.fixture
def plain() -> Iterator[str]:
    """A migrated database on a cluster's coordinator that was never distributed."""
    with citus.cluster_database() as dsn:
        with database.connect(database.Target(dsn, "the tests")) as connection:
            migrate.migrate(connection, tell=lambda _: None)
        citus.add_nodes(dsn)
        yield dsn


def make_logs(db: psycopg.Connection, days: int = 60) -> None:
    """Sessions of some months, of which some wait in DEFAULT."""
    db.execute("""
        SELECT llm.found_department('A', 'M', 'm@example.com');
        INSERT INTO llm.models (model_name, model_type) VALUES ('m', 'chat');
        INSERT INTO llm.deployments (model_id, server_name, gpu_count, environment, status)
        VALUES (1, 's', 1, 'production', 'active');
        INSERT INTO llm.prompt_templates (template_name, prompt_s3_path, task_category, created_by)
        SELECT 't', 's3://bucket/key', (SELECT min(code) FROM llm.task_categories), 1;
    """)
    for back in range(days):
        with db.transaction():
            at = f"now() - interval '{back} days'"
            session = db.execute(
                "INSERT INTO llm.sessions (session_id, user_id, session_type, status, start_time, end_time)"
                f" SELECT llm.uuidv7({at}), 1, (SELECT min(code) FROM llm.session_types), 'completed', {at}, {at}"
                " RETURNING session_id, start_time"
            ).fetchone()
            db.execute(LOG, session)
            db.execute(LOG, session)


def run(dsn: str, *options: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "llm_db", "distribute", *options, "--dsn", dsn],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


@needs_a_cluster
def test_all_that_is_repeatable_can_be_made_anew(dsn: str, db: psycopg.Connection) -> None:
    """As by a later release that changes a file: first as on one node, then as on a cluster."""
    db.execute("UPDATE llm_db.repeatables SET sha256 = ''")
    with database.connect(database.Target(dsn, "the tests")) as connection:
        migrate.migrate(connection, tell=lambda _: None)
    assert db.execute("SELECT count(*) FROM llm_db.repeatables WHERE sha256 = ''").fetchone() == (0,)
    found = check.check(db, citus.servers()[0])
    assert not found.differs, found.differences


@needs_a_cluster
def test_there_and_back_whenever_it_is_killed(plain: str) -> None:
    with closing(psycopg.connect(plain, autocommit=True)) as db:
        make_logs(db)
        db.execute("CALL ops.refresh_rollups(now() - interval '10 days')")
        totals = db.execute(TOTALS).fetchone()
        for options in ((), ("--undo",)):
            process = run(plain, *options)
            time.sleep(random.uniform(1, 8))
            process.send_signal(signal.SIGKILL)
            process.wait()
            # The server ends what the dead client had begun.
            while db.execute(OTHERS).fetchone()[0]:
                time.sleep(0.1)
            process = run(plain, *options)
            assert process.wait() == 0, process.stderr.read()
            assert db.execute(WHERE).fetchone() == (not options,)
            assert db.execute(TOTALS).fetchone() == totals
            found = check.check(db, citus.servers()[0])
            assert not found.differs, found.differences


@needs_a_cluster
def test_reports_are_exact_under_writers(dsn: str) -> None:
    """What a report says lies between what was committed before it and what was begun until its end."""
    stop = threading.Event()
    begun, done, wrong = [0], [0], []

    def write() -> None:
        with closing(psycopg.connect(dsn)) as connection:
            while not stop.is_set():
                late = random.random() < 0.3
                at = connection.execute(
                    "SELECT clock_timestamp() - %s * interval '1 hour'", [random.random() * 50 if late else 0]
                ).fetchone()[0]
                session = connection.execute(
                    "INSERT INTO llm.sessions (session_id, user_id, session_type, status, start_time)"
                    " SELECT llm.uuidv7(%s), 1, (SELECT min(code) FROM llm.session_types), 'running', %s"
                    " RETURNING session_id",
                    [at, at],
                ).fetchone()[0]
                begun[0] += 1
                connection.execute(LOG, [session, at])
                connection.commit()
                done[0] += 1

    def refresh() -> None:
        with closing(psycopg.connect(dsn, autocommit=True)) as connection:
            while not stop.is_set():
                connection.execute("CALL ops.refresh_rollups(now() - interval '200 milliseconds', '20 seconds')")

    with closing(psycopg.connect(dsn, autocommit=True)) as db:
        make_logs(db, days=3)
        base = db.execute("SELECT count(*) FROM llm.session_logs").fetchone()[0]
        threads = [threading.Thread(target=write), threading.Thread(target=refresh)]
        for thread in threads:
            thread.start()
        give_up = time.monotonic() + 15
        while time.monotonic() < give_up:
            for question in (
                "SELECT sum(requests) FROM reporting.daily_usage",
                "SELECT sum(requests) FROM rollup.session_rows",
                "SELECT sum(usage_count) FROM llm.prompt_templates",
            ):
                least = base + done[0]
                said = db.execute(question).fetchone()[0]
                if not least <= said <= base + begun[0]:
                    wrong.append((question, least, said, base + begun[0]))
        stop.set()
        for thread in threads:
            thread.join()
        db.execute("CALL ops.refresh_rollups(now())")
        summed = db.execute("SELECT sum(requests) FROM rollup.usage WHERE dimension = 'all'").fetchone()[0]
    assert not wrong
    assert done[0] > 0
    assert summed == base + done[0]
