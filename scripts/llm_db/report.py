"""The reporting views in a terminal, as CSV and JSON for files, or as a page with charts."""

import argparse
import csv
import json
import sys
from contextlib import closing
from datetime import datetime, timedelta
from decimal import Decimal

import psycopg
from psycopg.rows import dict_row
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table

from llm_db import report_query
from llm_db.errors import DONE, Problem
from llm_db.report_query import Question, select

DEMO_REPORTS = ("department_overview", "template_usage", "daily_latency_by_deployment")
# Where a day of the views begins: times are read and written as its clocks show them.
SHOWN_ROWS = 40
BAR_WIDTH = 20

# How complete the other columns are, and how to write to people: shown where there is room left.
DETAILS = ("answered_requests", "requests_without_tokens", "manager_email", "user_email", "created_at")


def run(options: argparse.Namespace, connection: psycopg.Connection) -> int:
    connection.read_only = True
    with connection.transaction():
        # Where nothing is migrated yet, there is no report either, and that is said below.
        if connection.execute("SELECT to_regproc('reporting.time_zone') IS NOT NULL").fetchone()[0]:
            connection.execute("SELECT set_config('TimeZone', reporting.time_zone(), true)")
        if options.name:
            one(options, connection)
        else:
            catalogue(options, connection)
    return DONE


def catalogue(options: argparse.Namespace, connection: psycopg.Connection) -> None:
    if options.html or options.since or options.until or options.where or options.top:
        raise Problem("Which report?", "give its name; `llm-db report` lists them")
    known = report_query.listing(connection)
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


def one(options: argparse.Namespace, connection: psycopg.Connection) -> None:
    asked = report_query.question(options, connection)
    if options.csv:
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(column.name for column in asked.view.columns)
        # Row by row, and unsorted: a view may have more rows than fit into memory.
        with closing(connection.cursor().stream(select(asked, ordered=False))) as rows:
            writer.writerows(rows)
    elif options.json:
        json.dump(
            connection.cursor(row_factory=dict_row).execute(select(asked, ordered=False)).fetchall(), sys.stdout, **JSON
        )
        print()
    elif options.html:
        # Here, since its library for charts is an extra.
        from llm_db import report_html

        report_html.write(connection, asked, options.html)
    else:
        print_table(connection, asked, asked.top or SHOWN_ROWS)


def show(connection: psycopg.Connection, name: str, rows: int = SHOWN_ROWS) -> None:
    print_table(connection, Question(report_query.view(connection, name)), rows)


def print_table(connection: psycopg.Connection, asked: Question, rows: int) -> None:
    """With the columns that a person reads and the terminal has room for."""
    columns = asked.view.columns
    names = [column.name for column in columns]
    bar = asked.view.main.name if asked.view.main else None
    # One more than is shown tells whether there are more.
    found = connection.execute(select(asked, rows + 1)).fetchall()
    shown = found[:rows]

    screen = console()
    cells = {column.name: [as_text(row[at]) for row in shown] for at, column in enumerate(columns)}
    if bar:
        values = [row[names.index(bar)] or 0 for row in shown]
        top = max(values, default=0)
        bars = ["█" * max(round(BAR_WIDTH * float(value / top)), 1) if value else "" for value in values]
    kept = fitting(names, cells, bar, screen.width)
    table = Table(title=asked.view.name, caption=asked.view.comment, caption_justify="left")
    for column in columns:
        if column.name in kept:
            table.add_column(column.name, justify="right" if column.is_number else "left", overflow="fold")
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
    # Names are data: [red] in one of them is no markup.
    return Console(width=None if sys.stdout.isatty() else 160, highlight=False, markup=False)
