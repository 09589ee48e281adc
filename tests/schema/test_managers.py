"""Who manages a department sees its rows in the reports, exactly as the owner sees them, and no others: in whatever
state the rollups are, and whatever a question has in it. Off until docs/roles.md is followed."""

import re
import uuid
from collections.abc import Iterator

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo
from test_roles import people_columns

from command import drop_role, llm_db
from company import CLOSED_BEFORE, found
from logins import CONNECT, PAGE, logins_of_the_page, refuses

# Those of the page's table.
REPORTS = re.findall(r"`reporting\.(\w+)`", re.search(r"^.*`reporting\.daily_usage_by_department`.*$", PAGE, re.M)[0])
# What would tell how much the others use.
SHARES = {"request_share", "token_share", "cost_share"}
DAYS = {"budget_month", *(f"{of}_{grain}" for of in ("cost", "request") for grain in ("day", "week", "month"))}
# Of the second department from now on, as it was entered late; the user's last requests and sessions too.
MOVED = "INSERT INTO llm.user_departments VALUES (11, '2024-03-10 15:00:10Z', 2), (12, '2024-03-11 00:00Z', 2)"
STATES = {**CLOSED_BEFORE, "refreshed": "2024-03-12 00:00Z"}


@pytest.fixture
def connect(dsn: str) -> Iterator[CONNECT]:
    with logins_of_the_page(dsn) as connect:
        yield connect


def company_of_two(db: psycopg.Connection, state: str) -> None:
    """With a move that is noted, but in the last state, in which it is summed up."""
    found(db, STATES[state])
    db.execute(MOVED)
    if state == "refreshed":
        db.execute("CALL ops.refresh_rollups(%s)", [STATES[state]])


def hold(db: psycopg.Connection, manager: psycopg.Connection, department: int) -> None:
    db.execute(
        "INSERT INTO llm.department_logins (role_name, department_id) VALUES (%s, %s)"
        " ON CONFLICT (role_name) DO UPDATE SET department_id = excluded.department_id",
        [manager.info.user, department],
    )


def rows(connection: psycopg.Connection, report: str, without: set[str], condition: str = "true") -> list[str]:
    query = sql.SQL("SELECT to_jsonb(r) - %s::text[] FROM reporting.{} AS r WHERE {}").format(
        sql.Identifier(report), sql.SQL(condition)
    )
    return sorted(str(row) for (row,) in connection.execute(query, [sorted(without)]))


@pytest.mark.parametrize("state", STATES)
def test_a_manager_sees_the_rows_of_the_department(db: psycopg.Connection, connect: CONNECT, state: str) -> None:
    company_of_two(db, state)
    manager = connect("dave")
    hidden = SHARES | people_columns()
    assert len(REPORTS) == 11
    assert not any(rows(manager, name, set()) for name in REPORTS)
    seen = {}
    for department in (1, 2):
        hold(db, manager, department)
        for name in REPORTS:
            seen[name, department] = rows(manager, name, hidden)
            assert seen[name, department]
            assert seen[name, department] == rows(db, name, hidden, f"department_id = {department}"), name
            columns = {column.name for column in manager.execute(f"SELECT * FROM reporting.{name}").description}
            for column in hidden & columns:
                found = manager.execute(f"SELECT count({column}) FROM reporting.{name}").fetchone()
                assert found == (0,), (name, column)
    # Usage stays where it was made.
    count = "SELECT sum(requests), sum(requests_before) FROM reporting.daily_usage_by_department"
    assert manager.execute(count).fetchone() == (2, 0)
    hold(db, manager, 1)
    assert manager.execute(count).fetchone() == (2, 1)
    # Of both roles an analyst's sight is the wider one.
    db.execute(sql.SQL("GRANT llm_analyst TO {}").format(sql.Identifier(manager.info.user)))
    for name in REPORTS:
        assert rows(manager, name, set()) == rows(connect("alice"), name, set())
        assert rows(manager, name, people_columns()) == rows(db, name, people_columns())
    db.execute(sql.SQL("REVOKE llm_analyst FROM {}").format(sql.Identifier(manager.info.user)))
    assert rows(manager, REPORTS[0], set())
    db.execute("DELETE FROM llm.department_logins")
    assert not any(rows(manager, name, set()) for name in REPORTS)


def told(connection: psycopg.Connection, report: str) -> dict[str, set[str]]:
    """What functions of the reader's own, which may be asked anywhere and cost nothing, are given of each column."""
    heard: list[str] = []
    listen = lambda notice: heard.append(notice.message_primary)  # noqa: E731
    connection.add_notice_handler(listen)
    columns = [column.name for column in connection.execute(f"SELECT * FROM reporting.{report} LIMIT 0").description]
    given = {}
    # Not of each day until today, which costs time and has no rows.
    dated = f" AND {columns[0]} < '2024-04-01'" if columns[0] in DAYS else ""
    for column in (*columns, "r"):
        for function in ("shown", "shown_if_any"):
            connection.execute(f"SELECT FROM reporting.{report} AS r WHERE pg_temp.{function}({column}){dated}")
        given[column] = set(heard)
        heard.clear()
    connection.remove_notice_handler(listen)
    return given


# STRICT: where it is given a NULL there is no row, so that an outer join is none.
SHOWN = """
    CREATE FUNCTION pg_temp.shown{0}(anyelement) RETURNS boolean LANGUAGE plpgsql IMMUTABLE COST 0.0000001 {1}
        AS $$ BEGIN RAISE NOTICE '%', coalesce($1::text, 'NULL'); RETURN true; END $$
"""


@pytest.mark.parametrize("state", ["half closed", "refreshed"])
def test_a_readers_own_function_is_told_of_no_other_department(
    db: psycopg.Connection, connect: CONNECT, state: str
) -> None:
    company_of_two(db, state)
    manager, analyst = connect("dave"), connect("alice")
    hold(db, manager, 2)
    # Names would be told as well.
    db.execute(sql.SQL("GRANT llm_people_reader TO {}").format(sql.Identifier(manager.info.user)))
    for connection in (manager, analyst):
        connection.execute(SHOWN.format("", "") + ";" + SHOWN.format("_if_any", "STRICT"))
    for name in REPORTS:
        all_told = told(analyst, name)
        for column, heard in told(manager, name).items():
            query = f"SELECT coalesce(({column})::text, 'NULL') FROM reporting.{name} AS r"
            own = {value for (value,) in manager.execute(query)}
            # Days are the calendar's, and labels a vocabulary's.
            assert heard <= own | {"NULL"} or column in DAYS or column.startswith("session_type_"), (name, column)
            if column in ("department_id", "department_name"):
                assert own < all_told[column]


def test_a_manager_reads_nothing_else(db: psycopg.Connection, dsn: str, connect: CONNECT) -> None:
    company_of_two(db, "half closed")
    manager = connect("dave")
    hold(db, manager, 1)
    others = "SELECT viewname FROM pg_catalog.pg_views WHERE schemaname = 'reporting' AND viewname <> ALL(%s)"
    refuses(
        manager,
        *(f"SELECT FROM reporting.{name}" for (name,) in db.execute(others, [[*REPORTS, "data_dictionary"]])),
        "SELECT rollup.open_logs('{}')",
        "SELECT rollup.department_of('alice')",
        "SELECT rollup.sees_all(current_user)",
        "SELECT FROM rollup.departments",
        "SELECT FROM llm.department_logins",
        "INSERT INTO llm.department_logins (role_name, department_id) VALUES (current_user, 2)",
        "UPDATE llm.department_logins SET department_id = 2",
        "DELETE FROM llm.department_logins",
        "SET ROLE llm_analyst",
        "CREATE FUNCTION rollup.sees_all(text) RETURNS boolean LANGUAGE sql RETURN true",
    )
    # As the role itself, in which nobody has a department.
    manager.execute("SET ROLE llm_manager")
    assert rows(manager, REPORTS[0], set()) == []
    manager.execute("RESET ROLE")
    # Nor does a view of the manager's own show more to somebody who sees all, for not being held to anything.
    db.execute(sql.SQL("GRANT CREATE ON SCHEMA public TO {}").format(sql.Identifier(manager.info.user)))
    service = connect("chat_service")
    for name in REPORTS:
        manager.execute(f"CREATE VIEW public.v AS SELECT department_name FROM reporting.{name}")
        manager.execute("GRANT SELECT ON public.v TO PUBLIC")
        assert set(manager.execute("SELECT * FROM public.v")) == {("AI연구팀",)}
        refuses(service, "SELECT * FROM public.v")
        manager.execute("DROP VIEW public.v")
    # The command line.
    to = make_conninfo(dsn, user=manager.info.user)
    for name in REPORTS:
        done = llm_db("report", "--dsn", to, name, "--csv")
        assert (done.returncode, "AI연구팀" in done.stdout, "개발1팀" in done.stdout) == (0, True, False), done.stderr
    done = llm_db("report", "--dsn", to, "daily_usage")
    assert done.returncode == 1
    told = r"error: .*permission denied for view daily_usage\nhint: GRANT llm_analyst TO "
    assert re.fullmatch(told + manager.info.user + "\n", done.stderr)


# Ten years of a company of ten departments, which is closed. Of months that are no longer stored.
YEARS = """
    INSERT INTO llm.users (user_id, user_name, user_email, role, department_id)
    SELECT n, 'n' || n, n || '@example.com', 'admin', 1 FROM generate_series(101, 108) AS n;
    INSERT INTO rollup.usage
    SELECT d::date, NULL, k, 1, 0, 1, 0, 0, 0, NULL, d, d, CASE WHEN k IS NULL THEN 'all' ELSE 'department' END
        ::rollup.dimension, NULL
    FROM generate_series('2014-03-11Z'::timestamptz, '2024-03-10Z', '1 day') AS d,
        unnest(ARRAY[NULL, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]) AS k;
    INSERT INTO rollup.deployment_usage
    SELECT d::date, NULL, 1, 1, k, NULL, 1, 0, 1, 0, 0, 'department', NULL
    FROM generate_series('2014-03-11Z'::timestamptz, '2024-03-10Z', '1 day') AS d, generate_series(1, 10) AS k;
    INSERT INTO rollup.sessions
    SELECT d::date, NULL, k, 1, 1, 1, 1, 1, false, 'test', 'completed'
    FROM generate_series('2014-03-11Z'::timestamptz, '2024-03-10Z', '1 day') AS d, generate_series(1, 10) AS k;
    ANALYZE rollup.usage, rollup.deployment_usage, rollup.sessions;
"""
DATED = ["request_day >= '2024-02-10'", "request_day BETWEEN '2024-02-10' AND '2024-03-20'"]


def rows_read(plan: dict) -> float:
    own = 0.0
    if plan.get("Schema") == "rollup" and plan.get("Relation Name") in ("usage", "deployment_usage", "sessions"):
        own = (plan["Actual Rows"] + plan.get("Rows Removed by Filter", 0)) * plan["Actual Loops"]
    return own + sum(rows_read(part) for part in plan.get("Plans", []))


def test_a_dated_question_reads_its_days_whoever_asks(db: psycopg.Connection, connect: CONNECT) -> None:
    found(db, STATES["closed"])
    db.execute(YEARS)
    manager = connect("dave")
    hold(db, manager, 2)
    # Of all time, and of months.
    dated = [name for name in REPORTS if name not in ("budgets", "department_overview")]
    for reader in (db, connect("alice"), manager):
        for name in dated:
            column = reader.execute(f"SELECT * FROM reporting.{name} LIMIT 0").description[0].name
            for condition in DATED:
                query = f"SELECT * FROM reporting.{name} WHERE {condition.replace('request_day', column)}"
                assert reader.execute(query).fetchall()
                plan = reader.execute(f"EXPLAIN (ANALYZE, VERBOSE, FORMAT json) {query}").fetchone()[0][0]["Plan"]
                # Of each of 31 days ten departments and the whole, thrice: now, the period before, and the platform's.
                # All days would be 3,653.
                assert 0 < rows_read(plan) < 31 * 31 * 1.5, (reader.info.user, name)


def test_turning_it_on_as_the_page_says(db: psycopg.Connection, dsn: str) -> None:
    found(db, STATES["closed"])
    block = re.search(r"<!-- turning it on: begin -->\n```sql\n(.*?)```", PAGE, re.S)[1]
    name = f"erin_{uuid.uuid4().hex}"
    db.execute(sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(name)))
    try:
        for statement in filter(str.strip, re.sub(r"\berin\b", name, block).split(";\n")):
            db.execute(statement)
        with psycopg.connect(make_conninfo(dsn, user=name)) as manager:
            query = "SELECT DISTINCT department_name FROM reporting.daily_usage_by_department"
            assert manager.execute(query).fetchall() == [("개발1팀",)]
        db.execute(re.sub(r"\berin\b", name, re.search(r"`(DELETE FROM llm\.department_logins[^`]*)`", PAGE)[1]))
        with psycopg.connect(make_conninfo(dsn, user=name)) as manager:
            assert manager.execute(query).fetchall() == []
    finally:
        drop_role(dsn, name)
