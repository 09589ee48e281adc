"""Adopts a database that was built another way, if it is what the migrations make."""

from dataclasses import replace

import psycopg

from llm_db import catalog, files, history, repeatables, scratch, seeds
from llm_db.backend import USUAL, Backend, Conduct
from llm_db.check import (
    Compared,
    built,
    catalog_names,
    differences,
    ignore,
    lacking_rows,
    leave_out,
    print_alike,
    role_grants,
)
from llm_db.errors import HISTORY, Problem
from llm_db.files import Migration
from llm_db.objects import live
from llm_db.repeatables import Made
from llm_db.session import Session

# In the ledger, in the place of the files that made what is repeatable.
BUILT_BEFORE = "of a baseline"


def baseline(
    connection: psycopg.Connection, to: str, scratch_dsn: str | None = None, conduct: Conduct = USUAL
) -> Compared:
    """Marks the migrations up to `to`, or nothing where the database differs from them. What is repeatable is left out:
    the next migrate makes it anew."""
    known = files.migrations()
    count = files.find(known, to) + 1
    backend = Backend(connection, conduct)
    with backend.lock():
        current = history.state(connection, known)
        if current.applied or current.unknown:
            raise Problem(
                f"This database has migrations already: {', '.join(current.applied + current.unknown)}.",
                "baseline is for a database that llm-db has never migrated; see `llm-db status`",
                HISTORY,
            )
        with built(known[:count], [], scratch_dsn) as should:
            expected = catalog.read(should.connection)
            actual = catalog.read(connection)
            faults = set(catalog.read_faults(connection)) - set(catalog.read_faults(should.connection))
            leave_out(actual, {name for name, *_ in role_grants(connection, actual)}, expected)
            print_alike(should.connection, expected, actual)
            by_migrations = live(should.connection).keys()
            ours = made_by_files(should, known[count:])
            names = catalog_names(should.connection, ours) | catalog_names(connection, ours)
            lacking = lacking_rows(should.connection, connection, actual)
        ignore(expected, names)
        ignore(actual, names)
        # Rows are the next migrate's work, as what is repeatable is, which nobody has to name.
        found = differences(expected, actual, faults) + [replace(one, tolerated=True) for one in lacking]
        if any(not difference.tolerated for difference in found):
            summary = f"This database is not what {known[count - 1].id} makes, so nothing was marked."
            return Compared(summary, found, True)
        there = ours & live(connection).keys() - by_migrations
        backend.attempt("the ledger", lambda: mark(backend, known[:count], there))
    return Compared(f"{count} migrations marked as applied, up to {known[count - 1].id}", found, False)


def made_by_files(should: Session, coming: list[Migration]) -> set[str]:
    """What is repeatable, as the newest version has it: seen by making it, with the rows that it comes with."""
    for migration in coming:
        scratch.run(should, migration)
    seeds.run_reference(should)
    return {name for file in repeatables.files() for name in repeatables.run(should, file)}


def mark(backend: Backend, adopted: list[Migration], there: set[str]) -> None:
    backend.create_ledger()
    for migration in adopted:
        backend.mark(migration)
    if there:
        # Known to be ours, and not a migration's: a rollback may take it away.
        repeatables.write(backend.connection, Made(BUILT_BEFORE, objects=frozenset(there)))
