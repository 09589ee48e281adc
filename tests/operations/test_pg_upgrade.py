"""docs/upgrade-postgresql.md, followed: pg_upgrade from the oldest release leaves everything as it was."""

from collections.abc import Iterator

import psycopg
import pytest
from rehearsal import database_of, drift, follow, goes_on, logs_of, reports

from cluster import SETTINGS, Cluster, newer_bins, server_bin
from command import value
from rollup_model import assert_exact, make_model

pytest_plugins = ["servers"]
pytestmark = pytest.mark.skipif(bool(newer_bins()), reason="rehearsed once, on the newest server")
PAGE = "docs/upgrade-postgresql.md"


@pytest.fixture
def upgraded(old: Cluster) -> Iterator[Cluster]:
    """The old server once more, for what becomes of it."""
    with Cluster(old.bin) as cluster:
        old.stop()
        cluster.run("/bin/cp", "-a", old.data, cluster.data)
        old.start()
        # --check asks a server that is at work by its socket.
        cluster.configure({"unix_socket_directories": "/tmp"})
        cluster.start()
        yield cluster


def test_pg_upgrade_changes_nothing(upgraded: Cluster, should: psycopg.Connection) -> None:
    with Cluster(server_bin()) as new:
        dsn, same = database_of(upgraded), database_of(new)
        told, logs, version = reports(dsn), logs_of(dsn), value(dsn, "SHOW server_version_num")
        folders = {"OLD_DATA": upgraded.data, "NEW_DATA": new.data, "OLD_BIN": upgraded.bin, "NEW_BIN": new.bin}
        follow(new, PAGE, "pg_upgrade", LOCALE="C", **folders)
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
