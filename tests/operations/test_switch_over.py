"""docs/upgrade-postgresql.md, followed: to a newer release by logical replication, with writers until the switch."""

from collections.abc import Iterator

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from rehearsal import (
    DATABASE,
    LOG,
    SESSION,
    database_of,
    drift,
    follow,
    goes_on,
    logs_of,
    reports,
    writing,
)

from cluster import Cluster, newer_bins, running, server_bin
from command import documented, eventually, execute, value
from rollup_model import assert_exact, make_model

pytest_plugins = ["servers"]
pytestmark = pytest.mark.skipif(bool(newer_bins()), reason="rehearsed once, on the newest server")
PAGE = "docs/upgrade-postgresql.md"


@pytest.fixture
def new() -> Iterator[Cluster]:
    with running(server_bin()) as cluster:
        execute(cluster.dsn, f"CREATE DATABASE {DATABASE}")
        yield cluster


def watch(db: psycopg.Connection) -> None:
    """From here on, what a subscriber to the two tables alone is told."""
    db.execute(documented("docs/replication.md", "publication"))
    db.execute("SELECT pg_create_logical_replication_slot('requests', 'pgoutput')")


def assert_moves_are_told(db: psycopg.Connection) -> None:
    """Whatever has left a table has come back to it: nobody here deletes."""
    db.execute(
        "CREATE TEMP TABLE told AS SELECT xid, substr(data, 1, 1) AS kind FROM pg_logical_slot_get_binary_changes("
        "'requests', NULL, NULL, 'proto_version', '1', 'publication_names', 'requests')"
    )
    assert (
        db.execute(
            "SELECT xid::text FROM told GROUP BY xid"
            " HAVING count(*) FILTER (WHERE kind = 'D') > count(*) FILTER (WHERE kind = 'I')"
        ).fetchall()
        == []
    )
    db.execute("DROP TABLE told")


def test_a_switch_over_loses_no_row(old: Cluster, new: Cluster, should: psycopg.Connection) -> None:
    dsn, copy = database_of(old), database_of(new)
    execute(dsn, "CREATE ROLE writer LOGIN IN ROLE pg_write_all_data, pg_read_all_data")
    login = make_conninfo(dsn, user="writer")
    given = {"OLD": dsn, "NEW": copy, "SOURCE": dsn, "OLD_BIN": old.bin}
    with writing(login) as writer, psycopg.connect(dsn, autocommit=True) as db:
        eventually(lambda: writer.changes > 3)
        follow(new, PAGE, "publication", **given)
        follow(new, "docs/backup.md", "all roles", **given)
        follow(new, PAGE, "subscription", **given)
        # What happens meanwhile: refreshes, rows for which there was no month, and months.
        watch(db)
        for month in ("2022-02-01", "2022-03-01"):
            session = db.execute(SESSION, [f"{month}Z", f"{month}Z"]).fetchone()[0]
            db.execute(LOG, [session, f"{month}Z"])
            db.execute("SELECT llm.create_month(%s)", [month])
            assert_moves_are_told(db)
            db.execute("CALL ops.refresh_rollups(clock_timestamp())")
            so_far = writer.changes
            eventually(lambda before=so_far: writer.changes > before + 3)
        eventually(lambda: value(copy, "SELECT count(*) = 0 FROM pg_subscription_rel WHERE srsubstate <> 'r'"))
        db.execute("CALL llm.maintain()")
        eventually(lambda before=writer.changes: writer.changes > before + 3)
        db.execute("SELECT pg_drop_replication_slot('requests')")
        follow(new, PAGE, "progress", **given)
        follow(new, PAGE, "switch", **given)
        writer.join(60)
        # Thrown out, and not let in again.
        assert writer.thrown_out is not None
        with pytest.raises(psycopg.OperationalError, match="too many connections for database"):
            psycopg.connect(login)
    follow(new, PAGE, "comparison", **given)
    # It is not silent about everything.
    execute(copy, "UPDATE llm_db.loads SET rows_listed = rows_listed + 1")
    with pytest.raises(pytest.UsageError, match=r"[<>] llm_db\.loads"):
        follow(new, PAGE, "comparison", **given)
    assert set(writer.logs) <= logs_of(copy) == logs_of(dsn)
    assert reports(copy) == reports(dsn)
    assert drift(should, copy) == []
    execute(copy, "ANALYZE")
    goes_on(copy)
    with psycopg.connect(copy, autocommit=True) as db:
        assert db.execute("SELECT count(*) FROM pg_subscription").fetchone() == (0,)
        make_model(db)
        assert_exact(db)
