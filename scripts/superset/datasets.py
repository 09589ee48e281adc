"""Brings the bundle's datasets up to date with the views: their columns, and the comments as labels and descriptions.

    llm-db serve                                      # in another terminal, or any migrated database
    python scripts/superset/datasets.py DSN           # name the datasets that differ
    python scripts/superset/datasets.py DSN --write   # rewrite them

Metrics, the time column and calculated columns are written by hand and stay as they are.
"""

import argparse
from pathlib import Path
from typing import Any

import psycopg
import yaml

from llm_db import database
from llm_db.errors import Problem

FOLDER = Path(__file__).parent / "bundle" / "datasets" / "llm_platform"

VIEW = "SELECT obj_description(to_regclass(%s), 'pg_class')"
COLUMNS = """
SELECT attname, upper(format_type(atttypid, NULL)), col_description(attrelid, attnum)
FROM pg_attribute
WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped
ORDER BY attnum
"""


def refreshed(dataset: dict[str, Any], db: psycopg.Connection) -> dict[str, Any]:
    view = f"{dataset['schema']}.{dataset['table_name']}"
    calculated = [column for column in dataset["columns"] if column.get("expression")]
    columns = [
        {
            "column_name": name,
            "verbose_name": f"{comment.partition(':')[0]} ({name.replace('_', ' ')})",
            "is_dttm": type_name.startswith(("DATE", "TIMESTAMP")),
            "type": type_name,
            "description": comment,
        }
        for name, type_name, comment in db.execute(COLUMNS, [view])
    ]
    if not columns:
        raise SystemExit(f"error: there is no view {view} in this database; llm-db migrate makes the views")
    description = db.execute(VIEW, [view]).fetchone()[0]
    return {**dataset, "description": description, "columns": columns + calculated}


def text(dataset: dict[str, Any]) -> str:
    return yaml.safe_dump(dataset, sort_keys=False, allow_unicode=True, width=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dsn")
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    try:
        with database.opened(database.Target(database.checked(options.dsn, "DSN"), "DSN")) as db:
            for path in sorted(FOLDER.glob("*.yaml")):
                old = path.read_text(encoding="utf-8")
                if (new := text(refreshed(yaml.safe_load(old), db))) != old:
                    print(path)
                    if options.write:
                        path.write_text(new, encoding="utf-8")
    except Problem as problem:
        raise SystemExit(f"error: {problem.message}\nhint: {problem.hint}") from None


if __name__ == "__main__":
    main()
