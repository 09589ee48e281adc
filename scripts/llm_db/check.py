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

from llm_db import catalog, embedded, files, history, repeatables, scratch, seeds, sql_root
from llm_db.database import another, reading, scalar
from llm_db.errors import PENDING, Problem, one_line
from llm_db.files import Migration
from llm_db.objects import live
from llm_db.queries import query
from llm_db.repeatables import Repeatable
from llm_db.session import Session

# What one line can say about an object that is missing or extra, beside its name.
SUMMARY = {"column": "type", "constraint": "definition", "index": "definition", "trigger": "definition"}

# The longest way of a text, read from what was printed of it, to one that stays as it is. Two are known of.
READINGS = 5


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
    known = files.migrations()
    with reading(connection):
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
    found = compare(connection, applied, [] if current.pending else repeatables.files_for(connection), scratch_dsn)
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
    # Building takes long enough for a session to be ended for being idle.
    with built(applied, found, scratch_dsn) as should, another(connection) as connection:
        return compared(should.connection, connection, bool(found))


def compared(should: psycopg.Connection, connection: psycopg.Connection, with_repeatables: bool) -> list[Difference]:
    """With what is repeatable, and the rows that a new database has; or without, on both sides."""
    with reading(connection):
        expected, actual = catalog.read(should), catalog.read(connection)
        faults = set(catalog.read_faults(connection)) - set(catalog.read_faults(should))
        grants = role_grants(connection, actual)
        roles = {name for name, *_ in grants}
        if with_repeatables:
            leave_out(expected, roles, actual)
        else:
            # They give what the roles have, too.
            leave_out(actual, roles, expected)
            ours = set(repeatables.all_objects(repeatables.recorded(connection).values()))
            names = catalog_names(connection, ours) | catalog_names(should, ours)
            ignore(expected, names)
            ignore(actual, names)
        print_alike(should, expected, actual)
        lacking = lacking_rows(should, connection, actual) + lacking_of_roles(grants) if with_repeatables else []
    return differences(expected, actual, faults) + lacking


@contextmanager
def built(applied: Iterable[Migration], found: Iterable[Repeatable], dsn: str | None) -> Iterator[Session]:
    """A database with nothing but these, for as long as it is looked at."""
    with (
        nullcontext(dsn) if dsn is not None else embedded.temporary() as server,
        scratch.database_on(server) as session,
    ):
        for migration in applied:
            scratch.run(session, migration)
        if found:
            seeds.run_reference(session)
        is_distributed = any(file.is_distributed for file in found)
        if is_distributed:
            for name in ("10_tables", "15_drop_foreign_keys"):
                session.run_file(sql_root() / "distributed" / f"{name}.sql")
        for file in found:
            session.run_file(file.path, file.text)
        if is_distributed:
            for name in ("30_foreign_keys", "55_foreign_keys_of_months"):
                session.run_file(sql_root() / "distributed" / f"{name}.sql")
        yield session


def lacking_rows(
    should: psycopg.Connection, connection: psycopg.Connection, actual: catalog.Catalog
) -> list[Difference]:
    """What a new database has rows in, such as a vocabulary, may have been left without them, for example by a
    restore of the schema alone. Rows are compared by their keys only, for what they say is changed by people."""
    found = []
    for table, columns in should.execute(query("keys"), {"schemas": catalog.SCHEMAS}).fetchall():
        key = sql.SQL(", ").join(sql.SQL("{}::text").format(sql.Identifier(column)) for column in columns)
        keys = sql.SQL("SELECT {} FROM {}").format(key, sql.Identifier(*table.split(".")))
        rows = should.execute(keys).fetchall()
        # Without the table or a column of its key, that is what is missing.
        if not rows or any(("column", f"{table}.{column}") not in actual for column in columns):
            continue
        try:
            with connection.transaction():
                lacking = sorted(set(rows) - set(connection.execute(keys)))
        except psycopg.errors.InsufficientPrivilege:
            found.append(Difference("table", table, "its rows were not compared, for you may not read them", True))
            continue
        if lacking:
            names = ", ".join("/".join(row) for row in lacking)
            found.append(Difference("table", table, f"lacks the rows {names}, which migrate puts back"))
    return found


def role_grants(connection: psycopg.Connection, actual: catalog.Catalog) -> list[tuple[str, bool, str, bool]]:
    """What the database itself says of the roles: their names, whether each is there, the statements, and whether each
    is done. Nothing of a database that does not know, or does not tell this role."""
    if ("view", "ops.role_grants") not in actual:
        return []
    try:
        with connection.transaction():
            return connection.execute(
                "SELECT role_name, role_exists, statement, is_given FROM ops.role_grants"
            ).fetchall()
    except psycopg.errors.InsufficientPrivilege:
        return []


def leave_out(found: catalog.Catalog, names: set[str], there: catalog.Catalog) -> None:
    """Grants to these roles that are not there. Roles are a cluster's, and the scratch server may have others; nor has
    it a ledger to give rights to. What a role lacks, lacking_of_roles() says."""
    for key in [key for key in found.keys() - there.keys() if key[0] == "grant" and grantee(key[1]) in names]:
        del found[key]


def lacking_of_roles(grants: list[tuple[str, bool, str, bool]]) -> list[Difference]:
    """It fails nobody that a role is not there: making it may be for somebody else to do."""
    return [
        Difference("grant", statement.removeprefix("GRANT "), "missing, which migrate gives back")
        if exists
        else Difference("role", name, f"missing; {statement}; SELECT ops.grant_to_roles();", True)
        for name, exists, statement, is_given in grants
        if not is_given and (exists or statement.startswith("CREATE"))
    ]


def grantee(grant: str) -> str:
    return grant.rsplit(" to ", 1)[1]


def catalog_names(connection: psycopg.Connection, names: Collection[str]) -> set[str]:
    return {one.in_catalog for name, one in live(connection).items() if name in names}


def ignore(found: catalog.Catalog, names: set[str]) -> None:
    """Takes these objects out, with their columns and the grants on either."""
    gone = names | {name for (_, name), entry in found.items() if entry.part_of in names}
    for key, entry in list(found.items()):
        if key[1] in gone or entry.part_of in gone:
            del found[key]


def print_alike(should: psycopg.Connection, expected: catalog.Catalog, actual: catalog.Catalog) -> None:
    """One meaning has several texts. Each release prints it in its own way, and a release may print it otherwise once
    it has read what was printed, as in a restore. So where texts differ, the scratch server reads and prints both,
    until they stay as they are. What it cannot read is something else."""
    for (kind, name), theirs in actual.items():
        ours = expected.get((kind, name), theirs)
        for prop, text in ours.properties.items():
            if None in (text, theirs.properties[prop]) or text == theirs.properties[prop]:
                continue
            printed = {settled(should, kind, name, entry, prop) for entry in (ours, theirs)}
            if len(printed) == 1 and None not in printed:
                theirs.properties[prop] = text


def settled(should: psycopg.Connection, kind: str, name: str, entry: catalog.Entry, prop: str) -> str | None:
    """The text as the scratch server prints it. None where it cannot read it, or it is only a name or a string."""
    text, reading = entry.properties[prop], how_to_read(kind, name, entry, prop)
    if reading is None:
        return None
    if kind == "column":
        # What needs no other column either is read as a constraint, so that there is one way for both.
        expression, stored, _ = text.partition(" STORED") if prop == "generated" else (text, "", "")
        text = f"CHECK ((({expression}) IS NULL) = ('{stored}' = ''))"
    in_the_way, before, after, read = reading
    for _ in range(READINGS):
        try:
            with should.transaction(force_rollback=True):
                if in_the_way:
                    should.execute(in_the_way)
                # A binary result makes libpq send it as one statement, whatever a text has in it.
                should.execute(before + text + after, binary=True)
                printed = scalar(should, read)
        except (psycopg.ProgrammingError, psycopg.DataError, psycopg.NotSupportedError):
            return None
        if printed == text:
            break
        text = printed
    return text


def how_to_read(kind: str, name: str, entry: catalog.Entry, prop: str) -> tuple[str, str, str, str] | None:
    """What makes way, what is sent before the text and after it, and the query that prints what was made then."""
    last_name = name.rpartition(".")[2]
    match kind, prop:
        case "view", "definition":
            return "", "CREATE TEMP VIEW read_again AS ", "", "SELECT pg_get_viewdef('pg_temp.read_again'::regclass)"
        case ("constraint", "definition") | ("column", "default" | "generated"):
            return (
                "",
                f"ALTER TABLE {entry.part_of} ADD CONSTRAINT read_again ",
                "",
                "SELECT pg_get_constraintdef(oid) FROM pg_constraint"
                f" WHERE conrelid = '{entry.part_of}'::regclass AND conname = 'read_again'",
            )
        case "index", "definition":
            return f"DROP INDEX {name}", "", "", f"SELECT pg_get_indexdef('{name}'::regclass)"
        case "trigger", "definition":
            return (
                f"DROP TRIGGER {last_name} ON {entry.part_of}",
                "",
                "",
                "SELECT pg_get_triggerdef(oid) FROM pg_trigger"
                f" WHERE tgrelid = '{entry.part_of}'::regclass AND tgname = '{last_name}'",
            )
        case "function" | "procedure", "arguments" | "body":
            result = f" RETURNS {entry.properties['result']}" if kind == "function" else ""
            make = f"CREATE OR REPLACE {kind} {name.partition('(')[0]}("
            if prop == "arguments":
                end = f"){result} LANGUAGE plpgsql AS 'BEGIN END'"
                return "", make, end, f"SELECT pg_get_function_arguments('{name}'::regprocedure)"
            make += f"{entry.properties['arguments']}){result} LANGUAGE {entry.properties['language']} "
            # Of any other language than SQL it is a string, which is not read before it is run.
            return "", make, "", f"SELECT pg_get_function_sqlbody('{name}'::regprocedure)"
    return None


def differences(
    expected: catalog.Catalog, actual: catalog.Catalog, faults: set[tuple[str, str, str, str]]
) -> list[Difference]:
    """In the order of their names. Of a whole object that is missing or extra, its parts are not listed."""
    gone = {name for _, name in expected.keys() ^ actual.keys()}
    # Roles that our own files grant to, and those that every server has. Whom else a DBA lets in is the DBA's decision.
    grantees = {"PUBLIC", "its owner"} | {grantee(name) for kind, name in expected if kind == "grant"}
    found = []
    for kind, name in sorted(expected.keys() | actual.keys(), key=lambda key: (key[0] == "grant", key[1], key[0])):
        should, is_now = expected.get((kind, name)), actual.get((kind, name))
        if should and is_now:
            found += [
                Difference(kind, name, changed(prop, is_now.properties[prop], value), tolerated=prop == "owner")
                for prop, value in should.properties.items()
                if is_now.properties[prop] != value
            ]
        elif should and should.part_of not in gone:
            found.append(Difference(kind, name, f"missing{summary(kind, should)}"))
        elif is_now and is_now.part_of not in gone:
            text = summary(kind, is_now)
            # A unique index decides which rows are allowed, as a constraint does.
            tolerated = (kind == "index" and "CREATE UNIQUE" not in text) or (
                kind == "grant" and grantee(name) not in grantees
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
