"""What pending migrations do to the tables that exist: seen by running them on a scratch copy of the schema.

The copy is a database of its own, made from the files and dropped afterwards. It holds no rows: a lock, a new file
under a table and the start of a scan show on an empty table as well. But a join that finds its first table empty does
not begin on its second, such as the table that a new foreign key refers to. Views are not made in the copy. Each
pending file but the last is committed there, for the next one to build on; all that can outlive the copy is a role that
such a file makes, since roles belong to the server.
"""

from dataclasses import dataclass

import psycopg
from yoyo.migrations import MigrationList

from llm_db import migrations, scratch

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
    """A table that a migration locks. A rewrite reads all of the table too."""

    table: str
    lock: str
    rewrites: bool
    scans: bool

    def __str__(self) -> str:
        work = "  rewrites it" if self.rewrites else "  scans it" if self.scans else ""
        return f"{self.table}  {self.lock}{work}"


def examine(known: MigrationList, current: migrations.State, server: str) -> dict[str, list[Touched]]:
    """By migration, what it touches of the tables that the target has now. A file that runs outside a transaction is
    run, for those after it, and not examined: it takes its locks one after the other and keeps none."""
    pending = [migration for migration in known if migration.id in current.pending]
    found: dict[str, list[Touched]] = {migration.id: [] for migration in pending if migration.use_transactions}
    if not found or not current.applied:
        return found
    with scratch.database_on(server) as connection:
        for migration in known:
            if migration.id in current.applied:
                scratch.run(connection, migration)
        ours = tables(connection).keys()
        for migration in pending:
            if migration.use_transactions:
                with connection.transaction(force_rollback=migration is pending[-1]):
                    before = {oid: table for oid, table in tables(connection).items() if oid in ours}
                    migrations.run_file(connection, migration.up)
                    found[migration.id] = touched(connection, before)
            else:
                scratch.run(connection, migration)
    return found


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
