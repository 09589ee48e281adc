"""Migrations, run by yoyo over one psycopg session.

yoyo brings the ledger and the order. What it leaves open is closed here: a file's SQL, its log entry and its mark are
one transaction on one session, so a lost connection leaves all or nothing; runners queue on an advisory lock, which
dies with its session, where yoyo's lock row would outlive a kill -9; a file is sent whole, as UTF-8, so that the
server and not a splitter decides where a statement ends, and a rollback runs top to bottom as written. A file never
waits long for a lock, since all who come after it would wait too: it gives up, and tries again.
"""

import getpass
import os
import random
import re
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from glob import escape
from pathlib import Path
from typing import TypeVar
from weakref import WeakKeyDictionary

import psycopg
import sqlparse
from psycopg import sql
from psycopg.types.json import Jsonb
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

from llm_db import __version__, ledger, ledger_sql, sql_root
from llm_db.errors import HISTORY, LOCKED, Problem, one_line, sql_problem

FILE_NAME = re.compile(r"(?P<id>(?P<number>\d{4})\.[a-z0-9_-]+?)(?P<rollback>\.rollback)?\.sql")
# "llm-db" in ASCII, for every version of this runner. The server keeps advisory locks per database already.
LOCK = 0x6C6C6D2D6462
POLL_SECONDS = 0.2
LONGEST_PAUSE = 10.0
# After this long, what runs outside a transaction tells what it waits for.
TELL_SECONDS = 2.0
EACH_PARTITION = re.compile(r"^--\s*each-partition-of\s*:\s*(\S+)", re.MULTILINE)
# What another session caused and will pass. Everything else would fail again.
PASSING = (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected)
Result = TypeVar("Result")

WHO = """
    'pid ' || activity.pid
    || ', application ' || coalesce(nullif(activity.application_name, ''), 'unnamed')
    || ', user ' || coalesce(activity.usename, 'hidden')
    || ', client ' || CASE
        WHEN activity.backend_start IS NULL THEN 'hidden'
        ELSE coalesce(pg_catalog.host(activity.client_addr), 'on the server itself')
    END
    || ', connected since ' || coalesce(pg_catalog.date_trunc('second', activity.backend_start)::text, 'hidden')
"""
HOLDER = f"""
SELECT {WHO}
FROM pg_catalog.pg_locks AS held
JOIN pg_catalog.pg_stat_activity AS activity ON activity.pid = held.pid
WHERE
    held.locktype = 'advisory' AND held.granted AND held.objsubid = 1
    AND held.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())
    AND (held.classid::bigint << 32) + held.objid::bigint = %s
"""
BLOCKERS = f"""
SELECT pg_catalog.string_agg({WHO}, '; ' ORDER BY activity.pid)
FROM pg_catalog.pg_stat_activity AS activity
WHERE activity.pid = ANY (pg_catalog.pg_blocking_pids(%s))
"""
# DEFAULT last, as it is never dropped: attaching the last partition's index makes the parent's valid.
LEAVES = """
SELECT leaf.relname
FROM pg_catalog.pg_partition_tree(%s) AS part
JOIN pg_catalog.pg_class AS leaf ON leaf.oid = part.relid
WHERE part.isleaf
ORDER BY coalesce(pg_catalog.pg_get_expr(leaf.relpartbound, leaf.oid) = 'DEFAULT', false), leaf.relname
"""


@dataclass(frozen=True)
class Conduct:
    """How a run behaves towards the others on the server. Times are in seconds."""

    wait: float = 60
    lock_timeout: float = 2
    statement_timeout: float | None = None
    retries: int = 10
    role: str | None = None


# What clean_session() goes back to while a Backend holds its lock.
settings: WeakKeyDictionary[psycopg.Connection, str] = WeakKeyDictionary()


class FileMigration(Migration):
    """A yoyo migration whose one step is its whole file."""

    def load(self) -> None:
        if self.loaded:
            return
        text = read_sql(self.up)
        directives, _, _ = parse_metadata_from_sql_comments(text)
        self.each_of = parent_table(text)
        self.use_transactions = directives.get("transactional", "true").strip().lower() != "false"
        self.needs = directives.get("depends", "").split()
        collector = StepCollector(self)
        collector.add_step(partial(run_file, path=self.up), partial(run_file, path=self.down))
        self.steps = collector.create_steps(self.use_transactions)

    @property
    def up(self) -> Path:
        return Path(self.path)

    @property
    def down(self) -> Path:
        return rollback_path(self.up)

    @property
    def sums(self) -> dict[str, str]:
        return {"up_sha256": ledger.sha256(self.up), "down_sha256": ledger.sha256(self.down)}


class Backend(PostgresqlPsycopgBackend):
    """yoyo's backend on the session we are given, with its tables in schema llm_db."""

    def __init__(self, connection: psycopg.Connection, conduct: Conduct = Conduct()) -> None:
        self._given = connection
        self._conduct = conduct
        super().__init__(None, "_yoyo_migration")

    def connect(self, dburi: None) -> psycopg.Connection:
        return self._given

    def quote_identifier(self, s: str) -> str:
        quoted = super().quote_identifier(s)
        return f"llm_db.{quoted}" if s.startswith("_yoyo_") else quoted

    def list_tables(self, **kwargs) -> list[str]:
        return ledger.tables(self._given)

    def ensure_internal_schema_updated(self) -> None:
        """create_ledger() has; yoyo would ask again for every migration."""

    @contextmanager
    def lock(self, timeout: float = 0) -> Iterator[None]:
        """Polled, never waited for: a session waiting in pg_advisory_lock holds a snapshot that CREATE INDEX
        CONCURRENTLY in the other session would wait for, and both would wait for ever."""
        until, waiting = time.monotonic() + self._conduct.wait, False
        while not self._given.execute("SELECT pg_catalog.pg_try_advisory_lock(%s)", [LOCK]).fetchone()[0]:
            holder = self._given.execute(HOLDER, [LOCK]).fetchone()
            if holder and time.monotonic() >= until:
                raise Problem(
                    f"Another llm-db is still at work on this database after {self._conduct.wait:g} s: {holder[0]}.",
                    "run this again when it is done, or give it longer with --wait",
                    LOCKED,
                )
            if holder and not waiting:
                print(f"Another llm-db is at work on this database; waiting for it ({holder[0]}) ...", file=sys.stderr)
                waiting = True
            time.sleep(POLL_SECONDS)
        try:
            settings[self._given] = self.session_settings()
            clean_session(self._given)
            yield
        finally:
            settings.pop(self._given, None)
            # A lost session has lost its lock too.
            if not self._given.closed:
                self._given.execute("SELECT pg_catalog.pg_advisory_unlock(%s)", [LOCK])

    def session_settings(self) -> str:
        conduct = self._conduct
        chosen = [f"SET lock_timeout = {round(conduct.lock_timeout * 1000)}"]
        if conduct.statement_timeout is not None:
            chosen.append(f"SET statement_timeout = {round(conduct.statement_timeout * 1000)}")
        # The backend of a runner that is gone ends its statement and frees its locks. Not on every system: a server on
        # Windows refuses it, and then only stops at the end of the statement.
        noticing = "SET client_connection_check_interval = '1s'"
        with suppress(psycopg.errors.InvalidParameterValue):
            self._given.execute(noticing)
            chosen.append(noticing)
        if conduct.role is not None:
            become = sql.SQL("SET ROLE {}").format(sql.Identifier(conduct.role)).as_string(self._given)
            try:
                self._given.execute(become)
            except psycopg.Error as error:
                raise Problem(
                    f"Cannot act as {conduct.role}: {one_line(error.diag.message_primary or str(error))}.",
                    f'GRANT "{conduct.role}" TO "{self._given.info.user}", or correct --role',
                ) from error
            chosen.append(become)
        return "; ".join(chosen)

    def create_ledger(self, known: Sequence[FileMigration] = ()) -> None:
        # By looking, not by IF NOT EXISTS alone: a role that may not create schemas can still run what is there.
        present = ledger.tables(self._given)
        if ledger.TABLES.difference(present):
            self.attempt("the ledger", lambda: self._create_ledger(known, is_new=not present))

    def _create_ledger(self, known: Sequence[FileMigration], is_new: bool) -> None:
        if is_new:
            self._given.execute(ledger_sql.SCHEMA)
        internalmigrations.upgrade(self)
        self._given.execute(ledger_sql.TABLES)
        self._adopt(known)

    def _adopt(self, known: Sequence[FileMigration]) -> None:
        """0.1.0 may have applied them, on a database that has this ledger by now."""
        files = [{"migration_id": migration.id} | migration.sums for migration in known]
        self._given.execute(ledger_sql.ADOPT, [Jsonb(files)])

    def apply_one(self, migration: FileMigration, force: bool = False, mark: bool = True) -> None:
        """Within an attempt of the caller's, or else the file is one without a transaction."""
        if not migration.use_transactions:
            return self._apply_alone(migration)
        started = time.perf_counter()
        migration.process_steps(self, "apply")
        return self.mark_one(migration, "apply", started)

    def mark_one(self, migration: FileMigration, operation: str = "mark", started: float | None = None) -> None:
        took = None if started is None else round((time.perf_counter() - started) * 1000)
        self._write(ledger_sql.MARK, migration, state=ledger.APPLIED, duration_ms=took, **log_data(operation))

    def accept_one(self, migration: FileMigration) -> None:
        self._write(ledger_sql.ACCEPT, migration, state=ledger.APPLIED, **log_data("mark"))

    def rollback_one(self, migration: FileMigration, force: bool = False) -> None:
        if migration.each_of:
            return self.attempt(shown(migration.down), lambda: self._rollback_each(migration))
        if not migration.use_transactions:
            return self._rollback_alone(migration)
        migration.process_steps(self, "rollback")
        return self.unmark_one(migration, "rollback")

    def unmark_one(self, migration: FileMigration, operation: str = "unmark") -> None:
        self._write(ledger_sql.UNMARK, migration, **log_data(operation))

    def _write(self, statement: str, migration: FileMigration, **values: object) -> None:
        known = {"migration_id": migration.id, "hash": migration.hash, "version": __version__}
        self._given.execute(statement, known | migration.sums | values)

    def _apply_alone(self, migration: FileMigration) -> None:
        before = ledger.read(self._given)[1].get(migration.id)
        begun = before is not None and before.state == ledger.STARTED
        if not begun:
            self._write(ledger_sql.WRITE, migration, state=ledger.STARTED, duration_ms=None)
        started = time.perf_counter()
        if migration.each_of:
            self._apply_each(migration, begun, forget=before is None)
        else:
            text = read_sql(migration.up)
            left = self._found(migration, text) if begun else ledger.Left("nothing")
            if left.outcome == "done":
                print(f"{migration.id} was left half-done, and is complete: marking it", file=sys.stderr)
            else:
                self._build(migration, migration.id, text, left, forget=before is None)
        self.attempt(migration.id, lambda: self.mark_one(migration, "apply", started))

    def _build(self, migration: FileMigration, name: str, text: str, left: ledger.Left, forget: bool) -> None:
        if left.outcome == "invalid":
            print(f"{name} was left half-done: dropping the INVALID index {left.index}", file=sys.stderr)
            self._alone(name, lambda: self._given.execute(f"DROP INDEX CONCURRENTLY {left.index}"))
        self._run_alone(migration, name, migration.up, text, forget)
        if ledger.left_behind(self._given, text).outcome == "invalid":
            # IF NOT EXISTS is content with an index that somebody else has left half-built.
            self._write(ledger_sql.REMOVE, migration)
            raise Problem(
                f"{shown(migration.up)} found an INVALID index of its name.",
                "drop it with DROP INDEX CONCURRENTLY, unless somebody is building it now, and run this again",
                HISTORY,
            )

    def _apply_each(self, migration: FileMigration, begun: bool, forget: bool) -> None:
        """Each partition's index is built and attached before the next one's, so what is finished is not done again. A
        partition that was made since the parent's index has its own, one that was dropped meanwhile needs none."""
        with in_words(migration.id):
            partitions = per_partition(self._given, migration)
        for number, (partition, build, attach) in enumerate(partitions, start=1):
            name = f"{migration.id}: {partition}, {number} of {len(partitions)}"
            try:
                if ledger.left_behind(self._given, build).outcome != "done":
                    left = self._found(migration, build) if begun else ledger.Left("nothing")
                    self._build(migration, name, build, left, forget)
                self.attempt(name, partial(run_file, self._given, migration.up, attach))
            except Problem:
                if self._given.closed or partition in leaves(self._given, migration):
                    raise
                print(f"{name}: dropped meanwhile", file=sys.stderr)

    def _rollback_each(self, migration: FileMigration) -> None:
        """An attached index cannot be detached, nor dropped by itself: all go with the parent's, in one transaction."""
        run_file(self._given, migration.down)
        self.unmark_one(migration, "rollback")

    def _rollback_alone(self, migration: FileMigration) -> None:
        self._adopt([migration])
        before = ledger.read(self._given)[1][migration.id]
        down = read_sql(migration.down)
        left = ledger.Left("nothing") if before.state == ledger.APPLIED else self._found(migration, down)
        self._write(ledger_sql.UPDATE, migration, state=ledger.UNDOING)
        if left.outcome != "done":
            self._run_alone(migration, migration.id, migration.down, down, forget=False)
        self.attempt(migration.id, lambda: self.unmark_one(migration, "rollback"))

    def _found(self, migration: FileMigration, text: str) -> ledger.Left:
        left = ledger.left_behind(self._given, text)
        if left.outcome == "unclear":
            raise Problem(
                f"{migration.id} began and was not seen to end, and what it left cannot be told from its statement.",
                f"look at the database, then `llm-db repair --accept {migration.id}` if its work is all there, or undo"
                f" what is there and `llm-db repair --forget {migration.id}`",
                HISTORY,
            )
        return left

    def _run_alone(self, migration: FileMigration, name: str, path: Path, text: str, forget: bool) -> None:
        try:
            self._alone(name, lambda: run_file(self._given, path, text))
        except Problem as problem:
            if forget and isinstance(problem.__cause__, psycopg.errors.DuplicateTable):
                # It has done nothing, and what has its name is not its work.
                self._write(ledger_sql.REMOVE, migration)
                raise
            raise Problem(
                problem.message,
                "it runs outside a transaction and may be half-done; correct the cause and run this again, which finds"
                " out what was left",
                problem.exit_code,
            ) from problem

    def _alone(self, name: str, work: Callable[[], object]) -> None:
        """Without a lock_timeout: CONCURRENTLY holds up nobody while it waits, and would have to begin all over."""
        clean_session(self._given)
        self._given.execute("SET lock_timeout = 0")
        with in_words(name), told_when_long(self._given, name):
            work()

    def attempt(self, name: object, work: Callable[[], Result]) -> Result:
        """Work in a transaction, again while others are in its way; or as part of the transaction that is open."""
        if self._in_transaction:
            return work()
        turn = 0
        while True:
            turn += 1
            try:
                with in_words(name), self.unit():
                    return work()
            except Problem as problem:
                self._in_transaction = False
                if not isinstance(problem.__cause__, PASSING):
                    raise
                if turn > self._conduct.retries:
                    raise Problem(
                        f"{problem.message} ({turn} tries).",
                        "nothing of it was kept; end the long transaction that pg_stat_activity shows and run this"
                        " again, or allow more with --retries and --lock-timeout",
                        LOCKED,
                    ) from problem
                # Not in step with whatever it collides with.
                pause = min(0.1 * 2**turn, LONGEST_PAUSE) * random.uniform(0.5, 1)
                again = f"trying again in {pause:.1f} s ({turn}/{self._conduct.retries})"
                print(f"{problem.message}; {again}", file=sys.stderr)
                time.sleep(pause)

    @contextmanager
    def unit(self) -> Iterator[None]:
        """A transaction of its own with a clean session, or part of the one that is open."""
        if self._in_transaction:
            yield
        else:
            clean_session(self._given)
            with self.transaction():
                yield


@contextmanager
def told_when_long(connection: psycopg.Connection, name: str) -> Iterator[None]:
    """That it is still at work or whom it waits for, to stderr; asked by a second session, as this one is busy."""
    ended = threading.Event()
    info = connection.info

    def tell() -> None:
        said = ""
        if ended.wait(TELL_SECONDS):
            return
        # It only tells: where no more sessions are to be had, the work goes on without.
        with suppress(psycopg.Error), psycopg.connect(info.dsn, password=info.password, autocommit=True) as other:
            while not ended.is_set():
                blockers = other.execute(BLOCKERS, [info.backend_pid]).fetchone()[0]
                say = f"{name}: waits for the end of {blockers}" if blockers else f"{name}: at work"
                if say != said:
                    print(say, file=sys.stderr)
                said = say
                ended.wait(TELL_SECONDS)

    threading.Thread(target=tell, daemon=True).start()
    try:
        yield
    finally:
        ended.set()


@contextmanager
def in_words(name: object) -> Iterator[None]:
    try:
        yield
    except psycopg.Error as error:
        # Undoing can fail in turn (a lost session, a file with its own COMMIT); the first error says more.
        first: BaseException | None = error
        while first and not isinstance(first, Problem):
            first = first.__context__
        raise first or sql_problem(error, str(name)) from error


@dataclass(frozen=True)
class State:
    """The files against the ledger."""

    applied: list[str]
    pending: list[str]
    # Applied, and there is no such file.
    unknown: list[str]
    # Applied (or begun), and the file is another one now.
    edited: list[str]
    # Pending, and comes before one that is applied.
    late: list[str]
    # Outside a transaction; began and was not seen to end.
    half_done: list[str]
    ledger: dict[str, ledger.Entry]


def log_data(operation: str) -> dict[str, str]:
    """Who does what from where. The host by its own name: yoyo asks DNS for a longer one, each time, for seconds where
    none answers."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        # In a container a user may be a number only.
        user = str(os.getuid())
    return {"operation": operation, "username": user, "hostname": socket.gethostname()}


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
    connection.execute(
        "RESET SESSION AUTHORIZATION; RESET ROLE; RESET ALL; SET search_path = pg_catalog;"
        + settings.get(connection, "")
    )


def parent_table(text: str) -> str | None:
    """Whose partitions a file is run for, one after the other."""
    found = EACH_PARTITION.search(text)
    return found[1] if found else None


def leaves(connection: psycopg.Connection, migration: FileMigration) -> list[str]:
    return [name for (name,) in connection.execute(LEAVES, [migration.each_of])]


def per_partition(connection: psycopg.Connection, migration: FileMigration) -> list[tuple[str, str, str]]:
    """Each partition with its two statements: CREATE INDEX CONCURRENTLY and ALTER INDEX ... ATTACH PARTITION. In the
    file, the parent's name and `_each` stands for the partition, also as part of a longer name."""
    text = read_sql(migration.up)
    each = re.compile(rf"(\w*){migration.each_of.split('.')[1]}_each(\w*)")

    def statements(partition: str) -> list[str]:
        return sqlparse.split(each.sub(lambda name: sql.Identifier(name[1] + partition + name[2]).as_string(), text))

    return [(partition, *statements(partition)) for partition in leaves(connection, migration)]


def run_file(connection: psycopg.Connection, path: Path, part: str | None = None) -> None:
    """Sends a file as it is, or a part of it. Inside a transaction it must not end that transaction."""
    text = read_sql(path) if part is None else part
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
                f"{shown(migration.up)} depends on {missing[0]}, which is not there.", "correct its first lines"
            )
        migration._depends = {by_id[name] for name in migration.needs}
    try:
        return MigrationList(topological_sort(sorted(found, key=lambda migration: migration.id)))
    except CycleError as error:
        circle = ", ".join(migration.id for migration in error.args[1])
        raise Problem(f"These migrations depend on each other: {circle}.", "take one `-- depends:` away") from None


def state(connection: psycopg.Connection, migrations: MigrationList) -> State:
    """Reads only: also on a database that has no ledger yet."""
    marked, entries = ledger.read(connection)
    half_done = [name for name, entry in entries.items() if entry.state != ledger.APPLIED]
    known = [migration.id for migration in migrations]
    last = max((number for number, name in enumerate(known) if name in marked), default=-1)
    return State(
        applied=[name for name in known if name in marked],
        pending=[name for name in known if name not in marked],
        unknown=[name for name in dict.fromkeys(marked + half_done) if name not in known],
        edited=[
            migration.id
            for migration in migrations
            if (entry := entries.get(migration.id))
            and (migration.id in marked or migration.id in half_done)
            and migration.sums != {"up_sha256": entry.up_sha256, "down_sha256": entry.down_sha256}
        ],
        late=[name for name in known[: max(last, 0)] if name not in marked and name not in half_done],
        half_done=half_done,
        ledger=entries,
    )


def find(migrations: MigrationList, wanted: str) -> int:
    """The index of a migration named in full, or by its number."""
    for index, migration in enumerate(migrations):
        if migration.id == wanted or migration.id.split(".")[0] == wanted.zfill(4):
            return index
    raise Problem(f"There is no migration {wanted}.", "`llm-db status` lists them; a number such as 0003 is enough")


def violations(current: State) -> list[tuple[str, str]]:
    """What the history cannot be trusted about, each with the way out."""
    found = [
        (f"{name} is applied, and there is no such file.", "install the release that has it, or bring the file back")
        for name in current.unknown
    ]
    found += [
        (
            f"{name} has been edited since it was applied.",
            f"bring its files back and put the change into a new migration; or `llm-db repair --accept {name}` takes"
            " them as they are now",
        )
        for name in current.edited
        if name not in current.half_done
    ]
    found += [
        (
            f"{name} is late: a migration after it is applied.",
            "give it a number after the last one, or `llm-db migrate --allow-late` runs it now",
        )
        for name in current.late
    ]
    for name in current.half_done:
        edited = ", and has been edited since" if name in current.edited else ""
        again = "migrate" if current.ledger[name].state == ledger.STARTED else "rollback"
        found.append(
            (
                f"{name} began outside a transaction and was not seen to end{edited}.",
                f"`llm-db {again}` finds out what it left; or look yourself, then `llm-db repair --accept {name}` takes"
                f" it as applied, `llm-db repair --forget {name}` as not applied",
            )
        )
    return found


def refuse(found: list[tuple[str, str]]) -> None:
    if found:
        more = f" (and {len(found) - 1} more: `llm-db repair` shows them)" if len(found) > 1 else ""
        raise Problem(f"{found[0][0]}{more}", found[0][1], HISTORY)


def refuse_history(current: State, allow_late: bool) -> None:
    """Before a migrate. What began outside a transaction is not refused here: its turn finds out what it left."""
    begun = {name for name in current.half_done if current.ledger[name].state == ledger.STARTED}
    stuck = [name for name in current.half_done if name not in begun or name in current.edited]
    refuse(violations(replace(current, late=[] if allow_late else current.late, half_done=stuck)))


def refuse_rollback(current: State, going: list[FileMigration]) -> None:
    """What was applied is undone by the file that came with it, or not at all."""
    edited = [migration.id for migration in going if migration.id in current.edited]
    refuse(violations(replace(current, edited=edited, late=[], half_done=[])))


def refuse_unknown(current: State) -> None:
    refuse(violations(replace(current, edited=[], late=[], half_done=[])))
