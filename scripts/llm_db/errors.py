"""What a user is told when something goes wrong: one sentence, one hint, one exit code; never a password."""

import re
from enum import IntEnum
from pathlib import Path
from urllib.parse import unquote

import psycopg


class Exit(IntEnum):
    """The exit codes, as `llm-db --help` lists them."""

    DONE = 0
    SQL_FAILED = 1
    USAGE = 2
    PENDING = 3
    LOCKED = 4
    HISTORY = 5
    DRIFT = 6
    CHECK_FAILED = 7


DONE, SQL_FAILED, USAGE, PENDING, LOCKED, HISTORY, DRIFT, CHECK_FAILED = Exit


class Problem(Exception):
    """An error whose message is meant for the user."""

    def __init__(self, message: str, hint: str = "", exit_code: Exit = USAGE) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.exit_code = exit_code


def secrets_in(conninfo: str) -> set[str]:
    """Every password a connection string carries, as written and as decoded, whether or not libpq could parse it."""
    found: set[str] = set()
    # Up to the LAST @: a password with an unescaped @ must not leave its tail behind.
    found.update(re.findall(r"://[^:/?#\s]*:(.*)@", conninfo))
    found.update(re.findall(r"(?i)[?&](?:ssl)?password=([^&\s]*)", conninfo))
    found.update(
        re.sub(r"\\(.)", r"\1", quoted or bare)
        for quoted, bare in re.findall(
            r"(?i)(?:^|\s)(?:ssl)?password\s*=\s*(?:'((?:[^'\\]|\\.)*)'?|((?:[^\s\\]|\\.)+))", conninfo
        )
    )
    return {secret for text in found for secret in (text, unquote(text)) if secret}


def redact(text: str, conninfo: str) -> str:
    for secret in sorted(secrets_in(conninfo), key=len, reverse=True):
        text = text.replace(secret, "***")
    return text


def one_line(text: str) -> str:
    return " ".join(text.split())


def sql_problem(error: psycopg.Error, source: Path | str, text: str = "") -> Problem:
    """An SQL error, with the file and line it came from. `text` is what was sent, so that a position has a line."""
    where = str(source)
    if text and error.diag.statement_position:
        where += f", line {text.count(chr(10), 0, int(error.diag.statement_position) - 1) + 1}"
    message = one_line(error.diag.message_primary or str(error) or type(error).__name__)
    state = f"{error.sqlstate}: " if error.sqlstate else ""
    detail = f" ({one_line(error.diag.message_detail)})" if error.diag.message_detail else ""
    return Problem(f"{where}: {state}{message}{detail}", hint_for(error), SQL_FAILED)


def hint_for(error: psycopg.Error) -> str:
    if error.diag.message_hint:
        return one_line(error.diag.message_hint)
    match error:
        case psycopg.errors.InsufficientPrivilege():
            return "connect as the role that owns the database, or ask its DBA to run this"
        case psycopg.errors.LockNotAvailable():
            return "another session holds the lock; run this again when it is done"
        case psycopg.errors.QueryCanceled():
            return "a timeout or a cancel stopped the statement; see statement_timeout, then run this again"
        case psycopg.errors.DuplicateObject() | psycopg.errors.DuplicateTable() | psycopg.errors.DuplicateSchema():
            return "the object was made by something else; remove it, or use an empty database"
        case psycopg.errors.ReadOnlySqlTransaction():
            return "the server is a standby or the database is read-only; connect to the primary"
        case psycopg.OperationalError() if error.sqlstate is None:
            return "the connection was lost; `llm-db status` tells what was applied, then run this again"
    return "nothing of this file was kept; correct it and run this again"
