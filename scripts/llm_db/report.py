"""The reporting views in a terminal, or as CSV and JSON for files."""

import argparse
import csv
import difflib
import json
import sys
from datetime import datetime, timedelta
from decimal import Decimal

import psycopg
from psycopg import sql
from psycopg.rows import dict_row
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table

from llm_db.errors import DONE, Problem

DEMO_REPORTS = ("department_overview", "template_usage", "daily_latency_by_deployment")
SHOWN_ROWS = 40
BAR_WIDTH = 20
# A bar is drawn for the first of these columns that a view has.
BAR_COLUMNS = ("share", "percent", "requests", "usage_count", "tokens", "sessions")

# How complete the other columns are, and how to write to people: shown where there is room left.
DETAILS = ("answered_requests", "requests_without_tokens", "manager_email", "user_email", "created_at")

# Type oids of PostgreSQL.
NUMBERS = {20, 21, 23, 700, 701, 1700}
TIMES = {1082, 1114, 1184}

VIEWS = """
SELECT view.relname, coalesce(pg_catalog.obj_description(view.oid, 'pg_class'), '')
FROM pg_catalog.pg_class AS view
WHERE view.relnamespace = pg_catalog.to_regnamespace('reporting') AND view.relkind IN ('v', 'm')
ORDER BY view.relname
"""


def run(options: argparse.Namespace, connection: psycopg.Connection) -> int:
    known = listing(connection)
    if not options.name:
        if options.json:
            json.dump([{"name": name, "comment": comment} for name, comment in known.items()], sys.stdout, **JSON)
            print()
        elif options.csv:
            csv.writer(sys.stdout, lineterminator="\n").writerows([("name", "comment"), *known.items()])
        else:
            table = Table("report", "what it tells", title="llm-db report NAME prints one of these", show_lines=False)
            for name, comment in known.items():
                table.add_row(name, comment)
            console().print(table)
        return DONE
    name = options.name.removeprefix("reporting.")
    if name not in known:
        close = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
        raise Problem(
            f"There is no report {options.name}.",
            f"did you mean {close[0]}? " if close else "`llm-db report` lists them",
        )
    if options.csv:
        cursor = connection.cursor()
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(column.name for column in columns_of(connection, name))
        # Row by row: a view may have more rows than fit into memory.
        writer.writerows(cursor.stream(select(name)))
    elif options.json:
        json.dump(connection.cursor(row_factory=dict_row).execute(select(name)).fetchall(), sys.stdout, **JSON)
        print()
    else:
        show(connection, name)
    return DONE


def listing(connection: psycopg.Connection) -> dict[str, str]:
    known = dict(connection.execute(VIEWS).fetchall())
    if not known:
        raise Problem("This database has no reports yet.", "run `llm-db migrate` first")
    return known


def select(name: str) -> sql.Composed:
    return sql.SQL("SELECT * FROM reporting.{}").format(sql.Identifier(name))


def columns_of(connection: psycopg.Connection, name: str) -> list[psycopg.Column]:
    return connection.execute(select(name) + sql.SQL(" LIMIT 0")).description or []


def show(connection: psycopg.Connection, name: str, rows: int = SHOWN_ROWS) -> None:
    """Prints the newest rows, or the largest, with the columns that a person reads and the terminal has room for."""
    columns = columns_of(connection, name)
    names = [column.name for column in columns]
    bar = next((word for word in BAR_COLUMNS if word in names), None)
    order = columns[0].name if columns[0].type_code in TIMES else bar
    by = sql.SQL(" ORDER BY {} DESC NULLS LAST").format(sql.Identifier(order)) if order else sql.SQL("")
    # One more than is shown tells whether there are more.
    found = connection.execute(select(name) + by + sql.SQL(" LIMIT {}").format(rows + 1)).fetchall()
    shown = found[:rows]

    screen = console()
    cells = {column.name: [as_text(row[at]) for row in shown] for at, column in enumerate(columns)}
    if bar:
        values = [row[names.index(bar)] or 0 for row in shown]
        top = max(values, default=0)
        bars = ["█" * max(round(BAR_WIDTH * float(value / top)), 1) if value else "" for value in values]
    kept = fitting(names, cells, bar, screen.width)
    table = Table(title=name, caption=listing(connection)[name], caption_justify="left")
    for column in columns:
        if column.name in kept:
            table.add_column(column.name, justify="right" if column.type_code in NUMBERS else "left", overflow="fold")
            if column.name == bar:
                table.add_column("", no_wrap=True)
    for at in range(len(shown)):
        line = []
        for column_name in kept:
            line.append(cells[column_name][at])
            if column_name == bar:
                line.append(bars[at])
        table.add_row(*line)
    screen.print(table)
    if len(found) > rows:
        print(f"The first {rows} rows; --csv gives all of them.")
    if left_out := [column_name for column_name in names if column_name not in kept]:
        print(f"Not shown: {', '.join(left_out)}; --csv gives every column.")


def fitting(names: list[str], cells: dict[str, list[str]], bar: str | None, width: int) -> list[str]:
    """As many columns as fit without folding, and always the one with the bar. Keys, codes that have a label, and the
    second language's labels are for programs: they are left out."""
    readable = [
        name
        for name in names
        if not name.endswith(("_id", "_en")) and f"{name}_ko" not in names and f"{name}_name" not in names
    ]
    # Each column has a border and a space on either side.
    needs = {name: 3 + max(map(cell_len, [name, *cells[name]])) for name in readable}
    room = width - 1 - (needs[bar] + BAR_WIDTH + 3 if bar else 0)
    kept = {bar} if bar else {readable[0]}
    for name in sorted(readable, key=lambda name: name in DETAILS):
        if name not in kept and needs[name] <= room:
            kept.add(name)
            room -= needs[name]
    return [name for name in readable if name in kept]


def as_text(value: object) -> str:
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case int():
            return f"{value:,}"
        case float() | Decimal():
            return f"{value:,.3f}".rstrip("0").rstrip(".")
        case timedelta():
            return f"{value.total_seconds():,.3f} s"
        case datetime():
            return value.strftime("%Y-%m-%d %H:%M")
        case list():
            return ", ".join(map(str, value))
    return str(value)


def for_json(value: object) -> object:
    match value:
        case Decimal():
            return int(value) if value == value.to_integral_value() else float(value)
        case timedelta():
            return value.total_seconds()
    return str(value)


JSON = {"ensure_ascii": False, "indent": 2, "default": for_json}


def console() -> Console:
    # A pipe has no width of its own; wide enough that no value is folded away.
    return Console(width=None if sys.stdout.isatty() else 160, highlight=False)
