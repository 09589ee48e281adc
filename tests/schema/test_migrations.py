"""The state in schema/ and views/ and the change in migrations/ are both written by hand, and proven equal here; and
every migration can be taken back and applied again without a trace."""

import re
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import psycopg
import pytest

import citus
from cluster import server_bin
from conftest import found_company, fresh_database
from llm_db import database, errors, files, migrate, objects, repeatables
from llm_db.session import Session

ROOT = Path(__file__).parents[2]
KNOWN = [migration.id for migration in files.migrations()]
RELEASED = "0008.months"
OURS = ("llm", "rollup", "reporting", "ops", "audit")


def pg_dump(dsn: str) -> str:
    """The server's own, as an older one refuses a newer server."""
    program = server_bin() / "pg_dump"
    schemas = [f"--schema={name}" for name in OURS]
    command = [program, "--schema-only", "--no-owner", *schemas, "--dbname", dsn]
    return subprocess.run(command, check=True, capture_output=True, encoding="utf-8").stdout


def catalog(dsn: str) -> Counter[str]:
    """What pg_dump says, statement by statement in any order. The lines within a statement stay as they are, so the
    order of a table's columns counts. Nothing at all, once the schemas are gone."""
    with psycopg.connect(dsn) as connection:
        exists = "SELECT EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = ANY(%s))"
        if connection.execute(exists, [list(OURS)]).fetchone() == (False,):
            return Counter()
    dump = pg_dump(dsn)
    # \restrict carries a random key; the comments name versions and order.
    kept = [line for line in dump.splitlines() if not line.startswith(("--", "\\restrict", "\\unrestrict"))]
    statements = re.split(r";\n\n|;\n(?=GRANT |REVOKE )", "\n".join(kept))
    return Counter(statement.strip() for statement in statements if statement.strip())


@contextmanager
def session(dsn: str) -> Iterator[psycopg.Connection]:
    with database.connect(database.Target(dsn, "the tests")) as connection:
        yield connection


def up(dsn: str, to: str | None = None) -> None:
    with session(dsn) as connection:
        migrate.migrate(connection, to=to)


def down(dsn: str, to: str) -> None:
    with session(dsn) as connection:
        migrate.rollback(connection, to)


def drop_repeatables(dsn: str) -> None:
    """A rollback leaves what needs nothing of what went; here only what migrations make is compared."""
    with session(dsn) as connection, connection.transaction():
        made = repeatables.recorded(connection).values()
        ours = [name for one in made for name in one.objects - one.adopted]
        objects.drop(Session(connection), ours, repeatables.all_objects(made))


def write(dsn: str) -> None:
    """What writers do all day."""
    with psycopg.connect(dsn, autocommit=True) as db:
        company = found_company(db)
        for logs in (1, 3):
            db.execute(
                "INSERT INTO llm.session_logs (session_id, deployment_id, template_id) SELECT %s, %s, %s"
                " FROM generate_series(1, %s)",
                [company.session_id, company.deployment_id, company.template_id, logs],
            )
        db.execute("UPDATE llm.session_logs SET response_time = clock_timestamp() WHERE log_sequence = 1")
        db.execute("UPDATE llm.session_logs SET template_id = NULL WHERE log_sequence = 4")
        assert db.execute("SELECT usage_count FROM llm.prompt_templates").fetchall() == [(3,)]
        db.execute("DELETE FROM llm.session_logs WHERE log_sequence = 2")
        db.execute("UPDATE llm.sessions SET end_time = start_time, status = 'completed'")
        other = found_company(db, "other")
        db.execute("UPDATE llm.users SET department_id = %s WHERE user_id = %s", [other.department_id, other.user_id])
        db.execute("UPDATE llm.model_configs SET max_tokens = 1")
        db.execute("DELETE FROM llm.sessions WHERE session_id = %s", [other.session_id])
        db.execute("TRUNCATE llm.session_logs")
        db.execute("SELECT llm.create_month('2020-01-01'), llm.drop_month('2020-01-01')")


def row_counts(db: psycopg.Connection) -> dict[str, int]:
    query = """
        SELECT oid::regclass::text FROM pg_catalog.pg_class
        WHERE relnamespace = 'llm'::regnamespace AND relkind IN ('r', 'p')
    """
    tables = [table for (table,) in db.execute(query).fetchall()]
    return {table: db.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in tables}


@pytest.mark.one_node("`check` compares it, in tests/distribute")
def test_state_and_migrations_give_the_same_catalog(server: str, dsn: str) -> None:
    with fresh_database(server) as state:
        with psycopg.connect(state, autocommit=True) as db:
            for path in [*sorted((ROOT / "schema").glob("*.sql")), *sorted((ROOT / "views").rglob("*.sql"))]:
                db.execute(path.read_text(encoding="utf-8"))
            # Months come and go; a migration makes the first ones.
            db.execute("CALL llm.create_months()")
        by_state, by_change = catalog(state), catalog(dsn)
    assert sum(by_state.values()) > 300
    assert by_state - by_change == Counter(), "in schema/ only"
    assert by_change - by_state == Counter(), "in migrations/ only"


def test_every_migration_up_and_down_and_up_again_without_a_trace(server: str, empty_dsn: str) -> None:
    """One walk. On the way down, whoever writes is not disturbed by what is not there any more."""
    upward: dict[str, Counter[str]] = {"none": catalog(empty_dsn)}
    for name in KNOWN:
        up(empty_dsn, name)
        upward[name] = catalog(empty_dsn)
        assert upward[name] != upward[below(name)], name
    head = upward[KNOWN[-1]]
    for name in reversed(KNOWN):
        down(empty_dsn, below(name))
        with fresh_database(server, empty_dsn) as copied:
            if below(name) in KNOWN[KNOWN.index(RELEASED) :]:
                write(copied)
            drop_repeatables(copied)
            found, should = catalog(copied), upward[below(name)]
            if below(name) in KNOWN[KNOWN.index(RELEASED) + 1 :]:
                # What 0.1.0's migrations made, and files of views/ have replaced, is of either text.
                assert created(found - should) == created(should - found), name
                assert found - should <= head, name
                assert should - found <= upward[RELEASED], name
            else:
                assert found == should, name
    assert catalog(empty_dsn) == Counter()
    up(empty_dsn)
    assert catalog(empty_dsn) == head


def created(statements: Counter[str]) -> set[str]:
    return {statement.splitlines()[0] for statement in statements if statement.startswith("CREATE")}


def below(name: str) -> str:
    return KNOWN[KNOWN.index(name) - 1] if name != KNOWN[0] else "none"


@citus.not_rolled_back
@pytest.mark.parametrize("to", [KNOWN[-2], RELEASED])
def test_everything_comes_back_after_a_rollback(dsn: str, to: str) -> None:
    after = catalog(dsn)
    down(dsn, to)
    up(dsn)
    assert catalog(dsn) == after


def test_months_made_since_go_with_their_migration(empty_dsn: str) -> None:
    months = next(name for name in KNOWN if name.endswith(".months"))
    below = KNOWN[KNOWN.index(months) - 1]
    up(empty_dsn, below)
    before = catalog(empty_dsn)
    up(empty_dsn)
    with psycopg.connect(empty_dsn, autocommit=True) as db:
        db.execute("CALL llm.create_months('2020-01-01', '2020-12-31')")
    down(empty_dsn, below)
    drop_repeatables(empty_dsn)
    assert catalog(empty_dsn) == before


def rollback_text(name: str) -> str:
    return files.rollback_path(ROOT / "migrations" / f"{name}.sql").read_text("utf-8")


# What is derived has guards of its own, below. A table that is there for its lock has no rows.
# The audit of rows outlives them, and has a guard of its own too: test_audit.py.
OWN_GUARDS = (".user-departments", ".rollups", ".turns-and-grants", ".audit", ".dropped-months")
APART = [name for name in KNOWN if name.endswith(OWN_GUARDS)]
LOSING = [name for name in KNOWN if name not in APART and re.search(r"DROP (TABLE|COLUMN|SCHEMA)", rollback_text(name))]


@pytest.fixture(scope="module")
def one_of_each(server: str, template: str) -> Iterator[str]:
    """With one row in every entity. What is refused leaves it as it was, so it serves every case."""
    with fresh_database(server, template) as dsn:
        down(dsn, LOSING[-1])
        with psycopg.connect(dsn, autocommit=True) as db:
            company = found_company(db)
            db.execute(
                "INSERT INTO llm.session_logs (session_id, deployment_id, template_id) VALUES (%s, %s, %s)",
                [company.session_id, company.deployment_id, company.template_id],
            )
            db.execute("INSERT INTO llm.retention VALUES ('sessions', 13)")
            db.execute("INSERT INTO llm.department_logins VALUES (1, 'dave', %s)", [company.department_id])
        yield dsn


@citus.not_rolled_back
@pytest.mark.parametrize("number", range(len(LOSING)), ids=LOSING)
def test_rollback_refuses_to_lose_rows(one_of_each: str, number: int) -> None:
    with psycopg.connect(one_of_each, autocommit=True) as db:
        before, rows = catalog(one_of_each), row_counts(db)
        with pytest.raises(errors.Problem, match="would lose rows"):
            down(one_of_each, LOSING[number - 1] if number else "none")
        with pytest.raises(psycopg.Error), db.transaction():
            # Nor does the file itself, whatever was done before it.
            db.execute(rollback_text(LOSING[number]))
        assert row_counts(db) == rows
        assert catalog(one_of_each) == before


@citus.not_rolled_back
def test_what_cannot_be_worked_out_again_is_not_rolled_back(dsn: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as db:
        january = "INSERT INTO rollup.sessions SELECT day, day, 1, 1, 1, 1, 1, 1, false, 'test', 'completed'"
        db.execute(f"{january} FROM (VALUES (date '2020-01-01')) AS v (day)")
        db.execute("UPDATE rollup.sessions SET month = NULL")
        with pytest.raises(errors.Problem, match="would lose which months were dropped"):
            down(dsn, "0035")
        db.execute("DELETE FROM rollup.sessions")
    down(dsn, "0013")
    with psycopg.connect(dsn, autocommit=True) as db:
        found_company(db)
        db.execute(
            "INSERT INTO rollup.sessions SELECT '2020-01-01', NULL, 1, 1, 1, 1, 1, 1, false, 'test', 'completed'"
        )
        rows = row_counts(db)
        with pytest.raises(errors.Problem, match="would lose sums whose logs are no longer stored"):
            down(dsn, "0012")
        assert row_counts(db) == rows
        db.execute("DELETE FROM rollup.sessions")
        down(dsn, "0012")
        db.execute("INSERT INTO llm.user_departments SELECT user_id, now(), department_id FROM llm.users LIMIT 1")
        with pytest.raises(errors.Problem, match="would lose who moved when"):
            down(dsn, "0011")
        db.execute("DELETE FROM llm.user_departments WHERE since > '-infinity'")
        down(dsn, "0011")


@citus.not_rolled_back
def test_emptied_tables_roll_back_one_by_one(dsn: str) -> None:
    """Each guard asks about its own tables only: what lies beneath keeps its rows."""
    down(dsn, "0029")
    with psycopg.connect(dsn, autocommit=True) as db:
        company = found_company(db)
        steps = [
            ("0007", "0006", ["sessions"]),
            ("0006", "0005", ["prompt_template_uses", "prompt_templates_base"]),
            ("0005", "0004", ["deployments", "datasets", "model_configs", "models"]),
            ("0004", "0003", ["projects"]),
        ]
        for _, below, tables in steps:
            with pytest.raises(errors.Problem, match="would lose rows"):
                down(dsn, below)
            for table in tables:
                db.execute(f"DELETE FROM llm.{table}")
            down(dsn, below)
        assert db.execute("SELECT user_id FROM llm.users").fetchall() == [(company.user_id,)]
        with pytest.raises(errors.Problem, match="would lose rows"):
            down(dsn, "0002")


def test_numbers_are_consecutive() -> None:
    assert [int(name[:4]) for name in KNOWN] == list(range(1, len(KNOWN) + 1))
    assert all(files.rollback_path(ROOT / "migrations" / f"{name}.sql").exists() for name in KNOWN)
    found = {path.name for path in (ROOT / "migrations").iterdir()}
    assert found == {f"{name}{suffix}" for name in KNOWN for suffix in (".sql", ".rollback.sql")} | {"RELEASED"}


def test_migrations_depend_on_what_they_need() -> None:
    for migration in files.migrations():
        assert all(needed < migration.id for needed in migration.depends)
    for earlier, later in pairwise(KNOWN):
        assert earlier < later


@pytest.mark.one_node("`llm-db distribute` makes what is there")
def test_views_are_made_by_psql_too(dsn: str) -> None:
    """In the order of their paths, and twice, as CREATE OR REPLACE promises."""
    before = catalog(dsn)
    drop_repeatables(dsn)
    with psycopg.connect(dsn, autocommit=True) as db:
        for file in [*repeatables.files(), *repeatables.files()]:
            db.execute(file.path.read_text(encoding="utf-8"))
    assert catalog(dsn) == before
