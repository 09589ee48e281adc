"""Wholly applied and marked, or wholly absent, whatever is killed and whenever."""

from functools import partial
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from command import checkout, llm_db
from kills import Job, its_sessions, series, the_process

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


def state(db: psycopg.Connection) -> object:
    there = db.execute(
        "SELECT to_regclass('llm_db.migrations') IS NOT NULL AND to_regclass('public.steps') IS NOT NULL"
    )
    return db.execute(STATE).fetchone() if there.fetchone()[0] else None


def whole(db: psycopg.Connection) -> None:
    """Marks, log, ledger and what the files made tell the same story."""
    if db.execute("SELECT to_regclass('llm_db.migrations') IS NOT NULL").fetchone()[0]:
        assert db.execute(AGREE).fetchone()[0] is not False


def migrate(root: Path, dsn: str) -> None:
    done = llm_db("migrate", "--dsn", dsn, root=root)
    assert done.returncode == 0, done.stderr


# The threads of the test run are not used by what is forked.
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
@pytest.mark.parametrize("kill", [the_process, its_sessions])
def test_killed_at_fifty_random_moments_and_run_again_the_end_is_the_same(chain, server, empty_dsn, kill):
    name = conninfo_to_dict(empty_dsn)["dbname"]
    job = Job(name, partial(migrate, chain), state, holds=whole, ends=whole, last=whole)
    assert series("a chain of migrations", job, server, kill, kills=50, seed=0).done["part"] > 10
