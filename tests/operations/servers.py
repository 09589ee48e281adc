"""Servers that are rehearsed with, and what a database should be."""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from rehearsal import prepared

from cluster import Cluster, older_bins, running, server_bin
from command import documented
from company import CLOSED_BEFORE
from llm_db import check, files, repeatables


@pytest.fixture(scope="session")
def should(server: str) -> Iterator[psycopg.Connection]:
    """A new database, for comparisons."""
    with check.built(files.migrations(), repeatables.files(), server) as session:
        yield session.connection


@pytest.fixture(scope="session")
def primary() -> Iterator[Cluster]:
    """With the settings of docs/backup.md, half of its time closed."""
    # Autovacuum may give the end of a table back at any time, and that ends reports on a standby.
    with running(server_bin(), {"autovacuum_naptime": "1h"}) as cluster:
        cluster.run("/bin/mkdir", "-p", backup_of(cluster) / "wal")
        settings = documented("docs/backup.md", "archive settings").replace("/backup", str(backup_of(cluster)))
        with open(cluster.data / "postgresql.conf", "a") as file:
            file.write(settings)
        cluster.stop()
        cluster.start()
        prepared(cluster, CLOSED_BEFORE["half closed"])
        yield cluster


@pytest.fixture(scope="session")
def backup(primary: Cluster) -> Path:
    """Where the page says /backup."""
    return backup_of(primary)


def backup_of(cluster: Cluster) -> Path:
    return cluster.folder / "backup"


@pytest.fixture(scope="session")
def old() -> Iterator[Cluster]:
    """Of the oldest release that is here, ready for logical replication."""
    bins = older_bins()
    if not bins:
        pytest.skip("there is no older release of PostgreSQL here")
    with running(next(iter(bins.values())), {"wal_level": "logical"}) as cluster:
        prepared(cluster, CLOSED_BEFORE["half closed"])
        yield cluster
