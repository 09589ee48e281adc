"""Where rollups could go wrong: one small story each, told in order. And histograms, and days of odd time zones."""

import random
import re
import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from uuid import UUID

import psycopg
import pytest
from psycopg import errors

from conftest import Company, found_company
from rollup_model import IS_WRITING, assert_exact, drop_month, make_model

REPEATABLE_READ = "BEGIN ISOLATION LEVEL REPEATABLE READ"


@pytest.fixture
def modelled(db: psycopg.Connection, company: Company) -> psycopg.Connection:
    db.execute("CALL llm.create_months('2024-01-01', '2024-04-01')")
    db.execute("DELETE FROM llm.sessions")
    make_model(db)
    return db


@pytest.fixture
def other(dsn: str) -> psycopg.Connection:
    """Somebody else, whose transactions begin when told."""
    with psycopg.connect(dsn, autocommit=True, options="-c statement_timeout=20s") as connection:
        yield connection


def add_session(db: psycopg.Connection, company: Company, start: str, end: str | None, user: int | None = None) -> UUID:
    return db.execute(
        "INSERT INTO llm.sessions (session_id, user_id, project_id, start_time, end_time, session_type, status)"
        " VALUES (llm.uuidv7(%s), %s, %s, %s, %s, 'production', %s) RETURNING session_id",
        [start, user or company.user_id, company.project_id, start, end, "completed" if end else "running"],
    ).fetchone()[0]


def add_log(
    db: psycopg.Connection, company: Company, session: UUID, at: str | datetime, sequence: int | None = None
) -> None:
    db.execute(
        "INSERT INTO llm.session_logs (session_id, log_sequence, request_time, deployment_id, token_used)"
        " VALUES (%s, %s, %s, %s, 5)",
        [session, sequence, at, company.deployment_id],
    )


def add_user(db: psycopg.Connection, company: Company) -> int:
    return db.execute(
        "INSERT INTO llm.users (user_name, user_email, role, department_id)"
        " VALUES ('another', 'another@example.com', 'analyst', %s) RETURNING user_id",
        [company.department_id],
    ).fetchone()[0]


def refresh(db: psycopg.Connection, until: str = "2024-03-01Z") -> None:
    db.execute("CALL ops.refresh_rollups(%s)", [until])


def during_a_refresh(db: psycopg.Connection, dsn: str, meanwhile: Callable[[], object]) -> None:
    """The refresh knows whom it waits for, and has not gone on: what begins now, it does not wait for."""
    with psycopg.connect(dsn, autocommit=True) as refresher, psycopg.connect(dsn) as writer:
        writer.execute(IS_WRITING)
        thread = threading.Thread(target=refresh, args=[refresher])
        thread.start()
        wait_for_sleep(db, refresher)
        meanwhile()
        writer.rollback()
        thread.join()


def wait_for_sleep(db: psycopg.Connection, refresher: psycopg.Connection) -> None:
    """It sleeps between two looks at the writers it waits for."""
    asleep = "SELECT wait_event = 'PgSleep' FROM pg_stat_activity WHERE pid = %s"
    until = time.monotonic() + 60
    while db.execute(asleep, [refresher.info.backend_pid]).fetchone() != (True,):
        assert time.monotonic() < until, "it does not wait"
        time.sleep(0.01)


# Snapshots that do not see what is closed


def test_an_old_snapshot_hands_a_session_over(
    modelled: psycopg.Connection, other: psycopg.Connection, company: Company
) -> None:
    session = add_session(modelled, company, "2024-01-10 10:00Z", None)
    user = add_user(modelled, company)
    refresh(modelled)
    other.execute(REPEATABLE_READ)
    other.execute("SELECT FROM rollup.state")
    add_log(modelled, company, session, "2024-01-12 11:00Z", 1)
    refresh(modelled)
    other.execute("UPDATE llm.sessions SET user_id = %s", [user])
    other.execute("COMMIT")
    assert_exact(modelled)


def test_an_old_snapshot_moves_somebody_who_had_no_sessions(
    modelled: psycopg.Connection, other: psycopg.Connection, company: Company
) -> None:
    user, department = add_user(modelled, company), found_company(modelled, "개발1팀").department_id
    refresh(modelled)
    other.execute(REPEATABLE_READ)
    other.execute("SELECT FROM rollup.state")
    add_log(modelled, company, add_session(modelled, company, "2024-01-10Z", "2024-01-20Z", user), "2024-01-12Z")
    refresh(modelled)
    other.execute("UPDATE llm.user_departments SET department_id = %s WHERE user_id = %s", [department, user])
    other.execute("COMMIT")
    assert_exact(modelled)


@pytest.mark.one_node("no snapshot reaches over several servers")
def test_an_old_snapshot_adds_nothing_to_a_session_it_does_not_see(
    modelled: psycopg.Connection, other: psycopg.Connection, company: Company
) -> None:
    refresh(modelled)
    other.execute(REPEATABLE_READ)
    other.execute("SELECT FROM rollup.state")
    session = add_session(modelled, company, "2024-01-10Z", "2024-01-20Z")
    refresh(modelled)
    # As by any foreign key between plain tables.
    with pytest.raises(errors.ForeignKeyViolation):
        add_log(other, company, session, "2024-01-12Z")
    other.execute("ROLLBACK")
    assert_exact(modelled)


def test_an_old_snapshot_adds_to_a_session_that_has_moved(
    modelled: psycopg.Connection, other: psycopg.Connection, company: Company
) -> None:
    session = add_session(modelled, company, "2024-01-10Z", "2024-01-20Z")
    refresh(modelled)
    other.execute(REPEATABLE_READ)
    other.execute("SELECT FROM rollup.state")
    modelled.execute("UPDATE llm.sessions SET start_time = '2024-01-11Z'")
    refresh(modelled)
    add_log(other, company, session, "2024-01-12Z", 1)
    other.execute("COMMIT")
    assert_exact(modelled)


def test_an_old_snapshot_drops_no_month(
    modelled: psycopg.Connection, other: psycopg.Connection, company: Company
) -> None:
    session = add_session(modelled, company, "2024-01-10Z", "2024-01-20Z")
    refresh(modelled)
    other.execute(REPEATABLE_READ)
    other.execute("SELECT FROM rollup.state")
    add_log(modelled, company, session, "2024-01-12Z")
    with pytest.raises(psycopg.Error, match="READ COMMITTED"):
        other.execute("SELECT llm.drop_month('2024-01-01')")


# What begins while a refresh waits for others


def test_history_is_corrected_while_a_first_session_is_written(
    modelled: psycopg.Connection, other: psycopg.Connection, dsn: str, company: Company
) -> None:
    user, department = add_user(modelled, company), found_company(modelled, "개발1팀").department_id
    refresh(modelled)

    def meanwhile() -> None:
        other.execute("BEGIN")
        other.execute("UPDATE llm.user_departments SET department_id = %s WHERE user_id = %s", [department, user])
        add_log(modelled, company, add_session(modelled, company, "2024-01-10Z", "2024-01-20Z", user), "2024-01-12Z")

    during_a_refresh(modelled, dsn, meanwhile)
    other.execute("COMMIT")
    assert_exact(modelled)


def test_a_session_moves_while_a_log_is_written(
    modelled: psycopg.Connection, other: psycopg.Connection, dsn: str, company: Company
) -> None:
    session = add_session(modelled, company, "2024-01-10Z", "2024-01-20Z")
    refresh(modelled)

    def meanwhile() -> None:
        other.execute("BEGIN")
        add_log(other, company, session, "2024-01-12Z", 1)
        modelled.execute("UPDATE llm.sessions SET start_time = '2024-01-11Z'")

    during_a_refresh(modelled, dsn, meanwhile)
    other.execute("COMMIT")
    assert_exact(modelled)


def test_a_second_refresh_announces_more_and_is_cut_off(
    modelled: psycopg.Connection, other: psycopg.Connection, dsn: str, company: Company
) -> None:
    old, new = add_session(modelled, company, "2024-01-02Z", None), add_session(modelled, company, "2024-03-01Z", None)
    add_log(modelled, company, new, "2024-03-01 10:00Z")
    refresh(modelled, "2024-01-05Z")
    with (
        psycopg.connect(dsn, autocommit=True) as first,
        psycopg.connect(dsn, autocommit=True) as second,
        psycopg.connect(dsn) as writer,
    ):
        writer.execute(IS_WRITING)
        thread = threading.Thread(target=refresh, args=[first, "2024-01-06Z"])
        thread.start()
        wait_for_sleep(modelled, first)
        other.execute("BEGIN")
        add_log(other, company, old, "2024-03-05Z", 1)
        second.execute("SET statement_timeout = '300ms'")
        with pytest.raises(errors.QueryCanceled):
            refresh(second, "2024-03-04Z")
        writer.rollback()
        thread.join()
    other.execute("COMMIT")
    assert_exact(modelled)


@pytest.mark.one_node("Citus prepares transactions itself")
def test_a_transaction_is_prepared_while_a_refresh_waits_for_it(
    modelled: psycopg.Connection, other: psycopg.Connection, dsn: str, company: Company
) -> None:
    session = add_session(modelled, company, "2024-01-10Z", None)
    other.execute("BEGIN")
    add_log(other, company, session, "2024-01-12Z")
    with psycopg.connect(dsn, autocommit=True) as refresher:
        thread = threading.Thread(target=refresh, args=[refresher])
        thread.start()
        wait_for_sleep(modelled, refresher)
        other.execute("PREPARE TRANSACTION 'while_waited_for'")
        thread.join(0.3)
        waited = thread.is_alive()
        modelled.execute("COMMIT PREPARED 'while_waited_for'")
        thread.join()
    assert waited
    assert_exact(modelled)


# Months that are dropped


@pytest.mark.parametrize(
    "change", ["DELETE FROM llm.sessions", "DELETE FROM llm.session_logs", "TRUNCATE llm.sessions CASCADE"]
)
def test_what_was_deleted_does_not_come_back_with_its_month(
    modelled: psycopg.Connection, company: Company, change: str
) -> None:
    add_log(modelled, company, add_session(modelled, company, "2024-01-10Z", "2024-01-20Z"), "2024-01-12Z")
    refresh(modelled)
    modelled.execute(change)
    with pytest.raises(errors.ObjectNotInPrerequisiteState):
        drop_month(modelled, "2024-01-01")
    refresh(modelled)
    assert drop_month(modelled, "2024-01-01")
    assert_exact(modelled)


def test_a_month_is_dropped_whose_last_day_is_noted_by_the_next(modelled: psycopg.Connection, company: Company) -> None:
    # Both are the 1st of February in Seoul.
    add_session(modelled, company, "2024-01-31 16:00Z", "2024-01-31 17:00Z")
    february = add_session(modelled, company, "2024-02-01 05:00Z", "2024-02-01 06:00Z")
    refresh(modelled)
    modelled.execute("UPDATE llm.sessions SET end_time = '2024-02-01 07:00Z' WHERE session_id = %s", [february])
    with pytest.raises(errors.ObjectNotInPrerequisiteState):
        drop_month(modelled, "2024-01-01")
    refresh(modelled)
    assert drop_month(modelled, "2024-01-01")
    assert_exact(modelled)


def test_running_sessions_of_a_dropped_month_stay_counted(modelled: psycopg.Connection, company: Company) -> None:
    session = add_session(modelled, company, "2024-01-10Z", None)
    add_log(modelled, company, session, "2024-01-12Z")
    refresh(modelled)
    assert drop_month(modelled, "2024-01-01")
    assert modelled.execute("SELECT count(*) FROM llm.sessions").fetchone() == (0,)
    assert_exact(modelled)
    # Nothing follows the rows that are gone.
    modelled.execute("UPDATE llm.user_departments SET department_id = %s", [found_company(modelled, "B").department_id])
    assert_exact(modelled)
    refresh(modelled)
    assert_exact(modelled)


# The history of departments


def test_a_row_of_history_is_given_to_another_user(modelled: psycopg.Connection, company: Company) -> None:
    user, department = add_user(modelled, company), found_company(modelled, "개발1팀").department_id
    add_log(modelled, company, add_session(modelled, company, "2024-01-10Z", "2024-01-20Z"), "2024-01-12Z")
    modelled.execute("INSERT INTO llm.user_departments VALUES (%s, '2024-01-01Z', %s)", [company.user_id, department])
    refresh(modelled)
    modelled.execute("UPDATE llm.user_departments SET user_id = %s WHERE since = '2024-01-01Z'", [user])
    assert_exact(modelled)


def test_a_history_that_begins_in_1900_is_read_quickly(modelled: psycopg.Connection, company: Company) -> None:
    add_log(modelled, company, add_session(modelled, company, "2024-01-10Z", "2024-01-20Z"), "2024-01-12Z")
    refresh(modelled)
    modelled.execute(
        "INSERT INTO llm.user_departments VALUES (%s, '1900-01-01Z', %s)", [company.user_id, company.department_id]
    )
    # Day by day it would take a minute.
    modelled.execute("SET statement_timeout = '5s'")
    assert_exact(modelled)


# Keys that are missing, and days


def test_missing_keys_are_a_key(modelled: psycopg.Connection, company: Company) -> None:
    session = add_session(modelled, company, "2024-01-10Z", "2024-01-20Z")
    modelled.execute("UPDATE llm.sessions SET project_id = NULL")
    modelled.execute("DELETE FROM llm.user_departments")
    for hour in range(3):
        add_log(modelled, company, session, f"2024-01-12 0{hour}:00Z")
    for until in ("2024-01-12 00:30Z", "2024-01-12 01:30Z", "2024-06-01Z"):
        refresh(modelled, until)
        assert_exact(modelled)
    rows = modelled.execute(
        "SELECT dimension::text, key, requests FROM rollup.usage WHERE key IS NULL ORDER BY dimension"
    ).fetchall()
    assert rows == [(dimension, None, 3) for dimension in ("all", "config", "department", "project", "template")]


@pytest.mark.parametrize(
    ("zone", "around"),
    [
        ("Asia/Seoul", ["2024-05-01 15:00Z"]),
        ("Asia/Kathmandu", ["2024-05-01 18:15Z"]),
        ("Asia/Kolkata", ["2024-05-01 18:30Z"]),
        # Both changes of the clock: forward and back.
        ("Australia/Lord_Howe", ["2024-10-05 15:30Z", "2024-04-06 15:00Z", "2024-04-06 13:00Z"]),
        ("America/New_York", ["2024-03-10 07:00Z", "2024-11-03 06:00Z", "2024-11-03 04:00Z"]),
        # Back over midnight: a day begins twice, or ends twice.
        ("America/Havana", ["2024-03-10 05:00Z", "2024-11-03 05:00Z"]),
        ("Asia/Beirut", ["2024-03-30 22:00Z", "2024-10-26 21:00Z"]),
    ],
)
def test_days_and_hours_of_a_time_zone(
    modelled: psycopg.Connection, company: Company, zone: str, around: list[str]
) -> None:
    modelled.execute("CALL ops.set_reporting_time_zone(%s)", [zone])
    session = add_session(modelled, company, "2024-01-01Z", "2024-01-02Z")
    times = [
        datetime.fromisoformat(at) + timedelta(minutes=7.5 * n, microseconds=-1 if n == 0 else 0)
        for at in around
        for n in range(-10, 11)
    ]
    for at in times:
        add_log(modelled, company, session, at)
    assert_exact(modelled, "usage", "hours", "activity")
    # Closed in the middle of it, then all.
    for until in (around[-1], "2025-01-01Z"):
        refresh(modelled, until)
        assert_exact(modelled, "usage", "hours", "activity")
    for at in times[::4]:
        modelled.execute("UPDATE llm.session_logs SET token_used = 9 WHERE request_time = %s", [at])
        assert_exact(modelled, "usage", "hours")
        refresh(modelled, "2025-01-01Z")
        assert_exact(modelled, "usage", "hours")


@pytest.mark.parametrize("of_session", ["UTC", "Asia/Tokyo"])
@pytest.mark.parametrize(
    ("zone", "changed_within"),
    # Clocks of St. John's, and once of Gaza, were changed one minute after midnight, Lord Howe's are by half an hour.
    [("America/St_Johns", 3), ("Asia/Gaza", 1), ("Australia/Lord_Howe", 0), ("Pacific/Apia", 0), ("Asia/Seoul", 0)],
)
def test_a_quarter_shows_what_each_of_its_times_would(
    db: psycopg.Connection, zone: str, changed_within: int, of_session: str
) -> None:
    db.execute("UPDATE rollup.state SET time_zone = %s", [zone])
    db.execute("SELECT set_config('timezone', %s, false)", [of_session])
    wrong, quarters = db.execute("""
        SELECT
            count(*) FILTER (
                WHERE (t.at AT TIME ZONE z.time_zone)::date <> q.day
                    OR date_trunc('hour', t.at AT TIME ZONE z.time_zone) <> q.local_hour
                    OR date_trunc('hour', t.at, z.time_zone) <> q.hour
                    OR date_trunc('month', t.at AT TIME ZONE 'UTC') <> q.month
                    OR llm.uuidv7_floor(t.at) NOT BETWEEN q.month_low AND q.month_high
            ),
            count(DISTINCT q.quarter)
        FROM unnest('{2005-11-05, 2008-11-10, 2010-04-10, 2011-12-31, 2026-11-15}'::timestamptz []) AS d (last_day)
        CROSS JOIN LATERAL rollup.quarters('-infinity', d.last_day) AS q
        CROSS JOIN unnest('{0, 59.999999, 60, 840, 899.999999}'::float8 []) AS s (seconds)
        CROSS JOIN LATERAL (SELECT q.quarter + make_interval(secs => s.seconds) AS at) AS t
        CROSS JOIN rollup.state AS z
    """).fetchone()
    assert wrong == 0
    assert quarters == 5 * 100 * 96 - changed_within


def test_no_log_is_below_the_first_that_is_logged(modelled: psycopg.Connection, company: Company) -> None:
    """Of many logs a bound has to do: also where they are of two months, and where one is of none."""
    first = "SELECT rollup.first_logged('2024-02-10', '2024-02-20')"
    assert modelled.execute(first).fetchone() == (None,)
    before, session, later = (
        add_session(modelled, company, day, None) for day in ("2024-01-05", "2024-01-20", "2024-02-03")
    )
    add_log(modelled, company, session, "2024-02-12")
    add_log(modelled, company, later, "2024-02-11")
    add_log(modelled, company, before, "2024-01-06")
    assert modelled.execute(first).fetchone() == (session,)
    modelled.execute(
        "INSERT INTO llm.session_logs (session_id, log_sequence, request_time, deployment_id)"
        " SELECT %s, 1000 + n, '2024-02-11', %s FROM generate_series(1, 12000) AS n",
        [later, company.deployment_id],
    )
    assert modelled.execute(first).fetchone()[0] in (before, session)
    stray = add_session(modelled, company, "2019-05-05", None)
    assert modelled.execute(first).fetchone()[0] in (before, session)
    add_log(modelled, company, stray, "2024-02-12")
    assert modelled.execute(first).fetchone() == (stray,)


@pytest.mark.one_node("auto_explain of nested statements loses a worker's part of a transaction")
def test_what_reads_logs_is_not_compiled(modelled: psycopg.Connection, company: Company) -> None:
    modelled.execute("SET jit = on")
    if not modelled.execute("SELECT pg_jit_available()").fetchone()[0]:
        pytest.skip("this server was built without a compiler for plans")
    session = add_session(modelled, company, "2024-01-10Z", "2024-01-11Z")
    for day in range(10, 20):
        add_log(modelled, company, session, f"2024-01-{day}Z")
    plans: list[str] = []
    modelled.add_notice_handler(lambda notice: plans.append(notice.message_primary or ""))
    modelled.execute("LOAD 'auto_explain'")
    modelled.execute("SET client_min_messages = log")
    modelled.execute("SET auto_explain.log_nested_statements = on")
    modelled.execute("SET auto_explain.log_min_duration = 0")
    modelled.execute("SET jit_above_cost = 0")
    refresh(modelled, "2024-01-15Z")
    modelled.execute("SELECT * FROM reporting.daily_usage")
    modelled.execute("SELECT * FROM reporting.daily_sessions")
    modelled.execute("SELECT * FROM reporting.latency_percentiles('2024-01-01', '2024-01-31')")
    about_logs = [
        plan for plan in plans if re.search(r"FROM llm\.(log_facts|session_facts|session_logs|usage_rows)", plan)
    ]
    assert len(about_logs) > 4
    assert [plan for plan in about_logs if "JIT:" in plan] == []
    assert [plan for plan in plans if "JIT:" in plan], "others are"


# Histograms


def latencies(kind: str, count: int) -> list[int]:
    """In microseconds."""
    rng = random.Random(f"{kind} {count}")
    of = {
        "none": lambda: 0,
        "constant": lambda: 1_234_567,
        "one microsecond": lambda: 1,
        "below a millisecond": lambda: rng.randrange(1000),
        "two peaks": lambda: round(abs(rng.gauss(*rng.choice([(50_000, 5_000), (20_000_000, 1_000_000)])))),
        "heavy tail": lambda: round(rng.paretovariate(0.8) * 10_000),
        "hours": lambda: rng.randrange(3_600_000_000, 90_000_000_000),
        "some at once": lambda: rng.choice([0, 1, 2, 10 ** rng.randrange(10)]),
    }
    return [of[kind]() for _ in range(count)]


HISTOGRAM = "rollup.histogram_of(array_agg(rollup.latency_bucket(latency)))"


@pytest.mark.parametrize(
    "kind",
    ["none", "constant", "one microsecond", "below a millisecond", "two peaks", "heavy tail", "hours", "some at once"],
)
def test_percentiles_are_within_two_percent(db: psycopg.Connection, kind: str) -> None:
    db.execute("CREATE TEMPORARY TABLE l (latency bigint)")
    for count in (1, 2, 3, 10, 10_000):
        db.execute("TRUNCATE l")
        db.execute("INSERT INTO l SELECT unnest(%s::bigint[])", [latencies(kind, count)])
        wrong = db.execute(
            f"SELECT p, said, exact FROM (SELECT {HISTOGRAM} AS h, array_agg(latency) AS all_of_them FROM l) AS one"
            " CROSS JOIN unnest('{0.01, 0.05, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999}'::float8[]) AS p"
            " CROSS JOIN LATERAL (SELECT rollup.histogram_percentile_ms(h, p) AS said) AS s"
            " CROSS JOIN LATERAL ("
            "    SELECT percentile_disc(p) WITHIN GROUP (ORDER BY u) / 1000.0 AS exact FROM unnest(all_of_them) AS u"
            " ) AS e WHERE (abs(said - exact) <= 0.02 * exact) IS NOT TRUE"
        ).fetchall()
        assert wrong == [], count


def test_histograms_add_up(db: psycopg.Connection) -> None:
    db.execute(
        "CREATE TEMPORARY TABLE l AS SELECT latency, random() AS part FROM unnest(%s::bigint[]) AS latency",
        [latencies("heavy tail", 3000)],
    )
    for parts in (1, 2, 7, 3000):
        [same] = db.execute(
            f"SELECT (SELECT {HISTOGRAM} FROM l) = (SELECT rollup.histogram_sum(h) FROM"
            f" (SELECT {HISTOGRAM} AS h FROM l GROUP BY floor(part * %s)) AS parts)",
            [parts],
        ).fetchone()
        assert same, f"{parts} parts"


def test_no_latency_has_no_percentile(db: psycopg.Connection) -> None:
    rows = db.execute(
        "SELECT rollup.histogram_percentile_ms(NULL, 0.5), rollup.histogram_percentile_ms(rollup.histogram_sum(h), 0.5)"
        " FROM (VALUES (NULL::rollup.latency_histogram)) AS n (h)"
    )
    assert rows.fetchone() == (None, None)
