"""What a migrate would run, in its order; changes nothing."""

from dataclasses import asdict, dataclass

import psycopg

from llm_db import files, history, lint, locks, repeatables
from llm_db.database import reading
from llm_db.files import Migration
from llm_db.locks import Touched
from llm_db.repeatables import Pending


@dataclass(frozen=True)
class Plan:
    migrations: list[Migration]
    repeatables: list[Pending]
    # By name, what was seen to be locked of the tables that the database has now. None where it was not asked.
    locks: dict[str, list[Touched]] | None

    def as_json(self) -> list[dict[str, object]]:
        rows: list[dict[str, object]] = [
            {
                "kind": "migration",
                "id": migration.id,
                "transactional": migration.use_transactions,
                "sql": files.read_sql(migration.up),
            }
            for migration in self.migrations
        ]
        rows += [
            {
                "kind": "repeatable",
                "id": one.name,
                "change": one.change,
                "sql": files.read_sql(one.file.path) if one.file else None,
            }
            for one in self.repeatables
        ]
        for row in rows:
            if self.locks is not None and row["id"] in self.locks:
                row["locks"] = [asdict(touched) for touched in self.locks[row["id"]]]
        return rows


def plan(connection: psycopg.Connection, scratch_dsn: str | None = None) -> Plan:
    """With the DSN of a server to try it on, also which locks it takes."""
    known = files.migrations()
    lint.refuse()
    found = repeatables.files_for(connection)
    with reading(connection):
        current = history.state(connection, known)
        history.refuse_unknown(current)
        pending = repeatables.pending(connection, found)
    return Plan(
        [migration for migration in known if migration.id in current.pending],
        pending,
        None if scratch_dsn is None else locks.examine(known, current, found, pending, scratch_dsn),
    )


def lines(planned: Plan) -> list[str]:
    """As people read it: SQL, or its locks."""
    told = []
    for migration in planned.migrations:
        how = "in one transaction" if migration.use_transactions else "NOT in a transaction"
        if migration.each_of:
            how = f"once per partition of {migration.each_of}, {how}"
        told.append(f"-- {migration.id} ({how})")
        told += body(planned, migration.id, files.read_sql(migration.up))
    for one in planned.repeatables:
        if one.file is None:
            told.append(f"-- {one.name} (removed: what it made is dropped, unless another file makes it)\n")
        else:
            told.append(f"-- {one.name} ({one.change}, repeatable)")
            told += body(planned, one.name, files.read_sql(one.file.path))
    return [*told, summary(planned)]


def body(planned: Plan, name: str, text: str) -> list[str]:
    if planned.locks is None:
        return [f"{text.rstrip()}\n"]
    if name not in planned.locks:
        return ["--   not examined: it takes its locks one after the other"]
    return [f"--   {touched}" for touched in planned.locks[name]] or ["--   no table that is there now"]


def summary(planned: Plan) -> str:
    migrations, made = len(planned.migrations), len(planned.repeatables)
    if not migrations and not made:
        return "-- nothing is pending"
    # Whether a column or a parameter is another one, only running the file shows.
    also = "; where a file changes the shape of what it makes, what is built on that is made again too" if made else ""
    return f"-- {migrations} migrations and {made} repeatables are pending, reference data comes with them{also}"
