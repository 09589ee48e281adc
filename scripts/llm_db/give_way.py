"""Migrations and rollbacks beside what is repeatable: what of ours stands in their way gives way, in their transaction.

What is in the way is learnt from PostgreSQL's own error, and the file is tried once more without it. A rollback takes
also what would fail without the migration, though PostgreSQL cannot know: the files that say that they need it.
"""

import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import psycopg

from llm_db.backend import Backend
from llm_db.errors import SQL_FAILED, Problem
from llm_db.files import Migration, relative
from llm_db.objects import Address, drop, give_back, live, versions
from llm_db.repeatables import Made, Repeatable, all_objects, forget, recorded, run, sums, write
from llm_db.session import Session

IN_THE_WAY = (psycopg.errors.DependentObjectsStillExist, psycopg.errors.FeatureNotSupported)


def apply(backend: Backend, found: list[Repeatable], migration: Migration) -> list[str]:
    """Returns the names of what had to go and does not fit what the migration left: not yet, if there are more."""

    def work(in_the_way: set[str]) -> list[str]:
        gone = without(backend.session, found, set(), in_the_way, partial(backend.apply, migration))
        if triggers := [name for name in gone if name.startswith("trigger ")]:
            raise Problem(
                f"{relative(migration.up)} takes away what the {triggers[0]} is built on, and its file does not fit"
                " what is left.",
                "writers need it all the time: change its file so that it fits, or make the change in two migrations",
                SQL_FAILED,
            )
        return gone

    return attempt(backend, relative(migration.up), work)


def rollback(backend: Backend, found: list[Repeatable], migration: Migration, work: Callable[[], object]) -> list[str]:
    """Returns the names of what is gone with it."""
    needing = {file.name for file in found if any(needed >= migration.id for needed in file.needs)}
    return attempt(
        backend,
        relative(migration.down),
        lambda in_the_way: without(backend.session, found, needing, in_the_way, work),
    )


def attempt(backend: Backend, name: object, work: Callable[[set[str]], list[str]]) -> list[str]:
    in_the_way: set[str] = set()
    while True:
        try:
            return backend.attempt(name, partial(work, in_the_way))
        except Problem as problem:
            more = named(backend.connection, problem.__cause__) - in_the_way
            if not more:
                raise
            in_the_way |= more


def named(connection: psycopg.Connection, error: BaseException | None) -> set[str]:
    """What of ours the error says is in the way: in any language, as PostgreSQL describes it."""
    if not isinstance(error, IN_THE_WAY):
        return set()
    detail = error.diag.message_detail or ""
    there = live(connection)
    return {
        name
        for name in all_objects(recorded(connection).values())
        if name in there and re.search(rf"(?<![\w.]){re.escape(there[name].described)}(?![\w.])", detail)
    }


def without(
    session: Session,
    found: list[Repeatable],
    needing: set[str],
    in_the_way: set[str],
    work: Callable[[], object],
) -> list[str]:
    """Does the work without these, and makes again what still fits. Returns the names of what is gone."""
    made = recorded(session.connection)
    if not made:
        work()
        return []
    going = {name for file in needing & made.keys() for name in made[file].objects - made[file].adopted}
    names = going | in_the_way
    dropped = drop(session, names, all_objects(made.values())) if names else set()
    before = versions(session.connection)
    work()
    forget(session.connection, needing)
    # Most work leaves all of it alone.
    if not dropped and versions(session.connection) == before:
        return []
    settle(session.connection, before)
    for file in found:
        if file.name in made and file.name not in needing and made[file.name].objects & dropped:
            make_again(session, file, made[file.name])
    return sorted(dropped - live(session.connection).keys())


def settle(connection: psycopg.Connection, before: dict[Address, str]) -> None:
    """The ledger after the work: a file is run again if something that it made is gone, or was replaced, as a rollback
    does. Of a file of which nothing is left there is nothing to know."""
    there, after = live(connection), versions(connection)
    for made in recorded(connection).values():
        left = {name: there[name].address for name in made.objects if name in there}
        if not left:
            forget(connection, [made.name])
        elif len(left) < len(made.objects) or any(before.get(one) != after[one] for one in left.values()):
            write(connection, replace(made, sha256=""))


def make_again(session: Session, file: Repeatable, was: Made) -> None:
    """Where it fits what the work has left, and else not yet."""
    try:
        with session.connection.transaction():
            objects = run(session, file)
            give_back(session.connection, objects.values())
            left_over = was.objects & live(session.connection).keys() - objects.keys()
            # What the file does not make any more goes at the end of a migrate.
            sha256 = "" if left_over else sums(session.connection, [file])[file.name]
            write(session.connection, Made(file.name, sha256, frozenset(left_over.union(objects)), was.adopted))
    except Problem as problem:
        if not no_longer_fits(problem.__cause__):
            raise


def no_longer_fits(error: BaseException | None) -> bool:
    """A name that is not there, a type that is another one. Not a missing right: the object would be lost for that."""
    return isinstance(error, psycopg.ProgrammingError) and not isinstance(error, psycopg.errors.InsufficientPrivilege)
