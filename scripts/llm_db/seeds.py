"""Reference data: the vocabularies' values. Every file is safe to run any number of times."""

from pathlib import Path

from llm_db import sql_root
from llm_db.session import Session


def reference() -> list[Path]:
    return sorted((sql_root() / "seeds" / "reference").glob("*.sql"))


def run_reference(session: Session) -> None:
    """Inside the caller's transaction."""
    for path in reference():
        session.run_file(path)
