"""What the page of the departments' cost begins with: of its newest month each department's bill, which can be sent to
whoever heads it. Every number on it is of reporting.department_bills, or of the report itself."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import psycopg
from psycopg import sql

from llm_db.report import query
from llm_db.report.query import Question, View

REPORT, BILLS = "monthly_cost_by_department", "department_bills"
COLUMNS = ("allocated_cost", "department_share", "cost_change", "used_cost", "idle_cost", "requests", "tokens")
# Of the lines that are left out the sum is shown; of changes there is none.
ADDED_UP = ("allocated_cost", "department_share", "used_cost", "idle_cost", "requests", "tokens")
LINES = 10

Row = dict[str, object]


@dataclass(frozen=True)
class Part:
    """The projects, models or users of a bill, as rows of the view."""

    title: str
    view: View
    rows: list[tuple]
    note: str


@dataclass(frozen=True)
class Bill:
    title: str
    figures: str
    parts: list[Part]


def bills(connection: psycopg.Connection, asked: Question, rows: Sequence[tuple], where: Sequence[str]) -> list[Bill]:
    """None for another report, for one without a row, or under a condition that a bill does not know."""
    view = query.view(connection, BILLS, asked.view.language) if asked.view.name == REPORT and rows else None
    if not view or any(not view.has(condition.partition("=")[0]) for condition in where):
        return []
    reported = [as_row(asked.view, row) for row in rows]
    wanted = query.question(connection, BILLS, language=view.language, where=where)
    newest = reported[0]["cost_month"]
    wanted.clauses.append(sql.SQL("cost_month = {}").format(newest))
    lines = [as_row(view, row) for row in connection.execute(query.select(wanted, ordered=False)).fetchall()]
    lines.sort(key=lambda line: line["allocated_cost"], reverse=True)
    return [
        bill(view, [line for line in lines if line["department_id"] == row["department_id"]], row["cost_share"])
        for row in reported
        if row["cost_month"] == newest and not row["is_idle"]
    ]


def as_row(view: View, row: tuple) -> Row:
    return {column.name: value for column, value in zip(view.columns, row, strict=True)}


def bill(view: View, lines: list[Row], share: object) -> Bill:
    words = view.words
    [total] = [line for line in lines if line["line"] == "department"]
    parts = []
    for kind in ("project", "model", "user"):
        name = f"{kind}_name"
        of_kind = [line for line in lines if line["line"] == kind]
        if of_kind:
            columns = [column for shown in (name, *COLUMNS) for column in view.columns if column.name == shown]
            parts.append(part(replace(view, columns=columns), of_kind, name))
    title = words.bill_of.format(total["department_name"] or words.none, f"{total['cost_month']:%Y-%m}")
    cost, idle = (f"{total[name]:,.2f} {total['currency']}" for name in ("allocated_cost", "idle_cost"))
    figures = [words.costs.format(cost)]
    if share is not None:
        figures.append(words.share_of_all.format(share))
    if total["cost_change"] is not None:
        figures.append(words.change.format(total["cost_change"]))
    figures.append(words.idle.format(idle))
    return Bill(title, " · ".join(figures), parts)


def part(view: View, lines: list[Row], named: str) -> Part:
    largest, others = lines[:LINES], lines[LINES:]
    rows = [tuple(line[column.name] for column in view.columns) for line in largest]
    if others:
        sums = {name: sum(line[name] or 0 for line in others) for name in ADDED_UP} | {named: view.words.others}
        rows.append(tuple(sums.get(column.name) for column in view.columns))
    note = view.words.sum_of_others.format(len(largest), len(others)) if others else ""
    return Part(str(lines[0][f"line_{view.language}"]), view, rows, note)
