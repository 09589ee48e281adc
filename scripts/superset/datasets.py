"""Brings the bundle's datasets up to date with the views: their columns, labels and descriptions.

    llm-db serve                                      # in another terminal, or any migrated database
    python scripts/superset/datasets.py DSN           # name the datasets that differ
    python scripts/superset/datasets.py DSN --write   # rewrite them
    python scripts/superset/datasets.py DSN --write --lang ko     # in one language (ko or en), not in both

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

# The view itself comes first.
DESCRIBED = """
SELECT column_name, upper(data_type), term_ko, meaning_ko, term_en, meaning
FROM reporting.data_dictionary
WHERE object_name = %s
ORDER BY column_position
"""


def described(language: str | None, korean: str, meaning_ko: str, english: str, meaning: str) -> tuple[str, str]:
    """Label and description."""
    match language:
        case "ko":
            return korean, meaning_ko
        case "en":
            return english, meaning
    return f"{korean} ({english})", f"{meaning_ko} | {meaning}"


def refreshed(dataset: dict[str, Any], db: psycopg.Connection, language: str | None = None) -> dict[str, Any]:
    rows = db.execute(DESCRIBED, [dataset["table_name"]]).fetchall()
    if not rows:
        raise SystemExit(f"error: there is no view reporting.{dataset['table_name']}; llm-db migrate makes the views")
    said = [(name, type_name, *described(language, *words)) for name, type_name, *words in rows]
    calculated = [column for column in dataset["columns"] if column.get("expression")]
    columns = [
        {
            "column_name": name,
            "verbose_name": label,
            "is_dttm": type_name.startswith(("DATE", "TIMESTAMP")),
            "type": type_name,
            "description": description,
        }
        for name, type_name, label, description in said[1:]
    ]
    return {**dataset, "description": said[0][3], "columns": columns + calculated}


def text(dataset: dict[str, Any]) -> str:
    return yaml.safe_dump(dataset, sort_keys=False, allow_unicode=True, width=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dsn")
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--lang", choices=("en", "ko"), help="labels and descriptions in this language (default: both)")
    options = parser.parse_args()
    try:
        with database.opened(database.Target(database.checked(options.dsn, "DSN"), "DSN")) as db:
            for path in sorted(FOLDER.glob("*.yaml")):
                old = path.read_text(encoding="utf-8")
                if (new := text(refreshed(yaml.safe_load(old), db, options.lang))) != old:
                    print(path)
                    if options.write:
                        path.write_text(new, encoding="utf-8")
    except Problem as problem:
        raise SystemExit(f"error: {problem.message}\nhint: {problem.hint}") from None


if __name__ == "__main__":
    main()
