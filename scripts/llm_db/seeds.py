"""Reference data: the vocabularies' values. Every file is safe to run any number of times."""

import psycopg

from llm_db import sql_root
from llm_db.migrations import run_file


def run_reference(connection: psycopg.Connection) -> int:
    """Runs seeds/reference/*.sql inside the caller's transaction; returns how many files."""
    files = sorted((sql_root() / "seeds" / "reference").glob("*.sql"))
    for path in files:
        run_file(connection, path)
    return len(files)
