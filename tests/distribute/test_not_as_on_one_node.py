"""What docs/distribute.md says is not as on one node."""

import threading
import time
from contextlib import closing

import psycopg
import pytest
from psycopg import errors
from psycopg.conninfo import make_conninfo

from citus import needs_a_cluster
from conftest import Company

pytestmark = needs_a_cluster

APPEND = "INSERT INTO llm.session_logs (session_id, deployment_id) VALUES (%s, %s)"
PLACE = """
SELECT n.nodename, n.nodeport, p.shardid
FROM pg_dist_placement AS p INNER JOIN pg_dist_node AS n USING (groupid)
WHERE p.shardid = get_shard_id_for_distribution_column(%s, %s)
"""


def another_session(db: psycopg.Connection, company: Company, on_the_same_worker: bool) -> str:
    place = db.execute(PLACE, ["llm.sessions", company.session_id]).fetchone()
    while True:
        [session] = db.execute(
            "INSERT INTO llm.sessions (user_id, session_type) VALUES (%s, 'test') RETURNING session_id",
            [company.user_id],
        ).fetchone()
        other = db.execute(PLACE, ["llm.sessions", session]).fetchone()
        if (other[:2] == place[:2]) == on_the_same_worker:
            return session


@pytest.mark.parametrize("on_the_same_worker", [True, False])
def test_opposite_orders_are_a_deadlock(
    db: psycopg.Connection, dsn: str, company: Company, on_the_same_worker: bool
) -> None:
    """One is ended, the other commits, and the one that was ended can be run again."""
    sessions = [company.session_id, another_session(db, company, on_the_same_worker)]
    meet, ended = threading.Barrier(2), []

    def append(first: str, second: str) -> None:
        with closing(psycopg.connect(dsn)) as connection:
            try:
                connection.execute(APPEND, [first, company.deployment_id])
                meet.wait(60)
                connection.execute(APPEND, [second, company.deployment_id])
            except errors.DeadlockDetected as error:
                ended.append(error.sqlstate)
                connection.rollback()
                for session in (first, second):
                    connection.execute(APPEND, [session, company.deployment_id])
            connection.commit()

    threads = [threading.Thread(target=append, args=order) for order in (sessions, sessions[::-1])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ended == ["40P01"]
    found = db.execute(
        "SELECT session_id, array_agg(log_sequence ORDER BY log_sequence) FROM llm.session_logs GROUP BY 1"
    )
    assert dict(found.fetchall()) == {session: [1, 2] for session in sessions}


def test_what_is_not_serializable_fails_at_its_commit(db: psycopg.Connection, dsn: str, company: Company) -> None:
    """As an internal error. All of it is undone, and can be run again."""
    read = "SELECT count(*) FROM llm.session_logs WHERE session_id = %s"
    write = "INSERT INTO llm.session_logs (session_id, log_sequence, deployment_id) VALUES (%s, %s, %s)"
    with closing(psycopg.connect(dsn)) as one, closing(psycopg.connect(dsn)) as other:
        for number, connection in enumerate((one, other)):
            connection.isolation_level = psycopg.IsolationLevel.SERIALIZABLE
            connection.execute(read, [company.session_id])
            connection.execute(write, [company.session_id, number + 1, company.deployment_id])
        one.commit()
        with pytest.raises(errors.InternalError_, match="could not commit transaction for shard"):
            other.commit()
        assert db.execute(read, [company.session_id]).fetchone() == (1,)
        other.execute(write, [company.session_id, 2, company.deployment_id])
        other.commit()


def test_a_log_that_changes_its_day_meanwhile(db: psycopg.Connection, dsn: str, company: Company) -> None:
    """It counts twice in the one report that runs: in the sums of the day it left, and among the logs of open time."""
    report = "SELECT sum(requests) FROM reporting.daily_usage"
    db.execute(
        "INSERT INTO llm.session_logs (session_id, deployment_id, request_time)"
        " VALUES (%s, %s, now() - interval '2 days')",
        [company.session_id, company.deployment_id],
    )
    db.execute("CALL ops.refresh_rollups(now() - interval '1 day')")
    host, port, shard = db.execute(PLACE, ["llm.session_logs", company.session_id]).fetchone()
    said: list[int] = []

    def ask() -> None:
        with closing(psycopg.connect(dsn)) as reader:
            said.append(reader.execute(report).fetchone()[0])

    with closing(psycopg.connect(make_conninfo(dsn, host=host, port=port))) as worker:
        worker.execute("SET citus.enable_manual_changes_to_shards = on")
        # The report has read the notes, and waits for the logs.
        worker.execute(f"LOCK TABLE llm.session_logs_{shard} IN ACCESS EXCLUSIVE MODE")
        asking = threading.Thread(target=ask)
        asking.start()
        deadline = time.monotonic() + 60
        while worker.execute("SELECT count(*) FROM pg_locks WHERE NOT granted").fetchone() == (0,):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        worker.execute(f"UPDATE llm.session_logs_{shard} SET request_time = now()")
        worker.commit()
        asking.join()
    assert said == [2]
    assert db.execute(report).fetchone() == (1,)
