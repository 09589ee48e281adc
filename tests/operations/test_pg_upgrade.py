"""docs/upgrade-postgresql.md, followed: pg_upgrade leaves everything as it was, or the old server as it was."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from rehearsal import database_of, drift, follow, goes_on, logs_of, prepared, reports

from cluster import SETTINGS, Cluster, newer_bins, older_bins, server_bin
from command import value
from company import CLOSED_BEFORE
from rollup_model import assert_exact, make_model

pytest_plugins = ["servers"]
pytestmark = pytest.mark.skipif(bool(newer_bins()), reason="rehearsed once, on the newest server")
PAGE = "docs/upgrade-postgresql.md"


def numbers_types(bin_folder: Path) -> bool:
    """Whether the server numbers the changes of a column's type, for which its pg_dump must be of the same day."""
    # `postgres --describe-config` is silent about developers' settings.
    return b"composite_type_mismatch" in (bin_folder / "postgres").read_bytes()


def oldest(too_new: bool) -> Path:
    """The programs of the oldest release that can be upgraded to this one, or whose minor release is too new for it."""
    for folder in older_bins().values():
        if (numbers_types(folder) and not numbers_types(server_bin())) == too_new:
            return folder
    pytest.skip("there is no such release of PostgreSQL here")


@contextmanager
def with_rows(bin_folder: Path) -> Iterator[Cluster]:
    with Cluster(bin_folder) as cluster:
        cluster.initdb()
        # --check asks a server that is at work by its socket.
        cluster.configure({**SETTINGS, "unix_socket_directories": "/tmp"})
        cluster.start()
        prepared(cluster, CLOSED_BEFORE["half closed"])
        yield cluster


def upgrade(old: Cluster, new: Cluster) -> None:
    folders = {"OLD_DATA": old.data, "NEW_DATA": new.data, "OLD_BIN": old.bin, "NEW_BIN": new.bin}
    follow(new, PAGE, "pg_upgrade", LOCALE="C", **folders)


def test_pg_upgrade_changes_nothing(should: psycopg.Connection) -> None:
    with with_rows(oldest(too_new=False)) as old, Cluster(server_bin()) as new:
        dsn, same = database_of(old), database_of(new)
        told, logs, version = reports(dsn), logs_of(dsn), value(dsn, "SHOW server_version_num")
        upgrade(old, new)
        new.configure(SETTINGS)
        new.start()
        assert value(same, "SHOW server_version_num") > version
        assert reports(same) == told
        assert logs_of(same) == logs
        assert drift(should, same) == []
        follow(new, PAGE, "statistics", NEW=same)
        goes_on(same)
        with psycopg.connect(same, autocommit=True) as db:
            make_model(db)
            assert_exact(db)


def test_pg_upgrade_of_an_older_day_leaves_the_old_server_as_it_was() -> None:
    with with_rows(oldest(too_new=True)) as old, Cluster(server_bin()) as new:
        dsn = database_of(old)
        logs = logs_of(dsn)
        with pytest.raises(pytest.UsageError, match="Restoring database schemas") as failure:
            upgrade(old, new)
        assert "server stopped" in str(failure.value)
        dumped = [path.read_text() for path in new.data.glob("pg_upgrade_output.d/*/log/pg_upgrade_dump_*.log")]
        assert any('unrecognized parameter "pg_attver"' in text for text in dumped)
        old.start()
        assert logs_of(dsn) == logs
        goes_on(dsn)
