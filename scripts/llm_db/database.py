"""Which database (--dsn, else DATABASE_URL, else libpq's environment, else an embedded one), and connecting to it.

Between us and the server there may be a pooler that gives each transaction another session: what one leaves in a
session then reaches strangers. So what only reads does so in transactions of its own, with settings that end with them
(opened() and reading()); everything else needs a session that is kept, and is refused before it begins where there is
none (connect()).
"""

import os
import re
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.abc import Query
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from llm_db import embedded
from llm_db.errors import Problem, connection_hint, one_line, redact

OLDEST_SERVER = 15
# Any of these says that the user has a server in mind; PGPASSWORD or PGSSLMODE alone does not.
LIBPQ_CHOICES = ("PGHOST", "PGHOSTADDR", "PGPORT", "PGDATABASE", "PGUSER", "PGSERVICE")

POLL_SECONDS = 0.2

# How a session of ours reads and writes values, looks up names and begins transactions, whatever the server, database,
# role and environment say. How much memory and time it may take stays the DBA's choice; it does not end for being idle,
# since it may wait for a scratch server or for its turn.
SETTINGS = {
    "search_path": "pg_catalog",
    "DateStyle": "ISO, MDY",
    "IntervalStyle": "postgres",
    "TimeZone": "UTC",
    "extra_float_digits": "1",
    "bytea_output": "hex",
    "array_nulls": "on",
    "transform_null_equals": "off",
    "standard_conforming_strings": "on",
    "escape_string_warning": "on",
    "backslash_quote": "safe_encoding",
    "quote_all_identifiers": "off",
    "check_function_bodies": "on",
    "row_security": "on",
    "client_min_messages": "notice",
    "exit_on_error": "off",
    "default_transaction_isolation": "read committed",
    "default_transaction_read_only": "off",
    "default_transaction_deferrable": "off",
    "idle_session_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    # The server's own patience with a client that has fallen silent is two hours, and it keeps our locks meanwhile.
    "tcp_keepalives_idle": "30",
    "tcp_keepalives_interval": "10",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "60000",
}
# The backend of a client that is gone ends its statement and frees its locks. Not on every system: a server on Windows
# refuses it, and then only stops at the end of the statement.
NOTICING = "SET client_connection_check_interval = '1s'"
# Ours with a server that has; a connection string may say otherwise. The milliseconds are for what is being sent.
PATIENCE = {"keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3, "tcp_user_timeout": 60000}
SESSION = "; ".join(f"SET {name} = '{value}'" for name, value in SETTINGS.items())
# Not everybody may set it, so it is left alone where it is as it should be.
TRIGGERS_FIRE = (
    "SELECT pg_catalog.set_config('session_replication_role', 'origin', false)"
    " WHERE pg_catalog.current_setting('session_replication_role') <> 'origin'"
)
READING = f"SET TRANSACTION READ ONLY; {SESSION.replace('SET ', 'SET LOCAL ')}"

PID = "SELECT pg_catalog.pg_backend_pid()"
# How long a pooler may take to give a second client a session.
POOLER_SECONDS = 2.0
POOLER_TRIES = 3

# In the place of a connection string.
EMBEDDED = "embedded"

Connect = Callable[[], AbstractContextManager[psycopg.Connection]]


class Standby(Problem):
    """The server is a standby, and only its primary takes changes."""


@dataclass(frozen=True)
class Target:
    conninfo: str
    source: str


def named_by(dsn: str | None) -> list[str]:
    """What names a database, the first one that is to be taken."""
    return ["--dsn"] * (dsn is not None) + [name for name in ("DATABASE_URL", *LIBPQ_CHOICES) if os.environ.get(name)]


def resolve(dsn: str | None) -> Target:
    """Decides on a database without touching it, except that the embedded one is started if it comes to that."""
    if dsn is not None and not dsn.strip():
        raise Problem("--dsn is empty.", "give a URI or keyword string, for example --dsn 'host=db1 dbname=llm'")
    for given, source in ((dsn, "--dsn"), (os.environ.get("DATABASE_URL"), "DATABASE_URL")):
        if given == EMBEDDED:
            return Target(embedded.start(), embedded.FOLDER)
        if given:
            return Target(checked(given, source), source)
    if named := named_by(dsn):
        return Target("", ", ".join(named))
    # A job that has lost its environment must not work on another database than it used to.
    if not any(stream and stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr)):
        raise Problem(
            "No database was named, and nobody is at a terminal to see which one would be taken.",
            "give --dsn or set DATABASE_URL; `--dsn embedded` is the embedded PostgreSQL in ./.llm-db",
        )
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


@contextmanager
def opened(target: Target) -> Iterator[psycopg.Connection]:
    """A connection in autocommit and UTF-8, to a server and database that can hold our SQL; its session may be
    anybody's after each transaction."""
    try:
        # The files hold Korean text, whatever PGCLIENTENCODING says. A prepared statement would stay in the session.
        connection = psycopg.connect(
            make_conninfo(
                **PATIENCE | conninfo_to_dict(target.conninfo, client_encoding="utf8"),
                fallback_application_name="llm-db",
            ),
            autocommit=True,
            prepare_threshold=None,
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
    # Its own way out would commit, which fails where the session was ended for being idle and is needed no more.
    with closing(connection):
        yield connection


@contextmanager
def reading(connection: psycopg.Connection, isolation: str = "READ COMMITTED") -> Iterator[psycopg.Connection]:
    """A transaction that only reads, and leaves nothing in the session."""
    with connection.transaction():
        connection.execute(f"SET TRANSACTION ISOLATION LEVEL {isolation}; {READING}")
        yield connection


@contextmanager
def connect(target: Target) -> Iterator[psycopg.Connection]:
    """A session ready for our SQL, that is ours until the end; refused where there is none to be had."""
    with opened(target) as connection:
        is_pooled = scalar(connection, PID) != connection.info.backend_pid
        if is_pooled and loses_sessions(connection):
            raise Problem(
                "A pooler in transaction mode stands between llm-db and the server, so no session is kept from one"
                " transaction to the next.",
                "connect to the server itself, or through a pool in session mode; only status, plan, check, doctor,"
                " report and repair work through this one",
            )
        if scalar(connection, "SELECT pg_catalog.pg_is_in_recovery()"):
            raise Standby(
                "This server is a standby, which takes no changes.",
                "connect to the primary; with target_session_attrs=read-write libpq finds it among several hosts",
            )
        try:
            connection.execute(f"{SESSION}; {TRIGGERS_FIRE}")
        except psycopg.errors.InsufficientPrivilege:
            user = connection.info.user
            raise Problem(
                f"Triggers do not fire in sessions of {user}: session_replication_role is not origin.",
                f'ALTER ROLE "{user}" RESET session_replication_role, or take it out of the connection\'s options',
            ) from None
        with suppress(psycopg.errors.InvalidParameterValue):
            connection.execute(NOTICING)
        try:
            yield connection
        finally:
            if is_pooled and connection.info.transaction_status == psycopg.pq.TransactionStatus.IDLE:
                connection.execute("DISCARD ALL")


@contextmanager
def another(connection: psycopg.Connection) -> Iterator[psycopg.Connection]:
    """A second one to the same database, as the same role."""
    info = connection.info
    try:
        other = psycopg.connect(info.dsn, password=info.password or None, autocommit=True, prepare_threshold=None)
    except psycopg.OperationalError as error:
        reason = one_line(str(error))
        raise Problem(f"A second session is needed, and not to be had: {reason}", connection_hint(reason)) from None
    with closing(other):
        yield other


def loses_sessions(connection: psycopg.Connection) -> bool:
    """Whether a pooler gives our backend to others while we are between two transactions. Seen by having a second
    client hold a transaction: it gets our backend, or we get another one."""
    for _ in range(POOLER_TRIES):
        with connection.transaction():
            ours = scalar(connection, PID)
        theirs: list[int] = []
        failed: list[psycopg.Error | Problem] = []
        began, done = threading.Event(), threading.Event()

        def hold(theirs=theirs, failed=failed, began=began, done=done) -> None:
            try:
                with another(connection) as other, other.transaction():
                    theirs.append(scalar(other, PID))
                    began.set()
                    # Not for ever: if there is one backend only, we are waiting for it.
                    done.wait(POOLER_SECONDS)
            except (psycopg.Error, Problem) as error:
                failed.append(error)
            began.set()

        threading.Thread(target=hold, daemon=True).start()
        is_served = began.wait(POOLER_SECONDS)
        now = None if ours in theirs else scalar(connection, PID)
        done.set()
        if failed:
            raise Problem(
                f"A pooler stands between llm-db and the server, and whether it keeps sessions cannot be found out: "
                f"{one_line(str(failed[0]))}.",
                "connect to the server itself",
            )
        if now != ours:
            return True
        if not is_served:
            raise Problem(
                "A pooler stands between llm-db and the server, and has no second session for llm-db, which needs two.",
                "connect to the server itself, or through a pool with more sessions",
            )
    return False


def tell_warning(notice: psycopg.errors.Diagnostic) -> None:
    """What the server warns of, such as rows that break a new rule. Its notices are progress, and said by ourselves."""
    if notice.severity_nonlocalized == "WARNING":
        hint = f" ({one_line(notice.message_hint)})" if notice.message_hint else ""
        print(f"warning: {one_line(notice.message_primary or '')}{hint}", file=sys.stderr)


def describe(connection: psycopg.Connection) -> str:
    info = connection.info
    return f"{info.dbname} on {info.host or 'localhost'}:{info.port} as {info.user}"


def scalar(connection: psycopg.Connection, query: Query, parameters: Sequence[object] = ()) -> Any:
    """The first value of the first row; None where there is no row. Without parameters the query is sent as it is."""
    row = connection.execute(query, parameters or None).fetchone()
    return None if row is None else row[0]
