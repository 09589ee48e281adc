"""A database made to try migrations in, and dropped again."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from llm_db import alone, database
from llm_db.errors import Problem, one_line
from llm_db.files import Migration
from llm_db.session import Session


@contextmanager
def database_on(server: str) -> Iterator[Session]:
    name = f"llm_db_scratch_{uuid.uuid4().hex}"
    source = "the scratch server"
    with database.connect(database.Target(database.checked(server, source), source)) as admin:
        try:
            # template0: what a site puts into template1 is none of ours.
            admin.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0 ENCODING 'UTF8'").format(sql.Identifier(name)))
        except psycopg.Error as error:
            reason = one_line(error.diag.message_primary or str(error))
            raise Problem(
                f"No scratch database can be made on this server: {reason}.",
                "name another server with --scratch DSN, or connect as a role with CREATEDB",
            ) from None
        try:
            with database.connect(database.Target(make_conninfo(server, dbname=name), source)) as connection:
                session = Session(connection)
                session.clean()
                yield session
        finally:
            admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def run(session: Session, migration: Migration) -> None:
    if migration.each_of:
        for _, *statements in alone.per_partition(session.connection, migration):
            for statement in statements:
                session.run_file(migration.up, statement)
        return
    with session.connection.transaction() if migration.use_transactions else nullcontext():
        session.run_file(migration.up)
