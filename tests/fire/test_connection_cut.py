"""The connection is cut at random moments, within a COPY too: llm-db says so at once and ends with an error, nothing is
lost or half there, no lock stays, and the same command simply runs again."""

import fcntl
import os
import random
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from subprocess import CompletedProcess

import psycopg
import pytest
from proxy import Proxy, proxied
from sizes import size

from cluster import SETTINGS, running, server_bin
from command import ROOT, environment, llm_db
from conftest import Company
from llm_db import database
from rollup_model import assert_exact, make_model

CUTS = size(4, 50)
ROWS, BAD = 2000, 20
LOAD = ["--map", "server_name='AI연구팀-gpu-01'", "--map", "user_email=user"]
OTHERS = """
SELECT count(*) FROM pg_catalog.pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
"""


@dataclass
class Told:
    """What came of the runs whose connection was cut."""

    cuts: int = 0
    done: int = 0
    longest: float = 0
    longest_left: float = 0


def wait_until_alone(db: psycopg.Connection) -> float:
    began = time.monotonic()
    while db.execute(OTHERS).fetchone()[0]:
        assert time.monotonic() < began + 20, "a session of a client that is gone stays"
        time.sleep(0.01)
    return time.monotonic() - began


def cut_off(
    db: psycopg.Connection, proxy: Proxy, work: Callable[[], CompletedProcess[str]], seed: str, check: Callable
) -> None:
    """Runs it once as it is, to see how much passes and how long that takes; then cuts it anywhere within that. A run
    that was over before its cut came is the measure of the next ones, as how fast it is changes while others run."""
    chance, told = random.Random(seed), Told()
    proxy.plan()
    assert work().returncode == 0
    for _ in range(CUTS * 20):
        if not proxy.is_cut:
            carried, lasted = proxy.carried, proxy.lasted
        check()
        how = {"seconds": chance.uniform(0, lasted)} if told.cuts % 2 else {"bytes_left": chance.randrange(carried)}
        proxy.plan(**how, reset=chance.random() < 0.5)
        began = time.monotonic()
        done = work()
        told.longest = max(told.longest, time.monotonic() - began)
        if proxy.timer:
            proxy.timer.cancel()
        if proxy.is_cut:
            told.cuts += 1
            told.done += done.returncode == 0
            assert done.returncode in (0, 1, 2), done.stderr
            if done.returncode:
                assert "hint: " in done.stderr, done.stderr
                assert "failed unexpectedly" not in done.stderr, done.stderr
        told.longest_left = max(told.longest_left, wait_until_alone(db))
        if told.cuts == CUTS:
            break
    assert told.cuts == CUTS
    proxy.plan()
    assert work().returncode == 0
    check()
    print(
        f"{seed}: {told.cuts} cuts of {carried:,} bytes in {lasted:.2f} s; {told.done} runs were done all the same; the"
        f" longest took {told.longest:.1f} s, and its session was there for {told.longest_left:.1f} s more"
    )


@pytest.fixture
def proxy(dsn: str) -> Iterator[Proxy]:
    with proxied(dsn) as between:
        yield between


def logs_of(db: psycopg.Connection) -> dict[int, int]:
    return dict(db.execute("SELECT token_used, count(*) FROM llm.session_logs GROUP BY token_used").fetchall())


def test_a_load_is_cut(db: psycopg.Connection, dsn: str, company: Company, proxy: Proxy, tmp_path: Path) -> None:
    """A file after the other, each until it is loaded: once, whether the cut came before or after COMMIT."""
    email = db.execute("SELECT user_email FROM llm.users").fetchone()[0]
    make_model(db)
    loads = 0

    def load() -> CompletedProcess[str]:
        nonlocal loads
        path = tmp_path / f"{loads}.csv"
        if not path.exists():
            at = f"2026-{1 + loads % 9:02}-{1 + loads // 9 % 28:02}T"
            rows = [f"{at}{n // 3600:02}:{n // 60 % 60:02}:{n % 60:02}Z,{email},{loads}" for n in range(ROWS)]
            rows += [f"{at}25:00:00Z,{email},{n}" for n in range(BAD)]
            path.write_text("\n".join(["request_time,user,token_used", *rows]) + "\n")
        done = llm_db("load", "--dsn", proxy.dsn, str(path), *LOAD)
        there = logs_of(db).get(loads, 0)
        # All or nothing; and told that it is, all of it is there.
        assert there in (0, ROWS)
        assert there == ROWS or f"rejected {BAD}" not in done.stderr
        assert sorted(one.name for one in tmp_path.glob(f"{loads}.csv*.part")) == []
        if there:
            loads += 1
        # Rows were rejected; the others are in.
        return CompletedProcess([], 0, "", "") if f"rejected {BAD}" in done.stderr else done

    cut_off(db, proxy, load, "load", lambda: None)
    assert logs_of(db) == dict.fromkeys(range(loads), ROWS)
    loaded = "SELECT count(*), count(DISTINCT file), sum(rows_loaded), sum(rows_rejected) FROM llm_db.loads"
    assert db.execute(loaded).fetchone() == (loads, loads, loads * ROWS, loads * BAD)
    db.execute("CALL llm.move_default_rows()")
    db.execute("CALL ops.refresh_rollups()")
    assert_exact(db, "usage", "sessions")


def write_some(db: psycopg.Connection, company: Company) -> None:
    """Late rows, and rows of now, and something for every job of upkeep."""
    db.execute(
        "INSERT INTO llm.session_logs (session_id, deployment_id, template_id, request_time)"
        " SELECT %s, %s, %s, now() - interval '1 hour' * (random() * 70) FROM generate_series(1, 50)",
        [company.session_id, company.deployment_id, company.template_id],
    )
    db.execute("SELECT llm.drop_month((now() + interval '3 months')::date)")


@pytest.mark.parametrize("command", ["maintain", "report"])
def test_a_command_is_cut(db: psycopg.Connection, company: Company, proxy: Proxy, command: str) -> None:
    make_model(db)
    arguments = ["report", "daily_usage", "--csv"] if command == "report" else ["maintain"]

    def check() -> None:
        assert_exact(db, "usage", "sessions")
        if command == "maintain":
            write_some(db, company)

    write_some(db, company)
    cut_off(db, proxy, lambda: llm_db(*arguments, "--dsn", proxy.dsn), command, check)
    if command == "maintain":
        db.execute("CALL llm.maintain()")
        assert_exact(db)


def test_a_refresh_is_cut(db: psycopg.Connection, company: Company, proxy: Proxy) -> None:
    """By whoever calls it, with no settings of llm-db's."""
    make_model(db)

    def refresh() -> CompletedProcess[str]:
        try:
            with psycopg.connect(proxy.dsn, autocommit=True) as connection:
                connection.execute("CALL ops.refresh_rollups(clock_timestamp(), batch_logs => 20)")
        except psycopg.OperationalError as error:
            return CompletedProcess([], 1, "", f"hint: {error}")
        return CompletedProcess([], 0, "", "")

    def check() -> None:
        assert_exact(db, "usage", "sessions")
        write_some(db, company)

    cut_off(db, proxy, refresh, "refresh", check)
    db.execute("CALL ops.refresh_rollups(clock_timestamp())")
    assert_exact(db)


def test_a_migration_is_cut(empty_dsn: str) -> None:
    """The same database again and again, until it is whole."""
    chance, cuts = random.Random("migrate"), 0
    with proxied(empty_dsn) as proxy, psycopg.connect(empty_dsn, autocommit=True) as db:
        for number in range(CUTS):
            # From time to time from the beginning.
            if number % 10 == 9:
                assert llm_db("rollback", "--to", "none", "--yes", "--dsn", empty_dsn).returncode == 0
            proxy.plan(bytes_left=10 ** chance.uniform(3, 6), reset=chance.random() < 0.5)
            done = llm_db("migrate", "--dsn", proxy.dsn)
            cuts += proxy.is_cut
            assert done.returncode in (0, 1, 2), done.stderr
            if proxy.is_cut and done.returncode:
                assert "hint: " in done.stderr, done.stderr
                assert "failed unexpectedly" not in done.stderr, done.stderr
            wait_until_alone(db)
    print(f"migrate: {cuts} cuts")
    assert cuts > CUTS // 3
    assert llm_db("migrate", "--dsn", empty_dsn).returncode == 0
    check = llm_db("check", "--dsn", empty_dsn, "--scratch", empty_dsn)
    assert check.returncode == 0, check.stdout


# Silence: packets are lost, and nobody says so.


@contextmanager
def silence() -> Iterator[None]:
    """The loopback of this network namespace carries nothing."""
    set_loopback(up=False)
    try:
        yield
    finally:
        set_loopback(up=True)


def set_loopback(up: bool) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        # SIOCSIFFLAGS, IFF_UP
        fcntl.ioctl(any_socket, 0x8914, struct.pack("16sh14x", b"lo", int(up)))


def within_silence(seconds: str) -> None:
    """In a network namespace of its own, as its own process: a client and a server that hear nothing of each other."""
    set_loopback(up=True)
    with running(server_bin(), SETTINGS | {"log_connections": "off"}) as cluster:
        given = f" keepalives_idle={seconds} keepalives_interval={seconds} tcp_user_timeout={seconds}000"
        target = database.Target(cluster.dsn + (given if seconds != "0" else ""), "the test")
        with cluster.connect() as db, database.connect(target) as connection:
            if seconds != "0":
                for name in ("keepalives_idle", "keepalives_interval", "user_timeout"):
                    connection.execute(f"SET tcp_{name} = '{seconds}s'")
            threading.Timer(0.5, set_loopback, [False]).start()
            began = time.monotonic()
            with pytest.raises(psycopg.OperationalError):
                connection.execute("SELECT pg_sleep(1000)")
            print(f"the client heard nothing for {time.monotonic() - began:.0f} s, and gave up")
            while "connection to client lost" not in cluster.log.read_text():
                assert time.monotonic() - began < 90
                time.sleep(0.05)
            print(f"the server noticed after {time.monotonic() - began:.0f} s")
            set_loopback(up=True)
            assert db.execute("SELECT 1").fetchone() == (1,)


def test_silence_is_no_reason_to_wait_for_ever() -> None:
    """With fewer seconds than llm-db has by itself, unless the full size is asked for."""
    own = partial(subprocess.run, capture_output=True, text=True, timeout=400)
    if own(["unshare", "-n", "true"]).returncode:
        pytest.skip("a network of its own needs root")
    call = f"import test_connection_cut; test_connection_cut.within_silence('{size(1, 0)}')"
    paths = os.pathsep.join(map(str, [ROOT / "tests", ROOT / "tests" / "fire", ROOT / "scripts"]))
    done = own(
        ["unshare", "-n", sys.executable, "-c", call],
        env=environment() | {"PYTHONPATH": paths, "PYTHONUNBUFFERED": "1"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    print(done.stdout)


def test_llm_db_asks_its_sessions_to_notice(dsn: str) -> None:
    """Which the test above shows to be enough; a connection string may have other numbers."""
    for given, idle in (("", 30), (" keepalives_idle=7", 7)):
        with database.connect(database.Target(dsn + given, "the test")) as connection:
            with socket.socket(fileno=os.dup(connection.pgconn.socket)) as ours:
                assert ours.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
                assert ours.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == idle
                assert ours.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 60_000
            for name, value in (("tcp_keepalives_idle", "30"), ("client_connection_check_interval", "1s")):
                assert connection.execute(f"SHOW {name}").fetchone() == (value,)
