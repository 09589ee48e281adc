"""Reports are exact while many write and the rollups are refreshed, and writers wait for nobody."""

import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

import citus
from conftest import Company
from rollup_model import COSTS, QUESTIONS, assert_exact, make_model

SECONDS, AT_MOST_SECONDS = 5, 60
WRITERS = 4
LOG = (
    "INSERT INTO llm.session_logs (session_id, log_sequence, request_time, deployment_id, config_id, token_used)"
    " VALUES (%s, %s, %s, %s, %s, %s)"
)


def connect(dsn: str, options: str = "") -> psycopg.Connection:
    return psycopg.connect(dsn, autocommit=True, options=f"-c statement_timeout=60s -c jit=off {options}")


def write(dsn: str, company: Company, number: int, over: Callable[[], bool]) -> float:
    """Logs of now and late ones, and how long the slowest statement took. All of one session and one deployment: what
    there is to wait for, they share."""
    slowest, rng = 0.0, random.Random(number)
    with connect(dsn, "-c lock_timeout=1s") as writer:
        for sequence in range(number + 1, 10**9, WRITERS):
            late = rng.choice([0, 0, 0, 1, 60, 60 * 24 * 3])
            at = datetime.now(UTC) - timedelta(minutes=late)
            with writer.transaction():
                began = time.monotonic()
                writer.execute(LOG, [company.session_id, sequence, at, company.deployment_id, company.config_id, late])
                slowest = max(slowest, time.monotonic() - began)
                time.sleep(rng.choice([0, 0, 0.01, 0.3]))
            if over():
                return slowest
    raise AssertionError


def refresh(dsn: str, over: Callable[[], bool], ended: list[float]) -> None:
    """Closes all there is, over and over, and is ended at random moments. `ended` gets when one came to its end."""
    longest, rng = 0.6, random.Random(0)
    while not over():
        with connect(dsn) as refresher:
            pid = refresher.info.backend_pid
            end = threading.Timer(rng.uniform(0.05, longest), terminate, [dsn, pid])
            # Where a refresh takes longer than that, one comes to its end later.
            longest *= 1.05
            end.start()
            with suppress(psycopg.OperationalError):
                while not over():
                    refresher.execute("CALL ops.refresh_rollups(clock_timestamp(), batch_logs => 50)")
                    ended.append(time.monotonic())
            end.cancel()


def change_deployments(dsn: str, company: Company, over: Callable[[], bool]) -> None:
    """What the deployment holds and costs, now and in the past."""
    rng = random.Random(0)
    with connect(dsn, "-c lock_timeout=1s") as owner:
        owner.execute("INSERT INTO llm.models (model_name, model_type) VALUES ('another', 'chat')")
        while not over():
            past = datetime.now(UTC) - timedelta(minutes=rng.choice([0, 1, 60, 60 * 24 * 3]))
            with owner.transaction():
                owner.execute(
                    "UPDATE llm.deployments SET (model_id, gpu_count, status) ="
                    " ((SELECT model_id FROM llm.models ORDER BY model_id OFFSET %s LIMIT 1), %s, %s)",
                    [rng.choice([0, 1]), rng.choice([0, 2, 8]), rng.choice(["active", "inactive"])],
                )
                owner.execute(
                    "INSERT INTO llm.deployment_history VALUES (%s, %s, %s, 3, 'test', 'active')",
                    [company.deployment_id, past, company.model_id],
                )
                owner.execute("INSERT INTO llm.gpu_rates (since, price_per_hour) VALUES (%s, 0.3333333333)", [past])
                time.sleep(rng.choice([0, 0.3]))
            # A row for each of many changes would be looked at for each question.
            owner.execute(
                "DELETE FROM llm.deployment_history WHERE random() < 0.9 AND since > '-infinity'"
                " AND since < (SELECT max(since) FROM llm.deployment_history)"
            )
            owner.execute("DELETE FROM llm.gpu_rates WHERE random() < 0.9")


def terminate(dsn: str, pid: int) -> None:
    with connect(dsn) as admin:
        admin.execute("SELECT pg_terminate_backend(%s)", [pid])


def check(dsn: str, over: Callable[[], bool], ended: list[float]) -> None:
    with connect(dsn, "-c default_transaction_isolation=repeatable\\ read") as reader:
        while not over():
            with reader.transaction():
                if citus.DSN:
                    # No snapshot reaches over report and rows: they are compared when nobody writes any more.
                    reader.execute("SELECT count(*) FROM rollup.cost_periods")
                else:
                    assert_exact(
                        reader, "usage", "hours", "sessions", "running", "costs by department", "costs by model"
                    )
            ended.append(time.monotonic())


def test_reports_are_exact_while_many_write(db: psycopg.Connection, dsn: str, company: Company) -> None:
    make_model(db)
    began, refreshes, checks = time.monotonic(), [], []

    def over() -> bool:
        enough = min(len(refreshes), len(checks)) > 1
        return time.monotonic() - began > (SECONDS if enough else AT_MOST_SECONDS)

    with ThreadPoolExecutor(WRITERS + 3) as pool:
        writers = [pool.submit(write, dsn, company, number, over) for number in range(WRITERS)]
        others = [
            pool.submit(refresh, dsn, over, refreshes),
            pool.submit(check, dsn, over, checks),
            pool.submit(change_deployments, dsn, company, over),
        ]
        # A writer that waits for another, or for the refresh, fails by its lock_timeout.
        slowest = max(writer.result() for writer in writers)
        assert [other.result() for other in others] == [None, None, None]
    assert (len(refreshes) > 1, len(checks) > 1) == (True, True)
    print(f"the slowest of the writers' statements took {slowest * 1000:.0f} ms")
    db.execute("CALL ops.refresh_rollups(clock_timestamp())")
    assert_exact(db, *QUESTIONS, *COSTS)
    assert db.execute("SELECT count(*) FROM rollup.open_logs('{}')").fetchone() == (0,)


def test_a_refresh_fails_when_another_is_at_work(db: psycopg.Connection, dsn: str) -> None:
    """An end that is no success: nothing was done."""
    with psycopg.connect(dsn) as other:
        other.execute("SELECT rollup.lock_state(true)")
        with pytest.raises(psycopg.errors.LockNotAvailable, match="another transaction is at work on the rollups"):
            db.execute("CALL ops.refresh_rollups()")
    db.execute("CALL ops.refresh_rollups()")


def test_a_refresh_waits_for_writers_and_gives_up(db: psycopg.Connection, dsn: str, company: Company) -> None:
    notices: list[str] = []
    db.add_notice_handler(lambda notice: notices.append(notice.message_primary))
    closed = "SELECT closed_before > '-infinity' FROM rollup.state"
    with psycopg.connect(dsn) as writer:
        writer.execute(LOG, [company.session_id, 1, datetime.now(UTC), company.deployment_id, company.config_id, 1])
        db.execute("CALL ops.refresh_rollups(patience => '0.2 s')")
        assert "nothing more was closed" in notices[0]
        assert db.execute(closed).fetchone() == (False,)
    db.execute("CALL ops.refresh_rollups(patience => '0.2 s')")
    assert db.execute(closed).fetchone() == (True,)


# The guards matter: without one, the comparison fails.

LATE = "2024-01-10 11:00Z"


def between(db: psycopg.Connection, dsn: str, company: Company, isolation: str) -> None:
    """A log that was written before a refresh, and is committed after it."""
    make_model(db)
    # Without any sum a report would notice by itself.
    db.execute(LOG, [company.session_id, 2, "2023-12-10Z", company.deployment_id, company.config_id, 1])
    db.execute("CALL ops.refresh_rollups('2024-01-01Z')")
    with psycopg.connect(dsn, autocommit=True) as writer:
        writer.execute(f"BEGIN ISOLATION LEVEL {isolation}")
        if isolation != "READ COMMITTED":
            writer.execute("SELECT count(*) FROM llm.session_logs")
            db.execute("CALL ops.refresh_rollups('2024-06-01Z')")
        writer.execute(LOG, [company.session_id, 1, LATE, company.deployment_id, company.config_id, 1])
        refresh = threading.Thread(target=close, args=[dsn])
        refresh.start()
        refresh.join(0.5)
        writer.execute("COMMIT")
        refresh.join()


def close(dsn: str, before: str = "'2024-06-01Z'") -> None:
    with connect(dsn) as refresher:
        refresher.execute(f"CALL ops.refresh_rollups({before})")


@pytest.mark.parametrize("isolation", ["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"])
def test_a_log_cannot_fall_between(db: psycopg.Connection, dsn: str, company: Company, isolation: str) -> None:
    between(db, dsn, company, isolation)
    assert_exact(db)


def change_between(db: psycopg.Connection, dsn: str, company: Company, isolation: str) -> None:
    """Another model, since before a request that a refresh sums up, and committed after it."""
    make_model(db)
    db.execute("INSERT INTO llm.models (model_name, model_type) VALUES ('another', 'chat')")
    with psycopg.connect(dsn, autocommit=True) as owner:
        owner.execute(f"BEGIN ISOLATION LEVEL {isolation}")
        owner.execute("UPDATE llm.deployments SET model_id = (SELECT max(model_id) FROM llm.models), gpu_count = 3")
        now = datetime.now(UTC)
        db.execute(LOG, [company.session_id, 1, now, company.deployment_id, company.config_id, 1])
        refresh = threading.Thread(target=close, args=[dsn, "clock_timestamp()"])
        refresh.start()
        refresh.join(0.5)
        owner.execute("COMMIT")
        refresh.join()


@pytest.mark.parametrize("isolation", ["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"])
def test_a_request_is_of_the_model_of_its_time(
    db: psycopg.Connection, dsn: str, company: Company, isolation: str
) -> None:
    change_between(db, dsn, company, isolation)
    assert_exact(db, *QUESTIONS, *COSTS)


def test_it_would_not_be_without_waiting_for_writers(db: psycopg.Connection, dsn: str, company: Company) -> None:
    db.execute("CREATE OR REPLACE FUNCTION rollup.writers() RETURNS SETOF text STABLE RETURN NULL::text")
    change_between(db, dsn, company, "READ COMMITTED")
    with pytest.raises(AssertionError, match="costs by model: is day"):
        assert_exact(db, "costs by model")


def test_it_would_without_waiting_for_writers(db: psycopg.Connection, dsn: str, company: Company) -> None:
    db.execute("CREATE OR REPLACE FUNCTION rollup.writers() RETURNS SETOF text STABLE RETURN NULL::text")
    between(db, dsn, company, "READ COMMITTED")
    with pytest.raises(AssertionError, match="usage: is all"):
        assert_exact(db)


BELIEVE = (
    "CREATE OR REPLACE FUNCTION rollup.noted_before() RETURNS timestamptz STABLE"
    " RETURN (SELECT s.noted_before FROM rollup.state AS s)"
)
if citus.DSN:
    BELIEVE = (
        "CREATE OR REPLACE FUNCTION cluster.noted_before(shard oid) RETURNS timestamptz LANGUAGE plpgsql AS $$ DECLARE"
        " found timestamptz; BEGIN EXECUTE 'SELECT noted_before FROM ' || cluster.beside(shard, 'cluster.state')"
        " INTO found; RETURN found; END $$"
    )


def test_it_would_if_old_snapshots_were_believed(db: psycopg.Connection, dsn: str, company: Company) -> None:
    db.execute(BELIEVE)
    between(db, dsn, company, "REPEATABLE READ")
    with pytest.raises(AssertionError, match="usage: is all"):
        assert_exact(db)


PAST = """
INSERT INTO llm.sessions (session_id, user_id, project_id, start_time, end_time, session_type, status)
SELECT llm.uuidv7('2024-01-10Z'), min(user_id), min(project_id), '2024-01-10Z', '2024-01-11Z', 'test', 'completed'
FROM llm.projects, llm.users;
"""
PAST_LOG = """
INSERT INTO llm.session_logs (session_id, request_time, deployment_id, config_id, token_used)
SELECT min(session_id::text)::uuid, '2024-01-10 11:00Z', min(deployment_id), min(config_id), 100
FROM llm.sessions, llm.deployments, llm.model_configs;
"""


@pytest.mark.parametrize(
    ("trigger", "change"),
    [
        ("session_logs_additions_are_noted", PAST_LOG),
        ("session_logs_changes_are_noted", "UPDATE llm.session_logs SET token_used = 7"),
        ("session_logs_removals_are_noted", "DELETE FROM llm.session_logs"),
        ("session_logs_truncation_is_noted", "TRUNCATE llm.session_logs"),
        ("sessions_additions_are_noted", PAST),
        ("sessions_changes_are_noted", "UPDATE llm.sessions SET project_id = NULL"),
        ("sessions_removals_are_noted", "DELETE FROM llm.sessions"),
        ("sessions_truncation_is_noted", "TRUNCATE llm.sessions CASCADE"),
        ("sessions_take_their_logs_along", "DELETE FROM llm.sessions"),
        ("user_departments_are_noted", "DELETE FROM llm.user_departments"),
        ("user_departments_truncation_is_noted", "TRUNCATE llm.user_departments"),
        (
            "deployment_history_is_noted",
            "UPDATE llm.deployment_history SET model_id = (SELECT max(model_id) FROM llm.models)",
        ),
        ("deployment_history_truncation_is_noted", "TRUNCATE llm.deployment_history"),
        ("model_configs_max_tokens_is_noted", "UPDATE llm.model_configs SET max_tokens = 1"),
    ],
    ids=lambda words: "" if " " in words else words,
)
def test_it_would_without_the_trigger(db: psycopg.Connection, company: Company, trigger: str, change: str) -> None:
    make_model(db)
    db.execute("INSERT INTO llm.models (model_name, model_type) VALUES ('another', 'chat')")
    db.execute(PAST + PAST_LOG)
    db.execute("CALL ops.refresh_rollups('2024-06-01Z')")
    with db.transaction(force_rollback=True):
        db.execute(change)
        assert_exact(db)
    [table] = db.execute("SELECT tgrelid::regclass::text FROM pg_trigger WHERE tgname = %s", [trigger]).fetchone()
    db.execute(f"DROP TRIGGER {trigger} ON {table}")
    db.execute(change)
    with pytest.raises(AssertionError, match="reported"):
        assert_exact(db)
