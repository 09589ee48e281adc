"""What the rehearsals of backups, standbys and upgrades share: rows, what every report says, and writers that go on."""

import shlex
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg.conninfo import make_conninfo

from cluster import Cluster
from command import documented, eventually
from company import found
from llm_db import check, database, migrate

DATABASE = "llm"
USES = "SELECT template_id, usage_count FROM llm.prompt_templates ORDER BY template_id"
SESSION = (
    "INSERT INTO llm.sessions (session_id, user_id, start_time, session_type)"
    " VALUES (llm.uuidv7(%s), 11, %s, 'production') RETURNING session_id"
)
LOG = (
    "INSERT INTO llm.session_logs (session_id, request_time, deployment_id, config_id, template_id, token_used)"
    " VALUES (%s, coalesce(%s, clock_timestamp()), 1, 1, 1, 3) RETURNING session_id, log_sequence"
)


def filled(db: psycopg.Connection, close_before: str | None) -> None:
    """With a row of everything, sums of a month that is gone, and things that are not as in a new database."""
    found(db, close_before)
    db.execute("INSERT INTO llm.roles VALUES ('guest', '손님', 'Guest')")
    db.execute("UPDATE llm.roles SET label_en = 'Boss' WHERE code = 'admin'")
    db.execute("SELECT llm.create_month('2024-03-01')")
    db.execute("SELECT audit.create_month(current_date)")
    if close_before:
        db.execute("UPDATE llm.session_logs SET token_used = 11 WHERE log_sequence = 1 AND token_used = 7")
    # There is no month for it.
    session = db.execute(SESSION, ["2023-02-02Z"] * 2).fetchone()[0]
    db.execute(LOG, [session, "2023-02-02Z"])
    # The company's keys were given, and are to be the sequences' own.
    db.execute(
        "SELECT setval(pg_get_serial_sequence(attrelid::regclass::text, attname), 100)"
        " FROM pg_attribute WHERE attidentity = 'd' AND attrelid::regclass::text LIKE 'llm.%'"
    )


def reports(dsn: str) -> dict[str, object]:
    """What every report says, or the message with which it refuses."""
    with psycopg.connect(dsn, autocommit=True, options="-c timezone=UTC") as db:
        names = [
            name for (name,) in db.execute("SELECT viewname FROM pg_views WHERE schemaname = 'reporting' ORDER BY 1")
        ]
        asked = {name: f"SELECT array_agg(r::text ORDER BY r::text) FROM reporting.{name} AS r" for name in names}
        # Today it says another number every moment.
        asked["deployment_gpu_hours"] += " WHERE r.request_day < current_date - 1"
        asked["time_zone"] = "SELECT reporting.time_zone()"
        asked["latency_percentiles"] = (
            "SELECT array_agg(r::text ORDER BY r::text)"
            " FROM reporting.latency_percentiles('2024-01-01', '2025-01-01', 'model') AS r"
        )
        asked["ops.rollups"] = "SELECT r::text FROM (SELECT time_zone, closed_before, notes FROM ops.rollups) AS r"
        return {name: answer(db, question) for name, question in asked.items()}


def answer(db: psycopg.Connection, question: str) -> object:
    try:
        return db.execute(question).fetchone()
    except psycopg.Error as error:
        return f"{error.diag.message_primary} {error.diag.message_hint}"


def drift(should: psycopg.Connection, dsn: str) -> list[str]:
    """What `llm-db check` says, of the schema `model` nothing."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        told = [str(one) for one in check.compared(should, connection, with_repeatables=True)]
    return [line for line in told if " model" not in line]


def prepared(cluster: Cluster, close_before: str | None) -> str:
    """Makes the database in a cluster that has none, with rows."""
    with cluster.connect() as admin:
        admin.execute(f"CREATE DATABASE {DATABASE}")
    dsn = database_of(cluster)
    with database.connect(database.Target(dsn, "the tests")) as connection:
        migrate.migrate(connection, tell=lambda _: None)
    with psycopg.connect(dsn, autocommit=True) as db:
        filled(db, close_before)
        db.execute(
            "INSERT INTO llm_db.loads (file, sha256, mapping, rows_read, rows_loaded, rows_present, rows_rejected)"
            " VALUES ('one.csv', 'x', '', 1, 1, 0, 0)"
        )
        db.execute("INSERT INTO llm.retention VALUES ('sessions', 1200)")
    return dsn


def database_of(cluster: Cluster) -> str:
    return make_conninfo(cluster.dsn, dbname=DATABASE)


def follow(cluster: Cluster, page: str, name: str, backup: Path | None = None, **variables: str | Path) -> None:
    """Runs what a page shows, word for word, as the user and with the programs of a server. /backup lies elsewhere."""
    given = {**variables, "PATH": f"{cluster.bin}:/usr/bin:/bin"}
    exports = "".join(f"export {name}={shlex.quote(str(value))}\n" for name, value in given.items())
    text = documented(page, name).replace("/backup", str(backup))
    cluster.run("/bin/bash", "-euo", "pipefail", "-c", exports + text)


# Open time, closed time, and a time for which there is no month.
TIMES = ("now", "2024-03-10 16:00Z", "2023-02-01Z")


class Writer(threading.Thread):
    """Adds and corrects logs and changes people, a statement a transaction, until it is told to stop or is thrown out.
    What the server has acknowledged is in `logs`."""

    def __init__(self, dsn: str) -> None:
        super().__init__()
        self.dsn = dsn
        self.logs: list[tuple[uuid.UUID, int]] = []
        self.changes = 0
        self.enough = threading.Event()
        self.thrown_out: psycopg.Error | None = None

    def run(self) -> None:
        try:
            with psycopg.connect(self.dsn, autocommit=True) as db:
                sessions = [db.execute(SESSION, [at, at]).fetchone()[0] for at in TIMES]
                while not self.enough.is_set():
                    for session, at in zip(sessions, (None, *TIMES[1:]), strict=True):
                        self.logs.append(db.execute(LOG, [session, at]).fetchone())
                    db.execute(
                        "UPDATE llm.session_logs SET token_used = 5 WHERE (session_id, log_sequence) = (%s, %s)",
                        self.logs[-2],
                    )
                    db.execute("UPDATE llm.users SET last_login = clock_timestamp() WHERE user_id = 12")
                    self.changes += 1
                    time.sleep(0.005)
        except psycopg.OperationalError as error:
            self.thrown_out = error

    def stop(self) -> None:
        self.enough.set()
        self.join()


@contextmanager
def writing(dsn: str) -> Iterator[Writer]:
    writer = Writer(dsn)
    writer.start()
    try:
        yield writer
    finally:
        writer.stop()


def logs_of(dsn: str) -> set[tuple[uuid.UUID, int]]:
    with psycopg.connect(dsn) as db:
        return set(db.execute("SELECT session_id, log_sequence FROM llm.session_logs"))


def goes_on(dsn: str) -> None:
    """Writers, upkeep and the numbering of keys, on a server that has just taken over."""
    with psycopg.connect(dsn, autocommit=True) as db:
        keys = [
            "SELECT max(user_id) FROM llm.users",
            "SELECT max(change_id) FROM audit.changes",
        ]
        before = [db.execute(key).fetchone()[0] for key in keys]
        uses = dict(db.execute(USES))
        with writing(dsn) as writer:
            eventually(lambda: writer.changes > 3)
        assert writer.thrown_out is None
        assert (
            db.execute(
                "INSERT INTO llm.users (user_name, user_email, role, department_id)"
                " VALUES ('new', gen_random_uuid() || '@example.com', 'admin', 1) RETURNING user_id"
            ).fetchone()[0]
            > before[0]
        )
        assert db.execute(keys[1]).fetchone()[0] > before[1]
        assert dict(db.execute(USES)) == uses | {1: uses[1] + len(writer.logs)}
        db.execute("CALL llm.maintain()")
        assert db.execute("SELECT name, object, detail FROM ops.health WHERE level = 'error'").fetchall() == []
