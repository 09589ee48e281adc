"""What a user is told when something goes wrong: one sentence, one hint, one exit code; never a password."""

import errno
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

# Of a disk, and of what somebody may use of it.
FULL = (errno.ENOSPC, errno.EDQUOT)


class Problem(Exception):
    """An error whose message is meant for the user."""

    def __init__(self, message: str, hint: str = "", exit_code: Exit = USAGE) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.exit_code = exit_code


CORRECT_THE_FILE = "nothing of this file was kept; correct it and run this again"
DISK_FULL = "the server's disk is full: make room, then run this again"
LACKS_A_RIGHT = "connect as the role that owns the objects, or have it grant the right"
LOST = "the session was lost; `llm-db status` tells what was applied, then run this again"
MADE_BY_OTHERS = (
    "the object was made by something else; remove it, use an empty database, or adopt what is there: `llm-db baseline`"
)
TOO_MANY = "run this again when others have left, or have a DBA raise max_connections or the CONNECTION LIMIT"


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


# What would act on a terminal instead of being shown on it: controls, what turns the direction of writing, line ends of
# Unicode, and what has no UTF-8.
ACTING = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(text: str) -> str:
    """Names and values are data of strangers: in their text, what would act is spelled out, such as \\x1b."""
    return ACTING.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)


def printable_lines(text: str) -> str:
    """The same of a text of our own, in which line ends and tabs are meant."""
    return "\n".join("\t".join(map(printable, line.split("\t"))) for line in text.split("\n"))


def one_line(text: str) -> str:
    return printable(" ".join(text.split()))


def sql_problem(error: psycopg.Error, source: Path | str, text: str = "", otherwise: str = CORRECT_THE_FILE) -> Problem:
    """An SQL error, with the file and line it came from. `text` is what was sent, so that a position has a line;
    `otherwise` is the hint for what we know nothing about."""
    where = str(source)
    if text and error.diag.statement_position:
        where += f", line {text.count(chr(10), 0, int(error.diag.statement_position) - 1) + 1}"
    message = one_line(error.diag.message_primary or str(error) or type(error).__name__)
    state = f"{error.sqlstate}: " if error.sqlstate else ""
    detail = f" ({one_line(error.diag.message_detail)})" if error.diag.message_detail else ""
    return Problem(f"{where}: {state}{message}{detail}", hint_for(error, otherwise), SQL_FAILED)


# By SQLSTATE, or by its class. Before the server's own hint, which does not know what we are doing.
HINTS = {
    # Dropping with CASCADE, as the server would have it, takes what people built on ours.
    "2BP01": "something that is not ours is built on it: drop that, run this again, and create it anew on what is there"
    " then",
    "42501": LACKS_A_RIGHT,
    "53100": DISK_FULL,
}
# After the server's own hint.
MORE_HINTS = {
    "08P01": "a pooler stands between that does not allow this; connect to the server itself",
    "08": LOST,
    "25006": "the server is a standby or the database is read-only; connect to the primary",
    "40": "others were at work on the same rows; run this again",
    "42710": MADE_BY_OTHERS,
    "42P06": MADE_BY_OTHERS,
    "42P07": MADE_BY_OTHERS,
    "53200": "the server has no memory left for this; run this again when it is less busy",
    "53300": TOO_MANY,
    "53": "the server has run out of something; see its log, then run this again",
    "55P03": "another session holds the lock; run this again when it is done",
    "57014": "a timeout or a cancel stopped the statement; see statement_timeout, then run this again",
    "57": LOST,
    "58": "the server could not read or write its files; see its log",
    "XX": "the server met an error of its own; see its log",
}
# Said while connecting, where there is no SQLSTATE yet: the server's English, or libpq's.
CONNECTION_HINTS = {
    "onnection refused|No such file or directory": "is the server running, and is this its host and port?",
    "starting up|shutting down|recovery|not (currently )?accepting connections": "the server is up, but lets"
    " nobody in now; try again in a moment, or ask its DBA",
    "No space left on device|could not write init file": DISK_FULL,
    "too many connections|remaining connection slots|too many clients|no more connections": TOO_MANY,
    'role ".*" does not exist': "correct the user name (user= or PGUSER), or have a DBA create the role",
    "is not permitted to log in": "connect as a role that may log in, and act as this one with --role",
    'database ".*" does not exist|no such database': "create it first (createdb NAME), or correct the name",
    "permission denied for database": "have its owner GRANT CONNECT ON DATABASE to the user",
    "no pg_hba.conf entry|pg_hba.conf rejects": "have the server's DBA let this user, host and database in (in"
    " pg_hba.conf); where it says no encryption, try sslmode=require",
    "SSL|certificate|TLS": "see sslmode, sslrootcert and sslcert in the connection string; has the server ssl = on?",
    "authentication failed|password|SASL": "set PGPASSWORD or use ~/.pgpass; check the user name",
    "startup parameter": "a pooler stands between that refuses it: unset PGOPTIONS, or connect to the server itself",
    "translate host name|resolve host|Name or service not known": "check the spelling of the host name",
    "timeout|timed out|unreachable|No route": "does a firewall stand between, and is this its host and port?",
}


def hint_for(error: psycopg.Error, otherwise: str) -> str:
    if error.sqlstate is None and isinstance(error, psycopg.OperationalError):
        return LOST
    state = error.sqlstate or ""
    return (
        HINTS.get(state)
        or one_line(error.diag.message_hint or "")
        or MORE_HINTS.get(state)
        or MORE_HINTS.get(state[:2])
        or otherwise
    )


def connection_hint(reason: str) -> str:
    for pattern, hint in CONNECTION_HINTS.items():
        if re.search(pattern, reason):
            return hint
    return "check host, port, dbname and user; psql with the same settings should connect"
