"""The command itself: what is asked for, and the form in which it is answered."""

import argparse
import csv
import json
import sys
from contextlib import closing

import psycopg
from psycopg.rows import dict_row

from llm_db.database import scalar
from llm_db.errors import Exit, Problem
from llm_db.report import query, text
from llm_db.report.values import JSON, keep_every_time
from llm_db.report.words import LANGUAGES

DEMO_REPORTS = ("monthly_cost_by_department", "department_overview", "template_usage", "daily_latency_by_deployment")


def run(options: argparse.Namespace, connection: psycopg.Connection) -> Exit:
    """Within a transaction of the caller's."""
    keep_every_time(connection)
    # Where nothing is migrated yet, there is no report either, and that is said below.
    if scalar(connection, "SELECT to_regproc('reporting.time_zone') IS NOT NULL"):
        connection.execute("SELECT set_config('TimeZone', reporting.time_zone(), true)")
    if options.name:
        one(options, connection)
    else:
        catalogue(options, connection)
    return Exit.DONE


def catalogue(options: argparse.Namespace, connection: psycopg.Connection) -> None:
    if options.html or options.since or options.until or options.where or options.top:
        raise Problem("Which report?", "give its name; `llm-db report` lists them")
    known = query.listing(connection, options.lang)
    if options.json:
        print_json([{"name": name, "comment": comment} for name, comment in known.items()])
    elif options.csv:
        csv.writer(sys.stdout, lineterminator="\n").writerows([("name", "comment"), *known.items()])
    else:
        text.print_list(known, LANGUAGES[options.lang])


def one(options: argparse.Namespace, connection: psycopg.Connection) -> None:
    asked = query.question(
        connection,
        options.name,
        language=options.lang,
        since=options.since,
        until=options.until,
        where=options.where,
        top=options.top,
    )
    # For programs unsorted, and as CSV row by row: a view may have more rows than fit into memory.
    unsorted = query.select(asked, ordered=False)
    if options.csv:
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(column.name for column in asked.view.columns)
        with closing(connection.cursor().stream(unsorted)) as rows:
            writer.writerows(rows)
    elif options.json:
        print_json(connection.cursor(row_factory=dict_row).execute(unsorted).fetchall())
    elif options.html:
        # Here, since its library for charts is an extra.
        from llm_db.report import html

        html.write(connection, asked, options.html, options.where)
    else:
        text.print_table(connection, asked, asked.top or text.SHOWN_ROWS)


def print_json(rows: list[dict[str, object]]) -> None:
    json.dump(rows, sys.stdout, **JSON)
    print()


def show(connection: psycopg.Connection, name: str, rows: int) -> None:
    """A view as it is, for a program of ours."""
    text.print_table(connection, query.Question(query.view(connection, name)), rows)
