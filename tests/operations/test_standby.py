"""docs/replication.md, followed: what a standby answers and refuses, what ends a report there, and its promotion."""

import re
import threading
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from rehearsal import database_of, drift, follow, goes_on, logs_of, reports, writing

from cluster import Cluster, newer_bins
from command import ROOT, documented, eventually, execute, llm_db, value
from logins import LOGINS, logins_of_the_page
from rollup_model import assert_exact, make_model

pytest_plugins = ["servers"]
pytestmark = pytest.mark.skipif(bool(newer_bins()), reason="rehearsed once, on the newest server")
PAGE = "docs/replication.md"


@pytest.fixture(scope="module")
def standby(primary: Cluster) -> Iterator[Cluster]:
    execute(database_of(primary), documented(PAGE, "replication role"))
    with Cluster(primary.bin) as cluster:
        source = make_conninfo(primary.dsn, user="llm_standby")
        follow(cluster, PAGE, "standby", PRIMARY=source, DATA=cluster.data)
        with open(cluster.data / "postgresql.auto.conf", "a") as file:
            file.write(documented(PAGE, "standby settings"))
        cluster.configure({})
        cluster.start()
        yield cluster
    # A worker of the test run may come back to this module, and the primary is still there.
    eventually(lambda: value(primary.dsn, "SELECT NOT bool_or(active) FROM pg_replication_slots"))
    execute(primary.dsn, "SELECT pg_drop_replication_slot('llm_standby')")
    execute(primary.dsn, "DROP ROLE llm_standby")


def caught_up(primary: Cluster, standby: Cluster) -> None:
    """Waits until the standby has replayed what the primary has written so far."""
    written = value(primary.dsn, "SELECT pg_current_wal_insert_lsn()")
    eventually(lambda: value(standby.dsn, f"SELECT pg_last_wal_replay_lsn() >= '{written}'"))


# What a role may read or call beside the views of `reporting`, which are asked of each: docs/roles.md.
QUESTIONS = [
    "SELECT * FROM ops.health",
    "SELECT * FROM ops.months",
    "SELECT * FROM ops.rollups",
    "SELECT * FROM ops.sizes",
    "SELECT * FROM ops.role_grants",
    "SELECT * FROM ops.months_to_drop(13)",
    "SELECT * FROM audit.changes",
    "SELECT * FROM audit.months",
    "SELECT * FROM audit.history('llm.users', '12')",
    "SELECT * FROM audit.changes_by_day(current_date)",
    "SELECT * FROM reporting.latency_percentiles('2024-01-01', '2025-01-01', 'model')",
    "SELECT reporting.time_zone()",
    "SELECT template_id, template_name FROM llm.prompt_templates",
    "SELECT session_id, log_sequence, token_used FROM llm.session_logs",
    "SELECT * FROM ops.find_mentions(ARRAY['kim@example.com'])",
]


def answered(db: psycopg.Connection, question: str) -> tuple[list | None, str]:
    """The rows, sorted, or the SQLSTATE. What is measured of the server itself differs."""
    try:
        rows = db.execute(question).fetchall()
    except psycopg.Error as error:
        return None, error.sqlstate
    return sorted(map(str, rows)), ""


def test_a_standby_answers_every_question_of_every_role(primary: Cluster, standby: Cluster) -> None:
    dsn, copy = database_of(primary), database_of(standby)
    with psycopg.connect(dsn, autocommit=True) as db:
        db.execute("CALL llm.maintain()")
        views = [name for (name,) in db.execute("SELECT viewname FROM pg_views WHERE schemaname = 'reporting'")]
    asked = QUESTIONS + [f"SELECT * FROM reporting.{name}" for name in views]
    # Sizes, the age of statistics, and hours that go by are not copied.
    own = ("ops.health", "ops.sizes", "ops.months ", "ops.rollups", "gpu_hours", "audit.months")
    with logins_of_the_page(dsn) as connect:
        caught_up(primary, standby)
        for login in LOGINS:
            there = connect(login)
            with psycopg.connect(make_conninfo(copy, user=there.info.user), autocommit=True) as here:
                for question in asked:
                    (rows, refused), (expected, refused_there) = answered(here, question), answered(there, question)
                    assert refused == refused_there in ("", "42501"), (login, question)
                    if not any(name in f"{question} " for name in own):
                        assert rows == expected, (login, question)
    for (name,) in psycopg.connect(copy).execute("SELECT viewname FROM pg_views WHERE schemaname = 'reporting'"):
        done = llm_db("report", name, "--csv", "--dsn", copy)
        assert (done.returncode, done.stderr) == (0, ""), name


def test_what_changes_something_is_refused_in_words_and_upkeep_is_left_to_the_primary(
    primary: Cluster, standby: Cluster, server: str, tmp_path: Path
) -> None:
    execute(database_of(primary), "CALL llm.maintain()")
    caught_up(primary, standby)
    dsn = database_of(standby)
    file = tmp_path / "logs.csv"
    file.write_text("request_time,server_name,user_email\n2026-01-01,gpu-01,kim@example.com\n")
    for command in (
        ("migrate",),
        ("rollback", "--to", "1", "--yes"),
        ("baseline", "--to", "1", "--scratch", server),
        ("repair", "--accept", "1"),
        ("load", str(file)),
        ("demo", "--logs", "10"),
    ):
        done = llm_db(*command, "--dsn", dsn)
        assert done.returncode == 2, (command, done.stdout, done.stderr)
        assert "is a standby" in done.stderr, (command, done.stderr)
        assert "connect to the primary" in done.stderr, command
    for command in (("status", "--check"), ("plan",), ("doctor",), ("check", "--scratch", server)):
        done = llm_db(*command, "--dsn", dsn)
        assert done.returncode == 0, (command, done.stdout, done.stderr)
    standby.run("pg_dump", "--format=directory", "--jobs=2", f"--file={standby.home / 'dump'}", f"--dbname={dsn}")
    done = llm_db("maintain", "--dsn", dsn)
    assert (done.returncode, done.stdout, done.stderr) == (
        0,
        "this server is a standby: upkeep is done on its primary\n",
        "",
    )
    told = []
    with psycopg.connect(dsn, autocommit=True) as db:
        db.add_notice_handler(lambda notice: told.append((notice.severity, notice.message_primary)))
        db.execute("CALL llm.maintain()")
        # The other writers say what every database says.
        for statement in ("SELECT llm.create_month('2031-01-01')", "CALL ops.refresh_rollups()"):
            with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
                db.execute(statement)
    assert told == [("NOTICE", done.stdout.strip())]


def test_reports_there_are_exact_while_the_primary_writes_and_refreshes(primary: Cluster, standby: Cluster) -> None:
    dsn, copy = database_of(primary), database_of(standby)
    with psycopg.connect(dsn, autocommit=True) as db:
        make_model(db)
        caught_up(primary, standby)
        over = threading.Event()

        def refresh() -> None:
            with psycopg.connect(dsn, autocommit=True) as upkeep:
                while not over.is_set():
                    upkeep.execute("CALL ops.refresh_rollups(clock_timestamp())")

        refresher = threading.Thread(target=refresh)
        refresher.start()
        try:
            with writing(dsn) as writer, psycopg.connect(copy, autocommit=True) as analyst:
                moments = set()
                looks = 0
                while looks < 6 or len(moments) < 4:
                    assert_exact(analyst, "usage", "sessions", "hours", "activity")
                    moments.add(analyst.execute("SELECT closed_before FROM rollup.state").fetchone())
                    looks += 1
                    assert looks < 200
        finally:
            over.set()
            refresher.join()
        assert writer.thrown_out is None
        lag = db.execute(documented(PAGE, "lag")).fetchall()
        assert [(state, sync) for _, state, sync, *_ in lag] == [("streaming", "async")]
        caught_up(primary, standby)
        assert reports(copy) == reports(dsn)
        db.execute("DROP SCHEMA model CASCADE")
    caught_up(primary, standby)


def analysing(copy: str, reads: str) -> threading.Thread:
    """An analyst's transaction that has read a report and is still at work. What ended it is in `.error`."""

    class Analyst(threading.Thread):
        error: psycopg.Error | None = None

        def run(self) -> None:
            try:
                with psycopg.connect(copy, application_name="analyst") as db:
                    db.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
                    db.execute(f"SELECT count(*) FROM {reads}")
                    db.execute("SELECT pg_sleep(120)")
            except psycopg.Error as error:
                self.error = error

    analyst = Analyst()
    analyst.start()
    eventually(
        lambda: value(
            copy, "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'analyst' AND wait_event = 'PgSleep'"
        )
    )
    return analyst


def test_what_ends_a_report_on_a_standby(primary: Cluster, standby: Cluster) -> None:
    dsn, copy = database_of(primary), database_of(standby)
    execute(dsn, "SELECT llm.create_month('2030-01-01')")
    caught_up(primary, standby)
    with standby.connect() as admin:
        admin.execute("ALTER SYSTEM SET max_standby_streaming_delay = 0")
        admin.execute("ALTER SYSTEM SET wal_receiver_status_interval = '1s'")
        admin.execute("SELECT pg_reload_conf()")
    with psycopg.connect(dsn, autocommit=True) as db:
        # Not ended by refreshes, writers, and vacuum with feedback ...
        analyst = analysing(copy, "reporting.daily_usage")
        held = "SELECT xmin IS NOT NULL FROM pg_replication_slots WHERE slot_name = 'llm_standby'"
        eventually(lambda: db.execute(held).fetchone()[0])
        db.execute("CALL ops.refresh_rollups(clock_timestamp())")
        with writing(dsn) as writer:
            eventually(lambda: writer.changes > 3)
        db.execute("VACUUM (TRUNCATE off) rollup.state, rollup.usage, llm.session_logs, llm.users")
        caught_up(primary, standby)
        assert analyst.is_alive(), analyst.error
        # ... but by a change of months.
        db.execute("SELECT llm.drop_month('2030-01-01')")
        analyst.join(60)
    assert analyst.error.sqlstate == "40001"
    page = (ROOT / PAGE).read_text(encoding="utf-8")
    assert re.search(r"SQLSTATE 40001, `(.*)`", page)[1] in str(analyst.error)


def test_a_standby_takes_over(primary: Cluster, standby: Cluster, should: psycopg.Connection) -> None:
    """The last one here: the standby is none any more."""
    dsn, copy = database_of(primary), database_of(standby)
    with writing(dsn) as writer:
        eventually(lambda: writer.changes > 5)
    caught_up(primary, standby)
    told = reports(dsn)
    timeline = value(copy, "SELECT timeline_id FROM pg_control_checkpoint()")
    follow(standby, PAGE, "promote", DATA=standby.data)
    assert value(copy, "SELECT pg_walfile_name(pg_current_wal_lsn()) LIKE '00000002%'") == (timeline == 1)
    assert reports(copy) == told
    assert set(writer.logs) <= logs_of(copy)
    assert drift(should, copy) == []
    goes_on(copy)
