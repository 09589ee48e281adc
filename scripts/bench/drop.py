"""Dropping a month against DELETE of the same rows, while four writers log requests in sessions of other months, one of
them a month old, and reports are read: how long either takes, and how long a writer waits at most.
"""

import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta

import psycopg
from common import (
    Transaction,
    arguments,
    close_all_but_the_tail,
    connect,
    copies,
    fill,
    make_once,
    migrated,
    pgbench,
    print_table,
    say,
    server,
)

WRITERS = 4
LOGS_PER_SESSION = 10
# Before and after, to see what is usual.
AROUND_SECONDS = 2

SETUP = """
CREATE TABLE bench_sessions AS
SELECT row_number() OVER () - 1 AS client, session_id
FROM (
    (SELECT session_id FROM llm.sessions WHERE session_id < llm.uuidv7_floor(%(this)s) ORDER BY session_id DESC LIMIT 2)
    UNION ALL
    (SELECT session_id FROM llm.sessions ORDER BY session_id DESC LIMIT 2)
) AS s;
CREATE SEQUENCE bench_sequence CACHE 1000;
"""
WRITE = """
INSERT INTO llm.session_logs (session_id, log_sequence, deployment_id, template_id, token_used)
SELECT session_id, 1000 + nextval('bench_sequence'), 1, 1, 100 FROM bench_sessions WHERE client = :client_id;
"""
READ = """
SELECT * FROM reporting.daily_usage_by_user WHERE request_day >= now()::date - 30;
SELECT * FROM reporting.monthly_usage_by_model;
SELECT * FROM reporting.daily_sessions WHERE session_day >= now()::date - 30;
"""
BOUNDS = "session_id >= llm.uuidv7_floor(%(low)s) AND session_id < llm.uuidv7_floor(%(high)s)"
COUNT = f"SELECT count(*) FROM llm.session_logs WHERE {BOUNDS}"
DROP, DELETE = "llm.drop_month()", "DELETE of its logs and sessions"


def main() -> None:
    chosen = arguments(__doc__, {"logs": 2_000, "rounds": 1}, logs=1_000_000, rounds=3)
    this = datetime.now(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    before = (this - timedelta(days=1)).replace(day=1)
    month = {"low": (before - timedelta(days=1)).replace(day=1), "high": before}

    def make(dsn: str) -> None:
        with connect(dsn) as db:
            sessions = max(chosen.logs // LOGS_PER_SESSION, 4)
            for low, high, many in (
                (month["low"], month["high"], sessions),
                (before, this, max(sessions // 10, 4)),
                (this, datetime.now(UTC) - timedelta(hours=1), max(sessions // 10, 4)),
            ):
                db.execute("SELECT llm.create_month(%s)", [low.date()])
                fill(db, low, high, many, LOGS_PER_SESSION)
            with psycopg.ClientCursor(db) as cursor:
                cursor.execute(SETUP, {"this": this})
            db.execute("SELECT ops.restart_rollups()")
            close_all_but_the_tail(db)

    runs: dict[str, list[tuple[float, float, float]]] = {DROP: [], DELETE: []}
    with server(chosen.keep) as uri:
        template = make_once(uri, f"month_{chosen.logs}", make, template=migrated(uri))
        for number in range(chosen.rounds):
            # Deleting takes long, and once is enough to tell by how much.
            for name in runs if number == 0 else [DROP]:
                say(f"round {number + 1} of {chosen.rounds}: {name}")
                with ExitStack() as ending:
                    runs[name].append(run(copies(uri, {name: (template, "")}, ending)[name], name, month))
    took = {name: statistics.median(each[0] for each in found) for name, found in runs.items()}
    print_table(
        "drop",
        [f"a month of {chosen.logs:,} logs", "seconds", "a writer waited at most, ms", "otherwise at most, ms"],
        [[name, took[name], max(each[1] for each in runs[name]), max(each[2] for each in runs[name])] for name in runs],
        f"Dropping is {took[DELETE] / took[DROP]:,.0f} times as fast.",
    )


def run(dsn: str, name: str, month: dict) -> tuple[float, float, float]:
    """Seconds, and the longest transaction of a writer meanwhile and otherwise, in ms."""
    done: list[Transaction] = []
    with connect(dsn) as db, beside(dsn, WRITE, WRITERS, done), beside(dsn, READ, 1, []):
        time.sleep(AROUND_SECONDS)
        began = time.time()
        if name == DROP:
            db.execute("SELECT llm.drop_month(%s)", [month["low"].date()])
        else:
            with db.transaction():
                db.execute(f"DELETE FROM llm.session_logs WHERE {BOUNDS}", month)
                db.execute(f"DELETE FROM llm.sessions WHERE {BOUNDS}", month)
        ended = time.time()
        time.sleep(AROUND_SECONDS)
        if left := db.execute(COUNT, month).fetchone()[0]:
            raise SystemExit(f"{name}: {left} logs are left")
    during = [each.ms for each in done if each.end > began and each.end - each.ms / 1000 < ended]
    otherwise = [each.ms for each in done if each.end <= began or each.end - each.ms / 1000 >= ended]
    return ended - began, max(during), max(otherwise)


@contextmanager
def beside(dsn: str, script: str, clients: int, done: list[Transaction]) -> Iterator[None]:
    """The script over and over, until what is within has ended."""
    stop = threading.Event()

    def work() -> None:
        while not stop.is_set():
            done.extend(pgbench(dsn, script, clients, "-T2"))

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


if __name__ == "__main__":
    main()
