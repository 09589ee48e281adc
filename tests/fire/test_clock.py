"""The server's clock is set forth and back, by minutes and by years, while services write and upkeep runs: nothing is
lost or counted twice, and no month goes because a clock was wrong for a moment."""

import os
import random
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from psycopg import errors
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from sizes import size

from cluster import SETTINGS, Cluster, server_bin
from conftest import Company, found_company, migrate_template
from rollup_model import assert_exact, make_model

FAKETIME = os.environ.get("LLM_DB_TEST_FAKETIME")
pytestmark = [
    pytest.mark.skipif(not FAKETIME, reason="LLM_DB_TEST_FAKETIME names no libfaketime"),
    pytest.mark.once("under libfaketime 16.14 has ended by itself, before any clock was set; ours goes by no version"),
]

STEPS = size(6, 60)
KEPT = 13
DAY = 86_400
# Minutes, hours, days, months, years; also to where no request can be. Not back beyond what is kept: what is written
# there is as old as it says, and goes.
AWAY = [600, -1500, 7 * 3600, -9 * 3600, 3 * DAY, -2 * DAY, 40 * DAY, -70 * DAY, 400 * DAY, -300 * DAY]
FAR = [1600 * DAY, 28_000 * DAY, -10_000 * DAY]
TRUE = 0
# Of what upkeep says while the clock is set about; a step lets timeouts pass at once.
EXPECTED = (
    "the clock",
    "more than ten years old or more than one year ahead",
    "still to come",
    "nothing more was closed",
    "lock timeout",
    "could not lock",
    "another change of months",
    "months that are not dropped",
)


class Clock:
    """That of a server, in seconds beside the true one."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "clock"
        self.set(TRUE)

    def set(self, seconds: int) -> None:
        new = self.file.with_suffix(".new")
        new.write_text(f"{seconds:+d}\n")
        new.chmod(0o644)
        new.replace(self.file)

    def environment(self) -> dict[str, str]:
        return {
            "LD_PRELOAD": str(FAKETIME),
            "FAKETIME_TIMESTAMP_FILE": str(self.file),
            "FAKETIME_NO_CACHE": "1",
            # Timeouts go by this one, as they do where a clock is set.
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }


@pytest.fixture(scope="module")
def clocked() -> Iterator[tuple[Cluster, Clock, Company]]:
    """With a database to be cloned: logs of the last 13 months, a rule by which older ones go, and upkeep was done."""
    with Cluster(server_bin()) as cluster:
        clock = Clock(cluster.home)
        cluster.environment |= clock.environment()
        cluster.initdb()
        cluster.configure(SETTINGS)
        cluster.start()
        with cluster.connect() as admin:
            admin.execute("CREATE DATABASE migrated")
        migrate_template(**conninfo_to_dict(cluster.dsn, dbname="migrated"))
        with cluster.connect("migrated") as db:
            company = found(db)
        yield cluster, clock, company


def found(db: psycopg.Connection) -> Company:
    company = found_company(db)
    make_model(db)
    for months_ago in range(KEPT + 3):
        write(db, company, f"date_trunc('month', now(), 'UTC') - interval '{months_ago} months' + interval '1 minute'")
        db.execute("SELECT audit.create_month((now() - make_interval(months => %s))::date)", [months_ago])
    db.execute("CALL llm.move_default_rows()")
    db.execute("INSERT INTO llm.retention VALUES ('sessions', %s), ('audit', %s)", [KEPT, KEPT])
    assert maintain_alone(db) == []
    assert len(months(db)) == KEPT + 1
    return company


@pytest.fixture
def dsn(clocked: tuple[Cluster, Clock, Company]) -> Iterator[str]:
    cluster, clock, _ = clocked
    clock.set(TRUE)
    with cluster.connect() as admin:
        admin.execute("CREATE DATABASE clocked TEMPLATE migrated")
        yield make_conninfo(cluster.dsn, dbname="clocked")
        clock.set(TRUE)
        admin.execute("DROP DATABASE clocked WITH (FORCE)")


@pytest.fixture
def clock(clocked: tuple[Cluster, Clock, Company]) -> Clock:
    return clocked[1]


@pytest.fixture
def db(dsn: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(dsn, autocommit=True) as connection:
        yield connection


@pytest.fixture
def company(clocked: tuple[Cluster, Clock, Company]) -> Company:
    return clocked[2]


def write(db: psycopg.Connection, company: Company, began: str) -> None:
    """A session that ended, with two logs, of which one is numbered by the server."""
    [session] = db.execute(
        "INSERT INTO llm.sessions (session_id, user_id, session_type, start_time, end_time, status)"
        f" SELECT llm.uuidv7(t), %s, 'test', t, t, 'completed' FROM (SELECT {began}) AS x (t) RETURNING session_id",
        [company.user_id],
    ).fetchone()
    db.execute(
        "INSERT INTO llm.session_logs (session_id, log_sequence, deployment_id, template_id, request_time)"
        " SELECT session_id, n, %s, %s, start_time FROM llm.sessions, (VALUES (1), (NULL)) AS v (n)"
        " WHERE session_id = %s",
        [company.deployment_id, company.template_id, session],
    )


def months(db: psycopg.Connection) -> dict[str, int]:
    """With how many logs are in each."""
    rows = db.execute(
        "SELECT replace(tableoid::regclass::text, 'llm.session_logs_', ''), count(*) FROM llm.session_logs GROUP BY 1"
    )
    return dict(rows.fetchall())


def audited(db: psycopg.Connection) -> set[str]:
    return {name for (name,) in db.execute("SELECT partition_name FROM audit.months").fetchall()}


def maintain(db: psycopg.Connection) -> list[str]:
    """What fails of it."""
    told: list[str] = []

    def note(diagnostic: psycopg.errors.Diagnostic) -> None:
        if diagnostic.severity_nonlocalized == "WARNING":
            told.append(diagnostic.message_primary or "")

    db.add_notice_handler(note)
    try:
        db.execute("CALL llm.maintain()")
    except errors.ObjectNotInPrerequisiteState:
        assert told
    finally:
        db.remove_notice_handler(note)
    return told


def maintain_alone(db: psycopg.Connection) -> list[str]:
    """The same while nobody writes: the model keeps what is dropped."""
    for entity in ("logs", "sessions"):
        db.execute(f"CREATE TABLE model.before_{entity} AS SELECT * FROM model.stored_{entity}")
    failed = maintain(db)
    for entity in ("logs", "sessions"):
        db.execute(
            f"INSERT INTO model.dropped_{entity} SELECT b.* FROM model.before_{entity} AS b WHERE NOT EXISTS"
            f" (SELECT FROM llm.sessions AS s WHERE s.session_id = b.session_id); DROP TABLE model.before_{entity}"
        )
    return failed


def health(db: psycopg.Connection, name: str) -> list[tuple[str, str, str]]:
    return db.execute("SELECT level, detail, what_to_do FROM ops.health WHERE name = %s", [name]).fetchall()


@pytest.mark.parametrize("ahead", [35 * DAY, 1600 * DAY, 30 * 3600, 5 * DAY, 20_000 * DAY][: size(2, 5)])
def test_a_clock_that_is_ahead_for_a_moment_drops_nothing(
    db: psycopg.Connection, clock: Clock, company: Company, ahead: int
) -> None:
    """However far, also where sessions are begun in the false time, and also if that happens twice."""
    kept, on_record = months(db), audited(db)
    for _ in range(2):
        clock.set(ahead)
        write(db, company, "now()")
        # It may not have passed a month's end.
        late = db.execute("SELECT EXISTS (SELECT FROM ops.months_to_drop(%s))", [KEPT]).fetchone()[0]
        failed = maintain(db) + maintain(db)
        if late:
            assert [one.split(": ")[0] for one in failed] == 2 * ["sessions retention", "audit retention"]
            assert all("nothing is dropped: the clock was set" in one for one in failed)
            for call in (f"CALL llm.drop_old_months({KEPT})", f"SELECT audit.drop_old_months({KEPT})"):
                with pytest.raises(errors.ObjectNotInPrerequisiteState, match="nothing is dropped: the clock was set"):
                    db.execute(call)
        else:
            assert failed == []
        assert [level for level, *_ in health(db, "wrong_clock")] == ["warning"]
        clock.set(TRUE)
        [failed] = maintain(db)
        assert failed.startswith("refresh: the rollups are closed until")
        assert failed.endswith("which is still to come: the clock was wrong")
        # What is said to be done about it is enough.
        wrong = health(db, "wrong_clock")
        assert [level for level, *_ in wrong] == ["error", "warning"]
        for statement in wrong[0][2].split(";"):
            if statement.strip():
                db.execute(statement)
        assert maintain_alone(db) == []
        assert_exact(db, "usage", "sessions")
    assert all(months(db)[month] >= count for month, count in kept.items())
    assert on_record <= audited(db)
    # A month that was made in the false time holds up nothing, and can go by its name.
    extra = db.execute(
        "SELECT month FROM ops.months WHERE month > now() + interval '4 months' AND NOT EXISTS (SELECT FROM"
        " llm.session_logs AS l WHERE 'llm.' || session_logs_partition = l.tableoid::regclass::text)"
    ).fetchall()
    for month in extra:
        db.execute("SELECT llm.drop_month(%s)", month)
    assert len(extra) <= 4
    assert_exact(db)


def test_a_clock_that_is_put_right_within_a_transaction(db: psycopg.Connection, clock: Clock, company: Company) -> None:
    """What the transaction drops goes by when it began."""
    kept = months(db)
    for call in (f"SELECT ops.drop_next_month({KEPT}, '-infinity')", f"SELECT audit.drop_old_months({KEPT})"):
        clock.set(1600 * DAY)
        db.execute("BEGIN")
        clock.set(TRUE)
        with pytest.raises(errors.ObjectNotInPrerequisiteState, match="nothing is dropped: the clock was set"):
            db.execute(call)
        db.execute("ROLLBACK")
    assert months(db) == kept


def test_time_that_passes_drops_what_is_past_its_retention(
    db: psycopg.Connection, clock: Clock, company: Company
) -> None:
    """Upkeep a day, or once after a week's pause and a day more: time goes on, and months go."""
    oldest = min(months(db))
    day = 0
    while oldest in months(db):
        day += 1
        assert day <= 31
        clock.set(day * DAY)
        write(db, company, "now()")
        assert maintain_alone(db) == []
    oldest = min(months(db))
    clock.set((day + 31) * DAY)
    write(db, company, "now()")
    assert len(maintain_alone(db)) == 2
    assert oldest in months(db)
    clock.set((day + 32) * DAY + 60)
    assert maintain_alone(db) == []
    assert oldest not in months(db)
    assert_exact(db)


def test_who_knows_better_says_so(db: psycopg.Connection, clock: Clock, company: Company) -> None:
    oldest = min(months(db))
    clock.set(40 * DAY)
    write(db, company, "now()")
    assert len(maintain_alone(db)) == 2
    [(_, _, statement)] = health(db, "wrong_clock")
    db.execute(statement)
    assert health(db, "wrong_clock") == []
    assert maintain_alone(db) == []
    assert oldest not in months(db)
    assert_exact(db)


@pytest.mark.skipif(size(1, 0) == 1, reason="for LLM_DB_TEST_FULL_SIZE=1")
def test_a_walk_through_time(db: psycopg.Connection, dsn: str, clock: Clock, company: Company) -> None:
    """Services with clocks of their own write, upkeep runs, and reports are asked, while the clock is set about."""
    seed = os.environ.get("LLM_DB_TEST_SEED", "0")
    chance, ended = random.Random(seed), threading.Event()
    kept, on_record = months(db), audited(db)
    users = [company.user_id]
    other = found_company(db, "다른팀")
    users.append(other.user_id)

    def serve(number: int) -> tuple[int, int]:
        """How many logs were written, and how many refused."""
        own, written, refused = random.Random(f"{seed} {number}"), 0, 0
        with psycopg.connect(dsn, autocommit=True) as writer:
            while not ended.is_set():
                ahead = timedelta(hours=own.choice([0, 0, 0, -3, 5, 26, -1000]))
                try:
                    with writer.transaction():
                        [session] = writer.execute(
                            "INSERT INTO llm.sessions (session_id, user_id, session_type)"
                            " VALUES (llm.uuidv7(clock_timestamp() + %s), %s, 'test') RETURNING session_id",
                            [ahead, own.choice(users)],
                        ).fetchone()
                        for _ in range(3):
                            writer.execute(
                                "INSERT INTO llm.session_logs (session_id, deployment_id, template_id, token_used,"
                                " request_time) VALUES (%s, %s, %s, 1, clock_timestamp() + %s)",
                                [session, company.deployment_id, company.template_id, own.choice([ahead, timedelta()])],
                            )
                    written += 3
                    writer.execute(
                        "UPDATE llm.sessions SET end_time = greatest(start_time, clock_timestamp()),"
                        " status = 'completed' WHERE session_id = %s",
                        [session],
                    )
                except errors.CheckViolation as error:
                    # Of years in which no request can be.
                    if "within_2000_to_2099" not in str(error.diag.constraint_name):
                        raise
                    refused += 1
                ended.wait(0.02)
        return written, refused

    def keep_up() -> tuple[int, int]:
        """How often it ran, and how often somebody had to end it."""
        calls, cancelled = 0, 0
        with psycopg.connect(dsn, autocommit=True) as connection:
            pids.append(connection.info.backend_pid)
            while not ended.is_set():
                try:
                    failing = maintain(connection)
                except errors.QueryCanceled:
                    cancelled += 1
                    continue
                for failed in failing:
                    assert any(reason in failed for reason in EXPECTED), failed
                    if "the clock was wrong" in failed and chance.random() < 0.5:
                        connection.execute("SELECT ops.restart_rollups()")
                calls += 1
                ended.wait(0.05)
        return calls, cancelled

    def watch() -> None:
        """Ends upkeep that waits for two seconds of ours. Who sleeps for a moment while the clock is set back may sleep
        on until that moment comes again; and under libfaketime a timeout of who waits goes by the true clock."""
        seen: list[object] = []
        with psycopg.connect(dsn, autocommit=True) as connection:
            while not ended.wait(0.2):
                seen.append(connection.execute(waits, [pids]).fetchone())
                if seen[-1] and seen[-10:] == 10 * [seen[-1]]:
                    connection.execute("SELECT pg_cancel_backend(pid) FROM unnest(%s::int[]) AS pid", [pids])
                    seen.clear()

    pids: list[int] = []
    waits = (
        "SELECT wait_event, query_start, xact_start FROM pg_catalog.pg_stat_activity WHERE pid = ANY(%s)"
        " AND (wait_event = 'PgSleep' OR wait_event_type = 'Lock')"
    )

    before = db.execute("SELECT count(*), (SELECT usage_count FROM llm.prompt_templates WHERE template_id = %s)"
                        " FROM llm.session_logs", [company.template_id]).fetchone()  # fmt: skip
    with ThreadPoolExecutor(4) as pool:
        pool.submit(watch)
        writers = [pool.submit(serve, number) for number in range(2)]
        upkeep = pool.submit(keep_up)
        try:
            for step in range(STEPS):
                clock.set(chance.choice(FAR if step == 1 else AWAY + FAR) if step % 2 else TRUE)
                time.sleep(0.25)
                user = chance.choice(users)
                with db.transaction():
                    # Two that move at once would each wait for the other's department.
                    db.execute(
                        "UPDATE llm.users SET department_id = (SELECT d.department_id FROM llm.departments AS d"
                        " WHERE d.manager_id <> %(user)s ORDER BY random() LIMIT 1)"
                        " WHERE user_id = %(user)s AND NOT EXISTS ("
                        "  SELECT FROM llm.departments AS d WHERE d.manager_id = %(user)s)",
                        {"user": user},
                    )
                assert_exact(db, "usage", "hours", "sessions")
                assert upkeep.running(), upkeep.exception()
        finally:
            clock.set(TRUE)
            # Who waits is ended before the watch is.
            time.sleep(2.5)
            ended.set()
        written, refused = (sum(one) for one in zip(*(writer.result() for writer in writers), strict=True))
        print(
            f"{STEPS} steps, {written} logs, {refused} refused, upkeep (runs, cancelled): {upkeep.result()};"
            f" seed {seed}"
        )
    db.execute("SELECT ops.restart_rollups()")
    maintain(db)
    assert_exact(db)
    logs, uses = db.execute("SELECT count(*), (SELECT usage_count FROM llm.prompt_templates WHERE template_id = %s)"
                            " FROM llm.session_logs", [company.template_id]).fetchone()  # fmt: skip
    assert (logs, uses) == (before[0] + written, before[1] + written)
    assert all(months(db)[month] >= count for month, count in kept.items())
    assert on_record <= audited(db)
    made = db.execute("SELECT count(*) FROM ops.months").fetchone()[0]
    assert made <= KEPT + 1 + 10 * (1 + len(AWAY) + len(FAR)), "months by the hundred"


def test_the_audit_tells_the_servers_time_and_its_order(db: psycopg.Connection, clock: Clock, company: Company) -> None:
    times = []
    for seconds in (TRUE, 1600 * DAY, TRUE, -10_000 * DAY, 28_000 * DAY):
        clock.set(seconds)
        db.execute("UPDATE llm.users SET user_name = user_name || '님' WHERE user_id = %s", [company.user_id])
        times.append(db.execute("SELECT clock_timestamp()").fetchone()[0])
    clock.set(TRUE)
    rows = db.execute(
        "SELECT changed_at, new_values ->> 'user_name' FROM audit.changes"
        " WHERE table_name = 'llm.users' AND operation = 'UPDATE' ORDER BY change_id"
    ).fetchall()
    assert [len(name) for _, name in rows] == [4, 5, 6, 7, 8]
    assert all(isinstance(at, datetime) and abs(at - told) < timedelta(seconds=5)
               for (at, _), told in zip(rows, times, strict=True))  # fmt: skip
