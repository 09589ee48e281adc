"""Whom a refresh waits for on a cluster: transactions that are prepared, at any moment, on any server."""

import random
import re
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from citus import needs_a_cluster
from conftest import ROOT, Company

pytestmark = needs_a_cluster

NAMES = "SELECT w FROM rollup.writers() AS w"
# A group of servers that there is not: Citus ends what it finds of its own groups.
GROUP = 99


@dataclass(frozen=True)
class Shard:
    """The logs of one session, on their worker."""

    dsn: str
    logs: str
    session_id: uuid.UUID

    @contextmanager
    def connected(self) -> Iterator[psycopg.Connection]:
        with closing(psycopg.connect(self.dsn, autocommit=True)) as worker:
            worker.execute("SET citus.enable_manual_changes_to_shards = on")
            yield worker

    def write(self, worker: psycopg.Connection, company: Company, number: int, group: int = GROUP) -> None:
        """As Citus does for another server, up to PREPARE TRANSACTION."""
        worker.execute("BEGIN")
        worker.execute("SELECT assign_distributed_transaction_id(%s, %s, now())", [group, number])
        worker.execute(
            f"INSERT INTO {self.logs} (session_id, log_sequence, request_time, deployment_id)"
            " VALUES (%s, %s, clock_timestamp(), %s)",
            [self.session_id, number, company.deployment_id],
        )

    def prepare(self, worker: psycopg.Connection, number: int, group: int = GROUP) -> str:
        gid = f"citus_{group}_{worker.info.backend_pid}_{number}_1"
        worker.execute(f"PREPARE TRANSACTION '{gid}'")
        return gid


@pytest.fixture
def shard(db: psycopg.Connection, dsn: str, company: Company) -> Shard:
    host, port, logs = db.execute(
        "SELECT nodename, nodeport, shard_name FROM citus_shards WHERE table_name = 'llm.session_logs'::regclass"
        " AND shardid = get_shard_id_for_distribution_column('llm.session_logs', %s)",
        [company.session_id],
    ).fetchone()
    return Shard(make_conninfo(dsn, host=host, port=port), logs, company.session_id)


def test_a_writer_keeps_the_name_when_it_is_prepared(db: psycopg.Connection, shard: Shard, company: Company) -> None:
    """However often somebody looks while it is prepared, and its process goes on to the next transaction."""
    took, said = 0.05, []

    def look() -> None:
        said.append([name for (name,) in db.execute(NAMES)])

    with shard.connected() as worker:
        for number in range(1, 31):
            shard.write(worker, company, number)
            said.clear()
            began = time.monotonic()
            look()
            took = (took + time.monotonic() - began) / 2
            looking = threading.Thread(target=look)
            looking.start()
            time.sleep(random.uniform(0, took))
            gid = shard.prepare(worker, number)
            worker.execute("BEGIN")
            worker.execute("SELECT assign_distributed_transaction_id(%s, %s, now())", [GROUP, 1000 + number])
            looking.join()
            worker.execute("ROLLBACK")
            look()
            worker.execute(f"COMMIT PREPARED '{gid}'")
            assert (len(said[0]), said[1], said[2]) == (1, said[0], said[0])


def test_who_writes_what_one_node_waits_for_is_seen(db: psycopg.Connection, dsn: str) -> None:
    one_node = (ROOT / "views" / "2_rollup" / "70_upkeep.sql").read_text()
    tables = set(re.findall(r"'(llm\.\w+)'", one_node))
    assert len(tables) >= 7
    for table in tables:
        with closing(psycopg.connect(dsn)) as writer:
            writer.execute(f"LOCK TABLE ONLY {table} IN ROW EXCLUSIVE MODE")
            writer.execute("SELECT pg_current_xact_id()")
            assert db.execute(NAMES).fetchall(), table


def closed_before(db: psycopg.Connection) -> float:
    return db.execute("SELECT extract(epoch FROM closed_before)::float8 FROM rollup.state").fetchone()[0]


def test_it_is_waited_for_until_it_ends(db: psycopg.Connection, dsn: str, shard: Shard, company: Company) -> None:
    """It is prepared while a refresh waits for it, and ends later."""

    def refresh() -> None:
        with closing(psycopg.connect(dsn, autocommit=True)) as refresher:
            refresher.execute("CALL ops.refresh_rollups(clock_timestamp(), '1 minute')")

    awaited = "SELECT count(*) FROM rollup.announcements WHERE cardinality(awaited) > 0"
    with shard.connected() as worker:
        shard.write(worker, company, 1)
        before = closed_before(db)
        waiting = threading.Thread(target=refresh)
        waiting.start()
        while db.execute(awaited).fetchone() == (0,):
            time.sleep(0.01)
        gid = shard.prepare(worker, 1)
        # Its process does something else meanwhile.
        shard.write(worker, company, 2)
        worker.execute("ROLLBACK")
        waiting.join(0.5)
        assert (waiting.is_alive(), closed_before(db)) == (True, before)
        worker.execute(f"COMMIT PREPARED '{gid}'")
        waiting.join()
    assert closed_before(db) > before
    assert db.execute("SELECT sum(requests) FROM rollup.usage WHERE dimension = 'all'").fetchone() == (1,)


def test_nothing_is_closed_under_prepared_writers(
    db: psycopg.Connection, dsn: str, shard: Shard, company: Company
) -> None:
    """At random moments, under a refresh after the other: every log is in the sums, once."""
    stop, failed = threading.Event(), []

    def refresh() -> None:
        with closing(psycopg.connect(dsn, autocommit=True)) as refresher:
            while not stop.is_set():
                refresher.execute("CALL ops.refresh_rollups(clock_timestamp(), '1 minute')")

    def write(first: int) -> None:
        try:
            with shard.connected() as worker:
                for number in range(first, first + 60):
                    shard.write(worker, company, number)
                    time.sleep(random.choice([0, 0.01, 0.05]))
                    gid = shard.prepare(worker, number)
                    time.sleep(random.choice([0, 0.01, 0.05]))
                    worker.execute(f"COMMIT PREPARED '{gid}'")
        except BaseException as error:
            failed.append(error)
            raise

    refresher = threading.Thread(target=refresh)
    refresher.start()
    writers = [threading.Thread(target=write, args=[1000 * n + 1]) for n in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    stop.set()
    refresher.join()
    assert not failed
    db.execute("CALL ops.refresh_rollups(clock_timestamp())")
    assert db.execute("SELECT sum(requests) FROM rollup.usage WHERE dimension = 'all'").fetchone() == (240,)


@pytest.mark.parametrize("is_committed", [True, False])
def test_one_is_left_behind(db: psycopg.Connection, shard: Shard, company: Company, is_committed: bool) -> None:
    """The coordinator was gone before it said COMMIT PREPARED. Whether it had committed it has written down."""
    told: list[str] = []
    db.add_notice_handler(lambda said: told.append(said.message_primary) if said.severity == "WARNING" else None)
    number, group = 10**9 + random.randrange(10**6), 0
    with shard.connected() as worker:
        shard.write(worker, company, number, group)
        gid = shard.prepare(worker, number, group)
        port = worker.info.port
    if is_committed:
        db.execute(
            "INSERT INTO pg_dist_transaction (groupid, gid) SELECT groupid, %s FROM pg_dist_node WHERE nodeport = %s",
            [gid, port],
        )
    report = "SELECT coalesce(sum(requests), 0) FROM reporting.daily_usage"
    db.execute("CALL ops.refresh_rollups(clock_timestamp(), '0.2 s')")
    assert told[0].startswith("nothing more was closed: 1 transactions that write")
    assert db.execute(report).fetchone() == (0,)
    assert db.execute("SELECT recover_prepared_transactions()").fetchone() == (1,)
    for _ in range(2):
        assert db.execute(report).fetchone() == (int(is_committed),)
        db.execute("CALL ops.refresh_rollups(clock_timestamp(), '0.2 s')")
    assert len(told) == 1
    assert db.execute("SELECT closed_before > now() - interval '1 minute' FROM rollup.state").fetchone() == (True,)
