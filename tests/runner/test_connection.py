"""Which database a command takes, and what a user reads when it cannot be reached. A password is never in it."""

import os
import signal
import subprocess
import sys
import time

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from command import environment, llm_db, llm_db_process

SECRET = "hunter2"
PASSWORDS = [
    f"postgresql://me:{SECRET}@127.0.0.1:1/llm",
    f"postgresql://me@127.0.0.1:1/llm?password={SECRET}",
    f"host=127.0.0.1 port=1 user=me password={SECRET}",
    f"host=127.0.0.1 port=1 user=me password='{SECRET} \\' x'",
    f"postgresql+psycopg://me:{SECRET}@127.0.0.1:1/llm",
    f"postgresql://me:{SECRET}@x/y@127.0.0.1:1/llm",
    f"postgresql://me:{SECRET}@127.0.0.1:port/llm",
    f"postgresql://me:x#{SECRET}@127.0.0.1:1/llm",
    f"postgresql://me:{SECRET}@127.0.0.1:1/llm?nonsense=1",
    f"host=127.0.0.1 nonsense=1 password={SECRET}",
    f"password = {SECRET} host",
    f"host=127.0.0.1 port=1 password={SECRET} connect_timeout=soon",
]


@pytest.mark.parametrize("dsn", PASSWORDS)
@pytest.mark.parametrize("source", ["--dsn", "DATABASE_URL"])
def test_a_bad_connection_string_is_told_without_its_password(dsn, source, tmp_path):
    done = llm_db("status", "--dsn", dsn) if source == "--dsn" else llm_db("status", DATABASE_URL=dsn)
    assert done.returncode == 2
    assert source in done.stderr
    assert SECRET not in done.stdout + done.stderr
    assert done.stderr.splitlines()[-1].startswith("hint: ")
    assert len(done.stderr.splitlines()) == 2


def test_a_connection_string_in_the_wrong_place_is_not_quoted_with_its_password():
    done = llm_db("status", PASSWORDS[0])
    assert done.returncode == 2
    assert SECRET not in done.stdout + done.stderr


def test_a_refused_connection_says_what_to_check():
    done = llm_db("migrate", "--dsn", "host=127.0.0.1 port=1")
    assert done.returncode == 2
    assert "Connection refused" in done.stderr
    assert "hint: is the server running" in done.stderr


def test_a_database_that_does_not_exist(server):
    done = llm_db("status", "--dsn", make_conninfo(server, dbname="nowhere"))
    assert done.returncode == 2
    assert 'database "nowhere" does not exist' in done.stderr
    assert "createdb" in done.stderr


def test_dsn_wins_over_the_environment_and_database_url_over_libpq(dsn):
    assert (
        llm_db("status", "--dsn", dsn, DATABASE_URL="host=127.0.0.1 port=1", PGHOST="nowhere.invalid").returncode == 0
    )
    assert llm_db("status", DATABASE_URL=dsn, PGHOST="nowhere.invalid", PGPORT="1").returncode == 0


def test_libpqs_environment_is_used(dsn):
    parts = conninfo_to_dict(dsn)
    done = llm_db(
        "status", PGHOST=parts["host"], PGPORT=str(parts["port"]), PGUSER=parts["user"], PGDATABASE=parts["dbname"]
    )
    assert done.returncode == 0, done.stderr
    assert parts["dbname"] in done.stdout
    assert "EMBEDDED" not in done.stderr


def test_a_database_that_is_not_utf_8_is_refused(server):
    with psycopg.connect(server, autocommit=True) as admin:
        name = f"ascii_{os.getpid()}"
        admin.execute(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'SQL_ASCII' LOCALE 'C'")
        try:
            done = llm_db("migrate", "--dsn", make_conninfo(server, dbname=name))
        finally:
            admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
    assert done.returncode == 2
    assert "SQL_ASCII" in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [[], ["nonsense"], ["rollback"], ["demo", "--logs", "0"], ["status", "--dsn", ""], ["serve", "--dsn", "host=x"]],
)
def test_wrong_usage_is_exit_code_2_and_a_hint(arguments):
    done = llm_db(*arguments)
    assert done.returncode == 2
    assert [line.split(":")[0] for line in done.stderr.splitlines()] == ["error", "hint"]


@pytest.mark.parametrize(
    "command", ["lint", "status", "plan", "migrate", "rollback", "load", "report", "maintain", "demo", "serve"]
)
def test_every_command_explains_itself_with_an_example(command):
    done = llm_db(command, "--help")
    assert done.returncode == 0
    assert f"  llm-db {command}" in done.stdout


@pytest.fixture(params=["short", "long"])
def folder(tmp_path, request):
    """The second is longer than a socket's path may be."""
    folder = tmp_path if request.param == "short" else tmp_path / ("a" * 100)
    folder.mkdir(exist_ok=True)
    return folder


@pytest.mark.once("the embedded server is the newest, whatever the tests run on")
def test_an_embedded_server_that_was_asked_for_is_used_said_so_and_stopped(folder):
    done = llm_db_process("migrate", "--dsn", "embedded", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert f"EMBEDDED PostgreSQL in {folder / '.llm-db'}" in done.stderr
    assert "not for production" in done.stderr
    assert not (folder / ".llm-db" / "postmaster.pid").exists()
    # What libpq would take from the environment is about another server.
    again = llm_db_process(
        "status", "--check", cwd=folder, DATABASE_URL="embedded", PGHOSTADDR="192.0.2.1", PGDATABASE="x"
    )
    assert again.returncode == 0
    assert not (folder / ".llm-db" / "postmaster.pid").exists()


def test_a_folder_with_a_space_is_refused_in_words(tmp_path):
    (tmp_path / "my folder").mkdir()
    done = llm_db("status", "--dsn", "embedded", cwd=tmp_path / "my folder")
    assert done.returncode == 2
    assert "space" in done.stderr


@pytest.mark.once("the embedded server is the newest, whatever the tests run on")
@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_serve_prints_a_dsn_that_works_until_it_is_stopped(tmp_path, stop):
    serve = subprocess.Popen(
        [sys.executable, "-m", "llm_db", "serve"],
        env=environment(),
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell's background jobs ignore it, and so would what they start.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    dsn = serve.stdout.readline().removeprefix("DSN:").strip()
    assert "psql" in serve.stdout.readline()
    with psycopg.connect(dsn) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    # A second command in the folder joins the server and must not take it down.
    assert llm_db_process("status", "--dsn", "embedded", cwd=tmp_path).returncode == 0
    psycopg.connect(dsn).close()
    serve.send_signal(stop)
    _, said = serve.communicate(timeout=30)
    assert serve.returncode == 0, said
    assert "Traceback" not in said
    deadline = time.monotonic() + 10
    while (tmp_path / ".llm-db" / "postmaster.pid").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(dsn)


def test_debug_shows_the_traceback_without_the_password():
    command = [sys.executable, "-m", "llm_db", "status", "--dsn", "host=127.0.0.1 port=1 password=s3cret"]
    done = subprocess.run(command, env=environment(LLM_DB_DEBUG="1"), capture_output=True, text=True)
    assert done.returncode == 2
    assert "Traceback (most recent call last)" in done.stderr
    assert "error: Cannot connect" in done.stderr
    assert "s3cret" not in done.stderr + done.stdout
    done = subprocess.run(command, env=environment(LLM_DB_DEBUG="0"), capture_output=True, text=True)
    assert "Traceback" not in done.stderr


def test_debug_shows_the_traceback_of_what_nobody_expected(tmp_path):
    (tmp_path / "sitecustomize.py").write_text("import llm_db.database\nllm_db.database.resolve = lambda dsn: 1 / 0")
    path = f"{environment()['PYTHONPATH']}{os.pathsep}{tmp_path}"
    command = [sys.executable, "-m", "llm_db", "status"]
    for debug in ("", "1"):
        variables = environment(PYTHONPATH=path, LLM_DB_DEBUG=debug)
        done = subprocess.run(command, env=variables, capture_output=True, text=True)
        assert done.returncode == 1
        assert "error: llm-db failed unexpectedly: ZeroDivisionError: division by zero" in done.stderr
        assert ("Traceback" in done.stderr) == bool(debug)
