"""Databases on a Citus cluster: LLM_DB_CITUS_DSN names its coordinator, whose pg_dist_node names the workers. Each
test has a copy of one that is distributed already, made on every server under the same name."""

import os
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from llm_db import database, distribute, migrate

DSN = os.environ.get("LLM_DB_CITUS_DSN", "")
# What a table takes, as it is asked of the server itself.
SIZE = "pg_total_relation_size(oid)" + (" + citus_total_relation_size(oid, false)" if DSN else "")
NO_CLUSTER = "LLM_DB_CITUS_DSN names no Citus cluster"
needs_a_cluster = pytest.mark.skipif(not DSN, reason=NO_CLUSTER)

deadlock_of_orders = pytest.mark.one_node("appends in opposite orders are deadlocks there, of which Citus ends one")
no_publication = pytest.mark.one_node("nothing is published of what lies on workers")
not_rolled_back = pytest.mark.one_node("what was distributed is rolled back after `llm-db distribute --undo` only")
session_id_stays = pytest.mark.one_node("what shards are cut by cannot be changed")


def has(dsn: str) -> bool:
    """Whether a database is one of the cluster."""
    return bool(DSN) and {**conninfo_to_dict(dsn), "dbname": None} == {**conninfo_to_dict(DSN), "dbname": None}


def servers() -> list[str]:
    """The maintenance databases, the coordinator's first."""
    with psycopg.connect(DSN) as connection:
        nodes = connection.execute("SELECT nodename, nodeport FROM pg_dist_node WHERE groupid <> 0 ORDER BY 1, 2")
        user = connection.info.user
        workers = [make_conninfo(host=host, port=port, user=user, dbname="postgres") for host, port in nodes]
    return [make_conninfo(DSN, dbname="postgres"), *workers]


def databases(dsn: str) -> list[str]:
    """The databases of this name, the coordinator's first."""
    return [make_conninfo(server, dbname=conninfo_to_dict(dsn)["dbname"]) for server in servers()]


@contextmanager
def cluster_database(copy_of: str | None = None) -> Iterator[str]:
    """A database on every server, empty, or a copy of one."""
    name = f"test_{uuid.uuid4().hex}"
    dsn = make_conninfo(DSN, dbname=name)
    with ExitStack() as ending:
        for server in servers():
            admin = ending.enter_context(psycopg.connect(server, autocommit=True))
            ending.callback(drop, admin, name)
            if copy_of is None:
                admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
            else:
                copy(admin, conninfo_to_dict(copy_of)["dbname"], name)
        if copy_of is not None:
            with psycopg.connect(dsn, autocommit=True) as connection:
                for setting, value in distribute.SETTINGS.items():
                    connection.execute(f"ALTER DATABASE {name} SET citus.{setting} = {value}")
        yield dsn


def add_nodes(dsn: str) -> None:
    for server in databases(dsn):
        with psycopg.connect(server, autocommit=True) as each:
            each.execute("CREATE EXTENSION citus")
    first, *workers = map(conninfo_to_dict, servers())
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("SELECT citus_set_coordinator_host(%s, %s)", [first["host"], int(first["port"])])
        for worker in workers:
            connection.execute("SELECT citus_add_node(%s, %s)", [worker["host"], int(worker["port"])])


def copy(admin: psycopg.Connection, source: str, name: str) -> None:
    clear(admin, source)
    admin.execute(
        sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy").format(*map(sql.Identifier, (name, source)))
    )


def drop(admin: psycopg.Connection, name: str) -> None:
    if admin.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone():
        clear(admin, name)
        admin.execute(sql.SQL("DROP DATABASE {}").format(sql.Identifier(name)))


def clear(admin: psycopg.Connection, name: str) -> None:
    """Ends all sessions of a database. Citus' own process is one of them, and comes back where it may."""
    admin.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false").format(sql.Identifier(name)))
    for _ in range(500):
        if admin.execute(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = %s", [name]
        ).fetchone() == (0,):
            return
        time.sleep(0.01)
    pytest.fail(f"{name} is in use")


@cache
def distributed_template(ending: ExitStack) -> str:
    dsn = ending.enter_context(cluster_database())
    with (
        psycopg.connect(servers()[0], autocommit=True) as turn,
        database.connect(database.Target(dsn, "the tests")) as connection,
    ):
        # Citus gives all roles to the workers, where two that do so at once collide.
        turn.execute("SELECT pg_advisory_lock(1)")
        migrate.migrate(connection, tell=lambda _: None)
        add_nodes(dsn)
        distribute.distribute(connection, tell=lambda _: None)
        # Who acts as a role is on the workers who it is, and must be let in there.
        for role in connection.execute(r"SELECT rolname FROM pg_roles WHERE rolname LIKE 'llm\_%'").fetchall():
            connection.execute("ALTER ROLE {} LOGIN".format(*role))
    return dsn
