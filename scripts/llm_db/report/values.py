"""A value of a report, in words for people and in JSON for programs."""

from datetime import datetime, timedelta
from decimal import Decimal

import psycopg
from psycopg.abc import Buffer
from psycopg.types.datetime import DateLoader, IntervalLoader, TimestampLoader, TimestamptzLoader

from llm_db.errors import printable
from llm_db.report.words import Words

LOADERS = {
    "date": DateLoader,
    "interval": IntervalLoader,
    "timestamp": TimestampLoader,
    "timestamptz": TimestamptzLoader,
}


def keep_every_time(connection: psycopg.Connection) -> None:
    """What Python has no date or time for (infinity, years before 1 and after 9999) stays as PostgreSQL writes it: rows
    of before the limits on times can hold such, and one of them must not stop a report."""
    for name, known in LOADERS.items():

        class OrText(known):
            def load(self, data: Buffer) -> object:
                try:
                    return super().load(data)
                except psycopg.DataError:
                    return bytes(data).decode()

        connection.adapters.register_loader(name, OrText)


def as_text(value: object, words: Words) -> str:
    match value:
        case None:
            return "-"
        case bool():
            return words.yes if value else words.no
        case int():
            return f"{value:,}"
        case float() | Decimal():
            return f"{value:,.3f}".rstrip("0").rstrip(".")
        case timedelta():
            return words.seconds.format(f"{value.total_seconds():,.3f}")
        case datetime():
            return value.strftime("%Y-%m-%d %H:%M")
        case list():
            return printable(", ".join(map(str, value)))
    return printable(str(value))


def as_number(value: Decimal) -> int | float:
    return int(value) if value == value.to_integral_value() else float(value)


def for_json(value: object) -> object:
    match value:
        case Decimal():
            return as_number(value)
        case timedelta():
            return value.total_seconds()
    return str(value)


# How json.dump() writes rows.
JSON = {"ensure_ascii": False, "indent": 2, "default": for_json}
