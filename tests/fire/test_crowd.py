"""A thousand sessions at once (in the suite's default fewer), of which each writes while the rollups are refreshed and
upkeep runs: nothing is lost, doubled or left out, and nobody is ended."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from statistics import median
from uuid import UUID

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from sizes import size

from cluster import running, server_bin
from conftest import Company, found_company, migrate_template
from rollup_model import assert_exact, make_model

WRITERS = size(100, 1000)
TEN = 10
ROUNDS = 5
SESSION = (
    "INSERT INTO llm.sessions (user_id, project_id, session_type) VALUES (%s, %s, 'production') RETURNING session_id"
)
LOG = (
    "INSERT INTO llm.session_logs (session_id, log_sequence, deployment_id, config_id, template_id, token_used)"
    " VALUES (%s, %s, %s, %s, %s, 3)"
)


@pytest.fixture
def crowded(request: pytest.FixtureRequest) -> Iterator[str]:
    """A database on a server that lets all of them in."""
    if WRITERS < 150:
        yield request.getfixturevalue("dsn")
        return
    with running(server_bin(), {"max_connections": str(WRITERS + 100)}) as cluster:
        dsn = make_conninfo(cluster.dsn, dbname="crowd")
        with cluster.connect() as admin:
            admin.execute("CREATE DATABASE crowd")
        migrate_template(**conninfo_to_dict(dsn))
        yield dsn


def write(dsn: str, company: Company, common: UUID, ready: threading.Barrier) -> list[float]:
    """How long each transaction took. One session gets its numbers from us, one from the server, and one that ten
    share: in a transaction of its own, or together with the writer's."""
    seconds = []
    uses = [company.deployment_id, company.config_id, company.template_id]
    with psycopg.connect(dsn, options="-c statement_timeout=300s") as writer:
        ready.wait()
        given, numbered = (
            writer.execute(SESSION, [company.user_id, company.project_id]).fetchone()[0] for _ in range(2)
        )
        writer.commit()
        for sequence in range(1, ROUNDS + 1):
            for sessions in ([(given, sequence)], [(numbered, None), (numbered, None)], [(common, None)]):
                began = time.monotonic()
                for session, number in sessions:
                    writer.execute(LOG, [session, number, *uses])
                writer.commit()
                seconds.append(time.monotonic() - began)
        began = time.monotonic()
        for session in (numbered, common):
            writer.execute(LOG, [session, None, *uses])
        writer.commit()
        seconds.append(time.monotonic() - began)
    return seconds


def keep_up(dsn: str, call: str, ended: threading.Event) -> int:
    calls = 0
    with psycopg.connect(dsn, autocommit=True) as connection:
        while not ended.is_set():
            connection.execute(call)
            calls += 1
            ended.wait(0.1)
    return calls


def test_a_crowd_writes(crowded: str) -> None:
    with psycopg.connect(crowded, autocommit=True) as db:
        company = found_company(db)
        make_model(db)
        common = [
            db.execute(SESSION, [company.user_id, company.project_id]).fetchone()[0] for _ in range(WRITERS // TEN)
        ]
        ready, ended = threading.Barrier(WRITERS, timeout=300), threading.Event()
        with ThreadPoolExecutor(WRITERS + 2) as pool:
            upkeep = [
                pool.submit(keep_up, crowded, call, ended)
                for call in ("CALL llm.maintain()", "SELECT llm.fold_template_uses()")
            ]
            began = time.monotonic()
            writers = [pool.submit(write, crowded, company, common[number // TEN], ready) for number in range(WRITERS)]
            try:
                seconds = [second for writer in writers for second in writer.result()]
            finally:
                took = time.monotonic() - began
                ended.set()
            assert all(job.result() > 0 for job in upkeep)
        logs = WRITERS * (4 * ROUNDS + 2)
        print(
            f"{WRITERS:,} writers, {logs:,} logs in {took:.1f} s: {logs / took:,.0f} a second; a transaction took"
            f" {median(seconds) * 1000:.0f} ms, the longest {max(seconds):.2f} s; upkeep ran {upkeep[0].result()} times"
        )
        uneven = (
            "SELECT count(*) FROM (SELECT FROM llm.session_logs GROUP BY session_id"
            " HAVING (min(log_sequence), max(log_sequence)) <> (1, count(*))) AS u"
        )
        assert db.execute(uneven).fetchone() == (0,)
        per_session = (
            "SELECT count(*), sum(n) FROM (SELECT count(*) AS n FROM llm.session_logs GROUP BY session_id) AS s"
        )
        assert db.execute(per_session).fetchone() == (2 * WRITERS + WRITERS // TEN, logs)
        shared = "SELECT DISTINCT count(*) FROM llm.session_logs WHERE session_id = ANY(%s) GROUP BY session_id"
        assert db.execute(shared, [common]).fetchall() == [(TEN * (ROUNDS + 1),)]
        used = "SELECT usage_count FROM llm.prompt_templates WHERE template_id = %s"
        assert db.execute(used, [company.template_id]).fetchone() == (logs,)
        deadlocks = "SELECT deadlocks FROM pg_catalog.pg_stat_database WHERE datname = current_database()"
        assert db.execute(deadlocks).fetchone() == (0,)
        assert_exact(db, "usage", "sessions", "hours")
        db.execute("CALL ops.refresh_rollups(clock_timestamp())")
        assert_exact(db)
