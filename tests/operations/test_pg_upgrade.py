"""docs/upgrade-postgresql.md, followed: pg_upgrade from older releases leaves everything as it was."""

import psycopg
import pytest
from rehearsal import database_of, drift, follow, goes_on, logs_of, older_bins, prepared, reports

from cluster import SETTINGS, Cluster, newer_bins, running, server_bin
from command import value
from company import CLOSED_BEFORE
from rollup_model import assert_exact, make_model

pytestmark = pytest.mark.skipif(bool(newer_bins()), reason="rehearsed once, on the newest server")
PAGE = "docs/upgrade-postgresql.md"


@pytest.mark.parametrize("version", older_bins())
def test_pg_upgrade_changes_nothing(version: str, should: psycopg.Connection) -> None:
    # --check asks a server that is at work by its socket.
    with running(older_bins()[version], {"unix_socket_directories": "/tmp"}) as old, Cluster(server_bin()) as new:
        dsn, upgraded = prepared(old, CLOSED_BEFORE["half closed"]), database_of(new)
        told, logs = reports(dsn), logs_of(dsn)
        data = {"OLD_DATA": old.data, "NEW_DATA": new.data, "OLD_BIN": old.bin, "NEW_BIN": new.bin}
        checksums = value(dsn, "SHOW data_checksums")
        assert checksums == "off"
        follow(new, PAGE, "pg_upgrade", LOCALE="C", **data)
        new.configure(SETTINGS)
        new.start()
        assert value(upgraded, "SELECT current_setting('server_version_num')::integer / 10000") > int(version)
        assert reports(upgraded) == told
        assert logs_of(upgraded) == logs
        assert drift(should, upgraded) == []
        follow(new, PAGE, "statistics", NEW=upgraded)
        goes_on(upgraded)
        with psycopg.connect(upgraded, autocommit=True) as db:
            make_model(db)
            assert_exact(db)
