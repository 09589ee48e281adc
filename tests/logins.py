"""Logins as docs/roles.md makes them, and what the platform's service does all day."""

import re
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psycopg
import pytest
from psycopg import errors
from psycopg.conninfo import make_conninfo

from command import ROOT, drop_role, execute

PAGE = (ROOT / "docs" / "roles.md").read_text(encoding="utf-8")
LOGINS = re.findall(r"^CREATE ROLE (\w+) LOGIN IN ROLE ", PAGE, re.M)
CONNECT = Callable[[str], psycopg.Connection]


@contextmanager
def logins_of_the_page(dsn: str) -> Iterator[CONNECT]:
    """A session of one of them by its name on the page. Roles are the server's, so each name gets an end of its own."""
    end = f"_{uuid.uuid4().hex}"
    block = re.search(r"<!-- logins: begin -->\n```sql\n(.*?)```\n<!-- logins: end -->", PAGE, re.S)[1]
    execute(dsn, re.sub(r"CREATE ROLE (\w+)", rf"CREATE ROLE \g<1>{end}", block))
    opened = []

    def connect(name: str) -> psycopg.Connection:
        opened.append(psycopg.connect(make_conninfo(dsn, user=name + end), autocommit=True))
        return opened[-1]

    try:
        yield connect
    finally:
        for one in opened:
            one.close()
        for name in LOGINS:
            drop_role(dsn, name + end)


def one(connection: psycopg.Connection, query: str, *values: object) -> object:
    return connection.execute(query, values).fetchone()[0]


def refuses(connection: psycopg.Connection, *statements: str) -> None:
    for statement in statements:
        with pytest.raises(errors.InsufficientPrivilege), connection.transaction():
            connection.execute(statement)
            pytest.fail(statement)


SESSION = "INSERT INTO llm.sessions (user_id, project_id, session_type) VALUES (%s, %s, 'test') RETURNING session_id"
LOG = (
    "INSERT INTO llm.session_logs (session_id, request_time, deployment_id, config_id, template_id)"
    " VALUES (%s, now() - %s::interval, %s, %s, %s) RETURNING session_id, log_sequence"
)
