"""Lists in docs/architecture.md what the files of views/ make, from a live database's ledger.

llm-db serve                               # in another terminal, or any migrated database
python scripts/architecture.py DSN         # print it
python scripts/architecture.py DSN --write
"""

import argparse
from itertools import groupby
from pathlib import Path

import psycopg

from erd import put_between

PAGE = Path(__file__).parents[1] / "docs" / "architecture.md"
BEGIN, END = "<!-- files: begin -->\n", "<!-- files: end -->\n"

# Triggers are named by what they are on; of a routine the name is enough.
FILES = r"""
SELECT
    r.name,
    string_agg(
        DISTINCT regexp_replace(regexp_replace(o.object, '^\w+ ', ''), '\(.*\)$', CASE
            WHEN o.object ~ '^(function|procedure|aggregate) ' THEN '()' ELSE ''
        END), ', '
    )
FROM llm_db.repeatables AS r
CROSS JOIN unnest(r.objects) AS o (object)
GROUP BY r.name
ORDER BY r.name COLLATE "C"
"""


def listing(db: psycopg.Connection) -> str:
    lines = ["| File | makes |", "|---|---|"]
    for folder, files in groupby(db.execute(FILES).fetchall(), key=lambda row: row[0].rpartition("/")[0]):
        if folder.endswith("reporting"):
            found = list(files)
            lines.append(
                f"| `{folder}/` | {len(found)} files, one report each: [data-dictionary.md](data-dictionary.md) |"
            )
            continue
        for name, objects in files:
            if folder.endswith("triggers"):
                count = objects.count(" on ")
                objects = f"{count} trigger{'s' * (count > 1)} on `{objects.rpartition(' on ')[2]}`"
            else:
                objects = ", ".join(f"`{each}`" for each in objects.split(", "))
            lines.append(f"| `{name}.sql` | {objects} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dsn", help="a migrated database, as a libpq URI or keyword string")
    parser.add_argument("--write", action="store_true", help="put the list into docs/architecture.md")
    arguments = parser.parse_args()
    with psycopg.connect(arguments.dsn) as db:
        listed = listing(db)
    if arguments.write:
        put_between(PAGE, BEGIN, END, listed)
    else:
        print(listed, end="")


if __name__ == "__main__":
    main()
