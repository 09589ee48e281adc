"""What grows with the logs: the demo company with a million logs, and the same company with five and ten times as many
on the same days. Rounds of reports, writers and upkeep are interleaved over the three; what is done once per database
is a refresh from the beginning, and at the end dropping the oldest month.
"""

import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
from common import (
    arguments,
    close_all_but_the_tail,
    company,
    compared,
    connect,
    copies,
    llm_db,
    make_once,
    print_table,
    say,
    server,
    timed,
)
from months import SETUP, work
from reporting import view_questions

TIMES = (1, 5, 10)
# A log is told from its twins by the last 12 digits of the session's id, each so many further on. There is nothing to
# check, to count or to note: usage_count is set to what is stored, and the rollups are made anew.
TWINS = """
SET session_replication_role = replica;
SET work_mem = '256MB';
CREATE FUNCTION pg_temp.twin(id uuid, k integer) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$
SELECT (left(id::text, 24) || translate(
    right(id::text, 12), '0123456789abcdef', substr('0123456789abcdef0123456789abcdef', k + 1, 16)
))::uuid
$$;
CREATE TEMP TABLE twins AS
SELECT session_id AS original, pg_temp.twin(session_id, k) AS twin
FROM llm.sessions, generate_series(%(first)s, %(last)s) AS k;
CREATE INDEX ON twins (original);
ANALYZE twins;
INSERT INTO llm.sessions (session_id, user_id, project_id, start_time, end_time, session_type, status)
SELECT twin, user_id, project_id, start_time, end_time, session_type, status
FROM llm.sessions JOIN twins ON session_id = original
ORDER BY twin;
INSERT INTO llm.session_logs (
    session_id, request_time, response_time, deployment_id, config_id, template_id, token_used, log_sequence,
    request_prompt_s3_path, response_s3_path
)
SELECT
    twin, request_time, response_time, deployment_id, config_id, template_id, token_used, log_sequence,
    request_prompt_s3_path, response_s3_path
FROM llm.session_logs JOIN twins ON session_id = original
ORDER BY request_time;
DELETE FROM llm.prompt_template_uses;
INSERT INTO llm.prompt_template_uses (template_id, slot, uses)
SELECT template_id, 0, count(*) FROM llm.session_logs WHERE template_id IS NOT NULL GROUP BY template_id;
RESET session_replication_role;
"""
REPORTS = (
    "daily_usage_by_model",
    "daily_usage_by_user",
    "daily_latency_by_project",
    "monthly_usage_by_department",
    "template_usage",
    "requests, the newest 100",
)
COUNTED = "SELECT template_id, usage_count FROM llm.prompt_templates"
BY_HAND = "SELECT template_id, count(*) FROM llm.session_logs GROUP BY template_id"
SIZES = """
SELECT
    sum(pg_total_relation_size(oid)) FILTER (WHERE relnamespace = 'llm'::regnamespace)::bigint,
    sum(pg_total_relation_size(oid)) FILTER (WHERE relnamespace = 'rollup'::regnamespace)::bigint,
    (SELECT count(*) FROM llm.session_logs)
FROM pg_class
WHERE relkind = 'r'
"""


def main() -> None:
    quick = {"logs": 2_000, "rounds": 1, "rows": 100, "seconds": 1}
    chosen = arguments(__doc__, quick, logs=1_000_000, rounds=2, rows=10_000, seconds=2)
    with server(chosen.keep) as uri, ExitStack() as ending:
        one = company(uri, chosen.logs)
        five = make_once(uri, f"{one}_5", twins(1, 4), template=one)
        ten = make_once(uri, f"{one}_10", twins(5, 5), template=five)
        change = f"SELECT llm.create_month(now()::date); {SETUP}"
        dsns = copies(uri, {many: (name, change) for many, name in zip(TIMES, (one, five, ten), strict=True)}, ending)
        folder = Path(ending.enter_context(tempfile.TemporaryDirectory()))
        found: dict[str, dict[int, list[float]]] = {}

        def note(name: str, many: int, value: float) -> None:
            found.setdefault(name, {}).setdefault(many, []).append(value)

        for many, dsn in dsns.items():
            say(f"summing up {many} times the logs ...")
            with connect(dsn) as db:
                db.execute("SELECT ops.restart_rollups()")
                began = time.perf_counter()
                close_all_but_the_tail(db)
                note("a refresh from the beginning, s", many, time.perf_counter() - began)
                in_llm, in_rollup, logs = db.execute(SIZES).fetchone()
                note("sessions, logs and indexes, bytes per log", many, in_llm / logs)
                note("rollups, bytes per log", many, in_rollup / logs)
        for number in range(chosen.rounds):
            say(f"round {number + 1} of {chosen.rounds}")
            for many, dsn in dsns.items():
                for name, ms in asked(dsn).items():
                    note(name, many, ms)
                for name, ms in work(dsn, chosen.rows, chosen.seconds).items():
                    note(name, many, ms)
                note(f"`llm-db load` of {chosen.rows:,} logs", many, load(dsn, chosen.rows, folder / f"{number}.csv"))
        for many, dsn in dsns.items():
            with connect(dsn) as db:
                month = db.execute("SELECT min(month) FROM ops.months").fetchone()[0]
                db.execute("CALL ops.refresh_rollups()")
                note("dropping the oldest month", many, timed(db, "SELECT ops.drop_month(%s, true)", [month]))
    print_table(
        "growth",
        [
            "ms, if not said otherwise",
            f"{chosen.logs:,} logs",
            *(part for many in TIMES[1:] for part in (f"{many * chosen.logs:,}", "ratio")),
        ],
        compared(found),
    )


def twins(first: int, last: int) -> Callable[[str], None]:
    def make(dsn: str) -> None:
        with connect(dsn) as db, psycopg.ClientCursor(db) as cursor:
            cursor.execute(TWINS, {"first": first, "last": last})

    return make


def asked(dsn: str) -> dict[str, float]:
    """Milliseconds of a few reports, and of what the templates' counters save."""
    with connect(dsn) as db:
        questions = {name: query for name, query in view_questions(db).items() if name in REPORTS}
        questions |= {"`usage_count` of all templates": COUNTED, "the same by count(*)": BY_HAND}
        found = {}
        for name, query in questions.items():
            db.execute(query)
            found[name] = timed(db, query)
        return found


def load(dsn: str, rows: int, file: Path) -> float:
    """Milliseconds for a file of requests of the last minutes."""
    began = datetime.now(UTC) - timedelta(seconds=200)
    lines = ["request_time,response_time,token_used,deployment_id,user_id,template_id"]
    for n in range(rows):
        at = began + timedelta(milliseconds=10 * n % 190_000, microseconds=n)
        lines.append(f"{at.isoformat()},{(at + timedelta(seconds=2)).isoformat()},{n},1,{1 + n % 50},1")
    file.write_text("\n".join(lines) + "\n")
    start = time.perf_counter()
    done = llm_db("load", str(file), "--dsn", dsn)
    if done.returncode:
        raise SystemExit(f"{done.stdout}{done.stderr}")
    return (time.perf_counter() - start) * 1000


if __name__ == "__main__":
    main()
