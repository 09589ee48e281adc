"""The commands of docs/distribute.md, as they stand there."""

from contextlib import closing
from pathlib import Path

import psycopg
from psycopg.conninfo import conninfo_to_dict
from test_distribute import TOTALS, make_logs

import citus
from citus import needs_a_cluster
from command import documented, shell
from llm_db import database, migrate


@needs_a_cluster
def test_there_and_back_as_the_page_says(tmp_path: Path) -> None:
    with citus.cluster_database() as dsn:
        with database.connect(database.Target(dsn, "the tests")) as connection:
            migrate.migrate(connection, tell=lambda _: None)
        with closing(psycopg.connect(dsn, autocommit=True)) as db:
            make_logs(db, days=3)
            totals = db.execute(TOTALS).fetchone()
        variables = {"DATABASE_URL": dsn}
        for name, server in zip(("COORDINATOR", "WORKER_1", "WORKER_2"), citus.databases(dsn), strict=False):
            part = conninfo_to_dict(server)
            variables |= {name: server, f"{name}_HOST": part["host"], f"{name}_PORT": str(part["port"])}
        for name, on_workers in (("cluster", False), ("distribute", True), ("undo", False)):
            done = shell(documented("docs/distribute.md", name), tmp_path, **variables)
            assert done.returncode == 0, done.stdout + done.stderr
            with closing(psycopg.connect(dsn, autocommit=True)) as db:
                assert db.execute("SELECT to_regclass('cluster.state') IS NOT NULL").fetchone() == (on_workers,)
                assert db.execute(TOTALS).fetchone() == totals
