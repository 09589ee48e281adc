"""Databases on a Citus cluster: LLM_DB_CITUS_DSN names its coordinator, whose pg_dist_node names the workers. Each
test has a copy of one that is distributed already, made on every server under the same name."""

import os
import pwd
import shlex
import subprocess
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

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
            ending.callback(drop_on, server, name)
            if copy_of is None:
                admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
            else:
                copy(admin, conninfo_to_dict(copy_of)["dbname"], name)
        if copy_of is not None:
            with psycopg.connect(dsn, autocommit=True) as connection:
                # The copy would be told to a new worker by the name of the other.
                connection.execute("DELETE FROM pg_dist_object WHERE classid = 'pg_database'::regclass")
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


def drop_on(server: str, name: str) -> None:
    # Not by the connection of before: the server may have been stopped meanwhile.
    with psycopg.connect(server, autocommit=True) as admin:
        drop(admin, name)


def drop(admin: psycopg.Connection, name: str) -> None:
    if admin.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone():
        clear(admin, name)
        # By force, as autovacuum comes in all the same.
        admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


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


@dataclass(frozen=True)
class Server:
    """A server of the cluster that lies on this machine, stopped and started as its owner does it."""

    dsn: str
    pg_ctl: Path
    data: Path
    options: str

    def run(self, *arguments: str | Path) -> None:
        owner = pwd.getpwuid(self.data.stat().st_uid)
        user, groups = (owner.pw_uid, []) if os.geteuid() == 0 else (None, None)
        subprocess.run(
            [self.pg_ctl, "-D", self.data, "-w", *arguments],
            user=user,
            extra_groups=groups,
            cwd="/",
            # The servers of a cluster are each other's clients, and look for certificates at home.
            env={**os.environ, "HOME": owner.pw_dir},
            # Not through pipes, as in cluster.py.
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=True,
        )

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """At once, as if the machine's power was gone."""
        self.run("-m", "immediate", "stop")
        try:
            yield
        finally:
            self.run("-o", self.options, "-l", os.devnull, "start")


def local_server(dsn: str) -> Server:
    if server := server_here(dsn):
        return server
    pytest.skip(f"{dsn} is not a server that the tests can stop: they run on another machine, or as another user")


def server_here(dsn: str) -> Server | None:
    with psycopg.connect(dsn) as admin:
        folder, programs = admin.execute(
            "SELECT current_setting('data_directory'), setting FROM pg_config WHERE name = 'BINDIR'"
        ).fetchone()
    data, pg_ctl = Path(folder), Path(programs) / "pg_ctl"
    with suppress(PermissionError):
        if (data / "postmaster.pid").exists() and pg_ctl.exists() and os.geteuid() in (0, data.stat().st_uid):
            # The program, -D, the folder, and what else it was started with.
            words = shlex.split((data / "postmaster.opts").read_text())
            return Server(dsn, pg_ctl, data, shlex.join(words[3:]))
    return None
