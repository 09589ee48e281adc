"""A report as a table in the terminal: the columns that a person reads and that there is room for, and a bar."""

import sys

import psycopg
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table

from llm_db.errors import printable
from llm_db.report.query import Question, for_people, select
from llm_db.report.values import as_text
from llm_db.report.words import Words

SHOWN_ROWS = 40
BAR_WIDTH = 20
# How complete the other columns are, and how to write to people: shown where there is room left.
DETAILS = ("answered_requests", "requests_without_tokens", "manager_email", "user_email", "created_at")


def print_list(reports: dict[str, str], words: Words) -> None:
    table = Table(*words.list_columns, title=words.list_title, show_lines=False)
    for name, comment in reports.items():
        table.add_row(printable(name), printable(comment))
    console().print(table)


def print_table(connection: psycopg.Connection, asked: Question, rows: int = SHOWN_ROWS) -> None:
    asked = for_people(asked)
    columns, words = asked.view.columns, asked.view.words
    bar = asked.view.main.name if asked.view.main else None
    # One more than is shown tells whether there are more.
    found = connection.execute(select(asked, rows + 1)).fetchall()
    values = {column.name: [row[at] for row in found[:rows]] for at, column in enumerate(columns)}
    cells = {name: [as_text(value, words) for value in of_column] for name, of_column in values.items()}

    screen = console()
    kept = fitting(cells, bar, screen.width)
    table = Table(title=printable(asked.view.name), caption=printable(asked.view.comment), caption_justify="left")
    shown: list[list[str]] = []
    for column in columns:
        if column.name in kept:
            table.add_column(printable(column.name), justify="right" if column.is_number else "left", overflow="fold")
            shown.append(cells[column.name])
            if column.name == bar:
                table.add_column("", no_wrap=True)
                shown.append(bars(values[bar]))
    for line in zip(*shown, strict=True):
        table.add_row(*line)
    screen.print(table)
    if len(found) > rows:
        print(words.first_rows.format(rows))
    if left_out := [name for name in cells if name not in kept]:
        print(words.not_shown.format(printable(", ".join(left_out))))


def bars(values: list) -> list[str]:
    """The largest value has the longest bar, and every value that is not 0 has one."""
    top = max((value or 0 for value in values), default=0)
    return ["█" * max(round(BAR_WIDTH * float(value / top)), 1) if value else "" for value in values]


def fitting(cells: dict[str, list[str]], bar: str | None, width: int) -> set[str]:
    """As many columns as fit without folding, and always the one with the bar. Keys are for programs: they are left
    out."""
    readable = [name for name in cells if not name.endswith("_id") and f"{name}_name" not in cells] or list(cells)
    # Each column has a border and a space on either side.
    needs = {name: 3 + max(map(cell_len, [name, *cells[name]])) for name in readable}
    room = width - 1 - (needs[bar] + BAR_WIDTH + 3 if bar else 0)
    kept = {bar or readable[0]}
    for name in sorted(readable, key=lambda name: name in DETAILS):
        if name not in kept and needs[name] <= room:
            kept.add(name)
            room -= needs[name]
    return kept


def console() -> Console:
    # A pipe has no width of its own; wide enough that no value is folded away.
    # Names are data: [red] in one of them is no markup.
    return Console(width=None if sys.stdout.isatty() else 160, highlight=False, markup=False)
