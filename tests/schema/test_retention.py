"""What retention drops, and above all what it does not: whatever runs, is young, or would be lost to the reports."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import product
from uuid import UUID

import psycopg
import pytest
from psycopg import errors

from command import ROOT
from conftest import Company

KEPT = 2
LOG = "INSERT INTO llm.session_logs (session_id, deployment_id, request_time) VALUES (%s, %s, %s)"


@pytest.fixture
def old(db: psycopg.Connection) -> "Old":
    """Months of last years, one for each state that a session can be in."""
    return Old(db)


@dataclass
class Old:
    db: psycopg.Connection

    def began(self, months_ago: int) -> datetime:
        query = (
            "SELECT (date_trunc('month', now() AT TIME ZONE 'UTC') - make_interval(months => %s)) AT TIME ZONE 'UTC'"
        )
        return self.db.execute(query, [months_ago]).fetchone()[0].astimezone(UTC)

    def session(self, company: Company, began: datetime, running: bool, logs: list[datetime]) -> UUID:
        session = self.db.execute(
            "INSERT INTO llm.sessions (session_id, user_id, session_type, start_time, end_time, status)"
            " VALUES (llm.uuidv7(%(began)s), %(user)s, 'test', %(began)s, %(end)s, %(status)s) RETURNING session_id",
            {
                "began": began,
                "user": company.user_id,
                "end": None if running else began,
                "status": "running" if running else "completed",
            },
        ).fetchone()[0]
        for at in logs:
            self.db.execute(LOG, [session, company.deployment_id, at])
        return session

    def held(self, keep: int = KEPT) -> dict[str, str | None]:
        rows = self.db.execute("SELECT month::text, held_back_by FROM ops.months_to_drop(%s)", [keep]).fetchall()
        return dict(rows)


def stored(db: psycopg.Connection) -> tuple[int, int]:
    query = "SELECT (SELECT count(*) FROM llm.sessions), (SELECT count(*) FROM llm.session_logs)"
    return db.execute(query).fetchone()


@pytest.fixture
def notices(db: psycopg.Connection) -> Iterator[list[str]]:
    told: list[str] = []

    def tell(diagnostic: psycopg.errors.Diagnostic) -> None:
        told.append(diagnostic.message_primary or "")

    db.add_notice_handler(tell)
    yield told
    db.remove_notice_handler(tell)


@pytest.mark.parametrize("in_default", [False, True])
def test_every_state_of_a_month(
    db: psycopg.Connection, company: Company, old: Old, notices: list[str], in_default: bool
) -> None:
    """One month for each pair of: the session runs, a log is old, young to the microsecond, or just too old."""
    border = old.began(KEPT)
    just_too_old = border - timedelta(microseconds=1)
    states = list(product([False, True], [[], [just_too_old], [border], [just_too_old, border, datetime.now(UTC)]]))
    months: dict[str, tuple[bool, bool]] = {}
    for number, (running, logs) in enumerate(states):
        began = old.began(KEPT + 1 + number)
        old.session(company, began, running, logs)
        months[f"{began:%Y-%m-01}"] = (running, any(log >= border for log in logs))
    young = old.session(company, border, False, [border])
    if not in_default:
        db.execute("CALL llm.move_default_rows()")
    db.execute("CALL ops.refresh_rollups(clock_timestamp())")

    held = old.held()
    assert held.keys() == months.keys()
    for month, (running, has_young) in months.items():
        reason = held[month] or ""
        assert ("running sessions: 1, such as" in reason) is running, month
        assert (f"logs since {border:%Y-%m-%d}: " in reason) is has_young, month
        assert (held[month] is None) is not (running or has_young)
    going = sorted(month for month, reason in held.items() if reason is None)
    assert len(going) == 2
    before = stored(db)

    with pytest.raises(errors.ObjectNotInPrerequisiteState) as error:
        db.execute("CALL llm.drop_old_months(%s)", [KEPT])
    for month, reason in held.items():
        assert (f"{month[:7]} ({reason})" in str(error.value)) is (reason is not None)
    assert f"ops.months_to_drop({KEPT})" in (error.value.diag.message_hint or "")
    assert sorted(note for note in notices if note.startswith("dropped")) == [
        f"dropped the month {month[:7]}" for month in going
    ]
    assert old.held() == {month: reason for month, reason in held.items() if reason}
    # Two sessions, one of which had a log.
    assert stored(db) == (before[0] - 2, before[1] - 1)
    assert db.execute("SELECT count(*) FROM llm.sessions WHERE session_id = %s", [young]).fetchone() == (1,)

    # Nobody was disturbed.
    for (session,) in db.execute("SELECT session_id FROM llm.sessions WHERE end_time IS NULL").fetchall():
        db.execute(LOG, [session, company.deployment_id, datetime.now(UTC)])


def test_the_dry_run_counts_what_would_go_and_drops_nothing(db: psycopg.Connection, company: Company, old: Old) -> None:
    began = [old.began(n) for n in (KEPT + 2, KEPT + 1, KEPT)]
    for number, at in enumerate(began, 1):
        for _ in range(number):
            old.session(company, at, False, [at, at])
    db.execute("CALL ops.refresh_rollups()")
    query = "SELECT month::text, sessions, logs, bytes > 0, held_back_by FROM ops.months_to_drop(%s)"
    should = [(f"{at:%Y-%m-01}", number, 2 * number) for number, at in enumerate(began[:2], 1)]
    before = stored(db)
    # In DEFAULT still: how large they will be is not known.
    assert db.execute(query, [KEPT]).fetchall() == [(*row, None, None) for row in should]
    db.execute("CALL llm.move_default_rows()")
    assert db.execute(query, [KEPT]).fetchall() == [(*row, True, None) for row in should]
    size = "SELECT sum(bytes)::bigint FROM ops.months_to_drop(%s)"
    shown = "SELECT sum(sessions_bytes + session_logs_bytes)::bigint FROM ops.months WHERE month < %s"
    assert db.execute(size, [KEPT]).fetchone() == db.execute(shown, [began[2].date()]).fetchone()
    assert stored(db) == before
    db.execute("CALL llm.drop_old_months(%s)", [KEPT])
    assert stored(db) == (before[0] - 3, before[1] - 6)
    assert db.execute(query, [KEPT]).fetchall() == []


@pytest.mark.parametrize("keep", [0, -1, None])
def test_a_dry_run_of_nothing_is_refused_too(db: psycopg.Connection, keep: int | None) -> None:
    with pytest.raises(errors.InvalidParameterValue, match="at least 1 month"):
        db.execute("SELECT FROM ops.months_to_drop(%s)", [keep])


def test_drop_month_refuses_running_sessions_until_they_end(db: psycopg.Connection, company: Company, old: Old) -> None:
    session = old.session(company, datetime(2024, 1, 10, tzinfo=UTC), True, [datetime.now(UTC)])
    db.execute("CALL llm.move_default_rows()")
    db.execute("CALL ops.refresh_rollups(clock_timestamp())")
    for _ in range(2):
        with pytest.raises(
            errors.ObjectNotInPrerequisiteState, match=f"running sessions: 1, such as {session}"
        ) as error:
            db.execute("SELECT llm.drop_month('2024-01-20')")
        assert "set end_time and status" in (error.value.diag.message_hint or "")
    db.execute(LOG, [session, company.deployment_id, datetime.now(UTC)])
    db.execute("UPDATE llm.sessions SET end_time = now(), status = 'aborted' WHERE session_id = %s", [session])
    db.execute("CALL ops.refresh_rollups(clock_timestamp())")
    # By its name a month goes whatever the age of its logs.
    assert db.execute("SELECT llm.drop_month('2024-01-20')").fetchone() == (True,)
    assert db.execute("SELECT llm.drop_month('2024-01-20')").fetchone() == (False,)


def test_drop_month_takes_running_sessions_along_if_told_to(db: psycopg.Connection, company: Company, old: Old) -> None:
    old.session(company, datetime(2024, 1, 10, tzinfo=UTC), True, [])
    db.execute("CALL llm.move_default_rows()")
    db.execute("CALL ops.refresh_rollups(clock_timestamp())")
    assert db.execute("SELECT ops.drop_month('2024-01-20', with_running => true)").fetchone() == (True,)


def test_the_docs_way_out_ends_what_runs_no_longer(db: psycopg.Connection, company: Company, old: Old) -> None:
    page = (ROOT / "docs" / "dba.md").read_text(encoding="utf-8")
    statement = next(block for block in page.split("```")[1::2] if "UPDATE llm.sessions" in block).removeprefix("sql")
    at = datetime(2024, 1, 10, tzinfo=UTC)
    old.session(company, at, True, [at])
    old.session(company, at, True, [])
    db.execute("CALL llm.move_default_rows()")
    db.execute("CALL ops.refresh_rollups(clock_timestamp())")
    with pytest.raises(errors.ObjectNotInPrerequisiteState):
        db.execute("CALL llm.drop_old_months(13)")
    for command in filter(str.strip, statement.split(";")):
        db.execute(command)
    assert stored(db)[0] == 1


def test_what_is_written_while_the_lock_is_awaited_holds_the_month_back(
    db: psycopg.Connection, dsn: str, company: Company, old: Old
) -> None:
    """The first look sees nothing that runs; the writer goes on before the month is locked."""
    at = datetime(2024, 1, 10, tzinfo=UTC)
    session = old.session(company, at, False, [at])
    db.execute("CALL llm.move_default_rows()")
    db.execute("CALL ops.refresh_rollups(clock_timestamp())")
    assert old.held() == {"2024-01-01": None}
    with psycopg.connect(dsn) as writer:
        writer.execute("UPDATE llm.sessions SET end_time = NULL, status = 'running' WHERE session_id = %s", [session])
        with ThreadPoolExecutor(1) as pool:
            dropped = pool.submit(drop_old, dsn)
            waiting = "SELECT count(*) FROM pg_catalog.pg_locks WHERE NOT granted AND mode = 'AccessExclusiveLock'"
            while db.execute(waiting).fetchone() == (0,):
                assert not dropped.done()
            writer.commit()
            with pytest.raises(errors.ObjectNotInPrerequisiteState, match="running sessions: 1"):
                dropped.result(timeout=30)
    assert db.execute("SELECT count(*) FROM llm.sessions WHERE session_id = %s", [session]).fetchone() == (1,)


def drop_old(dsn: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("CALL llm.drop_old_months(13)")
