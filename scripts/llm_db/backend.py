"""The ledger's writer, and how a run behaves beside others.

What yoyo is for: the shape of a migration (its name, the rollback beside it, the headers in its first lines), the order
in which migrations run, and the three tables that say which are applied. So our files and our databases, those of
release 0.1.0 too, are what yoyo's own commands understand. Running is ours: yoyo would cut a file into statements, mark
it in a transaction of its own, and hold a lock that outlives a kill -9.

Here a file's SQL, its log entry and its marks are one transaction on one session, so a lost connection leaves all or
nothing. Runners take turns, which end with their sessions. A file never waits long for a lock, since all who come after
it would wait too: it gives up, and tries again.
"""

import getpass
import os
import random
import socket
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import TypeVar

import psycopg
from psycopg import sql
from psycopg.pq import TransactionStatus
from psycopg.types.json import Jsonb

from llm_db import __version__, ledger, ledger_sql
from llm_db.database import NOTICING, scalar
from llm_db.errors import LOCKED, Problem, one_line, sql_problem
from llm_db.files import Migration
from llm_db.objects import TRIGGER_LOCK_MS
from llm_db.queries import query
from llm_db.session import Session
from llm_db.turn import Turn

LONGEST_PAUSE = 10.0
# What another session caused and will pass. Everything else would fail again.
PASSING = (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected)
MADE_MEANWHILE = (psycopg.errors.UniqueViolation, psycopg.errors.DuplicateSchema, psycopg.errors.DuplicateTable)
Result = TypeVar("Result")

# Release 0.1.0 was here since.
OLD_VIEWS = "SELECT EXISTS (SELECT FROM llm_db.views)"


@dataclass(frozen=True)
class Conduct:
    """How a run behaves towards the others on the server. Times are in seconds."""

    wait: float = 60
    lock_timeout: float = 2
    statement_timeout: float | None = None
    retries: int = 10
    role: str | None = None


USUAL = Conduct()


class Backend:
    def __init__(self, connection: psycopg.Connection, conduct: Conduct = USUAL) -> None:
        self.connection = connection
        self.session = Session(connection)
        self._conduct = conduct

    @contextmanager
    def lock(self) -> Iterator[None]:
        """One runner at a time on a database."""
        with ExitStack() as ending:
            self._turn = Turn(self.connection, self._conduct.wait, ending)
            self._turn.queue()
            self.session.settings = self._settings()
            self.session.clean()
            self._turn.take(self.session.settings)
            yield

    def wait_briefly(self) -> None:
        """Who keeps the locks of one file while it waits for those of the next is to give way, and not a writer that
        PostgreSQL ends."""
        waits = round(self._conduct.lock_timeout * 1000) or TRIGGER_LOCK_MS
        self.session.settings += f"; SET lock_timeout = {min(waits, TRIGGER_LOCK_MS)}"

    def _settings(self) -> str:
        conduct = self._conduct
        chosen = [f"SET lock_timeout = {round(conduct.lock_timeout * 1000)}"]
        if conduct.statement_timeout is not None:
            chosen.append(f"SET statement_timeout = {round(conduct.statement_timeout * 1000)}")
        with suppress(psycopg.errors.InvalidParameterValue):
            self.connection.execute(NOTICING)
            chosen.append(NOTICING)
        if conduct.role is not None:
            become = sql.SQL("SET ROLE {}").format(sql.Identifier(conduct.role)).as_string(self.connection)
            try:
                self.connection.execute(become)
            except psycopg.Error as error:
                raise Problem(
                    f"Cannot act as {conduct.role}: {one_line(error.diag.message_primary or str(error))}.",
                    f'GRANT "{conduct.role}" TO "{self.connection.info.user}", or correct --role',
                ) from None
            chosen.append(become)
        return "; ".join(chosen)

    def ensure_ledger(self, known: Sequence[Migration]) -> None:
        # By looking, not by IF NOT EXISTS alone: a role that may not create schemas can still run what is there.
        if ledger.TABLES.difference(ledger.tables(self.connection)) or scalar(self.connection, OLD_VIEWS):
            try:
                self.attempt("the ledger", lambda: self.create_ledger(known))
            except Problem as problem:
                # There is no turn before there is a ledger: another one may have made it at the same moment.
                if not isinstance(problem.__cause__, MADE_MEANWHILE):
                    raise
                self.attempt("the ledger", lambda: self.create_ledger(known))
            self._turn.take(self.session.settings)

    def create_ledger(self, known: Sequence[Migration] = ()) -> None:
        """Within an attempt of the caller's. Makes what is missing."""
        if not ledger.tables(self.connection):
            self.connection.execute(query("ledger_schema"))
        self.connection.execute(query("ledger_yoyo"))
        self.connection.execute(query("ledger_tables"))
        # Apart, as the comment on it would wait for who has the turn: us.
        if "turn" not in ledger.tables(self.connection):
            self.connection.execute(query("ledger_turn"))
        if scalar(self.connection, OLD_VIEWS):
            self.connection.execute(query("adopt_views"))
        self.adopt(known)

    def adopt(self, known: Sequence[Migration]) -> None:
        """0.1.0 may have applied them, on a database that has this ledger by now."""
        files = [{"migration_id": migration.id} | migration.sums for migration in known]
        self.connection.execute(query("adopt_migrations"), {"files": Jsonb(files)})

    def apply(self, migration: Migration) -> None:
        """Within an attempt of the caller's."""
        started = time.perf_counter()
        self.session.run_file(migration.up)
        self.mark(migration, "apply", started)

    def rollback(self, migration: Migration) -> None:
        """Within an attempt of the caller's."""
        self.session.run_file(migration.down)
        self.unmark(migration, "rollback")

    def mark(self, migration: Migration, operation: str = "mark", started: float | None = None) -> None:
        took = None if started is None else round((time.perf_counter() - started) * 1000)
        self.write(ledger_sql.MARK, migration, state=ledger.APPLIED, duration_ms=took, **log_data(operation))

    def accept(self, migration: Migration) -> None:
        self.write(ledger_sql.ACCEPT, migration, state=ledger.APPLIED, **log_data("mark"))

    def unmark(self, migration: Migration, operation: str = "unmark") -> None:
        self.write(ledger_sql.UNMARK, migration, **log_data(operation))

    def write(self, statement: str, migration: Migration, **values: object) -> None:
        known = {"migration_id": migration.id, "hash": migration.hash, "version": __version__}
        self.connection.execute(statement, known | migration.sums | values)

    def attempt(self, name: object, work: Callable[[], Result]) -> Result:
        """Work in a transaction, again while others are in its way. Within a transaction of the caller's, whose locks
        would be kept meanwhile, once."""
        if self.connection.info.transaction_status != TransactionStatus.IDLE:
            with in_words(name), self.unit():
                return work()
        turn = 0
        while True:
            turn += 1
            try:
                with in_words(name), self.unit():
                    return work()
            except Problem as problem:
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
        """A transaction of its own, with a clean session."""
        self.session.clean()
        with self.connection.transaction():
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


def log_data(operation: str) -> dict[str, str]:
    """Who does what from where. The host by its own name: yoyo asks DNS for a longer one, each time, for seconds where
    none answers."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        # In a container a user may be a number only.
        user = str(os.getuid())
    return {"operation": operation, "username": user, "hostname": socket.gethostname()}
