"""One session on the database, and what it goes back to between two files."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg

from llm_db import sql_text
from llm_db.database import SESSION, TRIGGERS_FIRE
from llm_db.errors import Problem, sql_problem
from llm_db.files import read_sql, relative


@dataclass
class Session:
    connection: psycopg.Connection
    # Statements that are run after each RESET ALL, separated by semicolons.
    settings: str = ""
    # Citus sends the whole text that a statement came in to the workers.
    one_by_one: bool = False

    def clean(self) -> None:
        """No setting of one file reaches the next, and names are looked up in pg_catalog only: a file that forgets a
        schema fails here and not on a database with another search_path."""
        self.connection.execute(
            f"RESET SESSION AUTHORIZATION; RESET ROLE; RESET ALL; {SESSION}; {TRIGGERS_FIRE}; {self.settings}"
        )

    def run_file(self, path: Path, part: str | None = None) -> None:
        """Sends a file as it is, or a part of it. Inside a transaction it must not end that transaction."""
        text = read_sql(path) if part is None else part
        before = self.connection.info.transaction_status
        try:
            for statement in one_by_one(text) if self.one_by_one else [text]:
                self.connection.execute(statement)
        except psycopg.Error as error:
            raise sql_problem(error, relative(path), text) from error
        if self.connection.info.transaction_status != before:
            raise Problem(
                f"{relative(path)} begins or ends a transaction of its own, so its changes were not recorded.",
                "take BEGIN and COMMIT out of the file; each file is run in a transaction already",
            )
        self.clean()


def one_by_one(text: str) -> Iterator[str]:
    """The statements of a text, each in its line, so that an error is found where it is."""
    at = 0
    for statement in sql_text.pieces(text):
        at = text.index(statement, at)
        yield "\n" * text.count("\n", 0, at) + statement
