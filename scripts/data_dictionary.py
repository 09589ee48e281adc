"""Writes docs/data-dictionary.md from a live catalog.

    llm-db serve                               # in another terminal, or any migrated database
    python scripts/data_dictionary.py DSN      # print it
    python scripts/data_dictionary.py DSN --write

What is written is reporting.data_dictionary: the comments of the reports and their columns.
"""

import argparse
from pathlib import Path

import psycopg

PAGE = Path(__file__).parents[1] / "docs" / "data-dictionary.md"
HEAD = """# Data dictionary

Every report of the schema `reporting`, its columns and what they mean, in Korean and English; the same in the database
is `reporting.data_dictionary`. What to ask which report: [analyst.md](analyst.md).

This page is written by `python scripts/data_dictionary.py DSN --write`; a test checks that it is current.
"""

ROWS = """
SELECT
    object_name,
    column_name,
    data_type,
    coalesce(unit, ''),
    concat_ws(': ', term_ko, meaning_ko),
    concat_ws(': ', term_en, meaning)
FROM reporting.data_dictionary
ORDER BY object_name COLLATE "C", column_position
"""


def page(db: psycopg.Connection) -> str:
    lines = [HEAD.rstrip("\n")]
    for report, column, data_type, unit, korean, english in db.execute(ROWS):
        if column is None:
            lines += ["", f"## {report}", "", f"{korean}.", "", f"{english}."]
            if data_type == "view":
                lines += ["", "| Column | Type | Unit | 한국어 | English |", "|---|---|---|---|---|"]
            else:
                lines += ["", f"`{data_type}`"]
        else:
            data_type = data_type.replace(" with time zone", "tz").replace(" without time zone", "")
            lines.append(f"| `{column}` | {data_type} | {unit} | {korean} | {english} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dsn", help="a migrated database, as a libpq URI or keyword string")
    parser.add_argument("--write", action="store_true", help="write docs/data-dictionary.md")
    arguments = parser.parse_args()
    with psycopg.connect(arguments.dsn) as db:
        written = page(db)
    if arguments.write:
        PAGE.write_text(written, encoding="utf-8")
    else:
        print(written, end="")


if __name__ == "__main__":
    main()
