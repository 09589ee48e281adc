"""A cluster of which a part fails, is away, moves or is added: what was committed is there once, and in the reports."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
import pytest
from psycopg import errors
from psycopg.conninfo import conninfo_to_dict, make_conninfo

import citus
from citus import needs_a_cluster
from cluster import SETTINGS, running
from conftest import Company

pytestmark = needs_a_cluster

SECONDS = 5
PATIENCE_SECONDS = 120
LOG = (
    "INSERT INTO llm.session_logs (session_id, deployment_id, template_id, request_time, token_used)"
    " VALUES (%s, %s, %s, %s, 1)"
)
# What reports count of the logs, and what the logs themselves say. Not in one statement: nobody writes.
REPORTED = """
SELECT
    (SELECT sum(requests)::bigint FROM reporting.daily_usage), (SELECT sum(requests)::bigint FROM rollup.session_rows),
    (SELECT sum(usage_count)::bigint FROM llm.prompt_templates)
"""
SUMS = " UNION ALL ".join(
    f"SELECT '{table}', count(*), md5(string_agg(r::text, ' ' ORDER BY r::text)) FROM rollup.{table} AS r"
    for table in ("usage", "hours", "slowest", "sessions", "activity")
)
REFRESH = "CALL ops.refresh_rollups(clock_timestamp(), '20 seconds')"


def connected(dsn: str) -> psycopg.Connection:
    return psycopg.connect(dsn, autocommit=True, options="-c statement_timeout=60s")


def again(work: Callable[[], object]) -> object:
    """As a user does: what fails because a server is away is tried again."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return work()
        except (psycopg.OperationalError, psycopg.InternalError, errors.ObjectNotInPrerequisiteState):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


@dataclass
class Work:
    """Writers and a refresh, who go on whatever fails, and what became of each transaction."""

    dsn: str
    company: Company
    begun: set[uuid.UUID] = field(default_factory=set)
    committed: set[uuid.UUID] = field(default_factory=set)
    refreshes: int = 0
    failures: set[str] = field(default_factory=set)
    stop: threading.Event = field(default_factory=threading.Event)

    def write(self) -> None:
        """Two logs, of now and late ones, in a new session and in one transaction."""
        while not self.stop.is_set():
            with self.going_on(), closing(connected(self.dsn)) as connection:
                while not self.stop.is_set():
                    back = random.choice([0, 0, 0, 1, 30, 50])
                    with connection.transaction():
                        [session] = connection.execute(
                            "INSERT INTO llm.sessions (user_id, session_type, status, start_time)"
                            " VALUES (%s, 'test', 'running', now() - make_interval(hours => %s)) RETURNING session_id",
                            [self.company.user_id, back],
                        ).fetchone()
                        self.begun.add(session)
                        [at] = connection.execute(
                            "SELECT now() - make_interval(hours => %s)", [random.choice([0, back])]
                        ).fetchone()
                        for _ in range(2):
                            connection.execute(LOG, [session, self.company.deployment_id, self.company.template_id, at])
                    self.committed.add(session)

    def refresh(self) -> None:
        while not self.stop.is_set():
            with self.going_on(), closing(connected(self.dsn)) as connection:
                while not self.stop.is_set():
                    connection.execute(REFRESH)
                    self.refreshes += 1

    @contextmanager
    def going_on(self) -> Iterator[None]:
        try:
            yield
        except psycopg.Error as error:
            self.failures.add(f"{type(error).__name__}: {error}")
            time.sleep(0.1)

    @contextmanager
    def at_work(self) -> Iterator[None]:
        jobs = [threading.Thread(target=job) for job in (self.write, self.write, self.refresh)]
        for job in jobs:
            job.start()
        try:
            wait_until(lambda: self.committed and self.refreshes)
            yield
            # And some more, when all is there again.
            before = len(self.committed), self.refreshes
            wait_until(lambda: len(self.committed) > before[0] and self.refreshes > before[1])
        finally:
            self.stop.set()
            for job in jobs:
                job.join()

    def check(self) -> None:
        """What was said to be committed is there, with both logs, and nothing that was not begun; reports, counters
        and sums are those of the rows that are there."""
        again(lambda: self.recover())
        with closing(connected(self.dsn)) as db:
            rows = dict(db.execute("SELECT session_id, count(*) FROM llm.session_logs GROUP BY session_id").fetchall())
            assert self.committed <= rows.keys() <= self.begun, self.failures
            assert set(rows.values()) == {2}
            said = (2 * len(rows),) * 3
            assert db.execute(REPORTED).fetchone() == said, self.failures
            db.execute(REFRESH)
            assert db.execute(REPORTED).fetchone() == said, self.failures
            found = db.execute(SUMS).fetchall()
            assert db.execute("SELECT count(*) FROM rollup.notes").fetchone() == (0,)
            db.execute("SELECT ops.restart_rollups()")
            db.execute(REFRESH)
            assert db.execute(SUMS).fetchall() == found, self.failures

    def recover(self) -> None:
        """What Citus itself does every minute."""
        with closing(connected(self.dsn)) as db:
            db.execute("SELECT recover_prepared_transactions()")


def wait_until(is_so: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def a_backend_of_a_worker(work: Work) -> None:
    """SIGKILL, upon which its server ends all others and recovers; where that is not possible, it is ended."""
    server = random.choice(citus.servers()[1:])
    worker = make_conninfo(server, dbname=conninfo_to_dict(work.dsn)["dbname"])
    with suppress(psycopg.OperationalError, ProcessLookupError), closing(connected(worker)) as admin:
        [victim] = admin.execute(
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND backend_type = 'client backend'"
            " AND pid <> pg_backend_pid() ORDER BY random() LIMIT 1"
        ).fetchone() or [None]
        if victim and citus.server_here(server):
            os.kill(victim, signal.SIGKILL)
        elif victim:
            admin.execute("SELECT pg_terminate_backend(%s::integer)", [victim])


def a_worker(work: Work) -> None:
    with citus.local_server(random.choice(citus.servers()[1:])).stopped():
        time.sleep(random.uniform(0, 0.5))


def the_coordinator(work: Work) -> None:
    with citus.local_server(citus.servers()[0]).stopped():
        time.sleep(random.uniform(0, 0.5))


def a_refresh(work: Work) -> None:
    """Its client. What the server had begun comes to an end, or is ended."""
    call = f"import psycopg; psycopg.connect({work.dsn!r}, autocommit=True).execute({REFRESH!r})"
    client = subprocess.Popen([sys.executable, "-c", call], stderr=subprocess.DEVNULL)
    time.sleep(random.uniform(0.2, 1))
    client.send_signal(signal.SIGKILL)
    client.wait()
    with closing(connected(work.dsn)) as db:
        db.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND query ~ '^CALL ops.refresh' AND pid <> pg_backend_pid()"
        )


@pytest.mark.parametrize("kill", [a_backend_of_a_worker, a_worker, the_coordinator, a_refresh])
def test_killed_at_work(dsn: str, company: Company, kill: Callable[[Work], None]) -> None:
    work = Work(dsn, company)
    with work.at_work():
        give_up = time.monotonic() + SECONDS
        while time.monotonic() < give_up:
            kill(work)
            time.sleep(random.uniform(0.2, 1))
    work.check()


def session_on(db: psycopg.Connection, company: Company, server: str, other: bool = False) -> uuid.UUID:
    """A new session whose shard lies on this worker, or on another one."""
    port = int(conninfo_to_dict(server)["port"])
    while True:
        [session, at_port] = db.execute(
            "SELECT i.id, (SELECT n.nodeport FROM pg_dist_placement AS p INNER JOIN pg_dist_node AS n USING (groupid)"
            " WHERE p.shardid = get_shard_id_for_distribution_column('llm.sessions', i.id))"
            " FROM (SELECT llm.uuidv7(clock_timestamp()) AS id OFFSET 0) AS i"
        ).fetchone()
        if (at_port == port) != other:
            db.execute(
                "INSERT INTO llm.sessions (session_id, user_id, session_type) VALUES (%s, %s, 'test')",
                [session, company.user_id],
            )
            return session


def test_a_worker_is_away(dsn: str, company: Company) -> None:
    """Nothing is said that is wrong. Who does not need that worker goes on."""
    worker = citus.local_server(citus.servers()[1])
    with closing(connected(dsn)) as db:
        here, away = (session_on(db, company, worker.dsn, other) for other in (True, False))
        keys = [company.deployment_id, company.template_id]
        for session in (here, away):
            db.execute(f"{LOG}", [session, *keys, "2026-01-01Z"])
        db.execute("CALL ops.refresh_rollups('2026-01-02Z')")
        closed = db.execute("SELECT closed_before FROM rollup.state").fetchone()
    with worker.stopped(), closing(connected(dsn)) as db:
        db.execute(LOG, [here, *keys, "2026-01-03Z"])
        assert db.execute("SELECT count(*) FROM llm.session_logs WHERE session_id = %s", [here]).fetchone() == (2,)
        for refused in (
            "SELECT sum(requests) FROM reporting.daily_usage",
            "SELECT count(*) FROM reporting.requests",
            "SELECT sum(usage_count) FROM llm.prompt_templates",
            "SELECT * FROM ops.rollups",
            "CALL ops.refresh_rollups()",
            f"SELECT count(*) FROM llm.session_logs WHERE session_id = '{away}'",
            f"INSERT INTO llm.session_logs (session_id, deployment_id) VALUES ('{away}', {keys[0]})",
            f"DELETE FROM llm.sessions WHERE session_id = '{away}'",
        ):
            with pytest.raises(psycopg.OperationalError, match="connect") as error:
                db.execute(refused)
            assert conninfo_to_dict(worker.dsn)["port"] in str(error.value), refused
        assert db.execute("SELECT closed_before FROM rollup.state").fetchone() == closed
    with closing(connected(dsn)) as db:
        again(lambda: db.execute(LOG, [away, *keys, "2026-01-03Z"]))
        db.execute("CALL ops.refresh_rollups('2026-01-04Z')")
        assert db.execute(REPORTED).fetchone() == (4, 4, 4)
        assert db.execute("SELECT sum(requests) FROM rollup.usage WHERE dimension = 'all'").fetchone() == (4,)


def test_shards_move_and_a_worker_is_added(dsn: str, company: Company, monkeypatch: pytest.MonkeyPatch) -> None:
    # As in citus.py: the server that is added asks others.
    monkeypatch.setenv("HOME", "/")
    with psycopg.connect(citus.DSN) as admin:
        [[programs]] = admin.execute("SELECT setting FROM pg_config WHERE name = 'BINDIR'").fetchall()
    settings = {**SETTINGS, "shared_preload_libraries": "citus", "wal_level": "logical"}
    work = Work(dsn, company)
    with ExitStack() as ending:
        try:
            added = ending.enter_context(running(Path(programs), settings))
        except (OSError, pytest.UsageError) as reason:
            pytest.skip(f"no third server can be made of the cluster's programs here: {reason}")
        name = conninfo_to_dict(dsn)["dbname"]
        prepare_worker(added.dsn, name)
        with closing(connected(dsn)) as db, work.at_work():
            shard, *route = db.execute(
                "SELECT s.shardid, s.nodename, s.nodeport, n.nodename, n.nodeport"
                " FROM citus_shards AS s CROSS JOIN pg_dist_node AS n"
                " WHERE s.table_name = 'llm.sessions'::regclass AND n.shouldhaveshards AND n.nodeport <> s.nodeport"
                " ORDER BY random() LIMIT 1"
            ).fetchone()
            db.execute("SELECT citus_move_shard_placement(%s, %s, %s, %s, %s)", [shard, *route])
            db.execute("SELECT citus_add_node('127.0.0.1', %s)", [added.port])
            db.execute("SELECT rebalance_table_shards()")
            placed = "SELECT count(*) FROM citus_shards WHERE nodeport = %s AND table_name = 'llm.sessions'::regclass"
            assert db.execute(placed, [added.port]).fetchone()[0] > 0
        work.check()
        # Back, so that the database can go: also in the middle of the work of others.
        with closing(connected(dsn)) as db:
            db.execute("SELECT citus_drain_node('127.0.0.1', %s)", [added.port])
            db.execute("SELECT citus_remove_node('127.0.0.1', %s)", [added.port])
        work.check()


def prepare_worker(server: str, name: str) -> None:
    """As the page says."""
    with psycopg.connect(server, autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name}")
    with psycopg.connect(make_conninfo(server, dbname=name), autocommit=True) as db:
        db.execute("CREATE EXTENSION citus")
