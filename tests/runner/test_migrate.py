"""status, plan, migrate and rollback: what they do, what they leave alone, and their exit codes."""

import json
import subprocess
import sys
import time
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

import citus
from command import ROOT, checkout, environment, execute, llm_db, llm_db_process, value

IDS = sorted(
    path.name.removesuffix(".sql")
    for path in (ROOT / "migrations").glob("*.sql")
    if not path.name.endswith(".rollback.sql")
)
OURS = "SELECT count(*) FROM pg_namespace WHERE nspname IN ('llm', 'reporting', 'ops', 'llm_db')"
TOY = {
    "0001.first": "CREATE TABLE public.first (id int); -- DOWN -- DROP TABLE public.first;",
    "0002.second": "CREATE TABLE public.second (id int); -- DOWN -- DROP TABLE public.second;",
}


def test_status_lists_everything_as_pending_on_an_empty_database_and_writes_nothing(empty_dsn):
    done = llm_db("status", "--dsn", empty_dsn, "--json")
    assert done.returncode == 0
    nothing = {"applied": [], "unknown": [], "edited": [], "late": [], "half_done": [], "ledger": []}
    found = json.loads(done.stdout)
    made = found.pop("repeatables")
    assert found == nothing | {"pending": IDS}
    assert len(made) == len(list((ROOT / "views").rglob("*.sql")))
    assert {one["change"] for one in made} == {"new"}
    assert value(empty_dsn, OURS) == 0


def test_status_check_exits_3_when_pending_and_0_when_not(empty_dsn, dsn):
    assert llm_db("status", "--check", "--dsn", empty_dsn).returncode == 3
    done = llm_db("status", "--check", "--dsn", dsn)
    assert done.returncode == 0
    assert f"{len(IDS)} applied, 0 pending" in done.stdout


def test_plan_prints_the_pending_files_in_order_and_writes_nothing(empty_dsn):
    done = llm_db("plan", "--dsn", empty_dsn)
    assert done.returncode == 0
    at = [done.stdout.index((ROOT / "migrations" / f"{name}.sql").read_text("utf-8").rstrip()) for name in IDS]
    assert at == sorted(at)
    assert value(empty_dsn, OURS) == 0


def test_plan_on_a_migrated_database_says_nothing_is_pending(dsn):
    assert llm_db("plan", "--dsn", dsn).stdout == "-- nothing is pending\n"


def test_migrate_shows_its_progress_and_runs_twice(empty_dsn):
    done = llm_db("migrate", "--dsn", empty_dsn)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    for number, name in enumerate(IDS, start=1):
        assert lines[number - 1].startswith(f"[{number}/{len(IDS)}] {name} ")
        assert lines[number - 1].endswith(" ms")
    again = llm_db("migrate", "--dsn", empty_dsn)
    assert again.returncode == 0
    assert "applied already" in again.stdout
    assert "repeatables: 0 made" in again.stdout


def test_migrate_to_an_id_stops_there_and_goes_on_later(empty_dsn):
    for wanted in (IDS[1], IDS[2].split(".")[0]):
        assert llm_db("migrate", "--dsn", empty_dsn, "--to", wanted).returncode == 0
    assert json.loads(llm_db("status", "--dsn", empty_dsn, "--json").stdout)["applied"] == IDS[:3]
    assert llm_db("migrate", "--dsn", empty_dsn).returncode == 0
    assert value(empty_dsn, "SELECT count(*) FROM llm.roles") > 0


def test_migrate_to_an_unknown_id_is_a_usage_error(empty_dsn):
    done = llm_db("migrate", "--dsn", empty_dsn, "--to", "9999")
    assert done.returncode == 2
    assert "There is no migration 9999." in done.stderr
    assert value(empty_dsn, OURS) == 0


def test_rollback_without_yes_names_what_would_go_and_changes_nothing(dsn):
    done = llm_db("rollback", "--dsn", dsn, "--to", IDS[-3])
    assert done.returncode == 2
    assert done.stdout.split()[-2:] == [IDS[-1], IDS[-2]]
    assert "--yes" in done.stderr
    assert llm_db("status", "--check", "--dsn", dsn).returncode == 0


@citus.not_rolled_back
def test_rollback_goes_back_newest_first_and_migrate_goes_forward_again(dsn):
    done = llm_db("rollback", "--dsn", dsn, "--to", IDS[-3], "--yes")
    assert done.returncode == 0, done.stderr
    assert done.stdout.index(IDS[-1]) < done.stdout.index(IDS[-2])
    status = json.loads(llm_db("status", "--dsn", dsn, "--json").stdout)
    assert status["pending"] == IDS[-2:]
    assert llm_db("migrate", "--dsn", dsn).returncode == 0


@citus.not_rolled_back
@pytest.mark.parametrize("nothing", ["none", "0"])
def test_rollback_of_everything_leaves_only_the_ledger(dsn, nothing):
    done = llm_db("rollback", "--dsn", dsn, "--to", nothing, "--yes")
    assert done.returncode == 0, done.stderr
    assert value(dsn, OURS) == 1
    assert value(dsn, "SELECT count(*) FROM llm_db._yoyo_migration") == 0
    assert value(dsn, "SELECT count(*) FROM llm_db.repeatables") == 0
    assert "Nothing is applied" in llm_db("rollback", "--dsn", dsn, "--to", nothing, "--yes").stdout


def test_rollback_runs_its_file_from_top_to_bottom(tmp_path, empty_dsn):
    down = "INSERT INTO public.steps (step) VALUES ('top'); INSERT INTO public.steps (step) VALUES ('bottom');"
    root = checkout(tmp_path, {"0001.one": f"CREATE TABLE public.one (id int); -- DOWN -- {down}"})
    execute(empty_dsn, "CREATE TABLE public.steps (at int GENERATED ALWAYS AS IDENTITY, step text)")
    assert llm_db("migrate", "--dsn", empty_dsn, root=root).returncode == 0
    assert llm_db("rollback", "--dsn", empty_dsn, "--to", "none", "--yes", root=root).returncode == 0
    assert value(empty_dsn, "SELECT array_agg(step ORDER BY at) FROM public.steps") == ["top", "bottom"]


def test_a_failing_migration_leaves_nothing_of_itself_and_keeps_those_before(tmp_path, empty_dsn):
    bad = "CREATE TABLE public.half (id int);\n\nINSERT INTO public.half (id)\nSELECT nowhere;\n-- DOWN --"
    root = checkout(tmp_path, TOY | {"0003.bad": bad})
    done = llm_db("migrate", "--dsn", empty_dsn, root=root)
    assert done.returncode == 1
    assert 'migrations/0003.bad.sql, line 4: 42703: column "nowhere" does not exist' in done.stderr
    assert "hint: " in done.stderr
    assert value(empty_dsn, "SELECT to_regclass('public.half') IS NULL")
    status = json.loads(llm_db("status", "--dsn", empty_dsn, "--json", root=root).stdout)
    assert (status["applied"], status["pending"]) == (["0001.first", "0002.second"], ["0003.bad"])
    assert value(empty_dsn, "SELECT count(*) FROM llm_db._yoyo_log") == 2


def test_a_migration_refused_at_commit_is_not_marked(tmp_path, empty_dsn):
    text = (
        "CREATE TABLE public.a (id int PRIMARY KEY, next int REFERENCES public.a DEFERRABLE INITIALLY DEFERRED);"
        "INSERT INTO public.a VALUES (1, 2); -- DOWN --"
    )
    done = llm_db("migrate", "--dsn", empty_dsn, root=checkout(tmp_path, {"0001.deferred": text}))
    assert done.returncode == 1
    assert "migrations/0001.deferred.sql: 23503" in done.stderr
    assert value(empty_dsn, "SELECT count(*) FROM llm_db._yoyo_migration") == 0


def test_a_migration_with_its_own_commit_is_told_off(tmp_path, empty_dsn):
    root = checkout(tmp_path, {"0001.commits": "CREATE TABLE public.a (id int); COMMIT; -- DOWN --"})
    done = llm_db("migrate", "--dsn", empty_dsn, root=root)
    assert done.returncode == 7
    assert "begins or ends a transaction of its own" in done.stderr


@pytest.mark.parametrize("ending", ["COMMIT;", "COMMIT; BEGIN;", "ROLLBACK;", "SELECT 1; end work"])
def test_a_rollback_file_that_ends_its_own_transaction_is_refused_before_it_runs(tmp_path, empty_dsn, ending):
    """Also where it was edited since and then accepted, which no migrate has looked at."""
    root = checkout(tmp_path, TOY)
    assert llm_db("migrate", "--dsn", empty_dsn, root=root).returncode == 0
    down = root / "migrations" / "0002.second.rollback.sql"
    down.write_text(f"DROP TABLE public.second; {ending}")
    assert llm_db("repair", "--accept", "2", "--dsn", empty_dsn, root=root).returncode == 0
    before = value(empty_dsn, "SELECT count(*) FROM llm_db._yoyo_log")
    done = llm_db("rollback", "--to", "1", "--yes", "--dsn", empty_dsn, root=root)
    assert done.returncode == 7
    assert "migrations/0002.second.rollback.sql:1: " in done.stderr
    assert "begins or ends a transaction of its own" in done.stderr
    assert value(empty_dsn, "SELECT count(*) FROM public.second") == 0
    assert value(empty_dsn, "SELECT count(*) FROM llm_db._yoyo_log") == before
    assert json.loads(llm_db("status", "--dsn", empty_dsn, "--json", root=root).stdout)["applied"] == list(TOY)


def test_no_setting_leaks_into_the_next_migration(tmp_path, empty_dsn):
    look = (
        "CREATE TABLE public.seen AS SELECT current_setting('search_path') AS path,"
        " current_setting('work_mem') AS memory, current_user::text AS role; -- DOWN -- DROP TABLE public.seen;"
    )
    leak = "SET search_path = public; SET work_mem = '1234kB'; SET ROLE pg_monitor; -- DOWN -- SELECT 1;"
    root = checkout(tmp_path, {"0001.leak": leak, "0002.look": look})
    done = llm_db("migrate", "--dsn", empty_dsn, root=root)
    assert done.returncode == 0, done.stderr
    assert value(empty_dsn, "SELECT (path, role)::text FROM public.seen") == "(pg_catalog,postgres)"
    assert value(empty_dsn, "SELECT memory FROM public.seen") != "1234kB"


def test_an_unqualified_name_fails(tmp_path, empty_dsn):
    root = checkout(tmp_path, {"0001.loose": "CREATE TABLE loose (id int); -- DOWN --"})
    assert llm_db("migrate", "--dsn", empty_dsn, root=root).returncode == 1


def test_a_file_may_do_without_a_transaction(tmp_path, empty_dsn):
    concurrently = "-- transactional: false\nCREATE INDEX CONCURRENTLY first_idx ON public.first (id);\n-- DOWN --"
    root = checkout(tmp_path, TOY | {"0003.index": concurrently + "DROP INDEX CONCURRENTLY public.first_idx;"})
    done = llm_db("migrate", "--dsn", empty_dsn, root=root)
    assert done.returncode == 0, done.stderr
    assert value(empty_dsn, "SELECT indisvalid FROM pg_index WHERE indexrelid = 'public.first_idx'::regclass")
    done = llm_db("rollback", "--dsn", empty_dsn, "--to", "2", "--yes", root=root)
    assert done.returncode == 0, done.stderr
    assert value(empty_dsn, "SELECT to_regclass('public.first_idx') IS NULL")


def test_files_are_read_as_utf_8_in_any_locale(tmp_path, empty_dsn):
    text = "CREATE TABLE public.a (id int); COMMENT ON TABLE public.a IS '부서'; -- DOWN -- DROP TABLE public.a;"
    root = checkout(tmp_path, {"0001.korean": text})
    done = llm_db_process(
        "migrate",
        "--dsn",
        empty_dsn,
        root=root,
        LC_ALL="C",
        PYTHONCOERCECLOCALE="0",
        PYTHONUTF8="0",
        PGCLIENTENCODING="LATIN1",
    )
    assert done.returncode == 0, done.stderr
    assert value(empty_dsn, "SELECT obj_description('public.a'::regclass)") == "부서"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda folder: (folder / "0002.second.rollback.sql").unlink(), "has no rollback beside it"),
        (lambda folder: (folder / "0002.second.sql").unlink(), "has no migration beside it"),
        (lambda folder: (folder / "notes.sql").write_text("SELECT 1;"), "is not named like a migration"),
        (lambda folder: (folder / "0001.twin.sql").write_text("SELECT 1;"), "Two migrations have the number 0001"),
        (lambda folder: (folder / "0001.first.sql").write_bytes(b"-- \xb1\xe8"), "is not UTF-8"),
        (lambda folder: [path.unlink() for path in folder.iterdir()], "There are no migrations"),
    ],
)
def test_a_migrations_folder_that_is_not_in_order_is_refused(tmp_path, empty_dsn, change, says):
    root = checkout(tmp_path, TOY)
    change(root / "migrations")
    done = llm_db("migrate", "--dsn", empty_dsn, root=root)
    assert done.returncode == 2
    assert says in done.stderr


def test_a_database_of_a_newer_release_is_left_alone(tmp_path, empty_dsn):
    newer = checkout(tmp_path / "newer", TOY)
    older = checkout(tmp_path / "older", {"0001.first": TOY["0001.first"]})
    assert llm_db("migrate", "--dsn", empty_dsn, root=newer).returncode == 0
    for command in (["migrate"], ["plan"], ["rollback", "--to", "none", "--yes"]):
        done = llm_db(*command, "--dsn", empty_dsn, root=older)
        assert done.returncode == 5
        assert "0002.second" in done.stderr
    assert "missing  0002.second" in llm_db("status", "--dsn", empty_dsn, root=older).stdout


def test_a_killed_runner_leaves_no_lock_and_nothing_half_applied(tmp_path, empty_dsn):
    waits = "CREATE TABLE public.slow (id int); SELECT pg_advisory_xact_lock(7); -- DOWN -- DROP TABLE public.slow;"
    root = checkout(tmp_path, TOY | {"0003.slow": waits})
    with psycopg.connect(empty_dsn) as holder:
        holder.execute("SELECT pg_advisory_xact_lock(7)")
        runner = subprocess.Popen(
            [sys.executable, "-m", "llm_db", "migrate", "--dsn", empty_dsn],
            env=environment(root),
            stdout=subprocess.PIPE,
            text=True,
        )
        for name in ("0001.first", "0002.second"):
            assert name in runner.stdout.readline()
        runner.kill()
        runner.communicate()
    done = llm_db("migrate", "--dsn", empty_dsn, root=root)
    assert done.returncode == 0, done.stderr
    assert "[1/1] 0003.slow" in done.stdout


def test_a_lost_session_is_told_in_a_sentence(tmp_path, empty_dsn, server):
    slow = "CREATE TABLE public.slow (id int); SELECT pg_sleep(60); -- DOWN --"
    root = checkout(tmp_path, {"0001.slow": slow})
    runner = subprocess.Popen(
        [sys.executable, "-m", "llm_db", "migrate", "--dsn", make_conninfo(empty_dsn, application_name="lost")],
        env=environment(root),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with psycopg.connect(server, autocommit=True) as admin:
        deadline = time.monotonic() + 20
        end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'lost'"
        while time.monotonic() < deadline and not admin.execute(end + " AND query LIKE '%pg_sleep%'").fetchall():
            time.sleep(0.05)
    _, said = runner.communicate(timeout=30)
    assert runner.returncode == 1
    assert "migrations/0001.slow.sql" in said
    assert "Traceback" not in said
    assert value(empty_dsn, "SELECT to_regclass('public.slow') IS NULL")


def test_status_takes_paths_with_glob_characters(tmp_path: Path, empty_dsn):
    root = checkout(tmp_path / "a[b]*c", TOY)
    assert "2 pending" in llm_db("status", "--dsn", empty_dsn, root=root).stdout


def test_depends_goes_before_the_number(tmp_path, empty_dsn):
    root = checkout(
        tmp_path,
        {
            "0001.uses": "-- depends: 0002.base\nCREATE TABLE public.b (a int REFERENCES public.a)"
            " -- DOWN -- DROP TABLE public.b",
            "0002.base": "CREATE TABLE public.a (a int PRIMARY KEY) -- DOWN -- DROP TABLE public.a",
        },
    )
    done = llm_db("migrate", "--dsn", empty_dsn, root=root)
    assert done.returncode == 0, done.stderr
    assert done.stdout.index("0002.base") < done.stdout.index("0001.uses")


@pytest.mark.parametrize(
    ("needs", "says"),
    [("0009.gone", "depends on 0009.gone, which is not there"), ("0001.self", "depend on each other: 0001.self")],
)
def test_depends_on_nothing_or_on_itself_is_refused(tmp_path, empty_dsn, needs, says):
    root = checkout(tmp_path, {"0001.self": f"-- depends: {needs}\nSELECT 1 -- DOWN -- SELECT 1"})
    done = llm_db("migrate", "--dsn", empty_dsn, root=root)
    assert done.returncode == 2
    assert says in done.stderr


def test_what_the_server_warns_of_is_told(tmp_path, empty_dsn):
    warning = "DO $$ BEGIN RAISE WARNING 'rows break it' USING HINT = 'SELECT them'; RAISE NOTICE 'fine'; END $$;"
    project = checkout(tmp_path, {"0001.first": f"{warning} -- DOWN -- SELECT 1;"})
    done = llm_db("migrate", "--dsn", empty_dsn, root=project)
    assert done.returncode == 0
    assert "warning: rows break it (SELECT them)" in done.stderr
    assert "fine" not in done.stderr
