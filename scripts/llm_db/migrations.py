"""Migrations, run by yoyo over one psycopg session.

yoyo brings the ledger and the order. What it leaves open is closed here: a file's SQL, its log entry and its mark are
one transaction on one session, so a lost connection leaves all or nothing; runners queue on an advisory lock, which
dies with its session, where yoyo's lock row would outlive a kill -9; a file is sent whole, as UTF-8, so that the
server and not a splitter decides where a statement ends, and a rollback runs top to bottom as written. A file never
waits long for a lock, since all who come after it would wait too: it gives up, and tries again.
"""

import random
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from glob import escape
from itertools import count
from pathlib import Path
from typing import TypeVar
from weakref import WeakKeyDictionary

import psycopg
from psycopg import sql
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

from llm_db import ledger, sql_root
from llm_db.errors import HISTORY, LOCKED, Problem, one_line, sql_problem

FILE_NAME = re.compile(r"(?P<id>(?P<number>\d{4})\.[a-z0-9_-]+?)(?P<rollback>\.rollback)?\.sql")
# "llm-db" in ASCII, for every version of this runner. The server keeps advisory locks per database already.
LOCK = 0x6C6C6D2D6462
POLL_SECONDS = 0.2
LONGEST_PAUSE = 10.0
# What another session caused and will pass. Everything else would fail again.
PASSING = (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected)
Result = TypeVar("Result")

HOLDER = """
SELECT
    'pid ' || activity.pid
    || ', application ' || coalesce(nullif(activity.application_name, ''), 'unnamed')
    || ', user ' || coalesce(activity.usename, 'hidden')
    || ', client ' || CASE
        WHEN activity.backend_start IS NULL THEN 'hidden'
        ELSE coalesce(pg_catalog.host(activity.client_addr), 'on the server itself')
    END
    || ', connected since ' || coalesce(pg_catalog.date_trunc('second', activity.backend_start)::text, 'hidden')
FROM pg_catalog.pg_locks AS held
JOIN pg_catalog.pg_stat_activity AS activity ON activity.pid = held.pid
WHERE
    held.locktype = 'advisory' AND held.granted AND held.objsubid = 1
    AND held.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())
    AND (held.classid::bigint << 32) + held.objid::bigint = %s
"""

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
        up, down = Path(self.path), rollback_path(Path(self.path))
        directives, _, _ = parse_metadata_from_sql_comments(read_sql(up))
        self.use_transactions = directives.get("transactional", "true").strip().lower() != "false"
        self.needs = directives.get("depends", "").split()
        collector = StepCollector(self)
        collector.add_step(partial(run_file, path=up), partial(run_file, path=down))
        self.steps = collector.create_steps(self.use_transactions)

    @property
    def sums(self) -> dict[str, str]:
        up = Path(self.path)
        return {"up_sha256": ledger.sha256(up), "down_sha256": ledger.sha256(rollback_path(up))}


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
        if "migrations" not in ledger.tables(self._given):
            self.attempt("the ledger", lambda: self._create_ledger(known))

    def _create_ledger(self, known: Sequence[FileMigration]) -> None:
        self._given.execute(LEDGER)
        internalmigrations.upgrade(self)
        self._given.execute(LEDGER_COMMENTS)
        self._given.execute(ledger.TABLE)
        for migration in known:
            ledger.adopt(self._given, migration.id, migration.sums)

    def apply_one(self, migration: FileMigration, force: bool = False, mark: bool = True) -> None:
        migration.load()
        if migration.use_transactions:
            self.attempt(shown(Path(migration.path)), lambda: self._apply(migration))
        else:
            self._apply_alone(migration)

    def _apply(self, migration: FileMigration) -> None:
        started = time.perf_counter()
        migration.process_steps(self, "apply")
        self._applied(migration, started)

    def _applied(self, migration: FileMigration, started: float) -> None:
        self.mark_one(migration, log=False, duration_ms=round((time.perf_counter() - started) * 1000))
        self.log_migration(migration, "apply")

    def mark_one(self, migration: FileMigration, log: bool = True, duration_ms: int | None = None) -> None:
        super().mark_one(migration, log)
        ledger.write(self._given, migration.id, ledger.APPLIED, migration.sums, duration_ms)

    def rollback_one(self, migration: FileMigration, force: bool = False) -> None:
        migration.load()
        if migration.use_transactions:
            self.attempt(shown(rollback_path(Path(migration.path))), lambda: self._rollback(migration))
        else:
            self._rollback_alone(migration)

    def _rollback(self, migration: FileMigration) -> None:
        migration.process_steps(self, "rollback")
        self._rolled_back(migration)

    def _rolled_back(self, migration: FileMigration) -> None:
        self.unmark_one(migration, log=False)
        self.log_migration(migration, "rollback")

    def unmark_one(self, migration: FileMigration, log: bool = True) -> None:
        super().unmark_one(migration, log)
        ledger.remove(self._given, migration.id)

    def _apply_alone(self, migration: FileMigration) -> None:
        before = ledger.read(self._given)[1].get(migration.id)
        left = ledger.Left("nothing")
        if before and before.state == ledger.STARTED:
            left = self._found(migration, Path(migration.path))
        else:
            ledger.write(self._given, migration.id, ledger.STARTED, migration.sums)
        started = time.perf_counter()
        if left.outcome == "invalid":
            print(f"{migration.id} was left half-done: dropping the INVALID index {left.index}", file=sys.stderr)
            self._alone(migration.id, lambda: self._given.execute(f"DROP INDEX CONCURRENTLY {left.index}"))
        if left.outcome == "done":
            print(f"{migration.id} was left half-done, and is complete: marking it", file=sys.stderr)
        else:
            self._run_alone(migration, "apply", forget=before is None)
            if ledger.left_behind(self._given, read_sql(Path(migration.path))).outcome == "invalid":
                # IF NOT EXISTS is content with an index that somebody else has left half-built.
                ledger.remove(self._given, migration.id)
                raise Problem(
                    f"{shown(Path(migration.path))} found an INVALID index of its name.",
                    "drop it with DROP INDEX CONCURRENTLY, unless somebody is building it now, and run this again",
                    HISTORY,
                )
        self.attempt(migration.id, lambda: self._applied(migration, started))

    def _rollback_alone(self, migration: FileMigration) -> None:
        down = rollback_path(Path(migration.path))
        # 0.1.0 may have applied it on a database that has this ledger.
        ledger.adopt(self._given, migration.id, migration.sums)
        before = ledger.read(self._given)[1][migration.id]
        left = ledger.Left("nothing") if before.state == ledger.APPLIED else self._found(migration, down)
        ledger.update(self._given, migration.id, ledger.UNDOING, migration.sums)
        if left.outcome != "done":
            self._run_alone(migration, "rollback", forget=False)
        self.attempt(migration.id, lambda: self._rolled_back(migration))

    def _found(self, migration: FileMigration, path: Path) -> ledger.Left:
        left = ledger.left_behind(self._given, read_sql(path))
        if left.outcome == "unclear":
            raise Problem(
                f"{migration.id} began and was not seen to end, and what it left cannot be told from its statement.",
                f"look at the database, then `llm-db repair --accept {migration.id}` if its work is all there, or undo"
                f" what is there and `llm-db repair --forget {migration.id}`",
                HISTORY,
            )
        return left

    def _run_alone(self, migration: FileMigration, direction: str, forget: bool) -> None:
        try:
            self._alone(migration.id, lambda: migration.process_steps(self, direction))
        except Problem as problem:
            if forget and isinstance(problem.__cause__, psycopg.errors.DuplicateTable):
                # It has done nothing, and what has its name is not its work.
                ledger.remove(self._given, migration.id)
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
        with in_words(name):
            work()

    def attempt(self, name: object, work: Callable[[], Result]) -> Result:
        """Work in a transaction, again while others are in its way; or as part of the transaction that is open."""
        if self._in_transaction:
            return work()
        for turn in count(1):
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
        raise AssertionError("count() ended")

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

    @property
    def lies(self) -> bool:
        return bool(self.unknown or self.edited or self.late or self.half_done)


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
