"""Through the real pgbouncer: what only reads works and leaves nothing in the pooled sessions, everything else is
refused before it begins, unless the pool keeps sessions.

LLM_DB_TEST_PGBOUNCER names the program; where it is not set and none is found, these tests are skipped.
"""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from cluster import HOST, server_bin, unprivileged_user
from command import checkout, environment, execute, llm_db, value

TOY = {
    "0001.first": "CREATE TABLE public.first (id int); -- DOWN -- DROP TABLE public.first;",
    "0002.slow": "-- transactional: false\nCREATE INDEX CONCURRENTLY first_idx ON public.first (id);\n"
    "-- DOWN --DROP INDEX CONCURRENTLY public.first_idx;",
}
# All that one client can leave to the next. That a library is loaded by now, with settings of its own, is nothing left.
SESSION = """
SELECT
    (SELECT jsonb_object_agg(name, format('%s (%s)', setting, source)) FROM pg_settings
        WHERE name !~ '^(transaction_|plpgsql[.])'),
    (SELECT array_agg(statement) FROM pg_prepared_statements),
    (SELECT array_agg(name) FROM pg_cursors),
    (SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'advisory'),
    (SELECT array_agg(relname) FROM pg_class WHERE relpersistence = 't' AND pg_table_is_visible(oid)),
    (SELECT array_agg(channel) FROM pg_listening_channels() AS channel),
    session_user, current_user
"""
# Debian has it where only root looks.
PATH = f"{os.environ['PATH']}{os.pathsep}/usr/sbin"


@pytest.fixture(scope="module")
def poolers(server: str) -> Iterator[Callable[[str, str, int], str]]:
    """Starts pgbouncer in a mode and with so many sessions, for a database; gives the connection string."""
    program = os.environ.get("LLM_DB_TEST_PGBOUNCER") or shutil.which("pgbouncer", path=PATH)
    if not program:
        pytest.skip("there is no pgbouncer: apt-get install pgbouncer, or set LLM_DB_TEST_PGBOUNCER")
    user = unprivileged_user() if os.geteuid() == 0 else None
    running: list[subprocess.Popen] = []
    folders = ExitStack()

    def start(dsn: str, mode: str, size: int) -> str:
        with socket.socket() as probe:
            probe.bind((HOST, 0))
            port = probe.getsockname()[1]
        # Not pytest's, which only its own user can enter.
        folder = Path(folders.enter_context(tempfile.TemporaryDirectory(prefix="llm-db-tests-")))
        (folder / "users").write_text('"postgres" ""\n')
        (folder / "ini").write_text(
            f"[databases]\n* = host={HOST} port={conninfo_to_dict(server)['port']}\n"
            f"[pgbouncer]\nlisten_addr = {HOST}\nlisten_port = {port}\nunix_socket_dir =\n"
            f"auth_type = trust\nauth_file = {folder / 'users'}\n"
            f"pool_mode = {mode}\ndefault_pool_size = {size}\nserver_reset_query = DISCARD ALL\n"
        )
        if user:
            shutil.chown(folder, user)
        command = [program, *(["-u", user] if user else []), str(folder / "ini")]
        with (folder / "log").open("w") as log:
            running.append(subprocess.Popen(command, stdout=log, stderr=log))
        deadline = time.monotonic() + 10
        while True:
            try:
                socket.create_connection((HOST, port), 0.2).close()
            except OSError:
                assert time.monotonic() < deadline, (folder / "log").read_text()
                time.sleep(0.02)
            else:
                return make_conninfo(dsn, port=port)

    yield start
    for process in running:
        process.terminate()
        process.wait()
    folders.close()


def session(pooled: str) -> tuple:
    # What pgbouncer itself sets for each client, it must have to set for this one.
    with psycopg.connect(
        pooled, autocommit=True, prepare_threshold=None, application_name="application", client_encoding="utf8"
    ) as application:
        return application.execute(SESSION).fetchone()


READS = (
    ("status",),
    ("status", "--json"),
    ("plan",),
    ("repair",),
    ("report",),
    ("report", "department_overview"),
    ("report", "department_overview", "--csv"),
    ("report", "department_overview", "--json"),
    ("report", "daily_usage_by_department", "--since", "30d", "--where", "department_name=x", "--top", "3"),
    ("report", "department_overview", "--html", "page.html"),
    ("lint",),
)


@pytest.mark.parametrize("size", [1, 5])
def test_in_transaction_mode_what_reads_works_and_the_rest_is_refused(dsn, server, poolers, tmp_path, size):
    pooled = poolers(dsn, "transaction", size)
    before = session(pooled)
    for command in READS:
        done = llm_db(*command, *(["--dsn", pooled] * (command[0] != "lint")), cwd=tmp_path)
        direct = llm_db(*command, *(["--dsn", dsn] * (command[0] != "lint")), cwd=tmp_path)
        assert (done.returncode, done.stderr) == (0, direct.stderr)
        assert done.stdout.splitlines()[1:] == direct.stdout.splitlines()[1:]
    done, direct = (llm_db("doctor", "--dsn", one) for one in (pooled, dsn))
    assert (done.returncode, done.stdout.splitlines()[1:]) == (0, direct.stdout.splitlines()[1:])
    done = llm_db("check", "--dsn", pooled, "--scratch", server)
    assert done.returncode == 0, done.stderr
    done = llm_db("rollback", "--to", "1", "--dsn", pooled)
    assert (done.returncode, "add --yes" in done.stderr) == (2, True)
    log = tmp_path / "logs.csv"
    log.write_text("request_time,server_name,user_email\n2026-01-01,s1,kim@example.com\n")
    for command in (
        ("migrate",),
        ("rollback", "--to", "1", "--yes"),
        ("baseline", "--to", "1", "--scratch", server),
        ("repair", "--accept", "1"),
        ("load", str(log)),
        ("demo", "--logs", "10"),
        ("check", "--scratch", pooled),
    ):
        done = llm_db(*command, "--dsn", pooled)
        assert done.returncode == 2, done.stderr
        assert "A pooler in transaction mode stands between" in done.stderr
        assert "connect to the server itself" in done.stderr
    assert session(pooled) == before
    with psycopg.connect(pooled, autocommit=True) as application:
        application.execute("CREATE TABLE public.written AS SELECT 1 AS one")


def test_in_session_mode_everything_works_and_the_session_is_put_back(empty_dsn, poolers, tmp_path):
    root = checkout(tmp_path / "checkout", TOY)
    pooled = poolers(empty_dsn, "session", 3)
    before = session(pooled)
    for command in (("migrate",), ("status", "--check"), ("rollback", "--to", "none", "--yes")):
        done = llm_db(*command, "--dsn", pooled, root=root)
        assert done.returncode == 0, done.stderr
    assert session(pooled) == before


@pytest.mark.parametrize("mode", ["session", "transaction"])
def test_a_script_for_psql_leaves_nothing_in_a_pool(empty_dsn, poolers, tmp_path, mode):
    """It cannot find out that nobody else is there, and then a pool in transaction mode is as good as a session."""
    text = llm_db("plan", "--script", "--from", "none", root=checkout(tmp_path / "checkout", TOY)).stdout
    pooled = poolers(empty_dsn, mode, 1)
    # The language brings settings along, when it is first used.
    execute(pooled, "DO $$ BEGIN END $$")
    before = session(pooled)
    command = [server_bin() / "psql", "-X", "--file=-", "--dbname", pooled]
    done = subprocess.run(command, input=text, env=environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert session(pooled) == before


def test_a_script_for_psql_stops_where_a_pool_gives_it_another_session(empty_dsn, poolers, tmp_path):
    text = llm_db("plan", "--script", "--from", "none", root=checkout(tmp_path / "checkout", TOY)).stdout
    first, turn, rest = text.partition("CALL pg_temp.llm_db_queue();")
    pooled = poolers(empty_dsn, "transaction", 2)
    command = [server_bin() / "psql", "-X", "--file=-", "--dbname", pooled]
    running = subprocess.Popen(
        command, env=environment(), stdin=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8"
    )
    running.stdin.write(first)
    running.stdin.flush()
    made = "SELECT count(*) > 0 FROM pg_class WHERE relname = 'llm_db_run'"
    deadline = time.monotonic() + 20
    while not value(empty_dsn, made):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    with psycopg.connect(pooled, prepare_threshold=None) as other:
        # The last one that was given back.
        other.execute("SELECT 1")
        told = running.communicate(turn + rest)[1]
    assert running.returncode == 3
    assert 'schema "pg_temp" does not exist' in told
    assert value(empty_dsn, "SELECT count(*) FROM pg_namespace WHERE nspname = 'llm_db'") == 0


def test_a_pool_with_one_session_is_refused_in_words(empty_dsn, poolers):
    pooled = poolers(empty_dsn, "session", 1)
    done = llm_db("migrate", "--dsn", pooled)
    assert done.returncode == 2
    assert "has no second session for llm-db" in done.stderr
    assert value(empty_dsn, "SELECT count(*) FROM pg_namespace WHERE nspname = 'llm_db'") == 0


def test_the_real_backend_is_asked_whom_it_waits_for(empty_dsn, poolers, tmp_path):
    root = checkout(tmp_path / "checkout", TOY)
    pooled = poolers(empty_dsn, "session", 5)
    assert llm_db("migrate", "--to", "1", "--dsn", pooled, root=root).returncode == 0
    with psycopg.connect(empty_dsn, application_name="the night shift") as other:
        other.execute("INSERT INTO public.first VALUES (1)")
        done = llm_db("migrate", "--statement-timeout", "3", "--dsn", pooled, root=root)
        assert done.returncode == 1
        assert "waits for the end of" in done.stderr
        assert "the night shift" in done.stderr


def test_a_pool_in_statement_mode_is_refused_in_words(empty_dsn, poolers):
    pooled = poolers(empty_dsn, "statement", 2)
    for command in ("status", "migrate"):
        done = llm_db(command, "--dsn", pooled)
        assert done.returncode in (1, 2)
        assert "hint: a pooler stands between" in done.stderr
    assert value(empty_dsn, "SELECT count(*) FROM pg_namespace WHERE nspname = 'llm_db'") == 0
    done = llm_db("status", "--dsn", pooled, PGOPTIONS="-c enable_seqscan=off")
    assert (done.returncode, "unset PGOPTIONS" in done.stderr) == (2, True)
