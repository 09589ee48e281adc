"""One runner at a time, and never the world behind one: the advisory lock, its holder, lock_timeout and retries."""

import json
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from command import ROOT, checkout, environment, eventually, execute, llm_db, value
from llm_db.backend import Backend, Conduct
from llm_db.errors import Problem
from llm_db.turn import LOCK

IDS = sorted(
    path.name.removesuffix(".sql")
    for path in (ROOT / "migrations").glob("*.sql")
    if not path.name.endswith(".rollback.sql")
)
SLEEPS = {"0001.sleeps": "SELECT pg_sleep(60); -- DOWN -- SELECT 1;"}


def start(dsn: str, root: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "llm_db", "migrate", "--dsn", dsn, *arguments],
        env=environment(root),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def sleeping(dsn: str) -> object:
    query = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()"
    return value(dsn, query)


def test_twenty_runners_at_once_apply_each_migration_once(empty_dsn):
    runners = [start(empty_dsn, ROOT, "--wait", "170") for _ in range(20)]
    ended = [runner.communicate(timeout=180) for runner in runners]
    assert [runner.returncode for runner in runners] == [0] * 20, ended
    assert sum(f"/{len(IDS)}] {IDS[0]} " in out for out, _ in ended) == 1
    assert value(empty_dsn, "SELECT count(*) FROM llm_db._yoyo_log") == len(IDS)
    assert value(empty_dsn, "SELECT count(*) FROM llm_db.migrations WHERE state = 'applied'") == len(IDS)


def test_a_runner_that_waited_long_enough_says_who_holds_the_lock(tmp_path, empty_dsn):
    root = checkout(tmp_path, SLEEPS)
    with psycopg.connect(empty_dsn, autocommit=True, application_name="the night shift") as holder:
        holder.execute("SELECT pg_advisory_lock(%s)", [LOCK])
        began = time.monotonic()
        done = llm_db("migrate", "--dsn", empty_dsn, "--wait", "1", root=root)
        assert time.monotonic() - began < 10
        assert done.returncode == 4
        for told in (f"pid {holder.info.backend_pid}", "the night shift", "client 127.0.0.1", "connected since 20"):
            assert told in done.stderr
        since = holder.execute(
            "SELECT backend_start::timestamptz(0) FROM pg_stat_activity WHERE pid = pg_backend_pid()"
        )
        assert since.fetchone()
    assert value(empty_dsn, "SELECT count(*) FROM pg_namespace WHERE nspname = 'llm_db'") == 0


def test_who_may_not_migrate_cannot_keep_a_runner_away(tmp_path, empty_dsn, roles):
    """Before the first migrate and after it."""
    nothing = "SELECT 1; -- DOWN -- SELECT 1;"
    root = checkout(tmp_path, {"0001.one": nothing, "0002.two": nothing})
    with psycopg.connect(make_conninfo(empty_dsn, user=roles[2]), autocommit=True) as stranger:
        stranger.execute("SELECT pg_advisory_lock(%s)", [LOCK])
        for number in ("1", "2"):
            done = llm_db("migrate", "--to", number, "--dsn", empty_dsn, "--wait", "1", root=root)
            assert done.returncode == 0, done.stderr
            assert f"Not waited for, as it may not migrate: pid {stranger.info.backend_pid}" in done.stderr
        with pytest.raises(psycopg.errors.InsufficientPrivilege), stranger.transaction():
            stranger.execute("LOCK TABLE llm_db.turn IN SHARE UPDATE EXCLUSIVE MODE")


def test_a_turn_outlives_timeouts_for_idle_sessions_and_needs_no_advisory_lock(tmp_path, empty_dsn):
    root = checkout(tmp_path, {"0001.one": "SELECT 1; -- DOWN -- SELECT 1;"})
    assert llm_db("migrate", "--dsn", empty_dsn, root=root).returncode == 0
    name = value(empty_dsn, "SELECT current_database()")
    execute(empty_dsn, f"ALTER DATABASE {name} SET idle_in_transaction_session_timeout = '100ms'")
    with psycopg.connect(empty_dsn, autocommit=True) as first, psycopg.connect(empty_dsn, autocommit=True) as second:
        impatient = Backend(second, Conduct(wait=0))
        with Backend(first).lock():
            first.execute("SELECT pg_advisory_unlock_all()")
            time.sleep(0.5)
            with pytest.raises(Problem, match="Another llm-db is still at work"), impatient.lock():
                pass
        with impatient.lock():
            pass


def test_a_lock_in_another_database_is_not_waited_for(tmp_path, empty_dsn, server):
    root = checkout(tmp_path, {"0001.one": "CREATE TABLE public.one (id int); -- DOWN -- DROP TABLE public.one;"})
    with psycopg.connect(server, autocommit=True) as elsewhere:
        elsewhere.execute("SELECT pg_advisory_lock(%s)", [LOCK])
        assert llm_db("migrate", "--dsn", empty_dsn, "--wait", "0", root=root).returncode == 0


@pytest.mark.parametrize("file", [SLEEPS["0001.sleeps"], "-- transactional: false\n" + SLEEPS["0001.sleeps"]])
def test_the_backend_of_a_killed_runner_stops_within_seconds(tmp_path, empty_dsn, file):
    runner = start(empty_dsn, checkout(tmp_path, {"0001.sleeps": file}))
    eventually(lambda: sleeping(empty_dsn), 30)
    runner.send_signal(signal.SIGKILL)
    runner.communicate()
    free = f"SELECT pg_try_advisory_lock({LOCK})"
    eventually(lambda: value(empty_dsn, free), 5)


@pytest.fixture
def shop(tmp_path, empty_dsn) -> Path:
    """A table in use, and a migration that wants it for itself."""
    execute(empty_dsn, "CREATE TABLE public.sales (id bigint GENERATED ALWAYS AS IDENTITY, amount int)")
    up = "ALTER TABLE public.sales ADD COLUMN region text;"
    return checkout(tmp_path, {"0001.region": f"{up} -- DOWN -- ALTER TABLE public.sales DROP COLUMN region;"})


def test_writers_never_wait_longer_than_the_lock_timeout_for_a_migration_that_waits(shop, empty_dsn):
    stop = threading.Event()
    waits: list[float] = []

    def write() -> None:
        with psycopg.connect(empty_dsn, autocommit=True) as writer:
            while not stop.is_set():
                began = time.monotonic()
                writer.execute("INSERT INTO public.sales (amount) VALUES (1)")
                waits.append(time.monotonic() - began)
                time.sleep(0.005)

    writers = [threading.Thread(target=write) for _ in range(8)]
    with psycopg.connect(empty_dsn) as reader:
        reader.execute("SELECT count(*) FROM public.sales")
        for writer in writers:
            writer.start()
        runner = start(empty_dsn, shop, "--lock-timeout", "0.5", "--retries", "30")
        said = [runner.stderr.readline() for _ in range(3)]
        reader.rollback()
    _, rest = runner.communicate(timeout=60)
    stop.set()
    for writer in writers:
        writer.join()
    assert runner.returncode == 0, rest
    assert all("lock timeout; trying again" in line for line in said), said
    # They did wait for it, and then for no longer than it waited itself.
    assert 0.2 < max(waits) < 0.5 + 0.5, max(waits)
    assert value(empty_dsn, "SELECT count(*) FROM public.sales WHERE region IS NULL") == len(waits)


def test_a_lock_that_is_never_free_ends_with_4_and_nothing_done(shop, empty_dsn):
    with psycopg.connect(empty_dsn) as reader:
        reader.execute("SELECT count(*) FROM public.sales")
        done = llm_db("migrate", "--dsn", empty_dsn, "--lock-timeout", "0.1", "--retries", "2", root=shop)
    assert done.returncode == 4
    assert done.stderr.count("trying again") == 2
    assert "0001.region.sql: 55P03" in done.stderr
    assert "(3 tries)" in done.stderr
    assert json.loads(llm_db("status", "--json", "--dsn", empty_dsn, root=shop).stdout)["pending"] == ["0001.region"]


def test_a_rollback_gives_up_and_tries_again_too(shop, empty_dsn):
    assert llm_db("migrate", "--dsn", empty_dsn, root=shop).returncode == 0
    rollback = ["rollback", "--to", "none", "--yes", "--dsn", empty_dsn, "--lock-timeout", "0.1", "--retries", "1"]
    with psycopg.connect(empty_dsn) as reader:
        reader.execute("SELECT count(*) FROM public.sales")
        assert llm_db(*rollback, root=shop).returncode == 4
    assert llm_db(*rollback, root=shop).returncode == 0


def test_only_locks_and_deadlocks_are_tried_again(tmp_path, empty_dsn):
    raises = "DO $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '{}'; END $$; -- DOWN -- SELECT 1;"
    for code, tries in (("40P01", 1), ("55P03", 1), ("40001", 0), ("57014", 0)):
        root = checkout(tmp_path / code, {"0001.raises": raises.format(code)})
        done = llm_db("migrate", "--dsn", empty_dsn, "--retries", "1", root=root)
        assert done.stderr.count("trying again") == tries, done.stderr
        assert done.returncode == (4 if tries else 1)


def test_statement_timeout_can_be_set_and_does_not_leak_from_a_file(tmp_path, empty_dsn):
    loose = "SET statement_timeout = 0; SET lock_timeout = 0; -- DOWN -- SELECT 1;"
    root = checkout(tmp_path, {"0001.loose": loose, "0002.sleeps": SLEEPS["0001.sleeps"]})
    done = llm_db("migrate", "--dsn", empty_dsn, "--statement-timeout", "0.3", root=root)
    assert done.returncode == 1
    assert "0002.sleeps.sql: 57014" in done.stderr


def test_a_file_cannot_take_the_lock_timeout_away_from_the_next(tmp_path, empty_dsn):
    """Triggers lock tables until the end, so their files wait for moments only."""
    tables = "CREATE SCHEMA llm; CREATE TABLE llm.seen (setting text); -- DOWN -- DROP SCHEMA llm CASCADE;"
    trigger = (
        "CREATE OR REPLACE TRIGGER {} BEFORE UPDATE ON llm.seen FOR EACH ROW"
        " EXECUTE FUNCTION suppress_redundant_updates_trigger(); INSERT INTO llm.seen SELECT {};"
    )
    files = {
        "1_triggers/10_one": trigger.format("one", "set_config('lock_timeout', '0', false)"),
        "1_triggers/20_two": trigger.format("two", "current_setting('lock_timeout')"),
    }
    root = checkout(tmp_path, {"0001.one": tables}, files)
    done = llm_db("migrate", "--dsn", empty_dsn, root=root)
    assert done.returncode == 0, done.stderr
    assert value(empty_dsn, "SELECT array_agg(setting) FROM llm.seen") == ["0", "100ms"]


@pytest.mark.parametrize("wrong", [["--wait", "soon"], ["--lock-timeout", "-1"], ["--retries", "0"]])
def test_wrong_limits_are_usage_errors(empty_dsn, wrong):
    assert llm_db("migrate", "--dsn", empty_dsn, *wrong).returncode == 2


@pytest.fixture
def roles(server):
    """An owner, a member of it who may log in, and a stranger."""
    names = ("llm_test_owner", "llm_test_deployer", "llm_test_stranger")
    with psycopg.connect(server, autocommit=True) as admin:
        admin.execute("SELECT pg_advisory_lock(77)")  # Roles are the cluster's, and other workers test beside us.
        for name in names:
            admin.execute(sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(name)))
        admin.execute("GRANT llm_test_owner TO llm_test_deployer")
        yield names
        for name in names:
            admin.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(name)))


def test_role_owns_what_is_made_and_a_reader_can_look(roles, tmp_path, empty_dsn):
    owner, deployer, stranger = roles
    database = value(empty_dsn, "SELECT current_database()")
    execute(empty_dsn, f"GRANT CREATE ON DATABASE {database} TO {owner}; GRANT CREATE ON SCHEMA public TO {owner}")
    leaves = "RESET ROLE; SET search_path = public; -- DOWN -- SELECT 1;"
    makes = "CREATE TABLE public.one (id int); -- DOWN -- DROP TABLE public.one;"
    alone = "-- transactional: false\nCREATE INDEX CONCURRENTLY one_idx ON public.one (id);\n-- DOWN --"
    alone += "DROP INDEX CONCURRENTLY public.one_idx;"
    root = checkout(tmp_path, {"0001.leaves": leaves, "0002.makes": makes, "0003.alone": alone})
    as_deployer, as_stranger = make_conninfo(empty_dsn, user=deployer), make_conninfo(empty_dsn, user=stranger)
    done = llm_db("migrate", "--dsn", as_deployer, "--role", owner, root=root)
    assert done.returncode == 0, done.stderr
    others = f"""
        SELECT count(*) FROM pg_class
        WHERE relnamespace IN ('public'::regnamespace, 'llm_db'::regnamespace) AND relowner <> '{owner}'::regrole
    """
    assert value(empty_dsn, others) == 0
    assert value(empty_dsn, "SELECT array_agg(DISTINCT applied_by) FROM llm_db.migrations") == [deployer]

    for command in ("status", "plan"):
        done = llm_db(command, "--dsn", as_stranger, root=root)
        assert done.returncode == 2
        assert "may not read the ledger" in done.stderr
        assert f'GRANT USAGE ON SCHEMA llm_db TO "{stranger}"' in done.stderr
    execute(empty_dsn, f"GRANT USAGE ON SCHEMA llm_db TO {stranger}")
    execute(empty_dsn, f"GRANT SELECT ON ALL TABLES IN SCHEMA llm_db TO {stranger}")
    assert llm_db("status", "--check", "--dsn", as_stranger, root=root).returncode == 0
    assert llm_db("plan", "--dsn", as_stranger, root=root).returncode == 0

    done = llm_db("migrate", "--dsn", as_stranger, "--role", owner, root=root)
    assert done.returncode == 2
    assert f"Cannot act as {owner}" in done.stderr
    done = llm_db("rollback", "--to", "none", "--yes", "--dsn", as_deployer, "--role", owner, root=root)
    assert done.returncode == 0, done.stderr
    execute(empty_dsn, f"DROP OWNED BY {owner}, {stranger} CASCADE")
