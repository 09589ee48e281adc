"""What many months of partitions cost: three databases with 3, 60 and 240 months. The newest three months have the same
logs in each; an older one has few, so that what grows, grows with the months and not with the logs.

All are asked in turn, round after round, so that a change in the machine's speed meets all of them alike.
"""

import statistics
import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta

from common import (
    arguments,
    compared,
    connect,
    copies,
    fill,
    llm_db,
    make_once,
    migrated,
    pgbench,
    print_table,
    ratio_of,
    refresh,
    say,
    server,
    timed,
)
from reporting import view_questions

FEW_MONTHS = 3
LOGS_PER_SESSION = 5
OLD_SESSIONS = 100

SETUP = """
CREATE TABLE bench_session AS
SELECT max(session_id::text)::uuid AS session_id, min(session_id::text)::uuid AS other
FROM (SELECT session_id FROM llm.sessions ORDER BY session_id DESC LIMIT 100) AS s;
CREATE SEQUENCE bench_sequence CACHE 1000;
"""
COLUMNS = "session_id, log_sequence, deployment_id, template_id, token_used"
VALUES = "b.session_id, 1000 + nextval('bench_sequence'), 1, 1, 100"
INSERT = f"INSERT INTO llm.session_logs ({COLUMNS}) SELECT {VALUES} FROM bench_session AS b;"
OPEN = "INSERT INTO llm.sessions (user_id, session_type) VALUES (1, 'test');"
A_MINUTE = f"""
INSERT INTO llm.session_logs ({COLUMNS}, request_time)
SELECT {VALUES}, now() - interval '290 s' + i * interval '10 ms' FROM bench_session AS b, generate_series(1, 1000) AS i
"""
ONE_SESSION = "SELECT * FROM llm.session_logs WHERE session_id = %s"
REPORT = "SELECT * FROM reporting.daily_usage_by_model WHERE request_day >= now()::date - 30"
MOST = 10


def main() -> None:
    quick = {"more": 4, "most": 5, "logs": 600, "rounds": 1, "rows": 100, "seconds": 1}
    chosen = arguments(__doc__, quick, more=60, most=240, logs=100_000, rounds=3, rows=10_000, seconds=2)
    sizes = (FEW_MONTHS, chosen.more, chosen.most)
    with server(chosen.keep) as uri, ExitStack() as ending:
        templates = [migrated(uri)]
        for months in sizes:
            name = f"months_{months}_{chosen.logs}"
            templates.append(make_once(uri, name, maker(months, chosen.logs), template=templates[-1]))
        variants = {many: (template, SETUP) for many, template in zip(sizes, templates[1:], strict=True)}
        dsns = copies(uri, variants, ending)
        times: dict[str, dict[int, list[float]]] = {}
        views: dict[str, dict[int, list[float]]] = {}
        for number in range(chosen.rounds):
            say(f"round {number + 1} of {chosen.rounds}")
            for months, dsn in dsns.items():
                for name, ms in (work(dsn, chosen.rows, chosen.seconds) | {"`llm-db check`": check(dsn)}).items():
                    times.setdefault(name, {}).setdefault(months, []).append(ms)
            with ExitStack() as asking:
                asked = {months: asking.enter_context(connect(dsn)) for months, dsn in dsns.items()}
                for name, query in view_questions(asked[FEW_MONTHS]).items():
                    for months, db in asked.items():
                        db.execute(query)  # what the connection has to learn first is asked for above
                        views.setdefault(name, {}).setdefault(months, []).append(timed(db, query))
    head = ["", f"{FEW_MONTHS} months, ms", *(part for many in sizes[1:] for part in (f"{many} months, ms", "ratio"))]
    print_table("months", head, compared(times))
    ratios = {name: ratio_of(found[chosen.most], found[FEW_MONTHS]) for name, found in views.items()}
    most = sorted(ratios, key=ratios.get, reverse=True)[:MOST]
    print_table(
        "months-reports",
        head,
        compared({name: views[name] for name in most}),
        f"These {len(most)} of {len(views)} questions grow most. In the median of all, {chosen.most} months take"
        f" {statistics.median(ratios.values()):.2f} times as long as {FEW_MONTHS}.",
    )


def maker(months: int, logs: int) -> Callable[[str], None]:
    def make(dsn: str) -> None:
        """The months that the database does not have yet, and three ahead."""
        with connect(dsn) as db:
            until = datetime.now(UTC) - timedelta(hours=1)
            for age in range(months):
                month = until.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
                if db.execute("SELECT llm.create_month(%s)", [month.date()]).fetchone()[0]:
                    fill(
                        db,
                        month,
                        until,
                        logs // FEW_MONTHS // LOGS_PER_SESSION if age < FEW_MONTHS else OLD_SESSIONS,
                        LOGS_PER_SESSION,
                    )
                until = month - timedelta(microseconds=1)
            db.execute("CALL llm.create_months()")
            db.execute("SELECT ops.restart_rollups()")
            refresh(db, datetime.now(UTC) - timedelta(minutes=5))

    return make


def work(dsn: str, rows: int, seconds: int) -> dict[str, float]:
    """The milliseconds of what writers, readers and upkeep do."""
    found = {}
    with connect(dsn) as db:
        session, other = db.execute("SELECT session_id, other FROM bench_session").fetchone()
        first = db.execute("SELECT nextval('bench_sequence')").fetchone()[0] * rows
        text = "".join(f"{session}\t{1_000_000_000 + first + n}\t1\t1\t100\n" for n in range(rows))
        began = time.perf_counter()
        with db.cursor().copy(f"COPY llm.session_logs ({COLUMNS}) FROM STDIN") as copy:
            copy.write(text)
        found[f"COPY of {rows:,} logs, on a new connection"] = (time.perf_counter() - began) * 1000
    for name, script in (
        ("a log inserted", INSERT),
        ("a session opened", OPEN),
        ("one session's logs, prepared", ONE_SESSION.replace("%s", f"'{other}'")),
    ):
        found[name] = statistics.median(done.ms for done in pgbench(dsn, script, 1, f"-T{seconds}"))
    with connect(dsn) as db:
        found["a report, the first of a connection"] = timed(db, REPORT)
        found["the same report again"] = timed(db, REPORT)
        found["one session's logs, planned anew"] = timed(db, ONE_SESSION, [other])
        db.execute(A_MINUTE)
        found["a refresh that sums up 1,000 logs"] = refresh(db, datetime.now(UTC) - timedelta(seconds=270)) * 1000
        found["`ops.health`"] = timed(db, "SELECT * FROM ops.health")
        db.execute("CALL llm.maintain()")
        found["`llm.maintain()`, nothing due"] = timed(db, "CALL llm.maintain()")
    return found


def check(dsn: str) -> float:
    began = time.perf_counter()
    done = llm_db("check", "--dsn", dsn)
    if done.returncode:
        raise SystemExit(f"{done.stdout}{done.stderr}")
    return (time.perf_counter() - began) * 1000


if __name__ == "__main__":
    main()
