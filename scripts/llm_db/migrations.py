"""Migrations, run by yoyo over one psycopg session.

yoyo brings the ledger and the order. What it leaves open is closed here: a file's SQL, its log entry and its mark are
one transaction on one session, so a lost connection leaves all or nothing; runners queue on an advisory lock, which
dies with its session, where yoyo's lock row would outlive a kill -9; a file is sent whole, as UTF-8, so that the
server and not a splitter decides where a statement ends, and a rollback runs top to bottom as written.
"""

import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from glob import escape
from pathlib import Path

import psycopg
from yoyo import internalmigrations, read_migrations
from yoyo.backends.core.postgresql import PostgresqlPsycopgBackend
from yoyo.migrations import (
    Migration,
    MigrationList,
    StepCollector,
    parse_metadata_from_sql_comments,
    topological_sort,
)
from yoyo.topologicalsort import CycleError

from llm_db import sql_root
from llm_db.errors import Problem, sql_problem

FILE_NAME = re.compile(r"(?P<id>(?P<number>\d{4})\.[a-z0-9_-]+?)(?P<rollback>\.rollback)?\.sql")
# "llm-db" in ASCII: one number per cluster and database, shared by every version of this runner.
LOCK = 0x6C6C6D2D6462
POLL_SECONDS = 0.2

LEDGER = """
CREATE SCHEMA IF NOT EXISTS llm_db;
COMMENT ON SCHEMA llm_db IS 'The ledger of llm-db: which migrations and views this database has';

CREATE TABLE IF NOT EXISTS llm_db.views (
    view_name  text        NOT NULL,
    sha256     text        NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),

    CONSTRAINT views_pkey PRIMARY KEY (view_name)
);
COMMENT ON TABLE llm_db.views IS 'The repeatable views as last created';
COMMENT ON COLUMN llm_db.views.view_name IS 'schema.name';
COMMENT ON COLUMN llm_db.views.sha256 IS 'SHA-256 of the file that created it; another sum means the file changed';
COMMENT ON COLUMN llm_db.views.created_at IS 'When it was last created';
"""

LEDGER_COMMENTS = """
COMMENT ON TABLE llm_db._yoyo_migration IS 'yoyo: the applied migrations';
COMMENT ON TABLE llm_db._yoyo_log IS 'yoyo: who applied or rolled back what, and when';
COMMENT ON TABLE llm_db._yoyo_version IS 'yoyo: the version of its own tables';
"""


class FileMigration(Migration):
    """A yoyo migration whose one step is its whole file."""

    def load(self) -> None:
        if self.loaded:
            return
        up, down = Path(self.path), rollback_path(Path(self.path))
        directives, _, _ = parse_metadata_from_sql_comments(read_sql(up))
        self.use_transactions = directives.get("transactional", "true").strip().lower() != "false"
        self.needs = directives.get("depends", "").split()
        collector = StepCollector(self)
        collector.add_step(partial(run_file, path=up), partial(run_file, path=down))
        self.steps = collector.create_steps(self.use_transactions)


class Backend(PostgresqlPsycopgBackend):
    """yoyo's backend on the session we are given, with its tables in schema llm_db."""

    def __init__(self, connection: psycopg.Connection) -> None:
        self._given = connection
        super().__init__(None, "_yoyo_migration")

    def connect(self, dburi: None) -> psycopg.Connection:
        return self._given

    def quote_identifier(self, s: str) -> str:
        quoted = super().quote_identifier(s)
        return f"llm_db.{quoted}" if s.startswith("_yoyo_") else quoted

    def list_tables(self, **kwargs) -> list[str]:
        query = "SELECT tablename FROM pg_catalog.pg_tables WHERE schemaname = 'llm_db'"
        return [name for (name,) in self._given.execute(query)]

    @contextmanager
    def lock(self, timeout: float = 0) -> Iterator[None]:
        """Polled, never waited for: a session waiting in pg_advisory_lock holds a snapshot that CREATE INDEX
        CONCURRENTLY in the other session would wait for, and both would wait for ever."""
        waiting = False
        while not self._given.execute("SELECT pg_catalog.pg_try_advisory_lock(%s)", [LOCK]).fetchone()[0]:
            if not waiting:
                print("Another llm-db is at work on this database; waiting for it ...", file=sys.stderr)
            waiting = True
            time.sleep(POLL_SECONDS)
        try:
            yield
        finally:
            # A lost session has lost its lock too.
            if not self._given.closed:
                self._given.execute("SELECT pg_catalog.pg_advisory_unlock(%s)", [LOCK])

    def create_ledger(self) -> None:
        # By looking, not by IF NOT EXISTS alone: a role that may not create schemas can still run what is there.
        if ledger_exists(self._given):
            return
        with self.transaction():
            self._given.execute(LEDGER)
            internalmigrations.upgrade(self)
            self._given.execute(LEDGER_COMMENTS)

    def apply_one(self, migration: Migration, force: bool = False, mark: bool = True) -> None:
        with self.recorded(migration):
            migration.process_steps(self, "apply")
            self.mark_one(migration, log=False)
            self.log_migration(migration, "apply")

    def rollback_one(self, migration: Migration, force: bool = False) -> None:
        with self.recorded(migration):
            migration.process_steps(self, "rollback")
            self.unmark_one(migration, log=False)
            self.log_migration(migration, "rollback")

    @contextmanager
    def recorded(self, migration: Migration) -> Iterator[None]:
        """The file, its log entry and its mark in one transaction, unless the file asks for none."""
        migration.load()
        try:
            if migration.use_transactions:
                with self.unit():
                    yield
            else:
                clean_session(self._given)
                yield
        except psycopg.Error as error:
            # Undoing can fail in turn (a lost session, a file with its own COMMIT); the first error says more.
            first: BaseException | None = error
            while first and not isinstance(first, Problem):
                first = first.__context__
            raise first or sql_problem(error, shown(Path(migration.path))) from error

    @contextmanager
    def unit(self) -> Iterator[None]:
        """A transaction of its own with a clean session, or part of the one that is open."""
        if self._in_transaction:
            yield
        else:
            clean_session(self._given)
            with self.transaction():
                yield


@dataclass(frozen=True)
class State:
    """The files against the ledger."""

    applied: list[str]
    pending: list[str]
    unknown: list[str]


def ledger_exists(connection: psycopg.Connection) -> bool:
    query = "SELECT pg_catalog.to_regclass('llm_db.views') IS NOT NULL"
    return connection.execute(query).fetchone()[0]


def rollback_path(path: Path) -> Path:
    return path.with_name(path.name.removesuffix(".sql") + ".rollback.sql")


def read_sql(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise Problem(f"{shown(path)} is not UTF-8 (byte {error.start}).", "save it as UTF-8") from None


def shown(path: Path) -> Path:
    return path.relative_to(sql_root()) if path.is_relative_to(sql_root()) else path


def clean_session(connection: psycopg.Connection) -> None:
    """No setting of one file reaches the next, and names are looked up in pg_catalog only: a file that forgets a schema
    fails here and not on a database with another search_path."""
    for statement in ("RESET ALL", "RESET ROLE", "SET search_path = pg_catalog"):
        connection.execute(statement)


def run_file(connection: psycopg.Connection, path: Path) -> None:
    """Sends a file as it is. Inside a transaction it must not end that transaction."""
    text = read_sql(path)
    before = connection.info.transaction_status
    try:
        connection.execute(text)
    except psycopg.Error as error:
        raise sql_problem(error, shown(path), text) from error
    if connection.info.transaction_status != before:
        raise Problem(
            f"{shown(path)} begins or ends a transaction of its own, so its changes were not recorded.",
            "take BEGIN and COMMIT out of the file; each migration is one transaction already",
        )
    clean_session(connection)


def migration_files(folder: Path | None = None) -> MigrationList:
    """The migrations in order. An empty folder, a stray file or a missing rollback is an error, not less to do."""
    folder = folder or sql_root() / "migrations"
    files = sorted(folder.glob("*.sql"))
    if not files:
        raise Problem(f"There are no migrations in {folder}.", "reinstall llm-platform-db, or run from a full checkout")
    numbers: dict[str, str] = {}
    for path in files:
        name = FILE_NAME.fullmatch(path.name)
        if not name:
            raise Problem(
                f"{shown(path)} is not named like a migration.", "name it NNNN.slug.sql and NNNN.slug.rollback.sql"
            )
        if numbers.setdefault(name["number"], name["id"]) != name["id"]:
            raise Problem(f"Two migrations have the number {name['number']}.", "give the newer one the next number")
        if not path.with_name(name["id"] + ".sql").exists():
            raise Problem(f"{shown(path)} has no migration beside it.", f"add {name['id']}.sql")
        if not rollback_path(path.with_name(name["id"] + ".sql")).exists():
            raise Problem(f"{shown(path)} has no rollback beside it.", f"add {name['id']}.rollback.sql")
    found = read_migrations(escape(str(folder)))
    return in_order([FileMigration(migration.id, migration.path, migration.source_dir) for migration in found])


def in_order(found: list[FileMigration]) -> MigrationList:
    """Sorted by number, and after everything they depend on."""
    by_id = {migration.id: migration for migration in found}
    for migration in found:
        migration.load()
        if missing := [name for name in migration.needs if name not in by_id]:
            raise Problem(
                f"{shown(Path(migration.path))} depends on {missing[0]}, which is not there.", "correct its first lines"
            )
        migration._depends = {by_id[name] for name in migration.needs}
    try:
        return MigrationList(topological_sort(sorted(found, key=lambda migration: migration.id)))
    except CycleError as error:
        circle = ", ".join(migration.id for migration in error.args[1])
        raise Problem(f"These migrations depend on each other: {circle}.", "take one `-- depends:` away") from None


def state(connection: psycopg.Connection, migrations: MigrationList) -> State:
    """Reads only: also on a database that has no ledger yet."""
    marked: list[str] = []
    if ledger_exists(connection):
        query = "SELECT migration_id FROM llm_db._yoyo_migration ORDER BY applied_at_utc, migration_id"
        marked = [migration_id for (migration_id,) in connection.execute(query)]
    known = [migration.id for migration in migrations]
    return State(
        applied=[migration_id for migration_id in known if migration_id in marked],
        pending=[migration_id for migration_id in known if migration_id not in marked],
        unknown=[migration_id for migration_id in marked if migration_id not in known],
    )


def find(migrations: MigrationList, wanted: str) -> int:
    """The index of a migration named in full, or by its number."""
    for index, migration in enumerate(migrations):
        if migration.id == wanted or migration.id.split(".")[0] == wanted.zfill(4):
            return index
    raise Problem(f"There is no migration {wanted}.", "`llm-db status` lists them; a number such as 0003 is enough")


def refuse_unknown(current: State) -> None:
    if current.unknown:
        raise Problem(
            f"This database has migrations that this llm-db does not know: {', '.join(current.unknown)}.",
            "it was migrated by a newer release; install that one",
        )
