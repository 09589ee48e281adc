"""What deployments cost, where it could go wrong: days of 23 and 25 hours, whose GPUs were others' for a while, who
asked more than there was time for, months that go and come back."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, time, timedelta

import psycopg
import pytest

from conftest import Company, found_company
from rollup_model import COSTS, assert_exact, differences, drop_month, make_model

# Where clocks were put forward and back in 2026: by an hour, by half an hour, never.
ZONES = {
    "America/New_York": ("2026-03-08", 23, "2026-11-01", 25),
    "Australia/Lord_Howe": ("2026-10-04", 23.5, "2026-04-05", 24.5),
    "Asia/Kathmandu": ("2026-03-08", 24, "2026-11-01", 24),
}
# By day and deployment; of the second one there is more than its GPU has time for.
LOGS = """
INSERT INTO llm.sessions (session_id, user_id, project_id, start_time, end_time, session_type, status)
SELECT llm.uuidv7(d), u.user_id, p.project_id, d, d + interval '1 hour', 'production', 'completed'
FROM unnest(ARRAY['2026-03-08 02:00Z', '2026-03-08 11:00Z', '2026-04-04 13:00Z', '2026-10-03 13:00Z',
    '2026-11-01 05:30Z', '2026-11-01 20:00Z']::timestamptz[]) AS d, llm.users AS u
LEFT JOIN llm.projects AS p ON u.user_id = p.created_by;
INSERT INTO llm.session_logs (session_id, log_sequence, request_time, response_time, deployment_id, token_used)
SELECT s.session_id, n, at, at + latency, e.deployment_id, tokens
FROM (SELECT session_id, user_id, start_time FROM llm.sessions OFFSET 0) AS s
CROSS JOIN (SELECT deployment_id, row_number() OVER (ORDER BY deployment_id) AS place FROM llm.deployments) AS e
CROSS JOIN LATERAL (VALUES
    (e.place * 10, s.start_time, interval '0', 100), (e.place * 10 + 1, s.start_time, '1 minute', NULL),
    (e.place * 10 + 2, s.start_time + interval '59.999999 s', '0.000001 s', 7),
    (e.place * 10 + 3, s.start_time + interval '20 minutes 30 s', '40 minutes', 0),
    (e.place * 10 + 4, s.start_time + interval '1 s', NULL, s.user_id * 1000),
    (e.place * 10 + 5, s.start_time + interval '2 s', e.place * e.place * interval '10 hours', NULL)
) AS l (n, at, latency, tokens)
WHERE e.place < 3 OR s.start_time > '2026-11-01';
"""
# One of all time, one that began and stopped amid days, one that hardly ever served anybody.
HELD = """
UPDATE llm.deployment_history SET since = '2026-02-27 03:30Z' WHERE since > '-infinity';
INSERT INTO llm.deployment_history
SELECT deployment_id, since, model_id, gpus, 'production', status
FROM (SELECT min(deployment_id) + 1 AS deployment_id, min(model_id) AS model_id FROM llm.deployments) AS e
CROSS JOIN (VALUES
    ('2026-03-08 09:00Z'::timestamptz, 1, 'active'), ('2026-03-08 23:59:59.999999Z', 5, 'inactive'),
    ('2026-04-01Z', 2, 'maintenance'), ('2026-10-03 14:00Z', 0, 'active'), ('2026-10-03 15:00Z', 1, 'active'),
    ('2099-01-01Z', 100, 'active')
) AS h (since, gpus, status);
INSERT INTO llm.gpu_rates (deployment_id, since, price_per_hour)
SELECT r.deployment_id + (SELECT min(deployment_id) FROM llm.deployments), since, price
FROM (VALUES
    (NULL, '2026-03-01Z'::timestamptz, 0.3333333333), (NULL, '2026-11-01 05:59:59.5Z', 1000), (NULL, '2099-01-01Z', 1),
    (1, '-infinity', 7), (1, '2026-03-08 10:00Z', NULL), (1, '2026-10-03Z', 0), (2, '2026-11-01Z', 0.0000000001)
) AS r (deployment_id, since, price);
"""


@contextmanager
def settings(db: psycopg.Connection, apportioned_by: str, idle_is_spread: bool) -> Iterator[None]:
    with db.transaction(force_rollback=True):
        db.execute("UPDATE llm.cost_settings SET (apportioned_by, idle_is_spread) = (%s, %s)",
                   [apportioned_by, idle_is_spread])  # fmt: skip
        yield


def assert_costs(db: psycopg.Connection, *dimensions: str) -> None:
    for apportioned_by, idle_is_spread in [("tokens", False), ("busy time", True)]:
        with settings(db, apportioned_by, idle_is_spread):
            assert_exact(db, "deployment_usage", "running", *(f"costs by {one}" for one in dimensions))


@pytest.fixture
def costly(db: psycopg.Connection) -> tuple[psycopg.Connection, list[Company]]:
    db.execute("CALL llm.create_months('2026-02-01', '2026-12-01')")
    companies = [found_company(db, name) for name in ("AI연구팀", "개발1팀", "개발2팀")]
    db.execute("DELETE FROM llm.sessions")
    make_model(db)
    for statements in (HELD, LOGS):
        db.execute(statements)
    return db, companies


@pytest.mark.parametrize("zone", ZONES)
def test_days_are_as_long_as_they_are(costly: tuple[psycopg.Connection, list[Company]], zone: str) -> None:
    db, companies = costly
    db.execute("CALL ops.set_reporting_time_zone(%s)", [zone])
    *_, unused = companies
    for day, hours in zip(ZONES[zone][::2], ZONES[zone][1::2], strict=True):
        said = db.execute(
            "SELECT gpu_hours FROM rollup.cost_periods"
            " WHERE grain = 'day' AND dimension = 'deployment' AND first_day = %s AND key = %s",
            [day, unused.deployment_id],
        ).fetchone()
        assert said == (hours * 8,)
    for until in ("2026-03-08 11:10Z", "2026-11-20Z"):
        db.execute("CALL ops.refresh_rollups(%s)", [until])
        assert_costs(db, "model")


def test_costs_outlive_their_logs(costly: tuple[psycopg.Connection, list[Company]]) -> None:
    """And are the same when the logs come back, also where another history has been told of them."""
    db, _ = costly
    db.execute("CALL ops.refresh_rollups('2026-11-20Z')")
    before = costs(db)
    db.execute(
        "CREATE TABLE public.s AS SELECT * FROM llm.sessions; CREATE TABLE public.l AS SELECT * FROM llm.session_logs"
    )
    assert drop_month(db, "2026-03-01")
    assert db.execute("SELECT count(*) FROM llm.session_logs WHERE request_time < '2026-04-01Z'").fetchone() == (0,)
    assert costs(db) == before
    db.execute("UPDATE llm.deployment_history SET gpu_count = 3 WHERE gpu_count = 1")
    db.execute("INSERT INTO llm.gpu_rates (since, price_per_hour) VALUES ('2026-03-08 12:00Z', 5)")
    assert_exact(db, *COSTS)
    changed = costs(db)
    assert changed != before
    db.execute("CALL llm.create_months('2026-03-01', '2026-03-01')")
    columns = "session_id, log_sequence, request_time, response_time, deployment_id, token_used"
    db.execute("INSERT INTO llm.sessions SELECT * FROM public.s WHERE start_time < '2026-04-01Z'")
    db.execute(
        f"INSERT INTO llm.session_logs ({columns}) SELECT {columns} FROM public.l"
        " WHERE session_id IN (SELECT session_id FROM public.s WHERE start_time < '2026-04-01Z')"
    )
    assert db.execute("SELECT llm.return_month('2026-03-01')").fetchone() == (None,)
    assert costs(db) == changed
    db.execute("CALL ops.refresh_rollups('2026-11-20Z')")
    assert costs(db) == changed


def costs(db: psycopg.Connection) -> list[tuple]:
    """Those of months that are over: today costs more from moment to moment."""
    return db.execute("""
        SELECT dimension, first_day, key, department_id, is_idle, gpu_hours, allocated_cost, used_cost, cost_before,
            requests, tokens
        FROM rollup.cost_periods WHERE grain = 'month' AND first_day < '2026-11-01' ORDER BY 1, 2, 3, 4, 5
    """).fetchall()


# What a day's costs were worked out by, or whether they are kept at all: of which days, and what changes it.
USED = "day IN (SELECT u.day FROM rollup.deployment_usage AS u)"
STALE = {
    "a rate": (
        "true",
        "INSERT INTO llm.gpu_rates (since, price_per_hour) VALUES ('-infinity', 1);"
        "UPDATE llm.gpu_rates SET price_per_hour = 2 * price_per_hour",
    ),
    "a history": ("true", "UPDATE llm.deployment_history SET gpu_count = gpu_count + 1 WHERE gpu_count > 0"),
    "the setting": ("true", "UPDATE llm.cost_settings SET apportioned_by = 'busy time'"),
    "logs": (USED, "UPDATE llm.session_logs SET token_used = 1"),
    "a late log": (
        "day = (SELECT min(u.day) FROM rollup.deployment_usage AS u)",
        "INSERT INTO llm.session_logs (session_id, request_time, deployment_id, token_used)"
        " SELECT session_id, request_time, deployment_id, 9 FROM llm.session_logs ORDER BY request_time LIMIT 1",
    ),
    "usage": (USED, "UPDATE rollup.deployment_usage SET tokens = tokens"),
    "usage that comes and goes": (
        "day = '2026-05-05'",
        "INSERT INTO rollup.deployment_usage SELECT '2026-05-05', NULL, 1, 1, 1, NULL, 1, 1, 1, 0, 0, 'project';"
        "DELETE FROM rollup.deployment_usage WHERE day = '2026-05-05'",
    ),
    "costs that are lost": ("true", "TRUNCATE rollup.costs"),
    "costs of users that are lost": ("true", "TRUNCATE rollup.user_costs"),
    "the rollups": ("true", "SELECT ops.restart_rollups()"),
}


def falsify(db: psycopg.Connection, days: str = "true") -> None:
    """What is kept of these days, and of all that they are part of."""
    db.execute(f"UPDATE rollup.costs SET cost = cost + 1, requests = requests + 1 WHERE {days}")
    db.execute(f"""
        UPDATE rollup.user_costs AS k SET allocated_cost = allocated_cost + 1
        WHERE EXISTS (
            SELECT FROM rollup.priced_days AS p
            WHERE p.day >= k.first_day AND p.day < k.first_day + ('1 ' || k.grain)::interval
                AND p.day IN (SELECT c.day FROM rollup.costs AS c WHERE {days})
        )
    """)


def test_reports_read_the_costs_that_are_kept(costly: tuple[psycopg.Connection, list[Company]]) -> None:
    db, _ = costly
    db.execute("CALL ops.refresh_rollups('2026-11-20 15:00Z')")
    falsify(db)
    for question in COSTS:
        assert list(differences(db, (question,))), question
    # What is over is not even looked at again where nothing has changed.
    db.execute("UPDATE rollup.priced_days SET prices = 'another' WHERE day BETWEEN '2026-01-01' AND '2026-11-18'")
    for question in COSTS:
        assert list(differences(db, (question,))), question


@pytest.mark.parametrize("grain", ["day", "week", "month"])
def test_costs_of_users_are_kept_by_day_week_and_month(
    costly: tuple[psycopg.Connection, list[Company]], grain: str
) -> None:
    db, _ = costly
    db.execute("CALL ops.refresh_rollups('2026-11-20 15:00Z')")
    # Nothing else is looked at, and what is not over is not kept.
    db.execute("UPDATE rollup.costs SET cost = 0; UPDATE rollup.user_costs SET allocated_cost = 7")
    query = """
        SELECT min(first_day), max(first_day), bool_and(allocated_cost = 7)
        FROM rollup.cost_periods
        WHERE dimension = 'user' AND grain = %s AND first_day >= %s AND first_day + ('1 ' || grain)::interval <= %s
    """
    first_day = db.execute("SELECT min(first_day) FROM rollup.user_costs WHERE grain = %s", [grain]).fetchone()[0]
    last_day = db.execute("SELECT max(first_day) FROM rollup.user_costs WHERE grain = %s", [grain]).fetchone()[0]
    assert last_day == {"day": date(2026, 11, 20), "week": date(2026, 11, 9), "month": date(2026, 10, 1)}[grain]
    assert db.execute(query, [grain, first_day, "2026-11-21"]).fetchone() == (first_day, last_day, True)


@pytest.mark.parametrize("kind", STALE)
def test_costs_are_kept_as_long_as_they_are_right(costly: tuple[psycopg.Connection, list[Company]], kind: str) -> None:
    db, _ = costly
    db.execute("CALL ops.refresh_rollups('2026-11-20 15:00Z')")
    days, statements = STALE[kind]
    falsify(db, days)
    assert list(differences(db, ("costs by project",)))
    assert list(differences(db, ("costs by user",)))
    for statement in statements.split(";"):
        db.execute(statement)
    assert_exact(db, "costs by project", "costs by user", "costs by user of department")
    db.execute("CALL ops.refresh_rollups('2026-11-20 15:00Z')")
    assert_exact(db, "costs by project", "costs by user", "costs by user of department")
    # And they are kept again, of all days that are over.
    assert db.execute("""
        SELECT min(day), max(day), count(*) = max(day) - min(day) + 1,
            (SELECT count(*) FROM rollup.costs AS c LEFT JOIN rollup.priced_days AS p USING (day) WHERE p.day IS NULL)
        FROM rollup.priced_days WHERE isfinite(day)
    """).fetchone() == (date(2026, 2, 27), date(2026, 11, 20), True, 0)


def test_costs_of_a_month_that_goes_and_comes_back(costly: tuple[psycopg.Connection, list[Company]]) -> None:
    db, _ = costly
    db.execute("CALL ops.refresh_rollups('2026-11-20Z')")
    db.execute("CREATE TABLE public.s AS SELECT * FROM llm.sessions; CREATE TABLE public.l AS TABLE llm.session_logs")
    falsify(db, f"{USED} AND day < '2026-03-31'")
    assert drop_month(db, "2026-03-01")
    assert_exact(db, *COSTS)
    db.execute("CALL ops.refresh_rollups('2026-11-20Z')")
    falsify(db, f"{USED} AND day < '2026-03-31'")
    db.execute("CALL llm.create_months('2026-03-01', '2026-03-01')")
    columns = "session_id, log_sequence, request_time, response_time, deployment_id, token_used"
    with db.transaction():
        db.execute("INSERT INTO llm.sessions SELECT * FROM public.s WHERE start_time < '2026-04-01Z'")
        db.execute(
            f"INSERT INTO llm.session_logs ({columns}) SELECT {columns} FROM public.l"
            " WHERE session_id IN (SELECT session_id FROM public.s WHERE start_time < '2026-04-01Z')"
        )
        assert db.execute("SELECT llm.return_month('2026-03-01')").fetchone() == (None,)
    db.execute("TRUNCATE model.dropped_logs, model.dropped_sessions")
    assert_exact(db, *COSTS)
    db.execute("CALL ops.refresh_rollups('2026-11-20Z')")
    assert_exact(db, *COSTS)


def test_costs_are_right_however_many_days_are_kept(costly: tuple[psycopg.Connection, list[Company]]) -> None:
    """A refresh that is cut off leaves some; and what it did not commit is not there."""
    db, _ = costly
    db.execute("CALL ops.refresh_rollups('2026-11-20Z')")
    db.execute("DELETE FROM rollup.priced_days")
    for days in (19, 1, 30, 200):
        with db.transaction():
            db.execute("SELECT rollup.lock_state(true)")
            assert db.execute("SELECT rollup.price_days(%s)", [days]).fetchone() != (None,)
        with db.transaction(force_rollback=True):
            db.execute("SELECT rollup.price_days(7)")
        assert_exact(db, "costs by model", "costs by user")
    with db.transaction():
        db.execute("SELECT rollup.lock_state(true)")
        while db.execute("SELECT rollup.price_days(30)").fetchone() != (None,):
            pass
    assert_exact(db, *COSTS)


def test_a_day_that_goes_on_after_it_is_over(db: psycopg.Connection, company: Company) -> None:
    """At St. John's it was midnight twice on 7 November 2010: the second time, an hour of the 6th was still to come."""
    db.execute("SELECT llm.create_month('2010-11-01')")
    db.execute("UPDATE rollup.state SET time_zone = 'America/St_Johns'")
    db.execute(
        "INSERT INTO llm.sessions (session_id, user_id, start_time, session_type, status)"
        " SELECT llm.uuidv7('2010-11-06 12:00Z'), %s, '2010-11-06 12:00Z', 'production', 'running'",
        [company.user_id],
    )
    db.execute(
        "INSERT INTO llm.session_logs (session_id, log_sequence, request_time, deployment_id)"
        " SELECT session_id, n, at, %s"
        " FROM llm.sessions, (VALUES (1, '2010-11-06 12:00Z'::timestamptz), (2, '2010-11-07 03:00Z')) AS l (n, at)"
        " WHERE start_time = '2010-11-06 12:00Z'",
        [company.deployment_id],
    )
    said = (
        "SELECT requests FROM rollup.cost_periods"
        " WHERE grain = 'day' AND dimension = 'user' AND first_day = '2010-11-06' AND NOT is_idle"
    )
    for close_before in ("2010-11-07 02:30:30Z", "2010-11-08Z"):
        db.execute("CALL ops.refresh_rollups(%s)", [close_before])
        priced = "SELECT min(day) FROM rollup.priced_days WHERE isfinite(day)"
        assert db.execute(priced).fetchone() == (date(2010, 11, 6),)
        assert db.execute(said).fetchall() == [(2,)]


def test_a_day_has_no_costs_that_stay_before_it_is_over(db: psycopg.Connection, company: Company) -> None:
    """Half a minute ago it was midnight, and in ten minutes it is half an hour earlier."""
    now = db.execute("SELECT now()").fetchone()[0].astimezone(UTC)
    today = (now + timedelta(hours=12)).date()
    ahead = datetime.combine(today, time(0, 0, 30), UTC) - now
    east = [round((ahead - back).total_seconds()) for back in (timedelta(minutes=30), timedelta())]
    standard, summer = (
        f"{'-' if one > 0 else ''}{abs(one) // 3600}:{abs(one) // 60 % 60}:{abs(one) % 60}" for one in east
    )
    last = today.timetuple().tm_yday - 1
    zone = f"AAA{standard}BBB{summer},{(last + 180) % 365}/0,{last}/0:10"
    said = db.execute("SELECT (now() AT TIME ZONE %s)::date", [zone]).fetchone()
    assert said == (today,)
    db.execute("UPDATE rollup.state SET time_zone = %s", [zone])
    db.execute("UPDATE llm.deployment_history SET since = now() - interval '9 days' WHERE gpu_count > 0")
    db.execute("CALL ops.refresh_rollups(clock_timestamp())")
    priced = db.execute("SELECT max(day) FROM rollup.priced_days WHERE isfinite(day)").fetchone()
    assert priced == (today - timedelta(days=2),)
