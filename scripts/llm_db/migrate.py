"""Migrates a database, forward and back.

What was done is told at once, and is in the result that the caller may pass in, so that it is known when the next file
fails. Forward, a file is a transaction; back, all files that can be are one, so that whatever stands in the way of one
of them, nothing is rolled back.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby

import psycopg

from llm_db import alone, files, give_way, history, lint, repeatables, seeds, sql_text
from llm_db.backend import USUAL, Backend, Conduct
from llm_db.errors import Problem, sql_problem
from llm_db.files import Migration
from llm_db.history import State
from llm_db.queries import query
from llm_db.repeatables import Repeatable

Tell = Callable[[str], object]
# The migration that distributed/ was first written for.
WRITTEN_FOR = "0039.rates-and-budgets"
# With what a rollback refuses to lose rows: the first statement of its file asks, and does nothing else.
REFUSES = "object_not_in_prerequisite_state"
# The table that it asks is not there yet, but comes back with the files that are rolled back before.
NOT_YET = (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn, psycopg.errors.InvalidSchemaName)


@dataclass(frozen=True)
class Ran:
    id: str
    ms: int
    # What of ours had to go and is not there again: views, routines, triggers.
    dropped: list[str]


@dataclass(frozen=True)
class Refreshed:
    made: list[str]
    unchanged: int


@dataclass
class Migrated:
    applied: list[Ran] = field(default_factory=list)
    # None while migrations are pending.
    repeatables: Refreshed | None = None


@dataclass
class RolledBack:
    rolled_back: list[Ran] = field(default_factory=list)


def migrate(
    connection: psycopg.Connection,
    *,
    to: str | None = None,
    allow_late: bool = False,
    conduct: Conduct = USUAL,
    tell: Tell = print,
    result: Migrated | None = None,
) -> Migrated:
    """Applies what is pending, up to `to`. If nothing is pending then, brings reference data and repeatables up to
    date."""
    result = result or Migrated()
    known = files.migrations()
    lint.refuse()
    last = files.find(known, to) if to else len(known) - 1
    found = repeatables.files_for(connection)
    backend = Backend(connection, conduct)
    with backend.lock():
        backend.session.one_by_one = repeatables.is_distributed(connection)
        history.refuse_history(history.state(connection, known), allow_late)
        backend.ensure_ledger(known)
        current = history.state(connection, known)
        pending = [migration for migration in known[: last + 1] if migration.id in current.pending]
        made: list[str] = []
        with telling_how_far(backend, known, pending, result.applied, "applied", made):
            for number, migration in enumerate(pending, start=1):
                ran = timed(migration, partial(apply_one, backend, found, migration))
                result.applied.append(ran)
                tell_of(tell, ran, f"[{number}/{len(pending)}] {ran.id} {ran.ms} ms")
            if not pending:
                tell("Nothing to migrate." if to else "Every migration is applied already.")
            if all(migration.id in current.applied or migration in pending for migration in known):
                refresh(backend, found, made)
                result.repeatables = Refreshed(made, len(found) - len(made))
                tell(f"repeatables: {len(made)} made, {result.repeatables.unchanged} unchanged; reference data is in")
    return result


@contextmanager
def telling_how_far(
    backend: Backend,
    known: list[Migration],
    todo: list[Migration],
    done: list[Ran],
    verb: str,
    made: Sequence[str] = (),
) -> Iterator[None]:
    """What stops us is told with what was done until then, as far as it is known."""
    try:
        yield
    except Problem as problem:
        # Of a lost session it is not, nor of what runs outside a transaction.
        alone_now = len(done) < len(todo) and not todo[len(done)].use_transactions
        if done and not backend.connection.closed:
            applied = history.state(backend.connection, known).applied
            at = applied[-1] if applied else "its beginning, with nothing applied"
            problem.hint = f"{len(done)} of {len(todo)} {verb}: the database is at {at}; {problem.hint}"
        elif not (made or alone_now or backend.connection.closed):
            problem.hint = f"nothing was changed; {problem.hint}"
        raise


def refresh(backend: Backend, found: list[Repeatable], made: list[str]) -> None:
    """`made` takes the names of the files that were run."""

    def work() -> list[str]:
        seeds.run_reference(backend.session)
        ran = repeatables.refresh(backend.session, found)
        backend.connection.execute(query("grant_to_roles"))
        return ran

    made += backend.attempt("repeatables and reference data", work)
    for file in repeatables.pending_triggers(backend.connection, found):
        made += backend.attempt(
            files.relative(file.path), partial(repeatables.refresh, backend.session, found, file.name)
        )


def rollback(
    connection: psycopg.Connection,
    to: str,
    *,
    conduct: Conduct = USUAL,
    tell: Tell = print,
    result: RolledBack | None = None,
) -> RolledBack:
    """Undoes every migration after `to`, the last one first; `none` for all."""
    result = result or RolledBack()
    known = files.migrations()
    if not going(connection, to):
        tell(f"Nothing is applied after {to}.")
        return result
    is_distributed = repeatables.is_distributed(connection)
    if is_distributed and going(connection, to)[-1].id <= WRITTEN_FOR:
        raise Problem(
            f"The logs of this database lie on a cluster, where {WRITTEN_FOR} and what is older is not rolled back.",
            "`llm-db distribute --undo`, roll back, and `llm-db distribute` when it is migrated again",
        )
    # An edited file that was accepted has not been looked at yet.
    lint.refuse()
    found = repeatables.files_for(connection)
    backend = Backend(connection, conduct)
    with backend.lock():
        backend.session.one_by_one = is_distributed
        backend.ensure_ledger(known)
        # Read again: another runner may have been at work until we got the lock.
        todo = going(connection, to)
        with telling_how_far(backend, known, todo, result.rolled_back, "rolled back"):
            refuse_losses(backend, todo)
            for together, group in groupby(todo, in_a_transaction):
                unit = list(group)
                if together and len(unit) > 1:
                    backend.wait_briefly()
                work = partial(roll_back, backend, found, unit)
                for ran in backend.attempt("rollback", work) if together else work():
                    result.rolled_back.append(ran)
                    number = len(result.rolled_back)
                    tell_of(tell, ran, f"[{number}/{len(todo)}] {ran.id} rolled back {ran.ms} ms")
    return result


def refuse_losses(backend: Backend, todo: list[Migration]) -> None:
    """Asks every file before the first one runs, which would lock what is in use."""
    with backend.unit():
        backend.connection.execute("SET TRANSACTION READ ONLY")
        for migration in todo:
            asks = next(iter(sql_text.pieces(files.read_sql(migration.down))), "")
            if REFUSES not in asks:
                continue
            try:
                with backend.connection.transaction():
                    backend.connection.execute(asks)
            except NOT_YET:
                continue
            except psycopg.Error as error:
                raise sql_problem(error, files.relative(migration.down)) from error


def in_a_transaction(migration: Migration) -> bool:
    """What was made for each partition goes at once: an attached index cannot be detached, nor dropped by itself."""
    return migration.use_transactions or migration.each_of is not None


def roll_back(backend: Backend, found: list[Repeatable], unit: list[Migration]) -> list[Ran]:
    return [timed(migration, partial(rollback_one, backend, found, migration)) for migration in unit]


def going(connection: psycopg.Connection, to: str) -> list[Migration]:
    """What a rollback would undo, in this order."""
    known = files.migrations()
    keep = 0 if to in ("none", "0") else files.find(known, to) + 1
    current: State = history.state(connection, known)
    after = [migration for migration in reversed(known[keep:]) if migration.id in current.applied + current.half_done]
    history.refuse_rollback(current, after)
    return after


def apply_one(backend: Backend, found: list[Repeatable], migration: Migration) -> list[str]:
    if migration.use_transactions:
        return give_way.apply(backend, found, migration)
    alone.apply(backend, migration)
    return []


def rollback_one(backend: Backend, found: list[Repeatable], migration: Migration) -> list[str]:
    if in_a_transaction(migration):
        return give_way.rollback(backend, found, migration, partial(backend.rollback, migration))
    gone = give_way.rollback(backend, found, migration, lambda: None)
    alone.rollback(backend, migration)
    return gone


def timed(migration: Migration, work: Callable[[], list[str]]) -> Ran:
    started = time.perf_counter()
    dropped = work()
    return Ran(migration.id, round((time.perf_counter() - started) * 1000), dropped)


def tell_of(tell: Tell, ran: Ran, line: str) -> None:
    if ran.dropped:
        names = ", ".join(ran.dropped)
        tell(f"dropped {len(ran.dropped)} of ours: {names}; the end of a full migrate makes them again")
    tell(line)
