"""Migrations that run outside a transaction: what they leave when they are cut off is found out by the next run."""

import re
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import psycopg
from psycopg import sql

from llm_db import ledger, ledger_sql, sql_text
from llm_db.backend import Backend, in_words
from llm_db.database import PID, another, scalar
from llm_db.errors import HISTORY, Problem
from llm_db.files import Migration, read_sql, relative
from llm_db.session import Session
from llm_db.turn import WHO

# After this long, it is told what the work waits for.
TELL_SECONDS = 2.0

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


def apply(backend: Backend, migration: Migration) -> None:
    before = ledger.read(backend.connection)[1].get(migration.id)
    begun = before is not None and before.state == ledger.STARTED
    if not begun:
        backend.write(ledger_sql.WRITE, migration, state=ledger.STARTED, duration_ms=None)
    started = time.perf_counter()
    if migration.each_of:
        apply_each(backend, migration, begun, forget=before is None)
    else:
        text = read_sql(migration.up)
        left = found_left(backend, migration, text) if begun else ledger.Left("nothing")
        if left.outcome == "done":
            print(f"{migration.id} was left half-done, and is complete: marking it", file=sys.stderr)
        else:
            build(backend, migration, migration.id, text, left, forget=before is None)
    backend.attempt(migration.id, lambda: backend.mark(migration, "apply", started))


def apply_each(backend: Backend, migration: Migration, begun: bool, forget: bool) -> None:
    """Each partition's index is built and attached before the next one's, so what is finished is not done again. A
    partition that was made since the parent's index has its own, one that was dropped meanwhile needs none."""
    with in_words(migration.id):
        partitions = per_partition(backend.connection, migration)
    for number, (partition, create, attach) in enumerate(partitions, start=1):
        name = f"{migration.id}: {partition}, {number} of {len(partitions)}"
        try:
            if ledger.left_behind(backend.connection, create).outcome != "done":
                left = found_left(backend, migration, create) if begun else ledger.Left("nothing")
                build(backend, migration, name, create, left, forget)
            backend.attempt(name, partial(backend.session.run_file, migration.up, attach))
        except Problem:
            if backend.connection.closed or partition in leaves(backend.connection, migration):
                raise
            print(f"{name}: dropped meanwhile", file=sys.stderr)


def rollback(backend: Backend, migration: Migration) -> None:
    backend.adopt([migration])
    before = ledger.read(backend.connection)[1][migration.id]
    down = read_sql(migration.down)
    left = ledger.Left("nothing") if before.state == ledger.APPLIED else found_left(backend, migration, down)
    backend.write(ledger_sql.UPDATE, migration, state=ledger.UNDOING)
    if left.outcome != "done":
        run(backend, migration, migration.id, migration.down, down, forget=False)
    backend.attempt(migration.id, lambda: backend.unmark(migration, "rollback"))


def build(backend: Backend, migration: Migration, name: str, text: str, left: ledger.Left, forget: bool) -> None:
    if left.outcome == "invalid":
        print(f"{name} was left half-done: dropping the INVALID index {left.index}", file=sys.stderr)
        unlimited(backend.session, name, lambda: backend.connection.execute(f"DROP INDEX CONCURRENTLY {left.index}"))
    run(backend, migration, name, migration.up, text, forget)
    if ledger.left_behind(backend.connection, text).outcome == "invalid":
        # IF NOT EXISTS is content with an index that somebody else has left half-built.
        backend.write(ledger_sql.REMOVE, migration)
        raise Problem(
            f"{relative(migration.up)} found an INVALID index of its name.",
            "drop it with DROP INDEX CONCURRENTLY, unless somebody is building it now, and run this again",
            HISTORY,
        )


def found_left(backend: Backend, migration: Migration, text: str) -> ledger.Left:
    left = ledger.left_behind(backend.connection, text)
    if left.outcome == "unclear":
        raise Problem(
            f"{migration.id} began and was not seen to end, and what it left cannot be told from its statement.",
            f"look at the database, then `llm-db repair --accept {migration.id}` if its work is all there, or undo"
            f" what is there and `llm-db repair --forget {migration.id}`",
            HISTORY,
        )
    return left


def run(backend: Backend, migration: Migration, name: str, path: Path, text: str, forget: bool) -> None:
    try:
        unlimited(backend.session, name, lambda: backend.session.run_file(path, text))
    except Problem as problem:
        if forget and isinstance(problem.__cause__, psycopg.errors.DuplicateTable):
            # It has done nothing, and what has its name is not its work.
            backend.write(ledger_sql.REMOVE, migration)
            raise
        raise Problem(
            problem.message,
            "it runs outside a transaction and may be half-done; correct the cause and run this again, which finds"
            " out what was left",
            problem.exit_code,
        ) from problem


def unlimited(session: Session, name: str, work: Callable[[], object]) -> None:
    """Without a lock_timeout: CONCURRENTLY holds up nobody while it waits, and would have to begin all over."""
    session.clean()
    session.connection.execute("SET lock_timeout = 0")
    with in_words(name), told_when_long(session.connection, name):
        work()


@contextmanager
def told_when_long(connection: psycopg.Connection, name: str) -> Iterator[None]:
    """That it is still at work or whom it waits for, to stderr; asked by a second session, as this one is busy."""
    ended = threading.Event()
    # A pooler tells others' as ours.
    pid = scalar(connection, PID)

    def tell() -> None:
        said = ""
        if ended.wait(TELL_SECONDS):
            return
        # It only tells: where no more sessions are to be had, the work goes on without.
        with suppress(psycopg.Error, Problem), another(connection) as other:
            while not ended.is_set():
                blockers = scalar(other, BLOCKERS, [pid])
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


def leaves(connection: psycopg.Connection, migration: Migration) -> list[str]:
    return [name for (name,) in connection.execute(LEAVES, [migration.each_of])]


def per_partition(connection: psycopg.Connection, migration: Migration) -> list[tuple[str, str, str]]:
    """Each partition with its two statements: CREATE INDEX CONCURRENTLY and ALTER INDEX ... ATTACH PARTITION. In the
    file, the parent's name and `_each` stands for the partition, also as part of a longer name."""
    text = read_sql(migration.up)
    each = re.compile(rf"(\w*){migration.each_of.split('.')[1]}_each(\w*)")
    found = []
    for partition in leaves(connection, migration):

        def named(match: re.Match[str], partition: str = partition) -> str:
            return sql.Identifier(match[1] + partition + match[2]).as_string()

        create, attach = sql_text.pieces(each.sub(named, text))
        found.append((partition, create, attach))
    return found
