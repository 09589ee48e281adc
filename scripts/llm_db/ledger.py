"""The ledger: which text was applied, by whom, when, how long it took, from which version and on which server; and
what a file that runs outside a transaction left behind.

yoyo's mark says whether a migration is applied. The row here says what exactly was applied, and is written before and
after a file that cannot be one transaction with its mark.
"""

import hashlib
import re
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

import psycopg
from psycopg.rows import class_row

from llm_db.errors import Problem

STARTED, UNDOING, APPLIED = "started", "undoing", "applied"
TABLES = {"migrations", "repeatables", "views", "grants", "loads", "load_rejects", "turn"}

NAME = r'(?:"(?:[^"]|"")+"|[^\s".;(]+)'
COMMENTS = r"--[^\n]*|/\*.*?\*/"
CREATE_INDEX = (
    rf"\s*CREATE\s+(?:UNIQUE\s+)?INDEX\s+CONCURRENTLY\s+(?:IF\s+NOT\s+EXISTS\s+)?(?P<index>{NAME})"
    rf"\s+ON\s+(?P<table>(?P<schema>{NAME})\.{NAME})[\s(]"
)
DROP_INDEX = rf"\s*DROP\s+INDEX\s+CONCURRENTLY\s+(?:IF\s+EXISTS\s+)?(?P<name>{NAME}\.{NAME})\s*(?:RESTRICT\s*)?;?\s*"


@dataclass(frozen=True)
class Entry:
    migration_id: str
    state: str
    up_sha256: str
    down_sha256: str
    applied_by: str
    applied_at: datetime
    duration_ms: int | None
    llm_db_version: str | None
    server_version: str | None
    server_address: str | None

    def as_json(self) -> dict[str, object]:
        return asdict(self) | {"applied_at": self.applied_at.isoformat()}


@dataclass(frozen=True)
class Left:
    """What a statement outside a transaction left behind."""

    outcome: Literal["nothing", "done", "invalid", "unclear"]
    index: str = ""


def tables(connection: psycopg.Connection) -> list[str]:
    """Asked of the catalog, which any role may read."""
    query = "SELECT tablename FROM pg_catalog.pg_tables WHERE schemaname = 'llm_db'"
    return [name for (name,) in connection.execute(query)]


def sha256(path: Path) -> str:
    """Of the text with its line ends as LF: git may check it out with others."""
    return hashlib.sha256(path.read_bytes().replace(b"\r\n", b"\n")).hexdigest()


def read(connection: psycopg.Connection) -> tuple[list[str], dict[str, Entry]]:
    """The marked migrations in the order they were applied, and the entries. Reads only, also where there is none."""
    present = tables(connection)
    try:
        marked: list[str] = []
        if "_yoyo_migration" in present:
            query = "SELECT migration_id FROM llm_db._yoyo_migration ORDER BY applied_at_utc, migration_id"
            marked = [migration_id for (migration_id,) in connection.execute(query)]
        if "migrations" not in present:
            return marked, {}
        with connection.cursor(row_factory=class_row(Entry)) as cursor:
            entries = cursor.execute("SELECT * FROM llm_db.migrations ORDER BY applied_at, migration_id").fetchall()
        return marked, {entry.migration_id: entry for entry in entries}
    except psycopg.errors.InsufficientPrivilege as error:
        raise Problem(
            f"The role {connection.info.user} may not read the ledger in schema llm_db.",
            f'GRANT USAGE ON SCHEMA llm_db TO "{connection.info.user}"; '
            f'GRANT SELECT ON ALL TABLES IN SCHEMA llm_db TO "{connection.info.user}"',
        ) from error


def left_behind(connection: psycopg.Connection, text: str) -> Left:
    """What can be known of a statement that began: for CREATE and DROP INDEX CONCURRENTLY, everything."""
    statement = re.sub(COMMENTS, " ", text, flags=re.S)
    if found := re.match(CREATE_INDEX, statement, re.I):
        name = f"{found['schema']}.{found['index']}"
        query = (
            "SELECT indisvalid AND indisready, indrelid = pg_catalog.to_regclass(%s)"
            " FROM pg_catalog.pg_index WHERE indexrelid = pg_catalog.to_regclass(%s)"
        )
        row = connection.execute(query, [found["table"], name]).fetchone()
        if row is None:
            return Left("nothing" if value_of(connection, name) is None else "unclear")
        valid, on_the_table = row
        return Left("unclear") if not on_the_table else Left("done" if valid else "invalid", name)
    if found := re.fullmatch(DROP_INDEX, statement, re.I):
        return Left("done" if value_of(connection, found["name"]) is None else "nothing")
    return Left("unclear")


def index_of(text: str) -> tuple[str | None, bool]:
    """The index that a statement outside a transaction makes or drops, where that can be told, and whether it drops
    it."""
    statement = re.sub(COMMENTS, " ", text, flags=re.S)
    if found := re.match(CREATE_INDEX, statement, re.I):
        return f"{found['schema']}.{found['index']}", False
    found = re.fullmatch(DROP_INDEX, statement, re.I)
    return (found["name"], True) if found else (None, False)


def value_of(connection: psycopg.Connection, name: str) -> object:
    return connection.execute("SELECT pg_catalog.to_regclass(%s)", [name]).fetchone()[0]
