"""Wholly applied and marked, or wholly absent, whatever is killed and whenever."""

import os
import random
import signal
import time
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from command import checkout, llm_db, value
from conftest import fresh_database

# Each step leaves two rows that belong together, with time between them to be killed in.
STEP = """
CREATE TABLE public.t{n} (id int);
INSERT INTO public.steps VALUES ({n}, 'first');
SELECT pg_catalog.pg_sleep({pause});
INSERT INTO public.steps VALUES ({n}, 'second');
-- DOWN --
DROP TABLE public.t{n};
DELETE FROM public.steps WHERE n = {n};
"""
CHAIN = {"0001.steps": "CREATE TABLE public.steps (n int, half text); -- DOWN -- DROP TABLE public.steps;"} | {
    f"{n:04}.step": STEP.format(n=n, pause=0.005 if n % 2 else 0) for n in range(2, 14)
}
STATE = """
SELECT jsonb_build_object(
    'tables', (SELECT jsonb_agg(relname ORDER BY relname) FROM pg_class WHERE relnamespace = 'public'::regnamespace),
    'steps', (SELECT jsonb_agg(n || half ORDER BY n, half) FROM public.steps),
    'marks', (SELECT jsonb_agg(migration_id ORDER BY migration_id) FROM llm_db._yoyo_migration),
    'log', (SELECT jsonb_agg(migration_id ORDER BY migration_id) FROM llm_db._yoyo_log),
    'ledger', (SELECT jsonb_agg(migration_id || state || up_sha256 ORDER BY migration_id) FROM llm_db.migrations)
)
"""
AGREE = """
SELECT
    (SELECT array_agg(migration_id::text ORDER BY migration_id) FROM llm_db._yoyo_migration)
    = (SELECT array_agg(migration_id::text ORDER BY migration_id) FROM llm_db.migrations)
    AND (SELECT count(*) FROM llm_db._yoyo_log) = (SELECT count(*) FROM llm_db.migrations)
    AND (SELECT count(*) FROM pg_class WHERE relname ~ '^(t[0-9]+|steps)$') = (SELECT count(*) FROM llm_db.migrations)
"""


@pytest.fixture
def chain(tmp_path) -> Path:
    return checkout(tmp_path, CHAIN)


def start(dsn: str, root: Path) -> int:
    """The id of a process of its own. It is forked, as Python's start is not what is to be killed."""
    pid = os.fork()
    if pid == 0:
        exit_code = 1
        try:
            exit_code = llm_db("migrate", "--dsn", dsn, root=root).returncode
        finally:
            os._exit(exit_code)
    return pid


def whole(dsn: str) -> bool:
    """Marks, log, ledger and what the files made tell the same story."""
    return not value(dsn, "SELECT to_regclass('llm_db.migrations') IS NOT NULL") or value(dsn, AGREE) is not False


def run_of(dsn: str, root: Path) -> tuple[dict, float]:
    began = time.monotonic()
    done = llm_db("migrate", "--dsn", dsn, root=root)
    assert done.returncode == 0, done.stderr
    return value(dsn, STATE), time.monotonic() - began


# The threads of the test run are not used by what is forked.
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
@pytest.mark.parametrize("killed", ["the runner", "its backend"])
def test_killed_at_fifty_random_moments_and_run_again_the_end_is_the_same(chain, server, killed):
    took = float("inf")
    # The fastest of three: what is killed after its end is not killed.
    for _ in range(3):
        with fresh_database(server) as dsn:
            expected, lasted = run_of(dsn, chain)
            took = min(took, lasted)
    moments = random.Random(killed)
    cut_short = 0
    for _ in range(50):
        with fresh_database(server) as dsn:
            runner = start(make_conninfo(dsn, application_name="to be killed"), chain)
            wait_for_session(dsn)
            time.sleep(moments.uniform(0, took))
            if killed == "the runner":
                os.kill(runner, signal.SIGKILL)
            else:
                end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
                value(dsn, f"{end} WHERE application_name = 'to be killed'")
            cut_short += os.waitpid(runner, 0)[1] != 0
            assert whole(dsn)
            assert run_of(dsn, chain)[0] == expected
    assert cut_short > 10


def wait_for_session(dsn: str) -> None:
    query = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'to be killed'"
    with psycopg.connect(dsn, autocommit=True) as connection:
        deadline = time.monotonic() + 20
        while not connection.execute(query).fetchone()[0]:
            assert time.monotonic() < deadline
            time.sleep(0.002)
