"""Takes sessions and logs to a Citus cluster, and back.

Either way is one transaction: killed at any moment it leaves all or nothing, on all servers, and is run again. What is
where then is asked of the catalog: a database is a cluster's when it has cluster.state.
"""

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import psycopg

from llm_db import files, history, repeatables, sql_root
from llm_db.backend import USUAL, Backend, Conduct
from llm_db.database import reading, scalar
from llm_db.errors import PENDING, Problem
from llm_db.objects import drop
from llm_db.queries import query
from llm_db.session import Session

# Of the database from then on. Triggers on distributed tables write beside their shards only. What one statement does
# on many shards it does one after the other, so that another of its transaction may write there too. That a view or a
# routine stays on the coordinator is as it should be. A session that is asked for by its key is not fetched before it
# is joined: reporting.session_summaries could not be read so.
SETTINGS = {
    "enable_unsafe_triggers": "on",
    "multi_shard_modify_mode": "sequential",
    "enable_unsupported_feature_messages": "off",
    "local_table_join_policy": "'prefer-local'",
}
MAKE = {
    "making what lies beside them": ("10_tables.sql", "15_drop_foreign_keys.sql"),
    "copying sessions and logs to the workers": ("20_distribute.sql",),
    "proving foreign keys": ("30_foreign_keys.sql", "55_foreign_keys_of_months.sql"),
}
UNDO = {
    "copying sessions and logs to the coordinator": ("15_drop_foreign_keys.sql", "40_undistribute.sql"),
    "proving foreign keys": ("50_foreign_keys.sql", "55_foreign_keys_of_months.sql"),
}
# What Citus says of each table when it begins with it.
COPYING = re.compile("^(Copying data from local table|moving the data of )")
TELL_SECONDS = 2.0

Tell = Callable[[str], object]


@dataclass(frozen=True)
class Table:
    name: str
    rows: int
    bytes: int


@dataclass(frozen=True)
class Planned:
    is_distributed: bool
    # Each with what to do about it.
    reasons: list[tuple[str, str]]
    tables: list[Table]
    seconds: int

    def as_json(self) -> dict[str, object]:
        return {
            "is_distributed": self.is_distributed,
            "refused": [{"reason": reason, "way_out": way_out} for reason, way_out in self.reasons],
            "moves": [vars(table) for table in self.tables],
            "estimated_seconds": self.seconds,
        }


def plan(connection: psycopg.Connection, undo: bool = False) -> Planned:
    with reading(connection):
        is_distributed = repeatables.is_distributed(connection)
        reasons = refusals(connection, is_distributed) if undo == is_distributed else []
        tables = [Table(*row) for row in connection.execute(query(sizes(is_distributed)))]
    return Planned(is_distributed, reasons, tables, estimate(tables))


def sizes(is_distributed: bool) -> str:
    return "distributed_sizes" if is_distributed else "local_sizes"


def estimate(tables: list[Table]) -> int:
    """Seconds, as measured on two cores: views and shards take some, and a second goes for every 70,000 rows."""
    return 5 + sum(table.rows for table in tables) // 70_000


def lines(planned: Planned, undo: bool) -> list[str]:
    if planned.is_distributed != undo:
        return ["there is nothing to undo" if undo else "sessions and logs lie on the workers already"]
    moves = [f"{table.name}: about {table.rows:,} rows, {table.bytes:,} bytes" for table in planned.tables]
    way = "back to the coordinator" if undo else "to the workers"
    return [
        f"moves {way}:",
        *(f"  {move}" for move in moves),
        f"in one transaction, in about {planned.seconds} s; who writes or reads them waits",
        *(f"refused: {reason}\n  {way_out}" for reason, way_out in planned.reasons),
    ]


def refusals(connection: psycopg.Connection, is_distributed: bool) -> list[tuple[str, str]]:
    """Why it cannot be done, all there is, each with a way out. Who is no superuser may not look for all of it."""
    if not scalar(connection, "SELECT r.rolsuper FROM pg_roles AS r WHERE r.rolname = current_user"):
        return [("you are not a superuser, who may make triggers on distributed tables", "connect as a superuser")]
    known = files.migrations()
    current = history.state(connection, known)
    history.refuse_unknown(current)
    found = history.violations(current)
    if not current.applied or current.pending or repeatables.pending(connection, repeatables.files_for(connection)):
        found.append(("this database is not up to date", "`llm-db migrate`"))
    if not current.applied:
        return found
    found += connection.execute(query("distribute_refuse"), {"undo": is_distributed}).fetchall()
    if scalar(connection, "SELECT to_regclass('pg_catalog.pg_dist_node') IS NOT NULL"):
        found += connection.execute(query("distribute_refuse_nodes"), {"undo": is_distributed}).fetchall()
    return found


def distribute(
    connection: psycopg.Connection,
    *,
    undo: bool = False,
    conduct: Conduct = USUAL,
    tell: Tell = print,
) -> Planned:
    planned = plan(connection, undo)
    if planned.is_distributed != undo:
        tell(lines(planned, undo)[0])
        return planned
    if planned.reasons:
        reason, way_out = planned.reasons[0]
        more = f", and {len(planned.reasons) - 1} more: --plan shows them" if planned.reasons[1:] else ""
        raise Problem(f"Nothing was done: {reason}{more}.", way_out, PENDING)
    backend = Backend(connection, conduct)
    with backend.lock():
        if repeatables.is_distributed(connection) != undo:
            raise Problem("Another llm-db has done this meanwhile.", "`llm-db distribute --plan` shows where logs lie")
        backend.session.settings += "".join(f"; SET citus.{name} = {value}" for name, value in SETTINGS.items())
        backend.session.one_by_one = True
        found = repeatables.files() if undo else repeatables.files(*repeatables.ROOTS)
        try:
            backend.attempt("distribute", partial(convert, backend, found, undo, tell))
        except KeyboardInterrupt:
            # All or nothing, and the catalog says which.
            is_there = repeatables.is_distributed(connection)
            as_before = " as before; nothing was changed" if is_there == undo else ""
            raise Problem(f"Interrupted: {lie(not is_there)}{as_before}.", "the same command does it") from None
    tell(lie(undo))
    return planned


def lie(on_coordinator: bool) -> str:
    return f"sessions and logs lie on the {'coordinator' if on_coordinator else 'workers'}"


class Steps:
    """Says what is done and how long it took, and how far it is within what takes long."""

    def __init__(self, connection: psycopg.Connection, tell: Tell) -> None:
        self.connection, self.tell = connection, tell

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        began = said = time.monotonic()
        tables = 0

        def heard(notice: psycopg.errors.Diagnostic) -> None:
            nonlocal tables, said
            if COPYING.search(notice.message_primary or ""):
                tables += 1
                if time.monotonic() - said >= TELL_SECONDS:
                    said = time.monotonic()
                    self.tell(f"  table {tables}, after {said - began:.0f} s")

        self.tell(f"{name} ...")
        self.connection.add_notice_handler(heard)
        try:
            yield
        finally:
            self.connection.remove_notice_handler(heard)
        self.tell(f"  done in {time.monotonic() - began:.1f} s")


def convert(backend: Backend, found: list[repeatables.Repeatable], undo: bool, tell: Tell) -> None:
    session, connection = backend.session, backend.connection
    steps = Steps(connection, tell)
    # Citus takes views on these tables along, and cannot where they also read others. They are made again below.
    drop_recorded(session, "views_on_logs")
    for name, in_step in (UNDO if undo else MAKE).items():
        with steps.step(name):
            for file in in_step:
                session.run_file(sql_root() / "distributed" / file)
    with steps.step("making views, functions and triggers"):
        make_again(session, found, undo)
    database = scalar(connection, "SELECT quote_ident(current_database())")
    for name, value in SETTINGS.items():
        change = f"RESET citus.{name}" if undo else f"SET citus.{name} = {value}"
        connection.execute(f"ALTER DATABASE {database} {change}")


def make_again(session: Session, found: list[repeatables.Repeatable], undo: bool) -> None:
    connection = session.connection
    if undo:
        # A function that the workers have may name no table that they have not. What is dropped they have no more.
        drop_recorded(session, "distributed_routines")
        session.settings += "; SET citus.enable_ddl_propagation = off"
        session.clean()
    repeatables.refresh(session, found)
    for file in repeatables.pending_triggers(connection, found):
        repeatables.refresh(session, found, file.name)
    if undo:
        connection.execute("SET citus.enable_ddl_propagation = on")
        session.run_file(sql_root() / "distributed" / "60_drop.sql")
    connection.execute(query("grant_to_roles"))


def drop_recorded(session: Session, which: str) -> None:
    made = repeatables.all_objects(repeatables.recorded(session.connection).values())
    found = {name for (name,) in session.connection.execute(query(which))}
    drop(session, [name for name in made if name in found], made)
