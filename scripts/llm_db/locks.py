"""What pending migrations do to the tables that exist: seen by running them on a scratch copy of the schema.

The copy is a database of its own, made from the files and dropped afterwards. It holds no rows: a lock, a new file
under a table and the start of a scan show on an empty table as well. But a join that finds its first table empty does
not begin on its second, such as the table that a new foreign key refers to. Each pending migration but the last is
committed there, for the next one to build on; all that can outlive the copy is a role that such a file makes, since
roles belong to the server. The text that made a repeatable before is not known, so where its new text takes another
shape, the locks of dropping the old one are not seen.
"""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import psycopg

from llm_db import scratch
from llm_db.files import Migration
from llm_db.history import State
from llm_db.repeatables import Pending, Repeatable
from llm_db.session import Session

# Weakest first, as in the manual's chapter on explicit locking.
MODES = (
    "AccessShareLock",
    "RowShareLock",
    "RowExclusiveLock",
    "ShareUpdateExclusiveLock",
    "ShareLock",
    "ShareRowExclusiveLock",
    "ExclusiveLock",
    "AccessExclusiveLock",
)

TABLES = """
SELECT c.oid, pg_catalog.format('%I.%I', n.nspname, c.relname), c.relfilenode, coalesce(s.seq_scan, 0)
FROM pg_catalog.pg_class AS c
INNER JOIN pg_catalog.pg_namespace AS n ON c.relnamespace = n.oid
LEFT JOIN pg_catalog.pg_stat_xact_user_tables AS s ON c.oid = s.relid
WHERE c.relkind IN ('r', 'p', 'm') AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast', 'llm_db')
ORDER BY 2
"""

LOCKS = """
SELECT relation, mode
FROM pg_catalog.pg_locks
WHERE locktype = 'relation' AND granted AND pid = pg_catalog.pg_backend_pid()
"""


@dataclass(frozen=True)
class Table:
    name: str
    file: int
    scans: int


@dataclass(frozen=True)
class Touched:
    """A table that a file locks. A rewrite reads all of the table too."""

    table: str
    lock: str
    rewrites: bool
    scans: bool

    def __str__(self) -> str:
        work = "  rewrites it" if self.rewrites else "  scans it" if self.scans else ""
        return f"{self.table}  {self.lock}{work}"


def examine(
    known: list[Migration], current: State, found: list[Repeatable], pending: list[Pending], server: str
) -> dict[str, list[Touched]]:
    """By migration and repeatable, what it touches of the tables that the target has now. A migration outside of a
    transaction is run, for those after it, and not examined: it takes its locks one after the other and keeps none."""
    coming = [migration for migration in known if migration.id in current.pending]
    changed = {one.name: one.change for one in pending if one.file is not None}
    seen: dict[str, list[Touched]] = {migration.id: [] for migration in coming if migration.use_transactions}
    seen |= {name: [] for name in changed}
    if not seen or not current.applied:
        return seen
    with scratch.database_on(server) as session:
        for migration in known:
            if migration.id in current.applied:
                scratch.run(session, migration)
        ours = tables(session.connection).keys()
        for migration in coming:
            if migration.use_transactions:
                is_last = migration is coming[-1] and not changed
                seen[migration.id] = examine_file(session, migration.up, ours, undo=is_last)
            else:
                scratch.run(session, migration)
        for file in found if changed else ():
            # A file that was run before finds its triggers there, and locks more to replace them.
            if changed.get(file.name) != "new":
                session.run_file(file.path)
            if file.name in changed:
                seen[file.name] = examine_file(session, file.path, ours)
    return seen


def examine_file(session: Session, path: Path, ours: Collection[int], undo: bool = False) -> list[Touched]:
    with session.connection.transaction(force_rollback=undo):
        before = {oid: table for oid, table in tables(session.connection).items() if oid in ours}
        session.run_file(path)
        return touched(session.connection, before)


def touched(connection: psycopg.Connection, before: dict[int, Table]) -> list[Touched]:
    after = tables(connection)
    strongest: dict[int, str] = {}
    for oid, mode in connection.execute(LOCKS):
        if oid in before:
            strongest[oid] = max(mode, strongest.get(oid, MODES[0]), key=MODES.index)
    return [
        Touched(
            table.name,
            spelled(strongest[oid]),
            rewrites=oid in after and after[oid].file != table.file,
            scans=oid in after and after[oid].scans > table.scans,
        )
        for oid, table in before.items()
        if oid in strongest
    ]


def tables(connection: psycopg.Connection) -> dict[int, Table]:
    return {oid: Table(*row) for oid, *row in connection.execute(TABLES)}


def spelled(mode: str) -> str:
    """AccessExclusiveLock as LOCK TABLE writes it: ACCESS EXCLUSIVE."""
    return "".join(f" {letter}" if letter.isupper() else letter for letter in mode.removesuffix("Lock")).strip().upper()
