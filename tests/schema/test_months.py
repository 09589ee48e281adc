"""Half a month, in every state that DETACH and DROP by hand can leave it in: shown, refused by name, and repaired."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from datetime import UTC, datetime
from itertools import product
from uuid import UUID

import psycopg
import pytest
from psycopg import errors, sql

import citus
from command import eventually
from conftest import Company, refused

STATES = ["attached", "not attached", "missing"]
HALVES = [pair for pair in product(STATES, STATES) if pair not in {("attached", "attached"), ("missing", "missing")}]
MONTH = "2024-03-01"
PROBLEMS = "SELECT month::text, problem FROM ops.months WHERE problem IS NOT NULL"


def begin(db: psycopg.Connection, company: Company, at: str) -> UUID:
    return db.execute(
        "INSERT INTO llm.sessions (session_id, user_id, session_type, start_time, end_time, status)"
        " VALUES (llm.uuidv7(%(at)s), %(user)s, 'test', %(at)s, %(at)s, 'completed') RETURNING session_id",
        {"at": at, "user": company.user_id},
    ).fetchone()[0]


def write(db: psycopg.Connection, company: Company, at: str) -> None:
    session = begin(db, company, at)
    db.execute(
        "INSERT INTO llm.session_logs (session_id, deployment_id, request_time) VALUES (%s, %s, %s), (%s, %s, %s)",
        [session, company.deployment_id, at] * 2,
    )


def break_month(db: psycopg.Connection, sessions: str, logs: str) -> None:
    """As somebody would by hand."""
    for table, state in (("session_logs", logs), ("sessions", sessions)):
        if state != "attached":
            db.execute(f"ALTER TABLE llm.{table} DETACH PARTITION llm.{table}_2024_03")
        if state == "missing":
            db.execute(f"DROP TABLE llm.{table}_2024_03 CASCADE")


def stored(db: psycopg.Connection) -> tuple[int, int]:
    query = "SELECT (SELECT count(*) FROM llm.sessions), (SELECT count(*) FROM llm.session_logs)"
    return db.execute(query).fetchone()


@pytest.mark.parametrize(("sessions", "logs"), HALVES)
def test_half_a_month_is_named_refused_and_repaired(
    db: psycopg.Connection, company: Company, sessions: str, logs: str
) -> None:
    db.execute("SELECT llm.create_month('2024-03-15')")
    assert db.execute(PROBLEMS).fetchall() == []
    write(db, company, "2024-03-10 00:00Z")
    all_rows = stored(db)
    gone = (int(sessions == "missing"), 2 * int(logs == "missing"))
    break_month(db, sessions, logs)
    if gone == (1, 0):
        with refused(db, "session_logs_session_id_fkey"):
            db.execute("SELECT ops.repair_month('2024-03-15')")
        db.execute("DELETE FROM llm.session_logs_2024_03")
        gone = (1, 2)

    ((month, problem),) = db.execute(PROBLEMS).fetchall()
    assert month == MONTH
    for table, state in (("sessions", sessions), ("session_logs", logs)):
        assert (f"llm.{table}_2024_03 is " in problem) is (state != "attached")
        assert state == "attached" or f"llm.{table}_2024_03 is {state}" in problem
    shown = f"SELECT sessions_partition, session_logs_partition FROM ops.months WHERE month = '{MONTH}'"
    assert db.execute(shown).fetchall() == [
        ("sessions_2024_03" if sessions == "attached" else None, "session_logs_2024_03" if logs == "attached" else None)
    ]

    # Nobody who writes is refused: this goes to DEFAULT, or to the half that is there. But where sessions were detached
    # and their logs were not, these go on referring to sessions that are no longer of this table.
    broken_for_writers = (sessions, logs) == ("not attached", "attached")
    with refused(db, "session_logs_session_id_fkey") if broken_for_writers else nullcontext():
        write(db, company, "2024-03-20 00:00Z")
    if broken_for_writers:
        begin(db, company, "2024-03-20 00:00Z")
    write(db, company, "2024-01-20 00:00Z")
    broken = "the month 2024-03 is not whole: .*llm.session(s|_logs)_2024_03 is (not attached|missing)"
    for statement in (
        "SELECT llm.create_month('2024-03-20')",
        "CALL llm.create_months('2024-02-01', '2024-04-01')",
        "CALL llm.move_default_rows()",
        "SELECT llm.drop_month('2024-03-20')",
    ):
        with pytest.raises(errors.ObjectNotInPrerequisiteState, match=broken) as error:
            db.execute(statement)
        assert "SELECT ops.repair_month('2024-03-01')" in str(error.value)
    # The others were made, before and after it.
    made = "SELECT count(*) FROM ops.months WHERE month BETWEEN '2024-01-01' AND '2024-04-01' AND problem IS NULL"
    assert db.execute(made).fetchone() == (3,)

    db.execute("CALL ops.refresh_rollups()")
    held = db.execute("SELECT held_back_by FROM ops.months_to_drop(1) WHERE month = %s", [MONTH]).fetchone()
    assert held == (problem,)
    with pytest.raises(errors.ObjectNotInPrerequisiteState, match=r"2024-03 \(llm.session"):
        db.execute("CALL llm.drop_old_months(1)")
    assert db.execute("SELECT count(*) FROM ops.months WHERE month < now() - interval '2 months'").fetchone() == (1,)

    assert db.execute("SELECT ops.repair_month('2024-03-15')").fetchone() == (True,)
    assert db.execute(PROBLEMS).fetchall() == []
    assert db.execute(shown).fetchall() == [("sessions_2024_03", "session_logs_2024_03")]
    assert stored(db) == (
        all_rows[0] - gone[0] + 1,
        all_rows[1] - gone[1] + 2 * (not broken_for_writers),
    )
    placed = "SELECT count(*) FROM llm.session_logs_2024_03 INNER JOIN llm.sessions_2024_03 USING (session_id)"
    assert db.execute(placed).fetchone() == (2 * (not broken_for_writers) + 2 - gone[1],)
    # As one that was made whole.
    write(db, company, "2024-03-30 00:00Z")
    db.execute("DELETE FROM llm.sessions WHERE start_time = '2024-03-30Z'")
    assert db.execute("SELECT ops.repair_month('2024-03-15')").fetchone() == (False,)
    assert db.execute("SELECT llm.create_month('2024-03-15')").fetchone() == (False,)
    db.execute("CALL ops.refresh_rollups()")
    db.execute("CALL llm.drop_old_months(1)")
    assert db.execute("SELECT count(*) FROM ops.months WHERE month = %s", [MONTH]).fetchone() == (0,)


def test_a_month_whose_logs_lost_their_foreign_key(db: psycopg.Connection, company: Company) -> None:
    db.execute("SELECT llm.create_month('2024-03-15')")
    write(db, company, "2024-03-10 00:00Z")
    db.execute("ALTER TABLE llm.session_logs_2024_03 DROP CONSTRAINT session_logs_session_id_fkey")
    ((_, problem),) = db.execute(PROBLEMS).fetchall()
    assert problem.startswith(
        "llm.session_logs_2024_03 has no valid foreign key to its sessions. To have the month back: "
    )
    # Not one that was never proven either.
    db.execute(
        "ALTER TABLE llm.session_logs_2024_03 ADD CONSTRAINT session_logs_session_id_fkey"
        " FOREIGN KEY (session_id) REFERENCES llm.sessions_2024_03 ON DELETE CASCADE NOT VALID"
    )
    assert db.execute(PROBLEMS).fetchall() == [(MONTH, problem)]
    assert db.execute("SELECT ops.repair_month('2024-03-15')").fetchone() == (True,)
    assert db.execute(PROBLEMS).fetchall() == []
    db.execute("DELETE FROM llm.sessions WHERE start_time = '2024-03-10Z'")
    assert stored(db) == (1, 0)


@pytest.mark.one_node("Citus detaches no partition CONCURRENTLY")
@pytest.mark.parametrize("table", ["sessions", "session_logs"])
def test_a_month_that_is_being_detached(db: psycopg.Connection, dsn: str, company: Company, table: str) -> None:
    """DETACH ... CONCURRENTLY was cut off while it waited for a reader. It needs a table without DEFAULT."""
    db.execute("SELECT llm.create_month('2024-03-15')")
    for name in ("session_logs", "sessions"):
        db.execute(f"ALTER TABLE llm.{name} DETACH PARTITION llm.{name}_default")
    with psycopg.connect(dsn) as reader:
        reader.execute(f"SELECT FROM llm.{table}")
        db.execute("SET statement_timeout = '500ms'")
        with pytest.raises(errors.QueryCanceled):
            db.execute(f"ALTER TABLE llm.{table} DETACH PARTITION llm.{table}_2024_03 CONCURRENTLY")
        db.execute("RESET statement_timeout")
    for name in ("sessions", "session_logs"):
        db.execute(f"ALTER TABLE llm.{name} ATTACH PARTITION llm.{name}_default DEFAULT")

    ((month, problem),) = db.execute(PROBLEMS).fetchall()
    assert month == MONTH
    assert f"llm.{table}_2024_03 is being detached" in problem
    for statement in (
        "SELECT llm.create_month('2024-03-20')",
        "CALL llm.create_months('2024-02-01', '2024-04-01')",
        "SELECT llm.drop_month('2024-03-20')",
    ):
        with pytest.raises(errors.ObjectNotInPrerequisiteState, match=f"llm.{table}_2024_03 is being detached"):
            db.execute(statement)
    with pytest.raises(errors.ObjectNotInPrerequisiteState, match="is being detached"):
        db.execute("SELECT ops.repair_month('2024-03-20')")
    remedy = problem.partition("To have the month back: ")[2].partition("; to keep")[0]
    for statement in remedy.split("; "):
        db.execute(statement)
    assert db.execute(PROBLEMS).fetchall() == []
    write(db, company, datetime(2024, 3, 20, tzinfo=UTC).isoformat())
    assert db.execute("SELECT count(*) FROM llm.session_logs_2024_03").fetchone() == (2,)


def test_a_table_that_only_looks_like_a_month_is_none_of_ours(db: psycopg.Connection) -> None:
    for name in ("sessions_2024_13", "sessions_2024_03_old", "session_logs_old", "old_sessions_2024_03"):
        db.execute(f"CREATE TABLE llm.{name} ()")
    db.execute("CREATE TABLE public.sessions_2024_03 ()")
    assert db.execute(PROBLEMS).fetchall() == []
    assert db.execute("SELECT llm.create_month('2024-03-01')").fetchone() == (True,)


# What moves a session to another month: to the foreign key of the month's logs it is gone.
MOVES = (
    "UPDATE llm.sessions SET session_id = llm.uuidv7('2024-04-10Z')",
    "UPDATE llm.sessions SET session_id = llm.uuidv7('2024-04-10Z'), end_time = '2024-04-11Z'",
    # To DEFAULT.
    "UPDATE llm.sessions SET session_id = llm.uuidv7('2024-07-10Z')",
    "UPDATE llm.sessions_2024_03 SET session_id = llm.uuidv7('2024-03-11Z')",
    "UPDATE llm.sessions SET session_id = llm.uuidv7('2024-03-11Z')",
)


@citus.session_id_stays
@pytest.mark.parametrize("statement", MOVES)
def test_logs_never_lose_their_session(db: psycopg.Connection, company: Company, statement: str) -> None:
    db.execute("DELETE FROM llm.sessions")
    db.execute("CALL llm.create_months('2024-03-01', '2024-04-01')")
    write(db, company, "2024-03-10 00:00Z")
    before = db.execute("SELECT * FROM llm.session_logs").fetchall()
    with pytest.raises(errors.IntegrityError) as error:
        db.execute(statement)
    rule = error.value.diag.constraint_name
    assert rule == ("session_logs_session_id_fkey" if "2024-03-11" in statement else "sessions_keep_their_month")
    assert db.execute("SELECT * FROM llm.session_logs").fetchall() == before


@citus.session_id_stays
@pytest.mark.parametrize("isolation", psycopg.IsolationLevel)
def test_nor_by_a_transaction_that_cannot_see_them(
    db: psycopg.Connection, dsn: str, company: Company, isolation: psycopg.IsolationLevel
) -> None:
    db.execute("CALL llm.create_months('2024-03-01', '2024-04-01')")
    session = begin(db, company, "2024-03-10 00:00Z")
    with psycopg.connect(dsn) as other:
        other.isolation_level = isolation
        other.execute("SELECT FROM llm.session_logs")
        log = "INSERT INTO llm.session_logs (session_id, deployment_id) VALUES (%s, %s)"
        db.execute(log, [session, company.deployment_id])
        with pytest.raises((errors.IntegrityError, errors.SerializationFailure)):
            other.execute(
                "UPDATE llm.sessions SET session_id = llm.uuidv7('2024-04-10Z') WHERE session_id = %s", [session]
            )
    assert db.execute("SELECT count(*) FROM llm.session_logs").fetchone() == (1,)


@citus.session_id_stays
def test_a_session_without_logs_may_have_another_id_of_its_month(db: psycopg.Connection, company: Company) -> None:
    db.execute("CALL llm.create_months('2024-03-01', '2024-04-01')")
    session = begin(db, company, "2024-03-10 00:00Z")
    new = "UPDATE llm.sessions SET session_id = llm.uuidv7('2024-03-11Z') WHERE session_id = %s"
    assert db.execute(new, [session]).rowcount == 1


@citus.session_id_stays
def test_a_log_moves_to_a_session_of_another_month(db: psycopg.Connection, company: Company) -> None:
    db.execute("CALL llm.create_months('2024-03-01', '2024-04-01')")
    write(db, company, "2024-03-10 00:00Z")
    for month in ("2024-04-10Z", "2024-07-10Z"):
        with refused(db, "session_logs_session_id_fkey"):
            db.execute("UPDATE llm.session_logs SET session_id = llm.uuidv7(%s)", [month])
        session = begin(db, company, month)
        assert db.execute("UPDATE llm.session_logs SET session_id = %s", [session]).rowcount == 2


# Rows leave DEFAULT for their month, or come with it; the last two are the audit's.
CHANGES = {
    "made": ("", "SELECT llm.create_month('2024-03-01')"),
    "repaired": (
        "CREATE TABLE llm.sessions_2024_03 (LIKE llm.sessions INCLUDING ALL)",
        "SELECT ops.repair_month('2024-03-01')",
    ),
    "made where there is a publication": pytest.param(
        "CREATE PUBLICATION subscribers FOR TABLE llm.sessions, llm.session_logs",
        "SELECT llm.create_month('2024-03-01')",
        marks=citus.no_publication,
    ),
    "filled beside the others": pytest.param(
        "CREATE TABLE public.kept AS SELECT session_id, user_id, session_type, start_time, end_time, status"
        " FROM llm.sessions; DELETE FROM llm.sessions; SELECT llm.begin_months('{2024-03-01}');"
        " INSERT INTO llm.sessions_beside (session_id, user_id, session_type, start_time, end_time, status)"
        " TABLE public.kept;"
        " INSERT INTO llm.session_logs_beside (session_id, log_sequence, deployment_id, request_time)"
        " SELECT session_id, n, (SELECT min(deployment_id) FROM llm.deployments), start_time"
        " FROM public.kept CROSS JOIN generate_series(1, 2) AS n",
        "SELECT llm.attach_months()",
        marks=pytest.mark.one_node("months are filled where they are"),
    ),
}
STATEMENTS = {
    "logs": "SELECT count(*) FROM llm.session_logs",
    "sessions": "SELECT count(*) FROM llm.sessions",
    "one session": "SELECT count(*) FROM llm.session_logs WHERE session_id = {session}",
    "requests": "SELECT count(*) FROM reporting.requests",
    "session_summaries": "SELECT sum(requests) FROM reporting.session_summaries",
    "daily_usage": "SELECT sum(requests) FROM reporting.daily_usage",
    "correction": "WITH c AS (UPDATE llm.session_logs SET token_used = 5 WHERE session_id = {session} RETURNING 1)"
    " SELECT count(*) FROM c",
    "end of a session": "WITH c AS (UPDATE llm.sessions SET end_time = end_time WHERE session_id = {session}"
    " RETURNING 1) SELECT count(*) FROM c",
}
ANSWERS = {"logs": 6, "sessions": 3, "one session": 2, "requests": 6, "session_summaries": 6, "daily_usage": 6,
           "correction": 2, "end of a session": 1}  # fmt: skip


@pytest.mark.parametrize(("prepare", "change"), CHANGES.values(), ids=CHANGES)
def test_who_waits_for_a_month_sees_its_rows(
    db: psycopg.Connection, dsn: str, company: Company, prepare: str, change: str
) -> None:
    """None of the rows that the change moves is missing, read or written, planned anew or before."""
    db.execute("DELETE FROM llm.sessions")
    for hour in (10, 11, 12):
        write(db, company, f"2024-03-10 {hour}:00Z")
    session = db.execute("SELECT min(session_id::text) FROM llm.sessions").fetchone()[0]
    queries = {name: sql.SQL(text).format(session=session) for name, text in STATEMENTS.items()}
    connections = [(name, often, psycopg.connect(dsn, autocommit=True)) for name in queries for often in (0, 7)]
    for name, often, connection in connections:
        for _ in range(often):
            assert connection.execute(queries[name], prepare=True).fetchone() == (ANSWERS[name],)
    db.execute(prepare)
    with ThreadPoolExecutor(len(connections)) as pool, psycopg.connect(dsn) as changing:
        changing.execute(change)
        asked = [pool.submit(one.execute, queries[name], prepare=bool(often)) for name, often, one in connections]
        pids = [connection.info.backend_pid for *_, connection in connections]
        waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND pid = ANY(%s)"
        eventually(lambda: db.execute(waiting, [pids]).fetchone() == (len(pids),), 20)
        changing.commit()
        told = {(name, often): answer.result().fetchone()[0]
                for (name, often, _), answer in zip(connections, asked, strict=True)}  # fmt: skip
    assert told == {(name, often): ANSWERS[name] for name, often in told}
    for *_, connection in connections:
        connection.close()
