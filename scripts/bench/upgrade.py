"""What writers notice of an upgrade: a database of release 0.1.0 with the demo company is migrated to the newest
version while 8 writers log requests and an analyst reads.
"""

import os
import random
import statistics
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import psycopg

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

from llm_db import database, demo, sql_root  # noqa: E402
from llm_db.session import Session  # noqa: E402

RELEASE_0_1_0 = "0008"
WRITERS = 8
# Long enough before and after the upgrade to see what is usual.
AROUND_SECONDS = 2

OPEN = """
INSERT INTO llm.sessions (user_id, session_type) SELECT %s, code FROM llm.session_types LIMIT 1 RETURNING session_id
"""
LOG = """
INSERT INTO llm.session_logs (session_id, deployment_id, template_id, request_time, response_time, token_used)
VALUES (%s, %s, %s, now() - interval '1 s', now(), 100)
"""
CLOSE = "UPDATE llm.sessions SET status = 'completed', end_time = now() WHERE session_id = %s"
# What a dashboard asks, over everything there is.
READ = "SELECT deployment_id, count(*), sum(token_used), avg(latency) FROM llm.session_logs GROUP BY deployment_id"

WRONG_COUNTS = """
SELECT count(*)
FROM llm.prompt_templates AS t
FULL JOIN (
    SELECT template_id, count(*) AS uses FROM llm.session_logs WHERE template_id IS NOT NULL GROUP BY template_id
) AS l USING (template_id)
WHERE t.usage_count IS DISTINCT FROM coalesce(l.uses, 0)
"""


@dataclass
class Load:
    """What the writers did: begin and length of every transaction, and every error."""

    stop: threading.Event = field(default_factory=threading.Event)
    transactions: list[tuple[float, float]] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    sessions: int = 0
    logs: int = 0


@dataclass(frozen=True)
class Result:
    exit_code: int
    output: str
    seconds: float
    errors: list[str]
    usual: list[float]
    during: list[float]
    sessions_lost: int
    logs_lost: int
    wrong_counts: int


def prepare(dsn: str, logs: int) -> None:
    """Release 0.1.0 with the demo company."""
    llm_db(dsn, "migrate", "--to", RELEASE_0_1_0).check_returncode()
    with database.connect(database.Target(dsn, "the benchmark")) as connection:
        Session(connection).run_file(sql_root() / "seeds" / "reference" / "vocabularies.sql")
        demo.run(connection, logs=logs, progress=lambda _: None)


def upgrade(dsn: str) -> Result:
    """Migrates under load; what is asked for and what is there afterwards is counted."""
    sessions, logs = counts(dsn)
    load, guard = Load(), threading.Lock()
    threads = [threading.Thread(target=write, args=(dsn, load, guard, number)) for number in range(WRITERS)]
    threads.append(threading.Thread(target=read, args=(dsn, load)))
    with ExitStack() as ending:
        for thread in threads:
            thread.start()
            ending.callback(thread.join)
        ending.callback(load.stop.set)
        time.sleep(AROUND_SECONDS)
        began = time.monotonic()
        done = llm_db(dsn, "migrate")
        ended = time.monotonic()
        time.sleep(AROUND_SECONDS)
    during = [length for start, length in load.transactions if start < ended and start + length > began]
    usual = [length for start, length in load.transactions if start >= ended or start + length <= began]
    sessions_now, logs_now = counts(dsn)
    with psycopg.connect(dsn) as connection:
        wrong = connection.execute(WRONG_COUNTS).fetchone()[0]
    return Result(
        exit_code=done.returncode,
        output=done.stdout + done.stderr,
        seconds=ended - began,
        errors=load.errors,
        usual=usual,
        during=during,
        sessions_lost=sessions + load.sessions - sessions_now,
        logs_lost=logs + load.logs - logs_now,
        wrong_counts=wrong,
    )


def write(dsn: str, load: Load, guard: threading.Lock, number: int) -> None:
    """Short transactions of one to three requests, each with a template or without; a session's logs come in the
    transaction that opens it and in the next one."""
    chance = random.Random(number)
    try:
        with psycopg.connect(dsn, autocommit=True) as connection:
            keys = {
                table: [key for (key,) in connection.execute(f"SELECT {column} FROM llm.{table} ORDER BY 1")]
                for table, column in (
                    ("users", "user_id"),
                    ("deployments", "deployment_id"),
                    ("prompt_templates", "template_id"),
                )
            }
            session = None
            while not load.stop.is_set():
                requests = chance.randint(1, 3)
                opens = session is None
                start = time.monotonic()
                with connection.transaction():
                    if opens:
                        session = connection.execute(OPEN, [chance.choice(keys["users"])]).fetchone()[0]
                    for _ in range(requests):
                        template = chance.choice([None, *keys["prompt_templates"][:9]])
                        connection.execute(LOG, [session, chance.choice(keys["deployments"]), template])
                    if not opens:
                        connection.execute(CLOSE, [session])
                        session = None
                length = time.monotonic() - start
                with guard:
                    load.transactions.append((start, length))
                    load.logs += requests
                    load.sessions += opens
    except psycopg.Error as error:
        load.errors.append(f"writer {number}: {error}")


def read(dsn: str, load: Load) -> None:
    try:
        with psycopg.connect(dsn, autocommit=True) as connection:
            while not load.stop.is_set():
                connection.execute(READ).fetchall()
    except psycopg.Error as error:
        load.errors.append(f"reader: {error}")


def counts(dsn: str) -> tuple[int, int]:
    with psycopg.connect(dsn) as connection:
        return connection.execute(
            "SELECT (SELECT count(*) FROM llm.sessions), (SELECT count(*) FROM llm.session_logs)"
        ).fetchone()


def llm_db(dsn: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "llm_db", *arguments, "--dsn", dsn]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "scripts")}
    return subprocess.run(command, env=environment, capture_output=True, text=True, encoding="utf-8")


def main() -> None:
    from common import arguments, dsn_of, print_table, server

    chosen = arguments(__doc__, {"logs": 2_000}, logs=1_000_000)
    with server(chosen.keep) as uri, psycopg.connect(uri, autocommit=True) as admin:
        admin.execute("DROP DATABASE IF EXISTS upgraded")
        admin.execute("CREATE DATABASE upgraded")
        dsn = dsn_of(uri, "upgraded")
        prepare(dsn, chosen.logs)
        result = upgrade(dsn)
        admin.execute("DROP DATABASE upgraded")
    if result.errors or result.exit_code or result.sessions_lost or result.logs_lost or result.wrong_counts:
        raise SystemExit("\n".join(["the upgrade was noticed", result.output, str(result), *result.errors]))
    print_table(
        "upgrade",
        ["", "transactions", "median, ms", "longest, ms"],
        [
            [name, len(lengths), statistics.median(lengths) * 1000, max(lengths) * 1000]
            for name, lengths in (
                (f"the {AROUND_SECONDS} s before and after", result.usual),
                (f"the {result.seconds:.1f} s of the upgrade", result.during),
            )
        ],
    )


if __name__ == "__main__":
    main()
