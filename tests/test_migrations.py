"""The state in schema/ and the change in migrations/ are both written by hand, and proven equal here; and every
migration can be taken back and applied again without a trace."""

import re
import subprocess
from argparse import Namespace
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import pglast
import psycopg
import pytest
import sqlparse

from conftest import found_company, fresh_database, server_bin
from llm_db import cli, database, errors, migrations, views

ROOT = Path(__file__).parents[1]
KNOWN = [migration.id for migration in migrations.migration_files()]
SQL_FILES = sorted(
    path for folder in ("schema", "migrations", "views", "seeds") for path in (ROOT / folder).rglob("*.sql")
)


def pg_dump(dsn: str) -> str:
    """The server's own, as an older one refuses a newer server."""
    program = server_bin() / "pg_dump"
    schemas = [f"--schema={name}" for name in ("llm", "reporting", "ops")]
    command = [program, "--schema-only", "--no-owner", *schemas, "--dbname", dsn]
    return subprocess.run(command, check=True, capture_output=True, encoding="utf-8").stdout


def catalog(dsn: str) -> Counter[str]:
    """What pg_dump says, statement by statement in any order. The lines within a statement stay as they are, so the
    order of a table's columns counts. Nothing at all, once the schemas are gone."""
    with psycopg.connect(dsn) as connection:
        exists = "SELECT EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname IN ('llm', 'reporting', 'ops'))"
        if connection.execute(exists).fetchone() == (False,):
            return Counter()
    dump = pg_dump(dsn)
    # \restrict carries a random key; the comments name versions and order.
    kept = [line for line in dump.splitlines() if not line.startswith(("--", "\\restrict", "\\unrestrict"))]
    return Counter(statement.strip() for statement in "\n".join(kept).split(";\n\n") if statement.strip())


@contextmanager
def session(dsn: str) -> Iterator[psycopg.Connection]:
    with database.connect(database.Target(dsn, "the tests")) as connection:
        yield connection


def migrate(dsn: str, to: str | None = None) -> None:
    with session(dsn) as connection:
        assert cli.run_migrate(Namespace(to=to), connection) == errors.DONE


def rollback(dsn: str, to: str) -> None:
    with session(dsn) as connection:
        assert cli.run_rollback(Namespace(to=to, yes=True), connection) == errors.DONE


def drop_views(dsn: str) -> None:
    """A rollback leaves the views that need nothing of what went; here only what migrations make is compared."""
    with psycopg.connect(dsn, autocommit=True) as db:
        for view in reversed(views.view_files()):
            if db.execute("SELECT to_regclass(%s)", [view.name]).fetchone() != (None,):
                db.execute(f"DROP VIEW {view.name}")


def row_counts(db: psycopg.Connection) -> dict[str, int]:
    query = """
        SELECT oid::regclass::text FROM pg_catalog.pg_class
        WHERE relnamespace = 'llm'::regnamespace AND relkind IN ('r', 'p')
    """
    tables = [table for (table,) in db.execute(query).fetchall()]
    return {table: db.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in tables}


def test_state_and_migrations_give_the_same_catalog(server: str, empty_dsn: str) -> None:
    migrate(empty_dsn)
    with fresh_database(server) as state:
        with psycopg.connect(state, autocommit=True) as db:
            for path in sorted((ROOT / "schema").glob("*.sql")):
                db.execute(path.read_text(encoding="utf-8"))
            for path in sorted((ROOT / "views").rglob("*.sql"), key=lambda path: path.name):
                db.execute(path.read_text(encoding="utf-8"))
        by_state, by_change = catalog(state), catalog(empty_dsn)
    assert sum(by_state.values()) > 300
    assert by_state - by_change == Counter(), "in schema/ only"
    assert by_change - by_state == Counter(), "in migrations/ only"


@pytest.mark.parametrize("number", range(len(KNOWN)), ids=KNOWN)
def test_down_undoes_up(empty_dsn: str, number: int) -> None:
    below = KNOWN[number - 1] if number else "none"
    if number:
        migrate(empty_dsn, below)
    before = catalog(empty_dsn)
    migrate(empty_dsn, KNOWN[number])
    after = catalog(empty_dsn)
    assert after != before
    rollback(empty_dsn, below)
    drop_views(empty_dsn)
    assert catalog(empty_dsn) == before
    migrate(empty_dsn, KNOWN[number])
    assert catalog(empty_dsn) == after


def test_all_the_way_down_and_up_again(empty_dsn: str) -> None:
    migrate(empty_dsn)
    after = catalog(empty_dsn)
    rollback(empty_dsn, "none")
    assert catalog(empty_dsn) == Counter()
    migrate(empty_dsn)
    assert catalog(empty_dsn) == after


def test_views_come_back_after_a_rollback(empty_dsn: str) -> None:
    migrate(empty_dsn)
    after = catalog(empty_dsn)
    rollback(empty_dsn, KNOWN[-2])
    migrate(empty_dsn)
    assert catalog(empty_dsn) == after


def test_months_made_since_go_with_their_migration(empty_dsn: str) -> None:
    months = next(name for name in KNOWN if name.endswith(".months"))
    below = KNOWN[KNOWN.index(months) - 1]
    migrate(empty_dsn, below)
    before = catalog(empty_dsn)
    migrate(empty_dsn)
    with psycopg.connect(empty_dsn, autocommit=True) as db:
        db.execute("CALL llm.create_months('2020-01-01', '2020-12-31')")
    rollback(empty_dsn, below)
    drop_views(empty_dsn)
    assert catalog(empty_dsn) == before


def rollback_text(name: str) -> str:
    return migrations.rollback_path(ROOT / "migrations" / f"{name}.sql").read_text("utf-8")


# What is derived has guards of its own, below.
DERIVED = [name for name in KNOWN if name.endswith((".user-departments", ".rollups"))]
LOSING = [
    name for name in KNOWN if name not in DERIVED and re.search(r"DROP (TABLE|COLUMN|SCHEMA)", rollback_text(name))
]


@pytest.mark.parametrize("number", range(len(LOSING)), ids=LOSING)
def test_rollback_refuses_to_lose_rows(empty_dsn: str, number: int) -> None:
    """With one row in every entity; what is above the migration has been emptied, what it made has not."""
    migrate(empty_dsn)
    rollback(empty_dsn, LOSING[-1])
    with psycopg.connect(empty_dsn, autocommit=True) as db:
        company = found_company(db)
        db.execute(
            "INSERT INTO llm.session_logs (session_id, deployment_id, template_id) VALUES (%s, %s, %s)",
            [company.session_id, company.deployment_id, company.template_id],
        )
        before, rows = catalog(empty_dsn), row_counts(db)
        with pytest.raises(errors.Problem, match="would lose rows"):
            rollback(empty_dsn, LOSING[number - 1] if number else "none")
        with pytest.raises(psycopg.Error), db.transaction():
            # Nor does the file itself, whatever was done before it.
            db.execute(rollback_text(LOSING[number]))
        assert row_counts(db) == rows
        assert catalog(empty_dsn) == before


def test_what_cannot_be_worked_out_again_is_not_rolled_back(empty_dsn: str) -> None:
    migrate(empty_dsn)
    with psycopg.connect(empty_dsn, autocommit=True) as db:
        found_company(db)
        db.execute(
            "INSERT INTO llm.rollup_sessions SELECT '2020-01-01', NULL, 1, 1, 1, 1, 1, 1, false, 'test', 'completed'"
        )
        rows = row_counts(db)
        with pytest.raises(errors.Problem, match="would lose sums whose logs are no longer stored"):
            rollback(empty_dsn, "0013")
        assert row_counts(db) == rows
        db.execute("DELETE FROM llm.rollup_sessions")
        rollback(empty_dsn, "0013")
        db.execute("INSERT INTO llm.user_departments SELECT user_id, now(), department_id FROM llm.users LIMIT 1")
        with pytest.raises(errors.Problem, match="would lose who moved when"):
            rollback(empty_dsn, "0012")
        db.execute("DELETE FROM llm.user_departments WHERE since > '-infinity'")
        rollback(empty_dsn, "0012")


def test_emptied_tables_roll_back_one_by_one(empty_dsn: str) -> None:
    """Each guard asks about its own tables only: what lies beneath keeps its rows."""
    migrate(empty_dsn)
    with psycopg.connect(empty_dsn, autocommit=True) as db:
        company = found_company(db)
        steps = [
            ("0007", "0006", ["sessions"]),
            ("0006", "0005", ["prompt_template_uses", "prompt_templates_base"]),
            ("0005", "0004", ["deployments", "datasets", "model_configs", "models"]),
            ("0004", "0003", ["projects"]),
        ]
        for _, below, tables in steps:
            with pytest.raises(errors.Problem, match="would lose rows"):
                rollback(empty_dsn, below)
            for table in tables:
                db.execute(f"DELETE FROM llm.{table}")
            rollback(empty_dsn, below)
        assert db.execute("SELECT user_id FROM llm.users").fetchall() == [(company.user_id,)]
        with pytest.raises(errors.Problem, match="would lose rows"):
            rollback(empty_dsn, "0002")


def test_numbers_are_consecutive() -> None:
    assert [int(name[:4]) for name in KNOWN] == list(range(1, len(KNOWN) + 1))
    assert all(migrations.rollback_path(ROOT / "migrations" / f"{name}.sql").exists() for name in KNOWN)
    found = {path.name for path in (ROOT / "migrations").iterdir()}
    assert found == {f"{name}{suffix}" for name in KNOWN for suffix in (".sql", ".rollback.sql")}


def test_migrations_depend_on_what_they_need() -> None:
    for migration in migrations.migration_files():
        migration.load()
        assert all(needed.id < migration.id for needed in migration.depends)
    for earlier, later in pairwise(KNOWN):
        assert earlier < later


@pytest.mark.parametrize("path", SQL_FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_splitters_agree(path: Path) -> None:
    """What a tool that splits by sqlparse sends, and what the server's own parser reads, are the same statements."""
    text = path.read_text(encoding="utf-8")
    by_parser = pglast.split(text)

    def bare(statement: str) -> str:
        return " ".join(sqlparse.format(statement, strip_comments=True).rstrip("; \n").split())

    by_sqlparse = [statement for statement in map(bare, sqlparse.split(text)) if statement]
    assert by_sqlparse == [bare(statement) for statement in by_parser]


def test_view_files_apply_in_their_order(empty_dsn: str) -> None:
    """By psql as well as by llm-db, and twice, as CREATE OR REPLACE promises."""
    migrate(empty_dsn)
    before = catalog(empty_dsn)
    files = views.view_files()
    assert files
    with psycopg.connect(empty_dsn, autocommit=True) as db:
        for view in reversed(files):
            db.execute(f"DROP VIEW {view.name}")
        for view in [*files, *files]:
            db.execute(view.path.read_text(encoding="utf-8"))
    assert catalog(empty_dsn) == before
