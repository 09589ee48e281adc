"""Which database (--dsn, else DATABASE_URL, else libpq's environment, else an embedded one), and connecting to it."""

import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.abc import Query
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from llm_db import embedded
from llm_db.errors import Problem, one_line, redact

OLDEST_SERVER = 15
# Any of these says that the user has a server in mind; PGPASSWORD or PGSSLMODE alone does not.
LIBPQ_CHOICES = ("PGHOST", "PGHOSTADDR", "PGPORT", "PGDATABASE", "PGUSER", "PGSERVICE")

POLL_SECONDS = 0.2

Connect = Callable[[], psycopg.Connection]


@dataclass(frozen=True)
class Target:
    conninfo: str
    source: str


def resolve(dsn: str | None) -> Target:
    """Decides on a database without touching it, except that the embedded one is started if it comes to that."""
    if dsn is not None:
        if not dsn.strip():
            raise Problem("--dsn is empty.", "give a URI or keyword string, for example --dsn 'host=db1 dbname=llm'")
        return Target(checked(dsn, "--dsn"), "--dsn")
    if url := os.environ.get("DATABASE_URL"):
        return Target(checked(url, "DATABASE_URL"), "DATABASE_URL")
    if named := [name for name in LIBPQ_CHOICES if os.environ.get(name)]:
        return Target("", ", ".join(named))
    return Target(embedded.start(), embedded.FOLDER)


def checked(conninfo: str, source: str) -> str:
    """Refuses what libpq cannot parse, in our own words: libpq's message quotes the string, password and all."""
    userinfo = re.match(r"postgres(?:ql)?://([^?]*)@", conninfo)
    if userinfo and re.search(r"[@/#]", userinfo[1]):
        raise Problem(
            f"The user or password in {source} has a character that a URI must escape.",
            "write @ as %40, / as %2F, # as %23, or leave the password out and set PGPASSWORD",
        )
    try:
        conninfo_to_dict(conninfo)
    except psycopg.ProgrammingError:
        if re.match(r"\w+\+\w+://", conninfo):
            hint = "libpq knows only postgresql://; drop the +driver from the scheme"
        else:
            hint = "write postgresql://user@host:5432/dbname, or 'host=... port=5432 dbname=... user=...'"
        raise Problem(f"{source} is not a connection string that libpq can read.", hint) from None
    return conninfo


def connect(target: Target) -> psycopg.Connection:
    """A session ready for our SQL: autocommit, UTF-8, on a server and database that can hold it."""
    try:
        # The files hold Korean text, whatever PGCLIENTENCODING says.
        connection = psycopg.connect(
            make_conninfo(target.conninfo, client_encoding="utf8", fallback_application_name="llm-db"), autocommit=True
        )
    except psycopg.OperationalError as error:
        reason = redact(one_line(str(error)), target.conninfo)
        raise Problem(f"Cannot connect to PostgreSQL ({target.source}): {reason}", connection_hint(reason)) from None
    except psycopg.ProgrammingError:
        raise Problem(
            f"The connection settings in {target.source} are not ones that libpq can use.",
            "check the spelling of the parameters and of the PG* environment",
        ) from None
    connection.add_notice_handler(tell_warning)
    if connection.info.server_version < OLDEST_SERVER * 10000:
        version = connection.info.parameter_status("server_version")
        connection.close()
        raise Problem(f"The server is PostgreSQL {version}.", f"use PostgreSQL {OLDEST_SERVER} or newer")
    if (encoding := connection.info.parameter_status("server_encoding")) != "UTF8":
        connection.close()
        raise Problem(
            f"The database is encoded in {encoding}, which cannot be relied on for Korean labels.",
            "create it with: CREATE DATABASE llm TEMPLATE template0 ENCODING 'UTF8'",
        )
    return connection


def tell_warning(notice: psycopg.errors.Diagnostic) -> None:
    """What the server warns of, such as rows that break a new rule. Its notices are progress, and said by ourselves."""
    if notice.severity_nonlocalized == "WARNING":
        hint = f" ({one_line(notice.message_hint)})" if notice.message_hint else ""
        print(f"warning: {one_line(notice.message_primary or '')}{hint}", file=sys.stderr)


def connection_hint(reason: str) -> str:
    if "Connection refused" in reason or "No such file or directory" in reason:
        return "is the server running, and is this its host and port? Without any settings an embedded one is used"
    if "password" in reason:
        return "set PGPASSWORD or use ~/.pgpass; check the user name"
    if "does not exist" in reason:
        return "create it first (createdb NAME), or correct the name"
    if "translate host name" in reason or "resolve host" in reason:
        return "check the spelling of the host name"
    return "check host, port, dbname and user; psql with the same settings should connect"


def describe(connection: psycopg.Connection) -> str:
    info = connection.info
    return f"{info.dbname} on {info.host or 'localhost'}:{info.port} as {info.user}"


def scalar(connection: psycopg.Connection, query: Query, parameters: Sequence[object] = ()) -> Any:
    """The first value of the first row; None where there is no row. Without parameters the query is sent as it is."""
    row = connection.execute(query, parameters or None).fetchone()
    return None if row is None else row[0]


@contextmanager
def advisory_turn(connection: psycopg.Connection, key: int, on_wait: Callable[[float], None]) -> Iterator[None]:
    """One session at a time. While another has its turn, `on_wait` is told how many seconds we have waited, 0 at first;
    it raises to give up. Polled, never waited for: a session waiting in pg_advisory_lock holds a snapshot that CREATE
    INDEX CONCURRENTLY in the other session would wait for, and both would wait for ever."""
    began, waited = time.monotonic(), 0.0
    while not scalar(connection, "SELECT pg_catalog.pg_try_advisory_lock(%s)", [key]):
        on_wait(waited)
        time.sleep(POLL_SECONDS)
        waited = time.monotonic() - began
    try:
        yield
    finally:
        # A lost session has lost its lock too.
        if not connection.closed:
            connection.execute("SELECT pg_catalog.pg_advisory_unlock(%s)", [key])
