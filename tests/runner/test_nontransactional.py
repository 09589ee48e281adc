"""Files outside a transaction: what a crash or a failure leaves is found out by the next run."""

import json
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psycopg
import pytest

from command import ROOT, checkout, environment, execute, llm_db, value
from conftest import found_company

INDEX = """-- transactional: false
CREATE UNIQUE INDEX CONCURRENTLY things_idx ON public.things (id);
-- DOWN --
DROP INDEX CONCURRENTLY public.things_idx;
"""
VALID = "SELECT indisvalid FROM pg_index WHERE indexrelid = 'public.things_idx'::regclass"
ABSENT = "SELECT to_regclass('public.things_idx') IS NULL"


@pytest.fixture
def project(tmp_path, empty_dsn) -> Path:
    execute(empty_dsn, "CREATE TABLE public.things (id int); INSERT INTO public.things SELECT generate_series(1, 1000)")
    return checkout(tmp_path, {"0001.index": INDEX})


def migrate(dsn: str, root: Path) -> subprocess.CompletedProcess[str]:
    return llm_db("migrate", "--dsn", dsn, root=root)


def half_done(dsn: str, root: Path) -> list[str]:
    return json.loads(llm_db("status", "--json", "--dsn", dsn, root=root).stdout)["half_done"]


def start(dsn: str, root: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "llm_db", "migrate", "--dsn", dsn]
    return subprocess.Popen(command, env=environment(root), stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def kill_while(dsn: str, root: Path, query: str) -> None:
    """kill -9, once the database looks like this; then waits for the backend to be gone."""
    runner = start(dsn, root)
    with psycopg.connect(dsn, autocommit=True) as connection:
        deadline = time.monotonic() + 30
        while not connection.execute(query).fetchone()[0]:
            assert time.monotonic() < deadline, runner.poll()
            time.sleep(0.01)
        runner.send_signal(signal.SIGKILL)
        runner.communicate()
        gone = "SELECT count(*) = 0 FROM pg_stat_activity WHERE application_name = 'llm-db'"
        gone += " AND datname = current_database()"
        while not connection.execute(gone).fetchone()[0]:
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_a_failed_index_is_left_invalid_then_dropped_and_rebuilt(project, empty_dsn):
    execute(empty_dsn, "INSERT INTO public.things VALUES (1)")
    done = migrate(empty_dsn, project)
    assert done.returncode == 1
    assert "0001.index.sql: 23505" in done.stderr or "0001.index.sql, line" in done.stderr
    assert "may be half-done" in done.stderr
    assert not value(empty_dsn, VALID)
    assert half_done(empty_dsn, project) == ["0001.index"]
    assert llm_db("status", "--check", "--dsn", empty_dsn, root=project).returncode == 5
    assert "half-done  0001.index" in llm_db("status", "--dsn", empty_dsn, root=project).stdout
    # As long as the cause is there, nothing else changes.
    assert migrate(empty_dsn, project).returncode == 1

    execute(empty_dsn, "DELETE FROM public.things WHERE ctid = (SELECT max(ctid) FROM public.things)")
    done = migrate(empty_dsn, project)
    assert done.returncode == 0, done.stderr
    assert "dropping the INVALID index public.things_idx" in done.stderr
    assert value(empty_dsn, VALID)
    assert llm_db("status", "--check", "--dsn", empty_dsn, root=project).returncode == 0


def test_a_runner_killed_while_building_is_followed_by_one_that_rebuilds(project, empty_dsn):
    with psycopg.connect(empty_dsn) as reader:
        reader.execute("INSERT INTO public.things VALUES (0)")
        kill_while(empty_dsn, project, "SELECT to_regclass('public.things_idx') IS NOT NULL")
    assert not value(empty_dsn, VALID)
    done = migrate(empty_dsn, project)
    assert done.returncode == 0, done.stderr
    assert "dropping the INVALID index" in done.stderr
    assert value(empty_dsn, VALID)


@pytest.mark.parametrize("left", ["nothing", "a finished index"])
def test_a_crash_before_or_after_the_statement(project, empty_dsn, left):
    assert migrate(empty_dsn, project).returncode == 0
    execute(empty_dsn, "DELETE FROM llm_db._yoyo_migration; UPDATE llm_db.migrations SET state = 'started'")
    if left == "nothing":
        execute(empty_dsn, "DROP INDEX public.things_idx")
    oid = value(empty_dsn, "SELECT to_regclass('public.things_idx')::oid")
    done = migrate(empty_dsn, project)
    assert done.returncode == 0, done.stderr
    assert value(empty_dsn, VALID)
    if left == "a finished index":
        assert "is complete: marking it" in done.stderr
        assert value(empty_dsn, "SELECT 'public.things_idx'::regclass::oid") == oid
    assert llm_db("status", "--check", "--dsn", empty_dsn, root=project).returncode == 0


def test_an_index_of_that_name_that_somebody_else_made_is_not_taken_for_ours(project, empty_dsn):
    execute(empty_dsn, "CREATE INDEX things_idx ON public.things (id) WHERE id > 5")
    for _ in range(2):
        done = migrate(empty_dsn, project)
        assert done.returncode == 1
        assert "42P07" in done.stderr
    assert half_done(empty_dsn, project) == []


def test_an_index_of_that_name_on_another_table_stops_the_run(project, empty_dsn):
    assert migrate(empty_dsn, project).returncode == 0
    execute(empty_dsn, "DELETE FROM llm_db._yoyo_migration; UPDATE llm_db.migrations SET state = 'started'")
    execute(empty_dsn, "DROP INDEX public.things_idx; CREATE TABLE public.other (id int)")
    execute(empty_dsn, "CREATE INDEX things_idx ON public.other (id)")
    assert migrate(empty_dsn, project).returncode == 5


def test_an_invalid_index_is_not_passed_over_by_if_not_exists(project, empty_dsn):
    path = project / "migrations" / "0001.index.sql"
    path.write_text(path.read_text().replace("CONCURRENTLY things_idx", "CONCURRENTLY IF NOT EXISTS things_idx"))
    execute(empty_dsn, "INSERT INTO public.things VALUES (1)")
    with psycopg.connect(empty_dsn, autocommit=True) as connection, pytest.raises(psycopg.errors.UniqueViolation):
        connection.execute("CREATE UNIQUE INDEX CONCURRENTLY things_idx ON public.things (id)")
    done = migrate(empty_dsn, project)
    assert done.returncode == 5
    assert "INVALID" in done.stderr
    assert value(empty_dsn, "SELECT count(*) FROM llm_db._yoyo_migration") == 0


def other(root: Path, statement: str) -> Path:
    return checkout(root / "other", {"0001.other": f"-- transactional: false\n{statement}\n-- DOWN --\nSELECT 1;"})


@pytest.mark.parametrize("way_out", ["--accept", "--forget"])
def test_anything_else_stops_with_instructions(tmp_path, empty_dsn, way_out):
    execute(empty_dsn, "CREATE TABLE public.things (id int)")
    root = other(tmp_path, "VACUUM public.things;")
    with psycopg.connect(empty_dsn) as holder:
        holder.execute("LOCK TABLE public.things")
        waits = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'public.things'::regclass"
        kill_while(empty_dsn, root, waits)
    done = migrate(empty_dsn, root)
    assert done.returncode == 5
    for told in ("llm-db repair --accept 0001.other", "llm-db repair --forget 0001.other"):
        assert told in done.stderr
    assert llm_db("repair", "--dsn", empty_dsn, root=root).returncode == 5
    assert llm_db("repair", way_out, "1", "--dsn", empty_dsn, root=root).returncode == 0
    pending = json.loads(llm_db("status", "--json", "--dsn", empty_dsn, root=root).stdout)["pending"]
    assert pending == ([] if way_out == "--accept" else ["0001.other"])
    assert migrate(empty_dsn, root).returncode == 0


def test_no_rollback_step_runs_by_itself(tmp_path, empty_dsn):
    execute(empty_dsn, "CREATE TABLE public.precious (id int)")
    bad = "-- transactional: false\nVACUUM public.nowhere;\n-- DOWN --\nDROP TABLE public.precious;"
    root = checkout(tmp_path, {"0001.bad": bad})
    for code in (1, 5):
        assert migrate(empty_dsn, root).returncode == code
    assert value(empty_dsn, "SELECT count(*) FROM public.precious") == 0


def test_a_half_done_migration_that_was_edited_is_refused(project, empty_dsn):
    execute(empty_dsn, "INSERT INTO public.things VALUES (1)")
    assert migrate(empty_dsn, project).returncode == 1
    path = project / "migrations" / "0001.index.sql"
    path.write_text(path.read_text().replace("things_idx", "other_idx"))
    done = migrate(empty_dsn, project)
    assert done.returncode == 5
    assert "has been edited since" in done.stderr


def test_a_failed_index_can_be_rolled_back_when_asked(project, empty_dsn):
    execute(empty_dsn, "INSERT INTO public.things VALUES (1)")
    assert migrate(empty_dsn, project).returncode == 1
    done = llm_db("rollback", "--to", "none", "--yes", "--dsn", empty_dsn, root=project)
    assert done.returncode == 0, done.stderr
    assert value(empty_dsn, ABSENT)
    assert half_done(empty_dsn, project) == []


@pytest.mark.parametrize("gone", [True, False])
def test_a_rollback_that_was_cut_off_is_refused_by_migrate_and_finished_by_rollback(project, empty_dsn, gone):
    assert migrate(empty_dsn, project).returncode == 0
    execute(empty_dsn, "UPDATE llm_db.migrations SET state = 'undoing'")
    if gone:
        execute(empty_dsn, "DROP INDEX public.things_idx")
    done = migrate(empty_dsn, project)
    assert done.returncode == 5
    assert "`llm-db rollback`" in done.stderr
    done = llm_db("rollback", "--to", "none", "--yes", "--dsn", empty_dsn, root=project)
    assert done.returncode == 0, done.stderr
    assert value(empty_dsn, ABSENT)


def test_what_0_1_0_applied_meanwhile_can_be_rolled_back(project, empty_dsn):
    assert migrate(empty_dsn, project).returncode == 0
    execute(empty_dsn, "DELETE FROM llm_db.migrations")
    done = llm_db("rollback", "--to", "none", "--yes", "--dsn", empty_dsn, root=project)
    assert done.returncode == 0, done.stderr
    assert value(empty_dsn, ABSENT)


def test_it_waits_for_locks_without_a_limit(project, empty_dsn):
    with psycopg.connect(empty_dsn) as writer:
        writer.execute("INSERT INTO public.things VALUES (0)")
        runner = subprocess.Popen(
            [sys.executable, "-m", "llm_db", "migrate", "--dsn", empty_dsn, "--lock-timeout", "0.1"],
            env=environment(project),
            stderr=subprocess.PIPE,
            text=True,
        )
        waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        while not value(empty_dsn, waits):
            assert runner.poll() is None
            time.sleep(0.02)
        # Five times as long as a file in a transaction would wait.
        time.sleep(0.5)
        assert runner.poll() is None
    _, said = runner.communicate(timeout=30)
    assert runner.returncode == 0, said
    assert "trying again" not in said


PARTS = """
CREATE TABLE public.parts (id int) PARTITION BY RANGE (id);
CREATE TABLE public."Odd part" PARTITION OF public.parts FOR VALUES FROM (0) TO (10);
CREATE TABLE public.parts_1 PARTITION OF public.parts FOR VALUES FROM (10) TO (20);
CREATE TABLE public.parts_2 PARTITION OF public.parts FOR VALUES FROM (20) TO (30);
CREATE TABLE public.parts_00 PARTITION OF public.parts DEFAULT;
INSERT INTO public.parts SELECT generate_series(1, 1000);
-- DOWN --
DROP TABLE public.parts;
"""
PARENT = "CREATE INDEX parts_id_idx ON ONLY public.parts (id); -- DOWN -- DROP INDEX public.parts_id_idx;"
EACH = """-- transactional: false
-- each-partition-of: public.parts
CREATE INDEX CONCURRENTLY parts_each_id_idx ON public.parts_each (id);
ALTER INDEX public.parts_id_idx ATTACH PARTITION public.parts_each_id_idx;
-- DOWN --
DROP INDEX public.parts_id_idx;
DROP INDEX IF EXISTS public."Odd part_id_idx", public.parts_1_id_idx, public.parts_2_id_idx, public.parts_00_id_idx;
CREATE INDEX parts_id_idx ON ONLY public.parts (id);
"""
# The order in which they are built: DEFAULT last.
PARTITIONS = ["Odd part", "parts_1", "parts_2", "parts_00"]


@pytest.fixture
def parts(tmp_path, empty_dsn) -> Path:
    root = checkout(tmp_path, {"0001.parts": PARTS, "0002.parent": PARENT, "0003.each": EACH})
    done = llm_db("migrate", "--to", "2", "--dsn", empty_dsn, root=root)
    assert done.returncode == 0, done.stderr
    return root


def indexes(dsn: str) -> dict[str, tuple[int, bool, bool]]:
    """By name: its oid, whether it is valid, whether it is attached."""
    query = """
        SELECT indexrelid::regclass::text, indexrelid::int, indisvalid, relispartition
        FROM pg_index
        JOIN pg_class ON pg_class.oid = indexrelid
        WHERE relname ~ '_id_idx$'
    """
    with psycopg.connect(dsn) as connection:
        return {name.strip('"').removesuffix("_id_idx"): rest for name, *rest in connection.execute(query)}


def assert_complete(dsn: str, partitions: list[str] = PARTITIONS) -> None:
    made = indexes(dsn)
    assert {name: rest[1:] for name, rest in made.items()} == {
        "parts": [True, False],
        **{name: [True, True] for name in partitions},
    }


def test_each_partition_gets_its_index_and_loses_it_again(parts, empty_dsn):
    for _ in range(2):
        done = migrate(empty_dsn, parts)
        assert (done.returncode, done.stderr) == (0, "")
        assert_complete(empty_dsn)
        assert sorted(PARTITIONS, key=lambda name: indexes(empty_dsn)[name][0]) == PARTITIONS
        done = llm_db("rollback", "--to", "2", "--yes", "--dsn", empty_dsn, root=parts)
        assert done.returncode == 0, done.stderr
        assert [(name, *rest[1:]) for name, rest in indexes(empty_dsn).items()] == [("parts", False, False)]


def test_plan_says_that_it_is_for_each_partition_and_its_scratch_copy_has_them(parts, empty_dsn):
    (parts / "migrations" / "0004.more.sql").write_text("DROP INDEX public.parts_id_idx; SELECT 'parts_1_id_idx';")
    (parts / "migrations" / "0004.more.rollback.sql").write_text("SELECT 1;")
    done = llm_db("plan", "--locks", "--dsn", empty_dsn, root=parts)
    assert done.returncode == 0, done.stderr
    assert "-- 0003.each (once per partition of public.parts, NOT in a transaction)" in done.stdout
    # Dropping the parent's index locks the partitions whose indexes hang on it.
    assert "--   public.parts_1  ACCESS EXCLUSIVE" in done.stdout


def stopped_at(partition: str) -> str:
    return f"SELECT to_regclass('public.{partition}_id_idx') IS NOT NULL"


@pytest.mark.parametrize("next_step", ["migrate", "rollback"])
def test_a_runner_killed_in_the_middle_is_followed_by_one_that_goes_on_or_back(parts, empty_dsn, next_step):
    with psycopg.connect(empty_dsn) as writer:
        writer.execute("INSERT INTO public.parts_2 VALUES (20)")
        kill_while(empty_dsn, parts, stopped_at("parts_2"))
    before = indexes(empty_dsn)
    assert before.keys() == {"parts", "Odd part", "parts_1", "parts_2"}
    assert before["parts_2"][1:] == [False, False]
    assert half_done(empty_dsn, parts) == ["0003.each"]
    if next_step == "rollback":
        done = llm_db("rollback", "--to", "2", "--yes", "--dsn", empty_dsn, root=parts)
        assert done.returncode == 0, done.stderr
        assert indexes(empty_dsn).keys() == {"parts"}
        assert half_done(empty_dsn, parts) == []
    done = migrate(empty_dsn, parts)
    assert done.returncode == 0, done.stderr
    assert_complete(empty_dsn)
    if next_step == "migrate":
        dropped = 'parts_2, 3 of 4 was left half-done: dropping the INVALID index public."parts_2_id_idx"'
        assert dropped in done.stderr
        after = indexes(empty_dsn)
        assert [after[name] == before[name] for name in PARTITIONS[:3]] == [True, True, False]


def test_partitions_made_and_dropped_meanwhile_are_no_matter(parts, empty_dsn):
    # Its snapshot is waited for, and it holds no lock that a DROP would wait for.
    with psycopg.connect(empty_dsn) as reader:
        reader.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        reader.execute("SELECT 1 FROM pg_class")
        runner = start(empty_dsn, parts)
        said = runner.stderr.readline()
        assert f"0003.each: Odd part, 1 of 4: waits for the end of pid {reader.info.backend_pid}, " in said
        execute(empty_dsn, "DROP TABLE public.parts_2")
        execute(empty_dsn, "DELETE FROM public.parts_00")
        execute(empty_dsn, "CREATE TABLE public.parts_3 PARTITION OF public.parts FOR VALUES FROM (30) TO (40)")
    _, rest = runner.communicate(timeout=30)
    assert runner.returncode == 0, rest
    assert "0003.each: parts_2, 3 of 4: dropped meanwhile" in rest
    assert_complete(empty_dsn, ["Odd part", "parts_1", "parts_3", "parts_00"])


def test_an_index_that_is_there_already_is_attached(parts, empty_dsn):
    execute(empty_dsn, "CREATE INDEX parts_1_id_idx ON public.parts_1 (id)")
    before = indexes(empty_dsn)["parts_1"][0]
    done = migrate(empty_dsn, parts)
    assert done.returncode == 0, done.stderr
    assert_complete(empty_dsn)
    assert indexes(empty_dsn)["parts_1"][0] == before


def test_an_index_of_that_name_that_is_another_stops_the_run(parts, empty_dsn):
    execute(empty_dsn, "CREATE INDEX parts_1_id_idx ON public.parts_1 (id) WHERE id > 5")
    for _ in range(2):
        done = migrate(empty_dsn, parts)
        assert done.returncode == 1
        assert "0003.each.sql" in done.stderr
        assert "42P17: cannot attach index" in done.stderr
    execute(empty_dsn, "DROP INDEX public.parts_1_id_idx")
    assert migrate(empty_dsn, parts).returncode == 0
    assert_complete(empty_dsn)


def test_an_invalid_index_that_somebody_else_left_is_not_dropped(parts, empty_dsn):
    execute(empty_dsn, "INSERT INTO public.parts_1 VALUES (10)")
    with psycopg.connect(empty_dsn, autocommit=True) as connection, pytest.raises(psycopg.errors.UniqueViolation):
        connection.execute("CREATE UNIQUE INDEX CONCURRENTLY parts_1_id_idx ON public.parts_1 (id)")
    before = indexes(empty_dsn)["parts_1"]
    for _ in range(2):
        done = migrate(empty_dsn, parts)
        assert done.returncode == 1
        assert "42P07" in done.stderr
        assert indexes(empty_dsn)["parts_1"] == before
    execute(empty_dsn, "DROP INDEX public.parts_1_id_idx")
    assert migrate(empty_dsn, parts).returncode == 0
    assert_complete(empty_dsn)


def test_attaching_does_not_make_others_queue_behind_a_long_query(parts, empty_dsn):
    execute(empty_dsn, "CREATE INDEX parts_1_id_idx ON public.parts_1 (id)")
    with psycopg.connect(empty_dsn) as reader:
        reader.execute("SELECT FROM public.parts_1 WHERE id = 10")
        runner = start(empty_dsn, parts)
        assert "trying again" in runner.stderr.readline()
        execute(empty_dsn, "SET statement_timeout = '2500ms'; INSERT INTO public.parts VALUES (11)")
    _, said = runner.communicate(timeout=30)
    assert runner.returncode == 0, said
    assert_complete(empty_dsn)


def recipe() -> dict[str, str]:
    """The files of docs/concurrent-indexes.md, by the name in their first line."""
    page = (ROOT / "docs" / "concurrent-indexes.md").read_text(encoding="utf-8")
    return dict(re.findall(r"```sql\n-- ([\w.-]+)\n(.*?)```", page, re.S))


@pytest.fixture
def with_recipe(tmp_path) -> Path:
    for part in ("scripts/llm_db", "migrations", "views", "seeds"):
        shutil.copytree(ROOT / part, tmp_path / part)
    for name, text in recipe().items():
        (tmp_path / "migrations" / name).write_text(text, encoding="utf-8")
    return tmp_path


def test_the_recipe_for_partitions_works_beside_live_writers(with_recipe, db, dsn):
    company = found_company(db)
    db.execute("CALL llm.create_months('2025-12-01', '2026-03-01')")
    stop = threading.Event()
    errors: list[Exception] = []
    written: list[float] = []

    def write(number: int) -> None:
        try:
            with psycopg.connect(dsn, autocommit=True) as writer:
                while not stop.is_set():
                    started = time.monotonic()
                    began = f"2026-{number % 4 + 1:02}-15"
                    writer.execute(
                        "WITH made AS (INSERT INTO llm.sessions (session_id, user_id, session_type, start_time)"
                        " VALUES (llm.uuidv7(%s), %s, 'test', %s) RETURNING session_id)"
                        " SELECT session_id FROM made",
                        [began, company.user_id, began],
                    )
                    writer.execute(
                        "INSERT INTO llm.session_logs (session_id, deployment_id, token_used)"
                        " SELECT session_id, %s, 7 FROM llm.sessions"
                        " WHERE session_id >= llm.uuidv7_floor(%s) AND user_id = %s LIMIT 1",
                        [company.deployment_id, began, company.user_id],
                    )
                    written.append(time.monotonic() - started)
        except psycopg.Error as error:
            errors.append(error)

    writers = [threading.Thread(target=write, args=[number]) for number in range(4)]
    for writer in writers:
        writer.start()
    try:
        assert llm_db("migrate", "--to", "9001", "--dsn", dsn, root=with_recipe).returncode == 0
        db.execute("CALL llm.create_months('2026-05-01', '2026-05-01')")
        db.execute("SELECT llm.drop_month('2025-12-01')")
        done = llm_db("migrate", "--dsn", dsn, root=with_recipe)
        assert done.returncode == 0, done.stderr
        before = len(written)
        time.sleep(0.5)
        assert len(written) > before
    finally:
        stop.set()
        for writer in writers:
            writer.join()
    assert errors == []
    assert max(written) < 3
    assert value(dsn, "SELECT indisvalid FROM pg_index WHERE indexrelid = 'llm.session_logs_token_used_idx'::regclass")
    invalid = "SELECT count(*) FROM pg_index WHERE NOT indisvalid"
    assert value(dsn, invalid) == 0
    done = llm_db(
        "rollback",
        "--to",
        sorted(path.stem for path in (ROOT / "migrations").glob("*[a-z].sql"))[-1][:4],
        "--yes",
        "--dsn",
        dsn,
        root=with_recipe,
    )
    assert done.returncode == 0, done.stderr
    assert value(dsn, "SELECT count(*) FROM pg_class WHERE relname ~ 'token_used_idx'") == 0
