"""Compares a database with what its version should be.

What it should be is built, not remembered: the same migrations and repeatables, run in a database that is made for this
on a scratch server and dropped again. A committed snapshot would have to be made anew with every change and for every
version that can be asked for, and PostgreSQL prints views differently from one release to the next.
"""

from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from itertools import zip_longest

import psycopg
from psycopg import sql

from llm_db import catalog, embedded, files, history, repeatables, scratch
from llm_db.errors import PENDING, Problem, one_line
from llm_db.files import Migration
from llm_db.objects import live
from llm_db.repeatables import Repeatable
from llm_db.session import Session

# What one line can say about an object that is missing or extra, beside its name.
SUMMARY = {"column": "type", "constraint": "definition", "index": "definition", "trigger": "definition"}


@dataclass(frozen=True)
class Difference:
    kind: str
    name: str
    text: str
    tolerated: bool = False

    def __str__(self) -> str:
        return f"{self.kind} {self.name}: {self.text}{' [tolerated]' if self.tolerated else ''}"


@dataclass(frozen=True)
class Compared:
    summary: str
    differences: list[Difference]
    differs: bool

    def as_json(self) -> dict[str, object]:
        return {"summary": self.summary, "differences": [asdict(one) for one in self.differences]}


def check(connection: psycopg.Connection, scratch_dsn: str | None = None, strict: bool = False) -> Compared:
    """Without the DSN of a server to build on, on an embedded one. `strict` refuses also what is tolerated."""
    connection.execute("SET default_transaction_read_only = on")
    known = files.migrations()
    current = history.state(connection, known)
    history.refuse_unknown(current)
    if not current.applied:
        raise Problem(
            "No migration is applied to this database, so there is nothing it should be.",
            "`llm-db migrate` makes the schema; `llm-db baseline` adopts one that was built another way",
            PENDING,
        )
    applied = [migration for migration in known if migration.id in current.applied]
    # While migrations are pending, what is repeatable is of some version or other.
    found = compare(connection, applied, [] if current.pending else repeatables.files(), scratch_dsn)
    refused = [difference for difference in found if strict or not difference.tolerated]
    summary = f"{len(refused)} differences from {applied[-1].id}"
    if current.pending:
        summary += (
            f"; {len(current.pending)} migrations are pending, and views, routines and triggers are compared once they"
            " are applied"
        )
    return Compared(summary, found, bool(refused))


def compare(
    connection: psycopg.Connection, applied: list[Migration], found: list[Repeatable], scratch_dsn: str | None
) -> list[Difference]:
    """Without files, what is repeatable is left out on both sides."""
    with built(applied, found, scratch_dsn) as should, connection.transaction():
        connection.execute("SET LOCAL search_path = pg_catalog")
        expected, actual = catalog.read(should.connection), catalog.read(connection)
        faults = set(catalog.read_faults(connection)) - set(catalog.read_faults(should.connection))
        if not found:
            ours = set(repeatables.all_objects(repeatables.recorded(connection).values()))
            names = catalog_names(connection, ours) | catalog_names(should.connection, ours)
            ignore(expected, names)
            ignore(actual, names)
        if should.connection.info.server_version // 10000 != connection.info.server_version // 10000:
            print_alike(should.connection, expected, actual)
    return differences(expected, actual, faults)


@contextmanager
def built(applied: Iterable[Migration], found: Iterable[Repeatable], dsn: str | None) -> Iterator[Session]:
    """A database with nothing but these, for as long as it is looked at."""
    with (
        nullcontext(dsn) if dsn is not None else embedded.temporary() as server,
        scratch.database_on(server) as session,
    ):
        for migration in applied:
            scratch.run(session, migration)
        for file in found:
            session.run_file(file.path)
        yield session


def catalog_names(connection: psycopg.Connection, names: Collection[str]) -> set[str]:
    return {one.in_catalog for name, one in live(connection).items() if name in names}


def ignore(found: catalog.Catalog, names: set[str]) -> None:
    """Takes these objects out, with their columns and the grants on either."""
    gone = names | {name for (_, name), entry in found.items() if entry.part_of in names}
    for key, entry in list(found.items()):
        if key[1] in gone or entry.part_of in gone:
            del found[key]


def print_alike(should: psycopg.Connection, expected: catalog.Catalog, actual: catalog.Catalog) -> None:
    """PostgreSQL 16 leaves out table names that 15 prints. Where two releases' texts of a view differ, the scratch
    server reads the other's and prints it its own way; what it cannot read is another view."""
    for key, entry in actual.items():
        if key not in expected or key[0] != "view":
            continue
        theirs, ours = entry.properties["definition"], expected[key].properties["definition"]
        if theirs != ours:
            try:
                with should.transaction(force_rollback=True):
                    should.execute(sql.SQL("CREATE TEMP VIEW printed_alike AS {}").format(sql.SQL(theirs)))
                    query = "SELECT pg_get_viewdef('pg_temp.printed_alike'::regclass)"
                    entry.properties["definition"] = should.execute(query).fetchone()[0]
            except (psycopg.ProgrammingError, psycopg.DataError):
                continue


def differences(
    expected: catalog.Catalog, actual: catalog.Catalog, faults: set[tuple[str, str, str, str]]
) -> list[Difference]:
    """In the order of their names. Of a whole object that is missing or extra, its parts are not listed."""
    gone = {name for _, name in expected.keys() ^ actual.keys()}
    # Roles that our own files grant to, and those that every server has. Whom else a DBA lets in is the DBA's decision.
    grantees = {"PUBLIC", "its owner"} | {name.rsplit(" to ", 1)[1] for kind, name in expected if kind == "grant"}
    found = []
    for kind, name in sorted(expected.keys() | actual.keys(), key=lambda key: (key[0] == "grant", key[1], key[0])):
        should, is_now = expected.get((kind, name)), actual.get((kind, name))
        if should and is_now:
            found += [
                Difference(kind, name, changed(prop, is_now.properties[prop], value))
                for prop, value in should.properties.items()
                if is_now.properties[prop] != value
            ]
        elif should and should.part_of not in gone:
            found.append(Difference(kind, name, f"missing{summary(kind, should)}"))
        elif is_now and is_now.part_of not in gone:
            text = summary(kind, is_now)
            # A unique index decides which rows are allowed, as a constraint does.
            tolerated = (kind == "index" and "CREATE UNIQUE" not in text) or (
                kind == "grant" and name.rsplit(" to ", 1)[1] not in grantees
            )
            found.append(Difference(kind, name, f"extra{text}", tolerated))
    return found + [Difference(kind, name, text) for kind, name, part_of, text in sorted(faults) if part_of not in gone]


def summary(kind: str, entry: catalog.Entry) -> str:
    return f" ({one_line(entry.properties[SUMMARY[kind]] or '')})" if kind in SUMMARY else ""


def changed(prop: str, is_now: str | None, should: str | None) -> str:
    now_lines, should_lines = (is_now or "none").splitlines(), (should or "none").splitlines()
    if len(now_lines) == len(should_lines) == 1:
        return f"{prop} is {is_now or 'none'}, should be {should or 'none'}"
    pairs = enumerate(zip_longest(now_lines, should_lines, fillvalue="nothing"), start=1)
    number, (now_line, should_line) = next((n, pair) for n, pair in pairs if pair[0] != pair[1])
    return f"{prop} differs from line {number}: is {one_line(now_line)}, should be {one_line(should_line)}"
