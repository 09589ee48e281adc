"""baseline: adopts a database built another way, when it is what the migrations would have made."""

import json
import re
import uuid

import psycopg
import pytest

from command import ROOT, execute, llm_db, value
from llm_db import files
from llm_db.turn import LOCK

IDS = [migration.id for migration in files.migrations()]


@pytest.fixture
def by_state(empty_dsn: str) -> str:
    """A database built from schema/ and never seen by llm-db."""
    with psycopg.connect(empty_dsn, autocommit=True) as db:
        for path in sorted((ROOT / "schema").glob("*.sql")):
            db.execute(path.read_text(encoding="utf-8"))
    return empty_dsn


def test_a_database_built_from_the_state_is_adopted_and_goes_on_from_there(by_state, server):
    done = llm_db("baseline", "--to", IDS[-1], "--dsn", by_state, "--scratch", server)
    assert done.returncode == 0, done.stdout + done.stderr
    *rows, last = done.stdout.splitlines()
    assert last == f"{len(IDS)} migrations marked as applied, up to {IDS[-1]}"
    # They are left to the migrate that comes next.
    assert len(rows) == 10
    assert all(re.fullmatch(r"table \S+: lacks the rows .* migrate puts back \[tolerated\]", row) for row in rows)
    assert json.loads(llm_db("status", "--dsn", by_state, "--json").stdout)["pending"] == []
    assert llm_db("migrate", "--dsn", by_state).returncode == 0
    done = llm_db("check", "--dsn", by_state, "--scratch", server)
    assert done.returncode == 0, done.stdout
    assert llm_db("rollback", "--to", IDS[-2], "--yes", "--dsn", by_state).returncode == 0


def test_a_database_at_an_older_version_is_adopted_as_that(empty_dsn, server):
    with psycopg.connect(empty_dsn, autocommit=True) as db:
        for name in IDS[:4]:
            db.execute((ROOT / "migrations" / f"{name}.sql").read_text(encoding="utf-8"))
    for wrong in (IDS[4], IDS[2]):
        assert llm_db("baseline", "--to", wrong, "--dsn", empty_dsn, "--scratch", server).returncode == 6
    assert llm_db("baseline", "--to", "0004", "--dsn", empty_dsn, "--scratch", server).returncode == 0
    done = llm_db("migrate", "--dsn", empty_dsn)
    assert done.returncode == 0, done.stderr
    assert IDS[4] in done.stdout
    assert IDS[3] not in done.stdout


def test_a_database_that_differs_is_not_adopted_and_nothing_is_written(by_state, server):
    execute(by_state, "ALTER TABLE llm.users DROP CONSTRAINT users_user_name_is_name")
    done = llm_db("baseline", "--to", IDS[-1], "--dsn", by_state, "--scratch", server)
    assert done.returncode == 6
    assert done.stdout.splitlines()[0].startswith("constraint llm.users.users_user_name_is_name: missing (CHECK ")
    assert "nothing was marked" in done.stdout
    assert value(by_state, "SELECT to_regnamespace('llm_db') IS NULL")


def test_an_index_of_the_dba_is_no_obstacle(by_state, server):
    execute(by_state, "CREATE INDEX by_name ON llm.users (user_name)")
    done = llm_db("baseline", "--to", IDS[-1], "--dsn", by_state, "--scratch", server)
    assert done.returncode == 0
    assert "index llm.by_name: extra" in done.stdout


def test_a_database_with_a_mark_is_refused(dsn, server):
    done = llm_db("baseline", "--to", IDS[-1], "--dsn", dsn, "--scratch", server)
    assert done.returncode == 5
    assert f"This database has migrations already: {IDS[0]}" in done.stderr


def test_an_unknown_migration_is_a_usage_error(empty_dsn, server):
    assert llm_db("baseline", "--to", "9999", "--dsn", empty_dsn, "--scratch", server).returncode == 2


def test_json_is_one_document_when_it_is_adopted_and_when_not(by_state, server):
    execute(by_state, "CREATE INDEX by_name ON llm.users (user_name)")
    command = ["baseline", "--to", IDS[-1], "--dsn", by_state, "--scratch", server, "--json"]
    execute(by_state, "ALTER TABLE llm.users DROP CONSTRAINT users_user_name_is_name")
    done = llm_db(*command)
    found = json.loads(done.stdout)
    assert done.returncode == 6
    assert "nothing was marked" in found["summary"]
    assert [(one["name"], one["tolerated"]) for one in found["differences"] if "rows" not in one["text"]] == [
        ("llm.by_name", True),
        ("llm.users.users_user_name_is_name", False),
    ]
    execute(by_state, "ALTER TABLE llm.users ADD CONSTRAINT users_user_name_is_name CHECK (llm.is_name(user_name))")
    done = llm_db(*command)
    assert done.returncode == 0
    assert json.loads(done.stdout)["summary"] == f"{len(IDS)} migrations marked as applied, up to {IDS[-1]}"
    assert json.loads(llm_db(*command).stdout)["exit_code"] == 5


def test_the_role_it_acts_as_owns_the_ledger(by_state, server):
    role = f"owner_{uuid.uuid4().hex}"
    name = value(by_state, "SELECT current_database()")
    execute(by_state, f"CREATE ROLE {role}; GRANT CREATE ON DATABASE {name} TO {role}")
    try:
        done = llm_db("baseline", "--to", IDS[-1], "--dsn", by_state, "--scratch", server, "--role", role)
        assert done.returncode == 0, done.stdout + done.stderr
        owners = "SELECT array_agg(DISTINCT relowner::regrole::text) FROM pg_class"
        assert value(by_state, f"{owners} WHERE relnamespace = 'llm_db'::regnamespace") == [role]
    finally:
        execute(by_state, f"DROP OWNED BY {role}; DROP ROLE {role}")


def test_it_waits_for_another_runner_as_long_as_it_is_told_to(by_state, server):
    with psycopg.connect(by_state, autocommit=True) as other:
        other.execute("SELECT pg_advisory_lock(%s)", [LOCK])
        done = llm_db("baseline", "--to", IDS[-1], "--dsn", by_state, "--scratch", server, "--wait", "0")
    assert done.returncode == 4
    assert "still at work on this database after 0 s" in done.stderr
