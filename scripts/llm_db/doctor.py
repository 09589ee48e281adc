"""What is wrong with a database, or soon will be, as its view ops.health says it."""

from dataclasses import dataclass
from typing import Literal

import psycopg
from psycopg.rows import class_row

from llm_db.errors import Problem, one_line


@dataclass(frozen=True)
class Finding:
    """A row of ops.health; its columns' comments say what they mean."""

    name: str
    level: Literal["error", "warning"]
    object: str
    detail: str
    what_to_do: str


def findings(connection: psycopg.Connection) -> list[Finding]:
    try:
        with connection.cursor(row_factory=class_row(Finding)) as cursor:
            return cursor.execute("SELECT name, level, object, detail, what_to_do FROM ops.health").fetchall()
    except psycopg.errors.UndefinedTable as error:
        raise Problem(
            "This database has no ops.health, which says what is wrong.", "`llm-db migrate` makes it"
        ) from error


def lines(found: list[Finding]) -> list[str]:
    """As people read it. What is to be run stands on a line of its own, so that it can be copied."""
    width = max((len(one.name) for one in found), default=0)
    told = []
    for one in found:
        told.append(f"{one.level:7}  {one.name:{width}}  {one_line(one.object)}: {one_line(one.detail)}")
        told.append(f"{'':9}{one_line(one.what_to_do)}")
    return [*told, summary(found)]


def summary(found: list[Finding]) -> str:
    errors = sum(one.level == "error" for one in found)
    return f"{errors} errors, {len(found) - errors} warnings" if found else "Nothing is wrong."
