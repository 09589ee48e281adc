"""The llm-db command as a user runs it, with nothing of ours in its environment.

llm_db() runs it in this process, which saves the start of a Python for each of a few hundred calls. llm_db_process()
and environment() are for tests that are about a process: signals, several runners at once, start-up, the locale.
"""

import io
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import chdir, contextmanager, nullcontext, redirect_stderr, redirect_stdout
from pathlib import Path
from unittest.mock import patch

import psycopg
from psycopg import sql

import llm_db as package
from cluster import server_bin
from llm_db import cli

ROOT = Path(__file__).parents[1]


def environment(root: Path = ROOT, **variables: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name != "DATABASE_URL" and not name.startswith("PG")}
    return {**kept, "PYTHONPATH": f"{root / 'scripts'}{os.pathsep}{kept.get('PYTHONPATH', '')}", **variables}


def llm_db(
    *arguments: str, root: Path = ROOT, cwd: Path | None = None, **variables: str
) -> subprocess.CompletedProcess[str]:
    """In this process, which has one stdout: not for two threads at once."""
    out, err = captured(), captured()
    # The package finds its SQL beside itself, so it is told that it lies in the other checkout.
    beside = patch.object(package, "__file__", str(root / "scripts" / "llm_db" / "__init__.py"))
    with (
        beside,
        patch.dict(os.environ, variables),
        chdir(cwd) if cwd else nullcontext(),
        signals_kept(),
        redirect_stdout(out),
        redirect_stderr(err),
    ):
        try:
            exit_code = cli.main(list(arguments))
        except SystemExit as end:
            # argparse ends the process after --help.
            exit_code = end.code
    done = subprocess.CompletedProcess(arguments, exit_code, written_to(out), written_to(err))
    assert "Traceback" not in done.stdout + done.stderr, done.stderr
    return done


def captured() -> io.TextIOWrapper:
    """A stream like that of a process whose output goes to a pipe."""
    return io.TextIOWrapper(io.BytesIO(), encoding="utf-8", newline="")


def written_to(stream: io.TextIOWrapper) -> str:
    stream.seek(0)
    return stream.read()


@contextmanager
def signals_kept() -> Iterator[None]:
    """The command takes SIGTERM for itself. The test run wants it back."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def llm_db_process(
    *arguments: str, root: Path = ROOT, cwd: Path | None = None, **variables: str
) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "llm_db", *arguments],
        env=environment(root, **variables),
        cwd=cwd,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=180,
    )
    assert "Traceback" not in done.stdout + done.stderr, done.stderr
    return done


def checkout(folder: Path, migrations: dict[str, str], views: dict[str, str] | None = None) -> Path:
    """The runner beside migrations and views of the test's own. Each value is "up -- DOWN -- down"."""
    shutil.copytree(ROOT / "scripts" / "llm_db", folder / "scripts" / "llm_db")
    for part in ("migrations", "views", "seeds/reference"):
        (folder / part).mkdir(parents=True)
    for name, text in migrations.items():
        up, _, down = text.partition("-- DOWN --")
        (folder / "migrations" / f"{name}.sql").write_text(up, encoding="utf-8")
        (folder / "migrations" / f"{name}.rollback.sql").write_text(down, encoding="utf-8")
    for name, text in (views or {}).items():
        path = folder / "views" / f"{name}.sql"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


def value(dsn: str, query: str) -> object:
    with psycopg.connect(dsn, autocommit=True) as connection:
        return connection.execute(query).fetchone()[0]


def execute(dsn: str, statement: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(statement)


def documented(page: str, name: str) -> str:
    """What a page shows between two comments of this name."""
    text = (ROOT / page).read_text(encoding="utf-8")
    return re.search(rf"<!-- {name}: begin -->\n```\w*\n(.*?)```\n<!-- {name}: end -->", text, re.S)[1]


def shell(commands: str, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Runs them in a folder. llm-db is that of this checkout, whether or not it is installed."""
    llm_db = folder / "llm-db"
    llm_db.write_text(f'#!/bin/sh\nexec {sys.executable} -m llm_db "$@"\n')
    llm_db.chmod(0o755)
    path = os.pathsep.join([str(folder), str(server_bin()), os.environ["PATH"]])
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", commands],
        cwd=folder,
        env=environment(PATH=path, **variables),
        capture_output=True,
        text=True,
    )


def drop_role(dsn: str, name: str) -> None:
    """With what it has. A session that has said goodbye may still be dropping its temporary tables, and then the server
    looks for one that is gone."""
    deadline = time.monotonic() + 10
    with psycopg.connect(dsn, autocommit=True) as connection:
        # Not CURRENT_USER, at which the servers of a cluster crash.
        statement = sql.SQL("REASSIGN OWNED BY {role} TO {me}; DROP OWNED BY {role}; DROP ROLE {role}").format(
            role=sql.Identifier(name), me=sql.Identifier(connection.info.user)
        )
        while True:
            try:
                connection.execute(statement)
                return
            except psycopg.errors.InternalError_:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)


def eventually(look: Callable[[], object], within: float = 60) -> float:
    """Looks again and again, and returns after how many seconds it was so."""
    began = time.monotonic()
    while not look():
        assert time.monotonic() < began + within, f"not within {within} s"
        time.sleep(0.02)
    return time.monotonic() - began
