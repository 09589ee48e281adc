"""One PostgreSQL for the whole run, a migrated template database per worker, a clone of it per test.

LLM_DB_TEST_PG_BIN names another server's bin folder, to test on an older PostgreSQL.
"""

import os
import re
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from zlib import crc32

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from pytest_postgresql import factories
from pytest_postgresql.executors import NoopExecutor

import citus
import kills
from cluster import HOST, newer_bins, running, server_bin
from llm_db import database, migrate

ROOT = Path(__file__).parents[1]
# How the controller tells its xdist workers where the server is.
PORT_VARIABLE = "LLM_DB_TEST_PG_PORT"
ONE_NODE = "of one node only"
# Folders and files, by why none of it is asked of a cluster. Single tests say so themselves, by the mark `one_node`.
OF_ONE_NODE = {
    "operations": "dumps, standbys and newer versions are of each server by itself",
    "fire": "one server is broken there; tests/distribute breaks a cluster",
    "test_check.py": "it compares with what one node should have; tests/distribute asks `check` there",
    "test_docs.py": "the pages draw and list what one node has",
    "test_hints.py": "who is told has rights on one server",
    "test_pooler.py": "the pooler stands before one server",
    "test_script.py": "`llm-db plan --script` is refused there",
}
END_SESSIONS = """
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = %s AND backend_type = 'client backend'
"""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--kills", type=int, help="how often tests/fire/test_kills.py kills each job (50 is the full run)")
    parser.addoption("--tenth", type=int, choices=range(10), help="one tenth of the tests, chosen by their names")
    parser.addoption("--seed", type=int, help="the moments of an earlier run again; that run has printed it")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The table of docs/reliability.md; what was not asked of a cluster, or of one node."""
    lines = [
        value
        for report in terminalreporter.getreports("passed")
        for name, value in report.user_properties
        if name == "kills"
    ]
    if lines:
        terminalreporter.write_line("\n".join([kills.HEAD, *lines]))
    for reason, told in (
        (citus.NO_CLUSTER, "tests of a cluster were skipped: LLM_DB_CITUS_DSN names none"),
        (ONE_NODE, "tests of one node only were skipped: LLM_DB_CITUS_DSN names a cluster"),
    ):
        if skipped := sum(reason in str(report.longrepr) for report in terminalreporter.getreports("skipped")):
            terminalreporter.write_line(f"{skipped:,} {told}")


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        # Developers' own connection settings must not reach a test, nor any test their databases.
        for name in [name for name in os.environ if name.startswith("PG") or name == "DATABASE_URL"]:
            del os.environ[name]
        cluster = running(server_bin())
        config.add_cleanup(cluster.remove)
        os.environ[PORT_VARIABLE] = str(cluster.port)
    config.option.postgresql_host = HOST
    config.option.postgresql_port = os.environ[PORT_VARIABLE]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if (tenth := config.getoption("--tenth")) is not None:
        left_out = [item for item in items if crc32(item.nodeid.encode()) % 10 != tenth]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if crc32(item.nodeid.encode()) % 10 == tenth]
    for item in items:
        for marker in filter(None, map(item.get_closest_marker, ("once", "one_node"))):
            if not marker.args:
                raise pytest.UsageError(f"{item.nodeid} is marked `{marker.name}` and does not say why")
        if citus.DSN and (why := of_one_node(item)):
            item.add_marker(pytest.mark.skip(reason=f"{ONE_NODE}: {why}"))


def of_one_node(item: pytest.Item) -> str | None:
    """Why a test says nothing about a cluster, if so."""
    if marker := item.get_closest_marker("one_node"):
        return marker.args[0]
    if why := OF_ONE_NODE.get(item.path.parent.name) or OF_ONE_NODE.get(item.path.name):
        return why
    if citus.needs_a_cluster.mark not in item.iter_markers() and "template" not in item.fixturenames:
        return "it uses no database, or makes one itself"
    return None


def migrate_database(dsn: str) -> None:
    with database.connect(database.Target(dsn, "the tests")) as connection:
        migrate.migrate(connection)


@pytest.fixture(scope="session")
def server() -> str:
    """The server's maintenance database, as a connection string."""
    return make_conninfo(host=HOST, port=os.environ[PORT_VARIABLE], user="postgres", dbname="postgres")


@pytest.fixture(scope="session")
def newer() -> Iterator[Callable[[str], str]]:
    """The maintenance database of a newer server, by its version. It is started when it is first asked for."""
    with ExitStack() as ending:

        @cache
        def start(version: str) -> str:
            return ending.enter_context(running(newer_bins()[version])).dsn

        yield start


def migrate_template(**connection: str) -> None:
    connection.pop("autocommit", None)
    migrate_database(make_conninfo(**connection))


migrated = factories.postgresql_noproc(dbname="llm_test", load=[migrate_template])


@pytest.fixture(scope="session")
def template(server: str, request: pytest.FixtureRequest) -> Iterator[str]:
    """A migrated database, to make copies of: who is connected to it stands in the way of the next copy. Where a
    cluster is named it is there, and distributed."""
    with ExitStack() as ending:
        if citus.DSN:
            yield citus.distributed_template(ending)
        else:
            migrated: NoopExecutor = request.getfixturevalue("migrated")
            yield make_conninfo(server, dbname=migrated.template_dbname)


@pytest.fixture
def dsn(server: str, template: str) -> Iterator[str]:
    """A migrated database that is this test's own."""
    with fresh_database(server, template) as dsn:
        yield dsn


@pytest.fixture
def db(dsn: str) -> Iterator[psycopg.Connection]:
    """A session, in autocommit, on the same database."""
    with closing(psycopg.connect(dsn, autocommit=True)) as connection:
        yield connection


@pytest.fixture
def empty_dsn(server: str) -> Iterator[str]:
    """A database with nothing in it."""
    with fresh_database(server) as dsn:
        yield dsn


@contextmanager
def fresh_database(server: str, copy_of: str | None = None) -> Iterator[str]:
    """An empty database, or a copy of another one: of this server, or of a cluster, where its copies are then."""
    if copy_of and citus.has(copy_of):
        with citus.cluster_database(copy_of) as dsn:
            yield dsn
        return
    name, source = f"test_{uuid.uuid4().hex}", conninfo_to_dict(copy_of)["dbname"] if copy_of else "template1"
    # Files in memory are copied in half the time that it takes to log their blocks.
    make = sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy").format(*map(sql.Identifier, (name, source)))
    with psycopg.connect(server, autocommit=True) as admin:
        admin.execute(make)
        try:
            yield make_conninfo(server, dbname=name)
        finally:
            # DROP looks only every tenth of a second whether the sessions are gone that it ended or that said goodbye.
            for _ in range(100):
                if admin.execute(END_SESSIONS, [name]).fetchone() == (0,):
                    break
                time.sleep(0.001)
            admin.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


@contextmanager
def refused(db: psycopg.Connection, constraint: str) -> Iterator[None]:
    """What is done within must be refused, by the constraint of this name. The session is usable afterwards."""
    with pytest.raises(psycopg.errors.IntegrityError) as error, db.transaction():
        yield
    assert violated(error.value) == constraint, str(error.value)


def violated(error: psycopg.Error) -> str | None:
    """The name of the rule. Of what a cluster's worker refuses it stands in the text, behind it the shard's number."""
    told = re.search(r'constraint "(.+?)(?:_\d{6,})?"', str(error)) if citus.DSN else None
    return error.diag.constraint_name or (told[1] if told else None)


@dataclass(frozen=True)
class Company:
    """The smallest set of rows in which every entity has one."""

    department_id: int
    user_id: int
    project_id: int
    model_id: int
    config_id: int
    dataset_id: int
    deployment_id: int
    template_id: int
    session_id: uuid.UUID


@pytest.fixture
def company(db: psycopg.Connection) -> Company:
    return found_company(db)


def found_company(db: psycopg.Connection, name: str = "AI연구팀") -> Company:
    def insert(table: str, key: str, **values: object) -> object:
        query = sql.SQL("INSERT INTO llm.{} ({}) VALUES ({}) RETURNING {}").format(
            sql.Identifier(table),
            sql.SQL(", ").join(map(sql.Identifier, values)),
            sql.SQL(", ").join(map(sql.Placeholder, values)),
            sql.Identifier(key),
        )
        return db.execute(query, values).fetchone()[0]

    with db.transaction():
        # Two statements: the first one's own snapshot does not see the rows its function makes.
        department_id = db.execute(
            "SELECT llm.found_department(%s, %s, %s, 'researcher')",
            [name, "김연구", f"{uuid.uuid4().hex}@example.com"],
        ).fetchone()[0]
        user_id = db.execute(
            "SELECT manager_id FROM llm.departments WHERE department_id = %s", [department_id]
        ).fetchone()[0]
        project_id = insert(
            "projects", "project_id", project_name=f"{name} 챗봇", created_by=user_id, department_id=department_id
        )
        model_id = insert("models", "model_id", model_name=f"{name} gpt-oss-120b", model_type="chat")
        config_id = insert(
            "model_configs",
            "config_id",
            model_id=model_id,
            config_name="default",
            max_tokens=4096,
            temperature=0.7,
            top_p=0.9,
            top_k=40,
        )
        dataset_id = insert("datasets", "dataset_id", learning_type="fine_tuning", s3_path="s3://datasets/one.jsonl")
        deployment_id = insert(
            "deployments",
            "deployment_id",
            model_id=model_id,
            dataset_id=dataset_id,
            server_name=f"{name}-gpu-01",
            gpu_count=8,
            environment="production",
            status="active",
        )
        template_id = insert(
            "prompt_templates",
            "template_id",
            template_name=f"{name} 요약",
            prompt_s3_path="s3://prompts/one.txt",
            task_category="summarization",
            variables=["{text}"],
            version="1.0",
            created_by=user_id,
        )
        session_id = insert(
            "sessions",
            "session_id",
            user_id=user_id,
            project_id=project_id,
            session_type="production",
            status="running",
        )
    return Company(
        department_id, user_id, project_id, model_id, config_id, dataset_id, deployment_id, template_id, session_id
    )
