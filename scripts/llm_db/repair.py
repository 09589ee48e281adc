"""Puts one migration right in the ledger."""

from dataclasses import dataclass
from typing import Literal

import psycopg

from llm_db import files, history
from llm_db.backend import USUAL, Backend, Conduct
from llm_db.errors import Problem


@dataclass(frozen=True)
class Repaired:
    migration_id: str
    # What it counts as from now on.
    counts_as: str


def problems(connection: psycopg.Connection) -> list[tuple[str, str]]:
    """Each with the way out."""
    return history.violations(history.state(connection, files.migrations()))


def repair(
    connection: psycopg.Connection, way: Literal["accept", "forget"], wanted: str, conduct: Conduct = USUAL
) -> Repaired:
    known = files.migrations()
    migration = known[files.find(known, wanted)]
    backend = Backend(connection, conduct)
    with backend.lock(), backend.unit():
        current = history.state(connection, known)
        half_done = migration.id in current.half_done
        if way == "forget" and half_done:
            backend.unmark(migration)
            return Repaired(migration.id, "not applied")
        if way == "accept" and half_done:
            backend.mark(migration)
            return Repaired(migration.id, "applied")
        if way == "accept" and migration.id in current.edited:
            backend.accept(migration)
            return Repaired(migration.id, "applied as its files are now")
    raise Problem(f"{migration.id} needs no such repair.", "`llm-db repair` shows what does")
