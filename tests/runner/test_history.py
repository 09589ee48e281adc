"""The history cannot lie: what was applied, by whom and from which text, and what does not fit the files any more."""

import getpass
import json
import os
import shutil
import subprocess
import uuid
from pathlib import Path

import pytest

from command import ROOT, checkout, execute, llm_db, llm_db_process, value
from llm_db import __version__, backend, ledger

TOY = {
    f"000{n}.{name}": f"CREATE TABLE public.{name} (id int);\n -- DOWN --\nDROP TABLE public.{name};\n"
    for n, name in ((1, "first"), (3, "third"))
}
LATE = "CREATE TABLE public.second (id int);", "DROP TABLE public.second;"


@pytest.fixture
def project(tmp_path, empty_dsn) -> Path:
    root = checkout(tmp_path, TOY)
    done = llm_db("migrate", "--dsn", empty_dsn, root=root)
    assert done.returncode == 0, done.stderr
    return root


def status(dsn: str, root: Path) -> dict:
    return json.loads(llm_db("status", "--json", "--dsn", dsn, root=root).stdout)


def add_late(root: Path) -> None:
    for name, text in zip(("0002.second.sql", "0002.second.rollback.sql"), LATE, strict=True):
        (root / "migrations" / name).write_text(text)


def edit(root: Path, name: str) -> None:
    path = root / "migrations" / name
    path.write_text(path.read_text() + "-- edited\n")


def test_the_ledger_says_what_who_when_how_long_from_which_version_and_where(project, empty_dsn):
    first, third = status(empty_dsn, project)["ledger"]
    assert (first["migration_id"], third["migration_id"]) == ("0001.first", "0003.third")
    assert first["state"] == "applied"
    assert first["up_sha256"] == ledger.sha256(project / "migrations" / "0001.first.sql")
    assert first["down_sha256"] == ledger.sha256(project / "migrations" / "0001.first.rollback.sql")
    assert first["applied_by"] == "postgres"
    assert first["applied_at"] <= third["applied_at"]
    assert first["duration_ms"] >= 0
    assert first["llm_db_version"] == __version__
    assert first["server_version"] == value(empty_dsn, "SHOW server_version")
    assert first["server_address"] == "127.0.0.1:" + value(empty_dsn, "SHOW port")


def test_line_ends_do_not_count_as_an_edit(project, empty_dsn):
    for path in (project / "migrations").iterdir():
        path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert llm_db("status", "--check", "--dsn", empty_dsn, root=project).returncode == 0
    assert llm_db("migrate", "--dsn", empty_dsn, root=project).returncode == 0


@pytest.mark.parametrize("file", ["0001.first.sql", "0001.first.rollback.sql"])
def test_an_edited_migration_is_found_refused_and_accepted(project, empty_dsn, file):
    edit(project, file)
    assert status(empty_dsn, project)["edited"] == ["0001.first"]
    assert "edited   0001.first" in llm_db("status", "--dsn", empty_dsn, root=project).stdout
    assert llm_db("status", "--dsn", empty_dsn, root=project).returncode == 0
    for command in (["status", "--check"], ["migrate"], ["rollback", "--to", "none", "--yes"], ["repair"]):
        done = llm_db(*command, "--dsn", empty_dsn, root=project)
        assert done.returncode == 5, (command, done)
    assert "llm-db repair --accept 0001.first" in llm_db("migrate", "--dsn", empty_dsn, root=project).stderr
    assert "llm-db repair --accept 0001.first" in llm_db("repair", "--dsn", empty_dsn, root=project).stdout
    before = status(empty_dsn, project)["ledger"][0]

    assert llm_db("repair", "--accept", "0001", "--dsn", empty_dsn, root=project).returncode == 0
    after = status(empty_dsn, project)["ledger"][0]
    assert before["applied_at"] == after["applied_at"]
    assert before != after
    assert llm_db("repair", "--dsn", empty_dsn, root=project).stdout == "Nothing to repair.\n"
    assert llm_db("migrate", "--dsn", empty_dsn, root=project).returncode == 0
    assert value(empty_dsn, "SELECT count(*) FROM llm_db._yoyo_log WHERE operation = 'mark'") == 1


def test_an_edit_of_what_stays_does_not_stop_a_rollback_of_what_goes(project, empty_dsn):
    edit(project, "0001.first.sql")
    assert llm_db("rollback", "--to", "1", "--yes", "--dsn", empty_dsn, root=project).returncode == 0


def test_a_missing_migration_is_found_and_refused(project, empty_dsn):
    for path in (project / "migrations").glob("0003.*"):
        path.unlink()
    assert status(empty_dsn, project)["unknown"] == ["0003.third"]
    for command in (["status", "--check"], ["migrate"], ["plan"], ["rollback", "--to", "none", "--yes"], ["repair"]):
        done = llm_db(*command, "--dsn", empty_dsn, root=project)
        assert done.returncode == 5, (command, done)
        assert "0003.third" in done.stdout + done.stderr


def test_a_late_migration_is_found_refused_and_allowed(project, empty_dsn):
    add_late(project)
    assert status(empty_dsn, project)["late"] == ["0002.second"]
    assert "late     0002.second" in llm_db("status", "--dsn", empty_dsn, root=project).stdout
    assert llm_db("status", "--check", "--dsn", empty_dsn, root=project).returncode == 5
    done = llm_db("migrate", "--dsn", empty_dsn, root=project)
    assert done.returncode == 5
    assert "llm-db migrate --allow-late" in done.stderr
    assert value(empty_dsn, "SELECT to_regclass('public.second') IS NULL")

    assert llm_db("migrate", "--allow-late", "--dsn", empty_dsn, root=project).returncode == 0
    assert llm_db("status", "--check", "--dsn", empty_dsn, root=project).returncode == 0


def test_allow_late_allows_nothing_else(project, empty_dsn):
    edit(project, "0001.first.sql")
    assert llm_db("migrate", "--allow-late", "--dsn", empty_dsn, root=project).returncode == 5


def test_a_pending_migration_at_the_end_is_no_violation(project, empty_dsn):
    (project / "migrations" / "0004.fourth.sql").write_text("SELECT 1;")
    (project / "migrations" / "0004.fourth.rollback.sql").write_text("SELECT 1;")
    assert llm_db("status", "--check", "--dsn", empty_dsn, root=project).returncode == 3


@pytest.mark.parametrize("what", ["--accept", "--forget"])
def test_what_is_in_order_is_not_repaired(project, empty_dsn, what):
    done = llm_db("repair", what, "3", "--dsn", empty_dsn, root=project)
    assert done.returncode == 2
    assert "0003.third needs no such repair" in done.stderr


def test_what_was_rolled_back_may_be_edited(project, empty_dsn):
    assert llm_db("rollback", "--to", "1", "--yes", "--dsn", empty_dsn, root=project).returncode == 0
    edit(project, "0003.third.sql")
    assert llm_db("status", "--check", "--dsn", empty_dsn, root=project).returncode == 3
    assert llm_db("migrate", "--dsn", empty_dsn, root=project).returncode == 0


def old_release(folder: Path) -> Path:
    """llm-db 0.1.0, which has no such ledger."""
    archive = folder / "old.tar"
    paths = ["scripts/llm_db", "migrations", "schema", "views", "seeds"]
    subprocess.run(["git", "archive", "--output", archive, RELEASE, *paths], cwd=ROOT, check=True)
    (folder / "old").mkdir()
    subprocess.run(["tar", "-xf", archive, "-C", folder / "old"], check=True)
    return folder / "old"


def commit_of_release() -> str:
    """By its message: a clone need not have the tag."""
    if shutil.which("git") is None:
        return ""
    log = ["git", "log", "-1", "--format=%H", "--grep", r"^0\.1\.0:"]
    return subprocess.run(log, cwd=ROOT, capture_output=True, text=True).stdout.strip()


RELEASE = commit_of_release()


@pytest.mark.skipif(not RELEASE, reason="this checkout has no history that goes back to release 0.1.0")
def test_a_database_of_0_1_0_is_adopted_with_what_it_recorded(tmp_path, empty_dsn):
    old = old_release(tmp_path)
    done = llm_db_process("migrate", "--dsn", empty_dsn, root=old)
    assert done.returncode == 0, done.stderr
    count = value(empty_dsn, "SELECT count(*) FROM llm_db._yoyo_migration")
    before = status(empty_dsn, ROOT)
    assert (len(before["applied"]), before["ledger"]) == (count, [])

    assert llm_db("migrate", "--dsn", empty_dsn).returncode == 0
    after = status(empty_dsn, ROOT)
    adopted = [entry for entry in after["ledger"] if entry["llm_db_version"] is None]
    assert [entry["migration_id"] for entry in adopted] == before["applied"]
    assert all(
        entry["up_sha256"] == ledger.sha256(ROOT / "migrations" / f"{entry['migration_id']}.sql") for entry in adopted
    )
    times = (
        "SELECT bool_and(applied_at = applied_at_utc AT TIME ZONE 'UTC')"
        " FROM llm_db.migrations JOIN llm_db._yoyo_migration USING (migration_id) WHERE llm_db_version IS NULL"
    )
    assert value(empty_dsn, times)
    assert after["edited"] == []


@pytest.mark.skipif(not RELEASE, reason="this checkout has no history that goes back to release 0.1.0")
def test_0_1_0_works_again_after_a_rollback_to_it(tmp_path, empty_dsn, server):
    """And what it made meanwhile is made anew by the next migrate."""
    old = old_release(tmp_path)
    assert llm_db("migrate", "--dsn", empty_dsn).returncode == 0
    done = llm_db("rollback", "--to", "0008", "--yes", "--dsn", empty_dsn)
    assert done.returncode == 0, done.stderr
    done = llm_db_process("migrate", "--dsn", empty_dsn, root=old)
    assert done.returncode == 0, done.stderr
    assert value(empty_dsn, "SELECT count(*) FROM llm_db.views") == len(list((old / "views").rglob("*.sql")))
    assert value(empty_dsn, "SELECT count(*) FROM reporting.daily_usage") == 0
    done = llm_db("migrate", "--dsn", empty_dsn)
    assert done.returncode == 0, done.stderr
    assert value(empty_dsn, "SELECT count(*) FROM llm_db.views") == 0
    done = llm_db("check", "--dsn", empty_dsn, "--scratch", server)
    assert done.returncode == 0, done.stdout


def test_a_rollback_on_a_database_of_0_1_0_makes_the_ledger_first(project, empty_dsn):
    execute(empty_dsn, "DROP TABLE llm_db.migrations")
    assert llm_db("rollback", "--to", "1", "--yes", "--dsn", empty_dsn, root=project).returncode == 0
    assert [entry["migration_id"] for entry in status(empty_dsn, project)["ledger"]] == ["0001.first"]


def test_a_ledger_of_an_earlier_release_gets_what_is_new_with_the_next_migrate(project, empty_dsn):
    """Also where the role may not make schemas: this one is there."""
    execute(empty_dsn, "DROP TABLE llm_db.load_rejects, llm_db.loads, llm_db.grants, llm_db.turn")
    before = status(empty_dsn, project)["ledger"]
    role = f"owner_{uuid.uuid4().hex}"
    execute(empty_dsn, f"CREATE ROLE {role}; GRANT pg_read_all_data TO {role}; ALTER SCHEMA llm_db OWNER TO {role}")
    for table in ("migrations", "repeatables", "views", "_yoyo_migration", "_yoyo_log", "_yoyo_version"):
        execute(empty_dsn, f"ALTER TABLE llm_db.{table} OWNER TO {role}")
    try:
        done = llm_db("migrate", "--role", role, "--dsn", empty_dsn, root=project)
        assert done.returncode == 0, done.stderr
        assert value(empty_dsn, "SELECT to_regclass('llm_db.load_rejects') IS NOT NULL")
        assert status(empty_dsn, project)["ledger"] == before
    finally:
        execute(empty_dsn, f"REASSIGN OWNED BY {role} TO CURRENT_USER; DROP OWNED BY {role}; DROP ROLE {role}")


def test_a_user_without_a_name_is_logged_by_number(monkeypatch):
    """As in a container that runs under a number."""

    def nameless() -> str:
        raise KeyError("uid not found")

    monkeypatch.setattr(getpass, "getuser", nameless)
    assert backend.log_data("apply")["username"] == str(os.getuid())
