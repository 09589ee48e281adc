"""Upkeep: one call of the database's own procedure, and what it says."""

from collections.abc import Callable
from dataclasses import dataclass, field

import psycopg

from llm_db.database import scalar
from llm_db.errors import Problem

CALL = "llm.maintain()"
LEFT_TO_PRIMARY = "this server is a standby: upkeep is done on its primary"


@dataclass
class Maintained:
    done: list[str] = field(default_factory=list)
    # Also of jobs that failed: their names come first.
    warnings: list[dict[str, str]] = field(default_factory=list)


def maintain(connection: psycopg.Connection, *, tell: Callable[[str], None], result: Maintained) -> None:
    if scalar(connection, "SELECT pg_catalog.to_regprocedure(%s)", [CALL]) is None:
        raise Problem(f"There is no {CALL} in this database.", "run `llm-db migrate` first")

    def listen(notice: psycopg.errors.Diagnostic) -> None:
        message = notice.message_primary or ""
        # Warnings are printed for every command.
        if notice.severity_nonlocalized == "WARNING":
            result.warnings.append({"warning": message, "hint": notice.message_hint or ""})
        else:
            result.done.append(message)
            tell(message)

    connection.add_notice_handler(listen)
    connection.execute(f"CALL {CALL}")
