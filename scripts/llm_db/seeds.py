"""Reference data: the vocabularies' values. Every file is safe to run any number of times."""

from llm_db import sql_root
from llm_db.session import Session


def run_reference(session: Session) -> int:
    """Runs seeds/reference/*.sql inside the caller's transaction; returns how many files."""
    files = sorted((sql_root() / "seeds" / "reference").glob("*.sql"))
    for path in files:
        session.run_file(path)
    return len(files)
