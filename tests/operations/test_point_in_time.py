"""docs/backup.md, followed: a base backup and the archive of the WAL give back any moment, to the transaction."""

import re
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from rehearsal import database_of, drift, follow, goes_on, logs_of, reports, writing

from cluster import Cluster, newer_bins
from command import ROOT, eventually, value
from rollup_model import assert_exact, make_model

pytest_plugins = ["servers"]
pytestmark = pytest.mark.skipif(bool(newer_bins()), reason="rehearsed once, on the newest server")
PAGE = "docs/backup.md"


@pytest.fixture
def copy(primary: Cluster) -> Iterator[Cluster]:
    """Another machine, with nothing on it yet."""
    with Cluster(primary.bin) as cluster:
        yield cluster


def archived(primary: Cluster, backup: Path) -> None:
    """Hands over what is written so far, and waits until it is in the archive."""
    with primary.connect() as admin:
        wal = admin.execute("SELECT pg_walfile_name(pg_switch_wal())").fetchone()[0]
    eventually((backup / "wal" / wal).exists)


def test_what_was_committed_before_is_there_and_what_came_after_is_not(
    primary: Cluster, backup: Path, copy: Cluster, should: psycopg.Connection
) -> None:
    dsn = database_of(primary)
    # Writers go on while the base backup is made, and between the two moments that it is to tell apart.
    with writing(dsn) as during:
        follow(primary, PAGE, "base backup", PRIMARY=primary.dsn, BASE=backup / "base")
    with psycopg.connect(dsn, autocommit=True) as db:
        db.execute("CALL llm.maintain()")
        db.execute("UPDATE llm.projects SET description = 'before'")
    told, counted = reports(dsn), value(dsn, "SELECT array_agg(p::text) FROM llm.prompt_templates AS p")
    until = value(dsn, "SELECT clock_timestamp()::text")
    time.sleep(0.01)
    with psycopg.connect(dsn, autocommit=True) as db:
        db.execute("UPDATE llm.projects SET description = 'after'")
    with writing(dsn) as after:
        eventually(lambda: after.changes > 2)
    with psycopg.connect(dsn, autocommit=True) as db:
        db.execute("CALL llm.maintain()")
        # The slip of the hand to go back before.
        db.execute("DELETE FROM llm.session_logs")
    archived(primary, backup)

    new = database_of(copy)
    given = {"BASE": backup / "base", "PORT": str(copy.port), "NEW": new}
    too_late = copy.folder / "too late"
    with pytest.raises(pytest.UsageError):
        follow(copy, PAGE, "restore to a moment", backup, DATA=too_late, UNTIL="2099-01-01 00:00+00", **given)
    page = (ROOT / PAGE).read_text(encoding="utf-8")
    assert re.search(r"says so in its log \(`(.*)`\)", page)[1] in Path(f"{too_late}.log").read_text()
    follow(copy, PAGE, "restore to a moment", backup, DATA=copy.data, UNTIL=until, **given)
    assert drift(should, new) == []
    assert reports(new) == told
    assert value(new, "SELECT array_agg(p::text) FROM llm.prompt_templates AS p") == counted
    assert value(new, "SELECT count(*) FROM llm.projects WHERE description <> 'before'") == 0
    assert set(during.logs) <= logs_of(new)
    assert not set(after.logs) & logs_of(new)
    goes_on(new)
    with psycopg.connect(new, autocommit=True) as db:
        make_model(db)
        assert_exact(db)
