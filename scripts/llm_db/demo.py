"""The demo company: runs seeds/demo/*.sql, in which every row is made."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg

from llm_db import sql_root
from llm_db.errors import Problem, sql_problem
from llm_db.session import Session

MAX_LOGS = 10_000_000
SPAN = timedelta(days=180)
STATE_FILE = "00_state.sql"
# Run once per step, the other files once.
STEP_FILE = "60_requests.sql"
# Not in a database of before, which a rehearsal of an upgrade begins with.
COSTS_FILE = "70_costs.sql"
COUNTED = (
    "departments",
    "users",
    "projects",
    "models",
    "model_configs",
    "datasets",
    "deployments",
    "prompt_templates",
    "sessions",
    "session_logs",
)
# Readers are not disturbed; nobody else begins a company, and a second demo waits until it can see this one.
LOCK = "LOCK TABLE llm.departments, llm.users, llm.models, llm.datasets IN SHARE ROW EXCLUSIVE MODE"


@dataclass(frozen=True)
class DemoResult:
    created: bool
    counts: dict[str, int]
    seconds: float


def run(
    conn: psycopg.Connection,
    logs: int = 100_000,
    progress: Callable[[str], None] = print,
    anchor: datetime | None = None,
) -> DemoResult:
    """Builds the company with exactly `logs` requests in the 180 days up to `anchor`, by default the last UTC midnight.
    Nothing is done where it is there already; a database with other data is refused."""
    if not 1 <= logs <= MAX_LOGS:
        raise Problem(f"The demo cannot have {logs:,} logs.", f"choose from 1 to {MAX_LOGS:,}")
    began = time.monotonic()
    anchor = anchor or datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    try:
        with conn.transaction():
            created = not is_there(conn)
        if created:
            # Committed one by one: their locks are not held while the rows are made. A month too many does no harm.
            progress("Making the months ...")
            for month in months(anchor - SPAN, anchor):
                with conn.transaction():
                    conn.execute("SELECT llm.create_month(%s)", [month.date()])
            with conn.transaction():
                conn.execute(LOCK)
                created = not is_there(conn)
                if created:
                    build(conn, logs, anchor, progress)
        counts = {table: count(conn, table) for table in COUNTED}
    except psycopg.Error as error:
        raise sql_problem(error, "seeds/demo") from error
    seconds = time.monotonic() - began
    if created:
        progress(f"The demo company is built: {counts['session_logs']:,} logs in {seconds:.1f} s.")
    else:
        progress(f"The demo company is there already, with {counts['session_logs']:,} logs; nothing was changed.")
    return DemoResult(created, counts, seconds)


def is_there(conn: psycopg.Connection) -> bool:
    Session(conn).run_file(folder() / STATE_FILE)
    state = conn.execute("SELECT state FROM pg_temp.demo_state").fetchone()[0]
    if state == "other":
        raise Problem(
            "This database has data that is not the demo company's.",
            "build the demo in an empty database: createdb llm_demo, then llm-db demo --dsn 'dbname=llm_demo'",
        )
    return state == "demo"


def build(conn: psycopg.Connection, logs: int, anchor: datetime, progress: Callable[[str], None]) -> None:
    # The files add days to times and cut times into days: both must not depend on the session's time zone. Compiling
    # would take longer than the steps it is for.
    settings = {
        "TimeZone": "UTC",
        "work_mem": "64MB",
        "jit": "off",
        "llm_demo.logs": logs,
        "llm_demo.anchor": anchor.isoformat(),
    }
    for name, value in settings.items():
        set_local(conn, name, value)
    progress("Making departments, people, models and templates ...")
    for path in sorted(folder().glob("*.sql")):
        if path.name == STATE_FILE or (path.name == COSTS_FILE and not knows_costs(conn)):
            continue
        if path.name != STEP_FILE:
            Session(conn).run_file(path)
            continue
        done = 0
        query = "SELECT first_n, last_n, requests, starts_at FROM pg_temp.demo_steps ORDER BY first_n"
        for first_n, last_n, requests, starts_at in conn.execute(query).fetchall():
            set_local(conn, "llm_demo.first_n", first_n)
            set_local(conn, "llm_demo.last_n", last_n)
            Session(conn).run_file(path)
            done += requests
            progress(f"{starts_at:%Y-%m-%d}: {done:,} of {logs:,} logs")
        progress("Counting what was used, analysing the tables ...")


def knows_costs(conn: psycopg.Connection) -> bool:
    return conn.execute("SELECT pg_catalog.to_regclass('llm.budgets') IS NOT NULL").fetchone()[0]


def set_local(conn: psycopg.Connection, name: str, value: object) -> None:
    conn.execute("SELECT pg_catalog.set_config(%s, %s, true)", [name, str(value)])


def months(first: datetime, last: datetime) -> list[datetime]:
    """The first day of every month, UTC, from that of `first` to that of `last`."""
    month, last = (moment.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0) for moment in (first, last))
    found = []
    while month <= last:
        found.append(month)
        month = (month + timedelta(days=32)).replace(day=1)
    return found


def folder() -> Path:
    return sql_root() / "seeds" / "demo"


def count(conn: psycopg.Connection, table: str) -> int:
    return conn.execute(f"SELECT count(*) FROM llm.{table}").fetchone()[0]
