"""One PostgreSQL for the whole run, a migrated template database per worker, a clone of it per test.

LLM_DB_TEST_PG_BIN names another server's bin folder, to test on PostgreSQL 15 or 17.
"""

import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo
from pytest_postgresql import factories

from cluster import HOST, newer_bins, running, server_bin
from llm_db import database, migrate

ROOT = Path(__file__).parents[1]
# How the controller tells its xdist workers where the server is.
PORT_VARIABLE = "LLM_DB_TEST_PG_PORT"


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


def migrate_template(**connection: str) -> None:
    connection.pop("autocommit", None)
    with database.connect(database.Target(make_conninfo(**connection), "the tests")) as template:
        migrate.migrate(template)


migrated = factories.postgresql_noproc(dbname="llm_test", load=[migrate_template])
clone = factories.postgresql("migrated")


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


@pytest.fixture
def db(clone: psycopg.Connection) -> psycopg.Connection:
    """A session, in autocommit, on a migrated database that is this test's own."""
    clone.autocommit = True
    return clone


@pytest.fixture
def dsn(db: psycopg.Connection) -> str:
    """The same database, for more sessions and for the command line."""
    return make_conninfo(host=HOST, port=db.info.port, user="postgres", dbname=db.info.dbname)


@pytest.fixture
def empty_dsn(server: str) -> Iterator[str]:
    """A database with nothing in it."""
    with fresh_database(server) as dsn:
        yield dsn


@contextmanager
def fresh_database(server: str) -> Iterator[str]:
    name = f"empty_{uuid.uuid4().hex}"
    with psycopg.connect(server, autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        try:
            yield make_conninfo(server, dbname=name)
        finally:
            admin.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


@contextmanager
def refused(db: psycopg.Connection, constraint: str) -> Iterator[None]:
    """What is done within must be refused, by the constraint of this name. The session is usable afterwards."""
    with pytest.raises(psycopg.errors.IntegrityError) as error, db.transaction():
        yield
    assert error.value.diag.constraint_name == constraint, str(error.value)


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
