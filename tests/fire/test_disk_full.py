"""A disk is full: the server's, for its data or for its log of changes (WAL), or the one that llm-db writes to. The
error says so, nothing is lost or half there, and when there is room the same command simply works."""

import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from subprocess import CompletedProcess

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from sizes import size

from cluster import SETTINGS, Cluster, server_bin
from command import environment, llm_db
from conftest import Company, found_company, migrate_database
from rollup_model import assert_exact, make_model

ROUNDS = size(1, 5)
ROWS = 3000
MB = 1 << 20


@dataclass
class Disk:
    folder: Path

    def fill(self, leave: int) -> None:
        free = os.statvfs(self.folder).f_bavail * os.statvfs(self.folder).f_frsize
        with (self.folder / "ballast").open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, max(free - leave, 1))

    def make_room(self) -> None:
        (self.folder / "ballast").unlink(missing_ok=True)


@contextmanager
def disk(megabytes: int) -> Iterator[Disk]:
    folder = Path(tempfile.mkdtemp(prefix="llm-db-tests-"))
    try:
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=0777", "tmpfs", folder], capture_output=True
        )
        if mounted.returncode:
            pytest.skip("a disk of its own needs root, and the right to mount")
        try:
            yield Disk(folder)
        finally:
            subprocess.run(["umount", "--lazy", folder], check=True)
    finally:
        folder.rmdir()


@dataclass
class Server:
    cluster: Cluster
    data: Disk
    wal: Disk

    def dsn(self, name: str = "platform") -> str:
        return make_conninfo(self.cluster.dsn, dbname=name)

    def wait_until_up(self) -> None:
        """Where a crashed server found no room to recover, somebody starts it."""
        give_up_at = time.monotonic() + 60
        while True:
            try:
                with self.cluster.connect():
                    return
            except psycopg.OperationalError:
                assert time.monotonic() < give_up_at
                if not (self.cluster.data / "postmaster.pid").exists():
                    self.cluster.start()
                time.sleep(0.05)

    def make_room(self) -> None:
        self.data.make_room()
        self.wal.make_room()
        self.wait_until_up()


@pytest.fixture(scope="module")
def small_server() -> Iterator[Server]:
    with ExitStack() as ending:
        data, wal = (ending.enter_context(disk(megabytes)) for megabytes in (300, 32))
        cluster = ending.enter_context(Cluster(server_bin(), parent=data.folder))
        # Small segments, so that there is always a next one to be made.
        cluster.initdb("--wal-segsize=1", f"--waldir={wal.folder / 'wal'}")
        cluster.configure(SETTINGS | {"wal_recycle": "off", "autovacuum": "off"})
        cluster.start()
        with cluster.connect() as admin:
            admin.execute("CREATE DATABASE platform")
        made = Server(cluster, data, wal)
        migrate_database(made.dsn())
        yield made


@pytest.fixture(scope="module")
def company(small_server: Server) -> Company:
    with small_server.cluster.connect("platform") as db:
        make_model(db)
        return found_company(db)


def state(db: psycopg.Connection, company: Company) -> tuple:
    return db.execute(
        "SELECT (SELECT count(*) FROM llm.sessions), count(*), sum(l.token_used),"
        " (SELECT usage_count FROM llm.prompt_templates WHERE template_id = %s),"
        " (SELECT count(*) FROM llm_db.loads), (SELECT count(*) FROM audit.changes WHERE operation <> 'DROP')"
        " FROM llm.session_logs AS l",
        [company.template_id],
    ).fetchone()


# What there is to do, each with what makes it due. Returns how the command ended and what it said.

Work = Callable[[Server], CompletedProcess[str]]


def statement(server: Server, *statements: str) -> CompletedProcess[str]:
    try:
        with psycopg.connect(server.dsn(), autocommit=True) as db, db.transaction() if len(statements) > 1 else db:
            for one in statements:
                db.execute(one)
    except psycopg.Error as error:
        return CompletedProcess([], 1, "", f"error: {error.sqlstate}: {error}\nhint: {error.diag.message_hint}")
    return CompletedProcess([], 0, "", "")


def some_logs(company: Company, many: int, days_ago: int = 0) -> str:
    return (
        "WITH s AS (INSERT INTO llm.sessions (session_id, user_id, session_type, start_time, end_time, status)"
        f" SELECT llm.uuidv7(t), {company.user_id}, 'test', t, t, 'completed' FROM generate_series(1, {many}) AS n"
        f" CROSS JOIN LATERAL (SELECT now() - interval '{days_ago} days' - interval '1 s' * n AS t) AS x"
        " RETURNING session_id, start_time)"
        " INSERT INTO llm.session_logs (session_id, log_sequence, request_time, deployment_id, template_id, token_used)"
        f" SELECT session_id, 1, start_time, {company.deployment_id}, {company.template_id}, 1 FROM s"
    )


def load(server: Server, company: Company, folder: Path) -> Work:
    name = time.monotonic_ns()
    path = folder / f"{name}.csv"
    rows = [
        f"2026-0{1 + n % 9}-11T{n % 24:02}:{n % 60:02}:{n % 59:02}.{n:06}Z,{n},s3://logs/{name}/{n:0100}"
        for n in range(ROWS)
    ]
    path.write_text("\n".join(["request_time,token_used,response_s3_path", *rows, "never,1,"]) + "\n")
    with server.cluster.connect("platform") as db:
        [email] = db.execute("SELECT user_email FROM llm.users WHERE user_id = %s", [company.user_id]).fetchone()
    given = ["--map", "server_name='AI연구팀-gpu-01'", "--map", f"user_email='{email}'"]

    def work(server: Server) -> CompletedProcess[str]:
        done = llm_db("load", "--dsn", server.dsn(), str(path), *given)
        assert not list(folder.glob("*.part"))
        # A row was rejected; the others are in.
        return CompletedProcess([], 0, "", "") if "rejected 1:" in done.stderr else done

    return work


def write(server: Server, company: Company, folder: Path) -> Work:
    return lambda server: statement(server, some_logs(company, ROWS))


def refresh(server: Server, company: Company, folder: Path) -> Work:
    server_work = statement(server, *(some_logs(company, ROWS // 4, days) for days in (0, 1, 2, 3)))
    assert server_work.returncode == 0
    return lambda server: statement(server, "CALL ops.refresh_rollups(clock_timestamp(), batch_logs => 500)")


def maintain(server: Server, company: Company, folder: Path) -> Work:
    refresh(server, company, folder)
    assert statement(server, "SELECT llm.drop_month((now() + interval '3 months')::date)").returncode == 0
    return lambda server: llm_db("maintain", "--dsn", server.dsn())


def drop(server: Server, company: Company, folder: Path) -> Work:
    """Nothing that has to be kept: the sums of the month stay, and are asked for."""
    done = statement(server, "CALL llm.create_months('2026-01-01', '2026-12-01')", some_logs(company, 200, 0))
    assert statement(server, "CALL ops.refresh_rollups(clock_timestamp())").returncode == 0, done
    return lambda server: statement(server, "SELECT llm.drop_month((now() + interval '3 months')::date)")


def audit(server: Server, company: Company, folder: Path) -> Work:
    name = f"left(user_name, 3) || {time.monotonic_ns()}"
    change = f"UPDATE llm.users SET user_name = {name} WHERE user_id = {company.user_id}"
    return lambda server: statement(server, *[change] * 500)


def migrate(server: Server, company: Company, folder: Path) -> Work:
    with server.cluster.connect() as admin:
        admin.execute("DROP DATABASE IF EXISTS new")
        admin.execute("CREATE DATABASE new")
    return lambda server: llm_db("migrate", "--dsn", server.dsn("new"))


FULL_SAYS = ("53100", "No space left on device", "wrote only 4096 of 8192 bytes", "could not write init file")
FULL = [(job, full) for full in ("data", "wal") for job in (load, migrate, maintain, write, refresh, drop, audit)]


@pytest.mark.parametrize(
    ("job", "full"), FULL if size(0, 1) else [*FULL[:3], (load, "wal")], ids=lambda one: getattr(one, "__name__", one)
)
def test_the_server_has_no_room(
    small_server: Server, company: Company, tmp_path: Path, job: Callable, full: str
) -> None:
    failed = crashed = 0
    for number in range(ROUNDS):
        small_server.make_room()
        work = job(small_server, company, tmp_path)
        with small_server.cluster.connect("platform") as db:
            before = state(db, company)
            db.execute("CHECKPOINT")
        log = len(small_server.cluster.log.read_text())
        getattr(small_server, full).fill(0 if number == 0 else int(10 ** random.Random(number).uniform(3, 6.5)))
        done = work(small_server)
        panic = "PANIC" in small_server.cluster.log.read_text()[log:]
        crashed += panic
        if done.returncode:
            failed += 1
            assert "error: " in done.stderr, done.stderr
            assert "hint: " in done.stderr, done.stderr
            assert "failed unexpectedly" not in done.stderr, done.stderr
            assert panic or any(told in done.stderr for told in FULL_SAYS), done.stderr
            if full == "data" and job in (load, migrate):
                assert "the server's disk is full: make room, then run this again" in done.stderr, done.stderr
        small_server.make_room()
        with small_server.cluster.connect("platform") as db:
            if done.returncode:
                assert state(db, company) == before
                assert_exact(db, "usage", "sessions")
        # What was meant to be done is done, the second time or the first.
        again = work(small_server)
        assert again.returncode == 0, again.stderr
        with small_server.cluster.connect("platform") as db:
            assert_exact(db, "usage", "sessions")
        if job is migrate:
            assert llm_db("status", "--check", "--dsn", small_server.dsn("new")).returncode == 0
        if job is load:
            with small_server.cluster.connect("platform") as db:
                loads = "SELECT sum(rows_loaded) / count(DISTINCT file), max(rows_loaded) FROM llm_db.loads"
                assert db.execute(loads).fetchone() == (ROWS, ROWS)
    print(f"{job.__name__}, full: {full}: {failed} of {ROUNDS} failed, {crashed} crashes")
    # One round may find room in the segment of WAL that is begun.
    assert failed or job not in (load, migrate, write) or (full, ROUNDS) == ("wal", 1), "there was room"


# Where llm-db writes to


@pytest.fixture
def small() -> Iterator[Disk]:
    with disk(1) as made:
        yield made


def test_no_room_for_the_list_of_rejected_rows(
    db: psycopg.Connection, dsn: str, company_of_db: Company, small: Disk
) -> None:
    path = small.folder / "logs.csv"
    path.write_text("request_time\n" + "never\n" * 2000 + "2026-05-01T10:00Z\n")
    [email] = db.execute("SELECT user_email FROM llm.users").fetchone()
    given = ["--map", "server_name='AI연구팀-gpu-01'", "--map", f"user_email='{email}'"]
    small.fill(8192)
    done = llm_db("load", "--dsn", dsn, str(path), *given)
    assert (done.returncode, "rejects.csv: No space left on device. Nothing was loaded." in done.stderr) == (2, True)
    assert db.execute("SELECT count(*) FROM llm.session_logs").fetchone() == (0,)
    assert sorted(file.name for file in small.folder.iterdir()) == ["ballast", "logs.csv"]
    small.make_room()
    assert llm_db("load", "--dsn", dsn, str(path), *given).returncode == 1
    assert db.execute("SELECT count(*) FROM llm.session_logs").fetchone() == (1,)
    assert sorted(file.name for file in small.folder.iterdir()) == ["logs.csv", "logs.csv.rejects.csv"]


@pytest.fixture
def company_of_db(db: psycopg.Connection) -> Company:
    return found_company(db)


@pytest.mark.parametrize("before", ["the page of yesterday", None])
def test_no_room_for_a_page(dsn: str, small: Disk, before: str | None) -> None:
    """A page of before stays."""
    page = small.folder / "page.html"
    if before:
        page.write_text(before)
    small.fill(8192)
    done = llm_db("report", "data_dictionary", "--dsn", dsn, "--html", str(page))
    assert done.returncode == 2
    assert f"Cannot write {page}: No space left on device." in done.stderr
    assert "hint: make room" in done.stderr
    assert [file.name for file in small.folder.iterdir() if file.name != "ballast"] == ["page.html"] * bool(before)
    assert before is None or page.read_text() == before


def test_no_room_for_an_archive(db: psycopg.Connection, dsn: str, company_of_db: Company, small: Disk) -> None:
    db.execute(
        "INSERT INTO llm.session_logs (session_id, deployment_id, response_s3_path)"
        " SELECT %s, %s, 's3://bucket/' || gen_random_uuid() FROM generate_series(1, 2000)",
        [company_of_db.session_id, company_of_db.deployment_id],
    )
    file = small.folder / "month.parquet"
    command = ["archive", f"{datetime.now(UTC):%Y-%m}", str(file), "--dsn", dsn]
    small.fill(8192)
    done = llm_db(*command)
    assert (done.returncode, f"Cannot write {file}: No space left on device." in done.stderr) == (1, True), done.stderr
    assert "hint: make room, and run this again" in done.stderr
    assert [file.name for file in small.folder.iterdir()] == ["ballast"]
    small.make_room()
    assert llm_db(*command).returncode == 0


@pytest.mark.parametrize(
    "command",
    [["plan", "--script", "--from", "none"], ["report", "data_dictionary", "--csv"], ["report", "data_dictionary"],
     ["report", "--json"], ["status"], ["status", "--json"]],
    ids=" ".join,
)  # fmt: skip
def test_no_room_for_what_is_printed(dsn: str, command: list[str]) -> None:
    """A shell has opened the file by then: that it is not whole is told, and by the exit code."""
    given = [] if "--from" in command else ["--dsn", dsn]
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "llm_db", *command, *given], stdout=full, stderr=subprocess.PIPE, text=True,
            env=environment(),
        )  # fmt: skip
    assert done.returncode == 1, done.stderr
    assert done.stderr == (
        "error: The disk that the output is written to is full, so it is not whole.\n"
        "hint: make room, and run this again\n"
    )
