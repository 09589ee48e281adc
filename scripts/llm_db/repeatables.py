"""Repeatables: views, routines and triggers, which hold no rows. One file makes them, and makes them again whenever its
text changes.

A file is run as it is: CREATE OR REPLACE leaves alone what is built on it, and what people gave on it. Where PostgreSQL
refuses, because a column, a parameter or a result is another one now, what the file made is dropped first, together
with those of ours that are built on it, and their files are run again too. Which objects a file makes is not parsed but
seen: the rows of the catalog that differ after it ran. Never CASCADE: what somebody else built on ours stops the change
and is named.

All files are run in one transaction, except those of triggers: they come after it, each in a transaction of its own. A
trigger's file locks its table, and some writers go from a session to its logs, others from logs to their session: who
locks both tables has some of them waiting for it, and waits for these. Only triggers that were dropped because their
function takes another shape are made again in the transaction that dropped them.
"""

import hashlib
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import psycopg

from llm_db import catalog, ledger, sql_root
from llm_db.database import scalar
from llm_db.errors import Problem
from llm_db.files import read_sql, relative
from llm_db.objects import (
    Address,
    Object,
    drop,
    give_back,
    identified,
    inherit_grants,
    live,
    makings,
    wait_briefly,
)
from llm_db.queries import query
from llm_db.session import Session

NEEDS = re.compile(r"^--\s*needs\s*:\s*(.*)$", re.MULTILINE)
# What a view's columns are called comes from its sources, so it is made again when they say something else.
DESCRIBES = re.compile(r"^CALL ops\.describe\(\s*'[^']*'((?:,\s*'[^']*')*)\s*\);", re.MULTILINE)

# What one node has, and behind it what a cluster has instead.
ROOTS = (sql_root() / "views", sql_root() / "distributed" / "views")

# CREATE OR REPLACE cannot make this of what is there. A trigger of another kind is an "object that exists", and a call
# is ambiguous while the routine that another one replaces is still there. Citus replaces no function that views on
# distributed tables call by one that names a local table, not even until what a cluster has instead comes behind it.
REFUSED = (
    psycopg.errors.FeatureNotSupported,
    psycopg.errors.InvalidFunctionDefinition,
    psycopg.errors.InvalidTableDefinition,
    psycopg.errors.WrongObjectType,
    psycopg.errors.DuplicateObject,
    psycopg.errors.AmbiguousFunction,
)


@dataclass(frozen=True)
class Repeatable:
    """A file of views/. Its name is its path without the ending. On a cluster what differs there comes behind it, so
    that it replaces what the file itself has made."""

    name: str
    paths: tuple[Path, ...]
    sha256: str
    # Without which migrations it would fail. PostgreSQL finds out about a body only when it runs it.
    needs: tuple[str, ...]
    described_by: tuple[str, ...] = ()

    @property
    def path(self) -> Path:
        return self.paths[0]

    @property
    def is_distributed(self) -> bool:
        return self.paths[-1].is_relative_to(ROOTS[1])

    @property
    def text(self) -> str:
        return "\n".join(map(read_sql, self.paths))

    @property
    def makes_triggers(self) -> bool:
        return self.name.split("/")[0].endswith("triggers")


@dataclass(frozen=True)
class Made:
    """What the ledger knows of a file: the sum of what was run (sums()), '' where it has to be run again."""

    name: str
    sha256: str = ""
    objects: frozenset[str] = frozenset()
    # Which of these a released migration had made before: a rollback leaves them to that migration.
    adopted: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Pending:
    name: str
    change: Literal["new", "changed", "removed"]
    file: Repeatable | None


def files(*roots: Path) -> list[Repeatable]:
    """In the order in which they are run: that of their paths. Of one node, unless told where they are."""
    named: dict[str, list[Path]] = {}
    for root in roots or (sql_root() / "views",):
        for path in root.rglob("*.sql"):
            named.setdefault(path.relative_to(root).with_suffix("").as_posix(), []).append(path)
    return [read(name, *paths) for name, paths in sorted(named.items(), key=lambda item: item[0].split("/"))]


def files_for(connection: psycopg.Connection) -> list[Repeatable]:
    """Those of this database, which may be a cluster's."""
    return files(*ROOTS) if is_distributed(connection) else files()


def is_distributed(connection: psycopg.Connection) -> bool:
    # Not to_regclass(), which fails for who may not use the schema.
    return scalar(
        connection,
        "SELECT EXISTS (SELECT FROM pg_catalog.pg_class AS c INNER JOIN pg_catalog.pg_namespace AS n"
        " ON c.relnamespace = n.oid WHERE (n.nspname, c.relname) = ('cluster', 'state'))",
    )


def read(name: str, *paths: Path) -> Repeatable:
    text = "\n".join(map(read_sql, paths))
    needs = tuple(word for line in NEEDS.findall(text) for word in line.split())
    described_by = tuple(source for found in DESCRIBES.findall(text) for source in re.findall(r"'([^']*)'", found))
    return Repeatable(name, paths, hashlib.sha256(text.encode()).hexdigest(), needs, described_by)


def sums(connection: psycopg.Connection, found: Iterable[Repeatable]) -> dict[str, str]:
    """By name, the sum of a file's text and of what its sources' columns are called in this database."""
    found = list(found)
    sources = sorted({source for file in found for source in file.described_by})
    called = dict(connection.execute(query("descriptions"), {"names": sources}).fetchall()) if sources else {}
    return {
        file.name: hashlib.sha256(
            "\n".join([file.sha256, *(called.get(source, "") for source in file.described_by)]).encode()
        ).hexdigest()
        if file.described_by
        else file.sha256
        for file in found
    }


def recorded(connection: psycopg.Connection) -> dict[str, Made]:
    """What the ledger knows, by the files' names in their order. Nothing where there is no ledger yet."""
    if "repeatables" not in ledger.tables(connection):
        return {}
    rows = connection.execute("SELECT name, sha256, objects, adopted FROM llm_db.repeatables").fetchall()
    made = [Made(name, sha256, frozenset(objects), frozenset(adopted)) for name, sha256, objects, adopted in rows]
    return {one.name: one for one in sorted(made, key=lambda one: one.name.split("/"))}


def all_objects(made: Iterable[Made]) -> list[str]:
    """In the order of their files."""
    return [name for one in made for name in sorted(one.objects)]


def write(connection: psycopg.Connection, made: Made) -> None:
    connection.execute(
        query("record_repeatable"),
        {"name": made.name, "sha256": made.sha256, "objects": sorted(made.objects), "adopted": sorted(made.adopted)},
    )


def forget(connection: psycopg.Connection, names: Collection[str]) -> None:
    connection.execute("DELETE FROM llm_db.repeatables WHERE name = ANY(%s)", [sorted(names)])


def pending(connection: psycopg.Connection, found: list[Repeatable]) -> list[Pending]:
    """Which files a migrate would run, and which are gone, as far as the ledger can tell."""
    made = recorded(connection)
    there = live(connection).keys() if made else set()
    now = sums(connection, found)
    changed = [
        Pending(file.name, "changed" if file.name in made else "new", file)
        for file in found
        if has_changed(now[file.name], made.get(file.name), there)
    ]
    gone = made.keys() - {file.name for file in found}
    return changed + [Pending(name, "removed", None) for name in made if name in gone]


def has_changed(now: str, made: Made | None, there: Collection[str]) -> bool:
    return made is None or made.sha256 != now or any(name not in there for name in made.objects)


def refresh(session: Session, found: list[Repeatable], triggers: str = "") -> list[str]:
    """Brings what is repeatable to the state of the files, inside the caller's transaction: all but the files of
    triggers, or one of these. Returns the names of the files that were run."""
    making = Making(session, found, triggers)
    if not making.pending:
        return []
    making.run()
    # What is left was given on what is no more.
    session.connection.execute("DELETE FROM llm_db.grants")
    return [file.name for file in found if file.name in making.done]


def pending_triggers(connection: psycopg.Connection, found: list[Repeatable]) -> list[Repeatable]:
    return [one.file for one in pending(connection, found) if one.file and one.file.makes_triggers]


class Making:
    """One pass over the files."""

    def __init__(self, session: Session, found: list[Repeatable], triggers: str) -> None:
        self.session = session
        self.files = {file.name: file for file in found}
        self.made = recorded(session.connection)
        # As it was before: what is there and was not made by any file was made by a migration.
        self.present = live(session.connection).keys()
        self.known = set(all_objects(self.made.values()))
        self.adopted = {name for made in self.made.values() for name in made.adopted}
        now = sums(session.connection, found)
        changed = {name for name in self.files if has_changed(now[name], self.made.get(name), self.present)}
        # Left to a transaction of their own.
        self.later = {name for name in changed if self.files[name].makes_triggers and name != triggers}
        self.todo = changed - self.later
        self.pending = changed | (self.made.keys() - self.files.keys())
        self.done: set[str] = set()
        # What no file makes any more, as far as is known: one that is still to be run may make it yet.
        self.stale: set[str] = set()

    def run(self) -> None:
        for name in self.made.keys() - self.files.keys():
            self.stale |= self.made.pop(name).objects
            forget(self.session.connection, [name])
        while self.todo or self.stale:
            if self.todo:
                self.make(next(file for name, file in self.files.items() if name in self.todo))
            elif self.later and any(name.startswith("trigger ") for name in self.stale):
                # It may have moved to another file, and is not to be missing meanwhile.
                self.todo, self.later = self.later, set()
            else:
                self.clear(self.stale)
                self.stale = set()
            if not self.todo:
                # What was made may describe others otherwise than before.
                described = [file for file in self.files.values() if file.described_by]
                now = sums(self.session.connection, described)
                self.todo = {name for name in now if self.made[name].sha256 != now[name]}

    def make(self, file: Repeatable) -> None:
        try:
            with self.session.connection.transaction():
                objects = run(self.session, file)
        except Problem as problem:
            was = self.made.get(file.name, Made(file.name))
            if not isinstance(problem.__cause__, REFUSED) or not self.clear(self.stale | was.objects):
                raise
            objects = run(self.session, file)
        self.todo.discard(file.name)
        self.record(file, objects)

    def clear(self, names: Collection[str]) -> bool:
        """Drops these, and has whatever else went with them made again. Whether there was anything to drop."""
        dropped = drop(self.session, names, [*all_objects(self.made.values()), *self.stale])
        self.todo |= {name for name, made in self.made.items() if made.objects & dropped}
        self.later -= self.todo
        return bool(dropped)

    def record(self, file: Repeatable, objects: dict[str, Object]) -> None:
        connection = self.session.connection
        for other in self.made.values():
            if other.name not in self.todo | self.later | {file.name} and (twice := other.objects & objects.keys()):
                raise Problem(
                    f"views/{other.name}.sql and {relative(file.path)} both make the {min(twice)}.",
                    "make it in one file; a GRANT on it stands beside it",
                )
        was = self.made.get(file.name, Made(file.name))
        inherit_grants(connection, was.objects - objects.keys(), objects.keys() - was.objects)
        give_back(connection, objects.values())
        self.adopted |= objects.keys() & self.present - self.known
        self.known |= objects.keys()
        sha256 = sums(connection, [file])[file.name]
        made = Made(file.name, sha256, frozenset(objects), frozenset(self.adopted & objects.keys()))
        write(connection, made)
        self.made[file.name] = made
        self.done.add(file.name)
        self.stale = (self.stale | was.objects).difference(all_objects(self.made.values()))


def run(session: Session, file: Repeatable) -> dict[str, Object]:
    """Runs a file. Returns what it made or replaced."""
    before: dict[Address, str] = makings(session.connection)
    if file.makes_triggers:
        wait_briefly(session)
    session.run_file(file.path, file.text)
    changed = [address for address, making in makings(session.connection).items() if before.get(address) != making]
    if not changed:
        raise Problem(
            f"{relative(file.path)} makes no view, routine or trigger in a schema of ours.",
            f"make one in {', '.join(catalog.SCHEMAS)}, or take the file away",
        )
    return identified(session.connection, changed)
