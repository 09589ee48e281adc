"""The views, routines and triggers that a database has in our schemas: finding them, and dropping them with those that
are built on them. What people gave on them is kept in the ledger until they are made again, however much later that is.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from graphlib import TopologicalSorter

import psycopg
from psycopg import sql
from psycopg.rows import class_row

from llm_db import catalog
from llm_db.errors import SQL_FAILED, Problem, one_line, sql_problem
from llm_db.queries import query
from llm_db.session import Session

# Shorter than PostgreSQL's own default of deadlock_timeout, one second: then it is us who give way, and not a writer
# whom PostgreSQL ends.
TRIGGER_LOCK_MS = 100

# The row of the catalog that it has: class and object.
Address = tuple[int, int]


@dataclass(frozen=True)
class Object:
    class_id: int
    object_id: int
    kind: str
    identity: str
    on_table: str | None
    # What PostgreSQL calls it in its messages.
    described: str
    # What catalog.py calls it.
    in_catalog: str

    @property
    def name(self) -> str:
        """As the ledger has it, so that it can be found again."""
        return f"{self.kind} {self.identity}"

    @property
    def address(self) -> Address:
        return self.class_id, self.object_id


def versions(connection: psycopg.Connection) -> dict[Address, str]:
    """Of everything there is; another version after each CREATE OR REPLACE, of a routine after each GRANT too."""
    return {address: version for address, version, _ in rows_of_live(connection)}


def makings(connection: psycopg.Connection) -> dict[Address, str]:
    """Of everything there is; another one after each CREATE OR REPLACE, and then only."""
    return {address: made for address, _, made in rows_of_live(connection)}


def rows_of_live(connection: psycopg.Connection) -> list[tuple[Address, str, str]]:
    rows = connection.execute(query("live"), {"schemas": catalog.SCHEMAS}).fetchall()
    return [((class_id, object_id), version, made) for class_id, object_id, version, made in rows]


def identified(connection: psycopg.Connection, addresses: Collection[Address]) -> dict[str, Object]:
    with connection.cursor(row_factory=class_row(Object)) as cursor:
        ids = {"class_ids": [one for one, _ in addresses], "object_ids": [one for _, one in addresses]}
        return {one.name: one for one in cursor.execute(query("identified"), ids)}


def live(connection: psycopg.Connection) -> dict[str, Object]:
    """Everything there is, by name."""
    return identified(connection, versions(connection).keys())


def drop(session: Session, names: Collection[str], ours: Sequence[str]) -> set[str]:
    """Drops these, and those of ours that are built on them. Returns the names of all. `ours` is in the order in which
    the tables of triggers are locked."""
    there = live(session.connection)
    droppable = {there[name].address: there[name] for name in [*ours, *names] if name in there}
    built_on = dependents(session.connection, droppable.keys())
    doomed: set[Address] = set()
    waiting = [there[name].address for name in names if name in there]
    while waiting:
        address = waiting.pop()
        if address not in doomed:
            doomed.add(address)
            waiting += built_on.get(address, ())
    if not doomed:
        return set()
    keep_grants(session.connection, [droppable[address] for address in doomed])
    lock_for_triggers(session, [one for address, one in droppable.items() if address in doomed])
    # What is built on others goes before these.
    in_order = TopologicalSorter({address: built_on.get(address, set()) & doomed for address in doomed})
    for address in in_order.static_order():
        drop_one(session.connection, droppable[address])
    session.clean()
    return {droppable[address].name for address in doomed}


def dependents(connection: psycopg.Connection, among: Collection[Address]) -> dict[Address, set[Address]]:
    """Which of these are built on each of these."""
    found: dict[Address, set[Address]] = {}
    for class_id, object_id, used_class_id, used_object_id in connection.execute(query("dependencies")):
        address, used = (class_id, object_id), (used_class_id, used_object_id)
        if address in among and used in among and address != used:
            found.setdefault(used, set()).add(address)
    return found


def lock_for_triggers(session: Session, doomed: Iterable[Object]) -> None:
    tables = dict.fromkeys(one.on_table for one in doomed if one.on_table)
    if not tables:
        return
    wait_briefly(session)
    for table in tables:
        try:
            session.connection.execute(f"LOCK TABLE ONLY {table} IN ACCESS EXCLUSIVE MODE")
        except psycopg.Error as error:
            raise sql_problem(error, f"the triggers of {table}") from error


def wait_briefly(session: Session) -> None:
    """For locks, until the session is cleaned again. A lock_timeout of zero is to wait for ever."""
    session.connection.execute(
        "SELECT pg_catalog.set_config('lock_timeout', least(nullif(setting::int, 0), %s)::text, true)"
        " FROM pg_catalog.pg_settings WHERE name = 'lock_timeout'",
        [TRIGGER_LOCK_MS],
    )


def drop_one(connection: psycopg.Connection, one: Object) -> None:
    # Its name as the catalog spells it, and not as the ledger has it: what is in a table is not run as SQL.
    try:
        connection.execute(f"DROP {one.kind.upper()} {one.identity}")
    except psycopg.errors.DependentObjectsStillExist as error:
        raise Problem(
            f"Something that is not ours is built on ours: {one_line(error.diag.message_detail or '')}.",
            "drop it, run this again, and create it anew on what is there then",
            SQL_FAILED,
        ) from error


def keep_grants(connection: psycopg.Connection, objects: Iterable[Object]) -> None:
    kept = [one for one in objects if one.kind != "trigger"]
    connection.execute(
        query("keep_grants"),
        {
            "objects": [one.name for one in kept],
            "class_ids": [one.class_id for one in kept],
            "object_ids": [one.object_id for one in kept],
        },
    )


def inherit_grants(connection: psycopg.Connection, gone: Collection[str], new: Collection[str]) -> None:
    """A routine whose arguments changed is another object. What was given on the old one is kept for it."""
    heirs = {old: [name for name in new if routine(name) == routine(old)] for old in gone if routine(old)}
    there = live(connection) if any(heirs.values()) else {}
    for old, found in heirs.items():
        if len(found) == 1:
            keep_grants(connection, [there[old]] if old in there else [])
            connection.execute("DELETE FROM llm_db.grants WHERE object = %s", found)
            connection.execute("UPDATE llm_db.grants SET object = %s WHERE object = %s", [found[0], old])


def routine(name: str) -> str:
    """Its name without its kind and its arguments; of another object, nothing."""
    _, _, identity = name.partition(" ")
    return identity.partition("(")[0] if "(" in identity else ""


def give_back(connection: psycopg.Connection, objects: Iterable[Object]) -> None:
    for one in objects:
        rows = connection.execute(query("give_back"), {"object": one.name, "object_id": one.object_id}).fetchall()
        for row in rows:
            connection.execute(given(one, *row))


def given(
    one: Object, column_name: str | None, role_name: str | None, privilege: str, is_grantable: bool
) -> sql.Composed:
    """The statement that gives it again. The object is spelled by the catalog, the privilege is one that the ledger's
    table allows."""
    kind = sql.SQL("VIEW" if one.kind == "view" else "ROUTINE")
    target = sql.SQL(one.identity)
    role = sql.SQL("PUBLIC") if role_name is None else sql.Identifier(role_name)
    if privilege == "OWNER":
        return sql.SQL("ALTER {} {} OWNER TO {}").format(kind, target, role)
    if privilege == "NOT PUBLIC":
        return sql.SQL("REVOKE ALL ON ROUTINE {} FROM PUBLIC").format(target)
    return sql.SQL("GRANT {}{} ON {} {} TO {}{}").format(
        sql.SQL(privilege),
        sql.SQL("") if column_name is None else sql.SQL(" ({})").format(sql.Identifier(column_name)),
        sql.SQL("TABLE" if one.kind == "view" else "ROUTINE"),
        target,
        role,
        sql.SQL(" WITH GRANT OPTION" if is_grantable else ""),
    )
