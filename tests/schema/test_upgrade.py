"""A database of release 0.1.0 is migrated to the newest version while it is in use. The same with a million logs, and
with numbers: python scripts/bench/upgrade.py"""

import sys
from pathlib import Path

import psycopg
import pytest

from command import documented, shell, value
from llm_db import files

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts" / "bench"))

import upgrade

LOGS = 20_000
# What the runner waits for a lock at most, and the second that the migration's own work may take.
LONGEST_STALL = 2 + 1


def test_writers_do_not_notice_an_upgrade(empty_dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # What is usual before and after is the benchmark's to tell.
    monkeypatch.setattr(upgrade, "AROUND_SECONDS", 0.3)
    upgrade.prepare(empty_dsn, LOGS)
    before = applied(empty_dsn)
    result = upgrade.upgrade(empty_dsn)
    assert result.exit_code == 0, result.output
    known = [migration.id for migration in files.migrations()]
    assert before == known[:8]
    assert applied(empty_dsn) == known
    assert result.errors == []
    # Too few would prove nothing.
    assert len(result.during) >= upgrade.WRITERS
    assert max(result.during) < LONGEST_STALL
    assert (result.sessions_lost, result.logs_lost, result.wrong_counts) == (0, 0, 0)
    with psycopg.connect(empty_dsn) as db:
        left = db.execute("SELECT conname FROM pg_catalog.pg_constraint WHERE NOT convalidated").fetchall()
    assert left == []


def test_the_page_is_followed_word_for_word(empty_dsn: str, tmp_path: Path) -> None:
    upgrade.prepare(empty_dsn, 1_000)
    before = pg_tables(empty_dsn)
    done = shell(documented("docs/upgrade-0.2.0.md", "before the upgrade"), tmp_path, DATABASE_URL=empty_dsn)
    assert done.returncode == 0, done.stderr
    assert pg_tables(empty_dsn) == before
    done = shell(documented("docs/upgrade-0.2.0.md", "the upgrade"), tmp_path, DATABASE_URL=empty_dsn)
    assert done.returncode == 0, done.stdout + done.stderr
    assert value(empty_dsn, "SELECT sum(requests) FROM reporting.daily_usage") == 1_000


def pg_tables(dsn: str) -> list[tuple[str, str]]:
    with psycopg.connect(dsn) as db:
        return db.execute("SELECT oid::regclass::text, xmin::text FROM pg_catalog.pg_class ORDER BY oid").fetchall()


def applied(dsn: str) -> list[str]:
    with psycopg.connect(dsn) as db:
        rows = db.execute("SELECT migration_id FROM llm_db._yoyo_migration ORDER BY migration_id")
        return [migration_id for (migration_id,) in rows]
