"""What a deployment held, and since when, is written down by itself, whoever changes it and however."""

from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from test_migrations import KNOWN, down, up

import citus
from conftest import ROOT, Company, found_company, refused
from llm_db import errors
from rollup_model import COSTS, QUESTIONS, assert_exact, make_model

BEFORE = KNOWN[[name.endswith(".deployment-history") for name in KNOWN].index(True) - 1]
STATES = "SELECT model_id, gpu_count, environment, status FROM llm.deployment_history WHERE {} ORDER BY since"
# Of a company's deployment.
GPUS = 8
ROWS = """
    SELECT since::text, gpu_count, environment, status FROM llm.deployment_history
    WHERE deployment_id = %s ORDER BY since
"""
LATEST_LOG = """
    INSERT INTO llm.session_logs (session_id, log_sequence, request_time, response_time, deployment_id)
    SELECT session_id, %s, %s, end_time, %s FROM llm.sessions ORDER BY start_time DESC LIMIT 1
"""
LOG = """
    INSERT INTO llm.session_logs (session_id, log_sequence, request_time, response_time, deployment_id, token_used)
    SELECT session_id, %s, %s::timestamptz, %s::timestamptz + interval '1 s', %s, 5 FROM llm.sessions LIMIT 1
"""


def history(db: psycopg.Connection, condition: str = "since > '-infinity'") -> list[tuple]:
    return db.execute(STATES.format(condition)).fetchall()


def now_held(db: psycopg.Connection) -> list[tuple]:
    """What the history says of now, for each deployment."""
    return db.execute("""
        SELECT DISTINCT ON (deployment_id) deployment_id, model_id, gpu_count, environment, status
        FROM llm.deployment_history WHERE since <= clock_timestamp() ORDER BY deployment_id, since DESC
    """).fetchall()


def deployments(db: psycopg.Connection) -> list[tuple]:
    return db.execute(
        "SELECT deployment_id, model_id, gpu_count, environment, status FROM llm.deployments ORDER BY deployment_id"
    ).fetchall()


def test_a_new_deployment_holds_its_gpus_from_now_on(db: psycopg.Connection, company: Company) -> None:
    [(model, gpus, environment, status)] = history(db)
    assert deployments(db) == [(company.deployment_id, model, gpus, environment, status)]
    assert history(db, "since = '-infinity'") == [(model, 0, environment, status)]
    [age] = db.execute(
        "SELECT clock_timestamp() - max(since) FROM llm.deployment_history WHERE since > '-infinity'"
    ).fetchone()
    assert timedelta(0) < age < timedelta(minutes=5)


@pytest.mark.parametrize(
    ("change", "rows"),
    [
        ("gpu_count = gpu_count + 1", 1),
        ("gpu_count = 0", 1),
        ("status = 'inactive'", 1),
        ("environment = 'staging'", 1),
        ("model_id = (SELECT max(model_id) FROM llm.models)", 1),
        ("model_id = (SELECT max(model_id) FROM llm.models), gpu_count = 7, status = 'maintenance'", 1),
        # Nothing that it keeps is another than before.
        ("gpu_count = gpu_count, status = status", 0),
        ("server_name = 'another', dataset_id = NULL", 0),
    ],
)
def test_each_change_is_a_row(db: psycopg.Connection, company: Company, change: str, rows: int) -> None:
    db.execute("INSERT INTO llm.models (model_name, model_type) VALUES ('another', 'chat')")
    before = history(db)
    db.execute(f"UPDATE llm.deployments SET {change}")
    after = history(db)
    assert after[: len(before)] == before
    assert len(after) == len(before) + rows
    assert deployments(db) == now_held(db)


def test_several_changes_in_one_transaction_keep_their_order(db: psycopg.Connection, company: Company) -> None:
    with db.transaction():
        for gpus in (5, 6, 5, 9):
            db.execute("UPDATE llm.deployments SET gpu_count = %s", [gpus])
        db.execute(
            "INSERT INTO llm.deployments (model_id, server_name, gpu_count, environment, status)"
            " VALUES (%s, 'gpu', 3, 'test', 'active')",
            [company.model_id],
        )
        db.execute("UPDATE llm.deployments SET gpu_count = gpu_count + 1")
    of_first = f"since > '-infinity' AND deployment_id = {company.deployment_id}"
    assert [gpus for _, gpus, _, _ in history(db, of_first)][1:] == [5, 6, 5, 9, 10]
    assert deployments(db) == now_held(db)
    with db.transaction(force_rollback=True):
        db.execute("UPDATE llm.deployments SET gpu_count = 20")
    assert deployments(db) == now_held(db)


@pytest.mark.parametrize("ahead", ["1 ms", "2 s", "10 years"])
def test_what_is_written_last_is_what_holds(db: psycopg.Connection, company: Company, ahead: str) -> None:
    """A clock that was ahead when it wrote, and was set back before the next change."""
    db.execute("UPDATE llm.deployments SET gpu_count = 5")
    db.execute(
        "UPDATE llm.deployment_history SET since = clock_timestamp() + %s::interval WHERE gpu_count = 5", [ahead]
    )
    db.execute("UPDATE llm.deployments SET gpu_count = 6")
    assert deployments(db) == now_held(db)
    assert (history(db)[-1], len(history(db, "since > clock_timestamp()"))) == (deployments(db)[0][1:], 0)


def test_a_deployment_goes_only_after_its_history(db: psycopg.Connection, company: Company) -> None:
    """Else what it has cost would go from the bills of the past."""
    db.execute("INSERT INTO llm.gpu_rates (deployment_id, since, price_per_hour) VALUES (%s, 'now', 1)",
               [company.deployment_id])  # fmt: skip
    for holds, constraint in (
        ("llm.deployment_history", "deployment_history_deployment_id_fkey"),
        ("llm.gpu_rates", "gpu_rates_deployment_id_fkey"),
    ):
        with refused(db, constraint):
            db.execute("DELETE FROM llm.deployments")
        db.execute(f"DELETE FROM {holds}")
    db.execute("DELETE FROM llm.deployments")
    assert deployments(db) == []


def test_reports_follow_each_correction_of_the_past(db: psycopg.Connection, company: Company) -> None:
    """Closed time, before and after a refresh. Also what nobody used, and what is emptied."""
    start = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0) - timedelta(days=40)
    db.execute("CALL llm.create_months(%s::date, current_date)", [start])
    other = found_company(db, "other")
    make_model(db)
    for day in range(0, 40, 8):
        at = start + timedelta(days=day)
        db.execute(LOG, [day + 1, at, at, company.deployment_id])
    db.execute("INSERT INTO llm.gpu_rates (since, price_per_hour) VALUES ('-infinity', 0.3333333333)")
    db.execute("CALL ops.refresh_rollups()")
    for change in [
        f"UPDATE llm.deployment_history SET since = '{start}' WHERE since > '-infinity'",
        "UPDATE llm.deployment_history SET gpu_count = 3 WHERE since > '-infinity'",
        "INSERT INTO llm.deployment_history"
        f" SELECT deployment_id, '{start + timedelta(days=9)}', {other.model_id}, 2, 'test', 'active'"
        " FROM llm.deployments",
        f"UPDATE llm.deployment_history SET status = 'inactive' WHERE gpu_count = 3 AND model_id = {company.model_id}",
        f"UPDATE llm.deployment_history SET deployment_id = {other.deployment_id}, since = since + interval '1 s'"
        f" WHERE gpu_count = 2 AND deployment_id = {company.deployment_id}",
        "DELETE FROM llm.deployment_history WHERE since = '-infinity'",
        "TRUNCATE llm.deployment_history",
        "UPDATE llm.deployments SET gpu_count = gpu_count + 1",
    ]:
        db.execute(change)
        assert_exact(db, *QUESTIONS, "costs by model")
        db.execute("CALL ops.refresh_rollups()")
        assert db.execute("SELECT count(*) FROM rollup.notes").fetchone() == (0,)
        assert_exact(db, "usage", "deployment_usage", *COSTS)


@citus.not_rolled_back
def test_an_existing_database_begins_with_the_first_requests(dsn: str) -> None:
    """Of dropped, of closed and of open time. Whoever served nobody holds its GPUs from the upgrade on."""
    with psycopg.connect(dsn, autocommit=True, options="-c timezone=UTC") as db:
        db.execute("CALL llm.create_months('2024-01-01', '2024-03-31')")
        times = [datetime(2024, month, 5, 1, 0, 0, 500, UTC) for month in (1, 2, 3)]
        companies = [found_company(db, name) for name in ("dropped", "closed", "open", "unused")]
        db.execute("DELETE FROM llm.sessions")
        for at, company in zip(times, companies, strict=False):
            db.execute(
                "INSERT INTO llm.sessions (session_id, user_id, start_time, end_time, session_type, status)"
                " VALUES (llm.uuidv7(%s), %s, %s, %s, 'test', 'completed')",
                [at, company.user_id, at, at + timedelta(days=1)],
            )
            for number, later in enumerate((5, 0)):
                db.execute(LATEST_LOG, [number + 1, at + timedelta(hours=later), company.deployment_id])
        db.execute("CALL ops.refresh_rollups('2024-03-01')")
        assert db.execute("SELECT ops.drop_month('2024-01-01')").fetchone() == (True,)
        # As one that was never migrated so far.
        db.execute("DELETE FROM llm.deployment_history; DELETE FROM rollup.deployment_usage")
        before = db.execute("SELECT clock_timestamp()").fetchone()[0]
        down(dsn, BEFORE)
        db.execute("UPDATE llm.deployments SET status = 'maintenance' WHERE deployment_id = %s",
                   [companies[1].deployment_id])  # fmt: skip
        up(dsn)
        kept = [db.execute(ROWS, [company.deployment_id]).fetchall() for company in companies]
        for number, rows in enumerate(kept):
            status = "maintenance" if number == 1 else "active"
            assert [row[1:] for row in rows] == [(0, "production", status), (GPUS, "production", status)]
            assert rows[0][0] == "-infinity"
        assert [datetime.fromisoformat(rows[1][0]) for rows in kept[:3]] == times
        assert before < datetime.fromisoformat(kept[3][1][0]) < datetime.now(UTC)
        make_model(db)
        assert_exact(db, "running")
        db.execute("CALL ops.refresh_rollups('2024-03-01')")
        assert_exact(db, "running")
        up(dsn)
        execute_again(db)
        assert [db.execute(ROWS, [company.deployment_id]).fetchall() for company in companies] == kept


def execute_again(db: psycopg.Connection) -> None:
    """As a migrate does when the file's text has changed."""
    db.execute((ROOT / "views" / "5_triggers" / "33_deployments.sql").read_text(encoding="utf-8"))


@citus.not_rolled_back
def test_a_rollback_refuses_to_lose_what_deployments_held(dsn: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as db:
        found_company(db)
        db.execute("UPDATE llm.deployments SET gpu_count = gpu_count + 1")
        kept = history(db, "true")
        with pytest.raises(errors.Problem, match="would lose what deployments held before"):
            down(dsn, BEFORE)
        assert history(db, "true") == kept
        db.execute("DELETE FROM llm.deployment_history WHERE since = (SELECT max(since) FROM llm.deployment_history)")
        down(dsn, BEFORE)
        # Whoever changes deployments then is not in the way of the next upgrade.
        db.execute("UPDATE llm.deployments SET gpu_count = gpu_count + 1")
        up(dsn)
        assert deployments(db) == now_held(db)
