"""What it costs to bring in a month of the past: COPY of its sessions and logs into tables that have nothing, tables
with keys and indexes, the tables themselves, and months filled beside them and attached; and the whole of
`llm-db load`, with its strict grammar, its rejects and its look at what is there already.

All take turns, round after round. What is compared is the same rows; the server's work is begun when they are text.
"""

import io
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import psycopg
from common import (
    arguments,
    connect,
    dsn_of,
    make_once,
    migrated,
    print_table,
    ratio_of,
    say,
    server,
    started,
)

from llm_db import cli
from llm_db.load import run
from llm_db.load.file import opened

MONTH = "2025-03-01"
SUFFIX = "2025_03"
LOGS_PER_SESSION = 10
SESSION = "session_id, user_id, start_time, end_time, session_type, status"
LOG = (
    "session_id, log_sequence, request_time, response_time, token_used, deployment_id, template_id,"
    " request_prompt_s3_path, response_s3_path"
)
# A month of sessions that follow each other, each with ten requests in as many minutes; every second one of a template.
ROWS = f"""
CREATE TABLE public.bench_sessions AS
SELECT llm.uuidv7(at) AS session_id, 1 + n %% 500 AS user_id, at + interval '1 minute' AS start_time,
    at + interval '11 minutes' AS end_time, 'production' AS session_type, 'completed' AS status
FROM generate_series(0, %(sessions)s - 1) AS n
CROSS JOIN LATERAL (SELECT timestamptz '{MONTH} 00:00Z' + n * (interval '30 days' / %(sessions)s) AS at) AS t;
CREATE TABLE public.bench_logs AS
SELECT s.session_id, i AS log_sequence, s.start_time + (i - 1) * interval '1 minute' AS request_time,
    s.start_time + (i - 1) * interval '1 minute' + random() * interval '60 seconds' AS response_time,
    (4000 * random())::bigint AS token_used, 1 AS deployment_id,
    CASE WHEN random() < 0.5 THEN 1 + floor(100 * random())::bigint END AS template_id,
    's3://company-llm-logs/2025/03/' || s.session_id || '/' || i || '/prompt.txt' AS request_prompt_s3_path,
    's3://company-llm-logs/2025/03/' || s.session_id || '/' || i || '/response.txt' AS response_s3_path
FROM public.bench_sessions AS s CROSS JOIN generate_series(1, {LOGS_PER_SESSION}) AS i;
CREATE INDEX ON public.bench_sessions (session_id);
CREATE TABLE public.bench_writer AS SELECT llm.uuidv7() AS session_id;
SELECT llm.create_month(current_date);
INSERT INTO llm.sessions (session_id, user_id, session_type) SELECT session_id, 1, 'test' FROM public.bench_writer;
CREATE SEQUENCE public.bench_sequence CACHE 1000;
"""
AS_FILE = """
SELECT session_id, log_sequence, request_time, response_time, token_used, 's' AS server_name,
    't' || template_id AS template_name, request_prompt_s3_path, response_s3_path, user_email
FROM public.bench_logs INNER JOIN public.bench_sessions USING (session_id) INNER JOIN llm.users USING (user_id)
ORDER BY request_time
"""
WRITE = """
INSERT INTO llm.session_logs (session_id, log_sequence, deployment_id)
SELECT session_id, nextval('bench_sequence'), 1 FROM bench_writer;
"""


def main() -> None:
    chosen = arguments(__doc__, {"logs": 20_000, "rounds": 1}, logs=1_000_000, rounds=3)
    with server(chosen.keep) as uri, tempfile.TemporaryDirectory() as name:
        made = make_once(uri, f"backfill_{chosen.logs}", maker(chosen.logs), template=migrated(uri))
        file = Path(name) / "month.csv"
        with connect(dsn_of(uri, made)) as db:
            taken(db, AS_FILE, " (FORMAT csv, HEADER)", file)
            sessions = taken(db, f"SELECT {SESSION} FROM public.bench_sessions ORDER BY session_id")
            logs = taken(db, f"SELECT {LOG} FROM public.bench_logs ORDER BY session_id, log_sequence")
            ways = all_ways(db, dsn_of(uri, made), sessions, logs, file)
            seconds: dict[str, list[float]] = {way: [] for way in ways}
            for number in range(chosen.rounds):
                say(f"round {number + 1} of {chosen.rounds}")
                for way, go in ways.items():
                    forget(db)
                    db.execute("CHECKPOINT")
                    began = time.perf_counter()
                    go()
                    seconds[way].append(time.perf_counter() - began)
                    say(f"{way}: {seconds[way][-1]:.1f} s")
            forget(db)
            stall = longest_write(dsn_of(uri, made), ways[BESIDE], Path(name) / "writer")
    base = seconds[BARE]
    print_table(
        "backfill",
        [f"{chosen.logs:,} logs of a new month", "seconds", "us per log", "against the bare heap"],
        [
            [way, statistics.median(runs), statistics.median(runs) * 1e6 / chosen.logs, f"{ratio_of(runs, base):.2f}x"]
            for way, runs in seconds.items()
        ],
        f"A service that wrote logs of now all the while waited {stall:,.0f} ms at most.",
    )


BARE = "COPY into tables without anything"
BESIDE = "**COPY beside, and attached** (`llm.begin_months`, `llm.attach_months`)"


def all_ways(
    db: psycopg.Connection, dsn: str, sessions: bytes, logs: bytes, file: Path
) -> dict[str, Callable[[], None]]:
    def copies(sessions_table: str, logs_table: str) -> None:
        for table, columns, rows in ((sessions_table, SESSION, sessions), (logs_table, LOG, logs)):
            with db.cursor().copy(f"COPY {table} ({columns}) FROM STDIN") as copy:
                copy.write(rows)

    def made(including: str) -> None:
        for table in ("sessions", "session_logs"):
            db.execute(f"CREATE TABLE public.bench_copy_of_{table} (LIKE llm.{table} INCLUDING GENERATED {including})")
        copies("public.bench_copy_of_sessions", "public.bench_copy_of_session_logs")

    def inserted() -> None:
        db.execute("SELECT llm.create_month(%s)", [MONTH])
        copies("llm.sessions", "llm.session_logs")

    def beside() -> None:
        with db.transaction():
            db.execute("SELECT llm.begin_months(ARRAY[%s::date])", [MONTH])
            copies("llm.sessions_beside", "llm.session_logs_beside")
            db.execute("SELECT llm.attach_months()")

    def read() -> None:
        with opened(file, None, [], "UTC") as source:
            for record in source.records:
                source.reader.row(record)

    def load(few: int) -> None:
        before, run.FEW_ROWS = run.FEW_ROWS, few
        told = io.StringIO()
        with redirect_stdout(told), redirect_stderr(told):
            code = cli.main(["load", "--dsn", dsn, str(file)])
        run.FEW_ROWS = before
        if code:
            raise SystemExit(told.getvalue())

    return {
        BARE: lambda: made(""),
        "COPY into tables with keys and indexes": lambda: made("INCLUDING INDEXES"),
        "COPY into `llm.sessions` and `llm.session_logs`": inserted,
        BESIDE: beside,
        "`llm-db load FILE`": lambda: load(run.FEW_ROWS),
        "of it, reading the lines in Python": read,
        "`llm-db load FILE`, if it inserted": lambda: load(10**9),
    }


def maker(logs: int) -> Callable[[str], None]:
    def make(dsn: str) -> None:
        with connect(dsn) as db, psycopg.ClientCursor(db) as cursor:
            cursor.execute(ROWS, {"sessions": logs // LOGS_PER_SESSION})
            cursor.execute("VACUUM (ANALYZE)")

    return make


def taken(db: psycopg.Connection, query: str, options: str = "", file: Path | None = None) -> bytes:
    with db.cursor().copy(f"COPY ({query}) TO STDOUT{options}") as copy:
        if file is None:
            return b"".join(copy)
        with file.open("wb") as target:
            target.writelines(copy)
    return b""


def forget(db: psycopg.Connection) -> None:
    """The month, and that its file was loaded."""
    for table in ("session_logs", "sessions"):
        db.execute(f"DROP TABLE IF EXISTS public.bench_copy_of_{table}")
        if db.execute("SELECT to_regclass(%s)", [f"llm.{table}_{SUFFIX}"]).fetchone()[0]:
            db.execute(f"ALTER TABLE llm.{table} DETACH PARTITION llm.{table}_{SUFFIX}")
            db.execute(f"DROP TABLE llm.{table}_{SUFFIX}")
    db.execute("TRUNCATE llm_db.loads CASCADE")


def longest_write(dsn: str, way: Callable[[], None], folder: Path) -> float:
    """Of a service that writes a log of now, and another one."""
    with connect(dsn) as db:
        pgbench = started(dsn, WRITE, 1, "-T 600", folder)
        way()
        db.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'pgbench'")
        pgbench.communicate()
    lines = [line.split() for path in folder.glob("pgbench_log.*") for line in path.read_text().splitlines()]
    return max(int(line[2]) for line in lines) / 1000


if __name__ == "__main__":
    main()
