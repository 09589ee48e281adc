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

from llm_db import __version__
from llm_db.errors import Problem

STARTED, UNDOING, APPLIED = "started", "undoing", "applied"

TABLE = """
CREATE TABLE llm_db.migrations (
    migration_id   text        NOT NULL,
    state          text        NOT NULL,
    up_sha256      text        NOT NULL,
    down_sha256    text        NOT NULL,
    applied_by     text        NOT NULL DEFAULT session_user,
    applied_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    duration_ms    bigint      NULL,
    llm_db_version text        NULL,
    server_version text        NULL,
    server_address text        NULL,

    CONSTRAINT migrations_pkey PRIMARY KEY (migration_id),
    CONSTRAINT migrations_state_is_known CHECK (state IN ('started', 'applied', 'undoing'))
);
COMMENT ON TABLE llm_db.migrations IS 'What exactly was applied; llm_db._yoyo_migration says whether';
COMMENT ON COLUMN llm_db.migrations.migration_id IS 'NNNN.slug';
COMMENT ON COLUMN llm_db.migrations.state IS 'applied; started or undoing = a file without a transaction began and has '
    'not been seen to end';
COMMENT ON COLUMN llm_db.migrations.up_sha256 IS 'SHA-256 of the file, its line ends as LF';
COMMENT ON COLUMN llm_db.migrations.down_sha256 IS 'SHA-256 of the rollback file, its line ends as LF';
COMMENT ON COLUMN llm_db.migrations.applied_by IS 'The role that logged in; of before this table, the operating '
    'system''s user';
COMMENT ON COLUMN llm_db.migrations.applied_at IS 'When it was applied or, where it is not yet, begun';
COMMENT ON COLUMN llm_db.migrations.duration_ms IS 'How long the file took; NULL = not run by llm-db, or not ended';
COMMENT ON COLUMN llm_db.migrations.llm_db_version IS 'Of the llm-db that applied it; NULL = before this table was';
COMMENT ON COLUMN llm_db.migrations.server_version IS 'Of the server then; NULL = before this table was';
COMMENT ON COLUMN llm_db.migrations.server_address IS 'Its address and port; NULL = a Unix socket, or before this '
    'table was';
"""

# What 0.1.0 applied: its files never change, so their sums are those of the files at hand.
ADOPT = """
INSERT INTO llm_db.migrations (migration_id, state, up_sha256, down_sha256, applied_by, applied_at)
SELECT
    mark.migration_id, 'applied', %(up_sha256)s, %(down_sha256)s, coalesce(log.username, session_user),
    mark.applied_at_utc AT TIME ZONE 'UTC'
FROM llm_db._yoyo_migration AS mark
LEFT JOIN llm_db._yoyo_log AS log ON log.migration_id = mark.migration_id AND log.operation = 'apply'
WHERE mark.migration_id = %(migration_id)s
ORDER BY log.created_at_utc DESC
LIMIT 1
ON CONFLICT (migration_id) DO NOTHING
"""

WRITE = """
INSERT INTO llm_db.migrations (
    migration_id, state, up_sha256, down_sha256, duration_ms, llm_db_version, server_version, server_address
)
VALUES (
    %(migration_id)s, %(state)s, %(up_sha256)s, %(down_sha256)s, %(duration_ms)s, %(version)s,
    pg_catalog.current_setting('server_version'),
    pg_catalog.host(pg_catalog.inet_server_addr()) || ':' || pg_catalog.inet_server_port()
)
ON CONFLICT (migration_id) DO UPDATE SET
    state = excluded.state,
    up_sha256 = excluded.up_sha256,
    down_sha256 = excluded.down_sha256,
    applied_by = excluded.applied_by,
    applied_at = excluded.applied_at,
    duration_ms = excluded.duration_ms,
    llm_db_version = excluded.llm_db_version,
    server_version = excluded.server_version,
    server_address = excluded.server_address
"""

NAME = r'(?:"(?:[^"]|"")+"|[^\s".;(]+)'
COMMENTS = re.compile(r"--[^\n]*|/\*.*?\*/", re.S)
CREATE_INDEX = re.compile(
    rf"\s*CREATE\s+(?:UNIQUE\s+)?INDEX\s+CONCURRENTLY\s+(?:IF\s+NOT\s+EXISTS\s+)?(?P<index>{NAME})"
    rf"\s+ON\s+(?P<table>(?P<schema>{NAME})\.{NAME})[\s(]",
    re.I,
)
DROP_INDEX = re.compile(
    rf"\s*DROP\s+INDEX\s+CONCURRENTLY\s+(?:IF\s+EXISTS\s+)?(?P<name>{NAME}\.{NAME})\s*(?:RESTRICT\s*)?;?\s*", re.I
)


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
    except psycopg.errors.InsufficientPrivilege:
        raise Problem(
            f"The role {connection.info.user} may not read the ledger in schema llm_db.",
            f'GRANT USAGE ON SCHEMA llm_db TO "{connection.info.user}"; '
            f'GRANT SELECT ON ALL TABLES IN SCHEMA llm_db TO "{connection.info.user}"',
        ) from None


def adopt(connection: psycopg.Connection, migration_id: str, sums: dict[str, str]) -> None:
    connection.execute(ADOPT, {"migration_id": migration_id} | sums)


def write(
    connection: psycopg.Connection, migration_id: str, state: str, sums: dict[str, str], duration_ms: int | None = None
) -> None:
    values = {"migration_id": migration_id, "state": state, "duration_ms": duration_ms, "version": __version__}
    connection.execute(WRITE, values | sums)


def update(connection: psycopg.Connection, migration_id: str, state: str, sums: dict[str, str]) -> None:
    """Leaves alone who applied it and when."""
    connection.execute(
        "UPDATE llm_db.migrations SET state = %(state)s, up_sha256 = %(up_sha256)s, down_sha256 = %(down_sha256)s"
        " WHERE migration_id = %(migration_id)s",
        {"migration_id": migration_id, "state": state} | sums,
    )


def remove(connection: psycopg.Connection, migration_id: str) -> None:
    connection.execute("DELETE FROM llm_db.migrations WHERE migration_id = %s", [migration_id])


def left_behind(connection: psycopg.Connection, text: str) -> Left:
    """What can be known of a statement that began: for CREATE and DROP INDEX CONCURRENTLY, everything."""
    statement = COMMENTS.sub(" ", text)
    if found := CREATE_INDEX.match(statement):
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
    if found := DROP_INDEX.fullmatch(statement):
        return Left("done" if value_of(connection, found["name"]) is None else "nothing")
    return Left("unclear")


def value_of(connection: psycopg.Connection, name: str) -> object:
    return connection.execute("SELECT pg_catalog.to_regclass(%s)", [name]).fetchone()[0]
