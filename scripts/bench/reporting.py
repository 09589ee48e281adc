"""What the rollups bring, on the demo company: the last 30 days, and what they cost, asked of the reporting views, of
the logs themselves and of a materialized view; every view; and how fast a refresh is.

All of it with the newest five minutes not rolled up, which is how a database looks between two refreshes. The questions
take turns, round after round, so that a change in the machine's speed meets all of them alike. Answers are compared
before they are timed: a fast wrong number is worth nothing.
"""

import re
import statistics
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

import psycopg
from common import (
    STEP,
    arguments,
    cell,
    close_all_but_the_tail,
    company,
    connect,
    dsn_of,
    print_table,
    refresh,
    say,
    server,
    timed,
)

# Refreshes of five minutes that are timed, besides the tail that stays open.
STEPS = 5
SLOW_MS = 100

SESSION = "JOIN llm.sessions AS s ON l.session_id = s.session_id"
DEPARTMENT = "JOIN rollup.department_spans AS h ON s.user_id = h.user_id AND l.request_time >= h.since"
AT_THE_TIME = "AND l.request_time >= e.since AND l.request_time < e.until_time"
# The column of a dimension, and what has to be joined to llm.session_logs for it.
BY_HAND = {
    "": ("NULL", ""),
    "config": ("l.config_id", ""),
    "department": ("h.department_id", f"{SESSION} {DEPARTMENT} AND l.request_time < h.until_time"),
    "deployment": ("l.deployment_id", ""),
    "model": ("e.model_id", f"JOIN rollup.deployment_spans AS e ON l.deployment_id = e.deployment_id {AT_THE_TIME}"),
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
    """One question, asked of a reporting view and of the logs. `kind` is usage, percentiles or costs."""

    name: str
    view: str
    by_hand: str
    kind: str


def main() -> None:
    chosen = arguments(__doc__, {"logs": 2_000, "rounds": 1}, logs=1_000_000, rounds=3)
    with server(chosen.keep) as uri, connect(dsn_of(uri, company(uri, chosen.logs))) as db:
        close_all_but_the_tail(db)
        db.execute("VACUUM (ANALYZE)")
        against_the_logs(db, chosen.rounds)
        against_materialized(db, chosen.rounds)
        every_view(db, chosen.rounds)
        refreshes(db)


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
    for kind in ("usage", "percentiles", "costs"):
        names = [question.name for question in asked if question.kind == kind]
        factors = {name: middle[name, "by_hand"] / middle[name, "view"] for name in names}
        slowest = min(factors, key=factors.get)
        print_table(
            f"reporting-{kind}",
            ["", "the logs, ms", "the view, ms", "times faster"],
            [[name, middle[name, "by_hand"], middle[name, "view"], factors[name]] for name in names],
            f"At least {cell(factors[slowest])} times faster ({slowest}).",
        )


def questions(db: psycopg.Connection) -> list[Question]:
    until = last_day(db)
    since = until - timedelta(days=30)
    views = [name for (name,) in db.execute("SELECT viewname FROM pg_views WHERE schemaname = 'reporting' ORDER BY 1")]
    asked = []
    for view in views:
        if usage := re.fullmatch(r"(daily|weekly|monthly)_usage(?:_by_(\w+))?", view):
            grain, dimension = GRAINS[usage[1]], usage[2] or ""
            asked.append(usage_question(view, grain, dimension, f"date_trunc('{grain}', date '{since}')::date"))
        elif cost := re.fullmatch(r"(daily|weekly|monthly)_cost_by_(\w+)", view):
            grain = GRAINS[cost[1]]
            asked.append(cost_question(view, grain, cost[2], f"date_trunc('{grain}', date '{since}')::date"))
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
        kind="usage",
    )


def cost_question(view: str, grain: str, dimension: str, since: str) -> Question:
    """What was used of a deployment's day, by tokens; a request of which they are not known counts as the mean."""
    key, joins = BY_HAND[dimension]
    own, idle = f"{dimension}_id", {"deployment": "g.deployment_id", "model": "g.model_id"}.get(dimension)
    # What nobody used is a row of its own.
    own_or_idle = own if idle else f"CASE WHEN is_idle THEN -1 ELSE {own} END"
    return Question(
        view,
        f"SELECT cost_{grain}, {own_or_idle}, requests, tokens, allocated_cost"
        f" FROM reporting.{view} WHERE cost_{grain} >= {since}",
        f"""
        WITH held AS MATERIALIZED (
            SELECT d.day::date AS day, g.deployment_id, g.model_id, sum(
                g.gpus * coalesce(g.price_per_hour, 0) / 3600 * date_part(
                    'epoch', least(g.until_time, (d.day + interval '1 day') AT TIME ZONE 'Asia/Seoul', now())
                    - greatest(g.since, d.day AT TIME ZONE 'Asia/Seoul')
                )
            ) AS cost
            FROM generate_series({since}::timestamp, now() AT TIME ZONE 'Asia/Seoul', interval '1 day') AS d (day)
            JOIN rollup.gpu_spans AS g ON g.gpus > 0 AND g.until_time > d.day AT TIME ZONE 'Asia/Seoul'
                AND g.since < least((d.day + interval '1 day') AT TIME ZONE 'Asia/Seoul', now())
            GROUP BY 1, 2, 3
        ), used AS MATERIALIZED (
            SELECT (l.request_time AT TIME ZONE 'Asia/Seoul')::date AS day, l.deployment_id, {key} AS key,
                count(*) AS requests, count(l.token_used) AS known, coalesce(sum(l.token_used), 0) AS tokens
            FROM llm.session_logs AS l {joins}
            WHERE l.request_time >= {since}::timestamp AT TIME ZONE 'Asia/Seoul'
            GROUP BY 1, 2, 3
        ), days AS (
            SELECT day, deployment_id, sum(requests) AS requests, sum(known) AS known, sum(tokens) AS tokens
            FROM used GROUP BY 1, 2
        ), parts AS (
            SELECT u.day, u.key, u.requests, u.tokens, coalesce(c.cost, 0) * CASE
                WHEN d.tokens = 0 THEN u.requests / d.requests
                ELSE u.tokens * d.known / (d.tokens * d.requests) + (u.requests - u.known) / d.requests
            END AS cost
            FROM used AS u
            JOIN days AS d USING (day, deployment_id)
            LEFT JOIN (SELECT day, deployment_id, sum(cost) AS cost FROM held GROUP BY 1, 2) AS c
                USING (day, deployment_id)
            UNION ALL
            SELECT g.day, {idle or -1}, 0, 0, g.cost FROM held AS g LEFT JOIN days AS d USING (day, deployment_id)
            WHERE d.day IS NULL
        )
        SELECT date_trunc('{grain}', day::timestamp)::date, key, sum(requests)::bigint, sum(tokens)::bigint, sum(cost)
        FROM parts GROUP BY 1, 2
        """,
        kind="costs",
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
        kind="percentiles",
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
        kind="percentiles",
    )


def compare(db: psycopg.Connection, question: Question) -> None:
    """Two columns are the key; counts are equal to the unit, a latency is within 2 %, and a cost is what floats make of
    it. In one transaction, as today costs more every moment."""
    with db.transaction():
        view, by_hand = ({row[:2]: row[2:] for row in db.execute(q)} for q in (question.view, question.by_hand))
    within = 0.02 if question.kind == "percentiles" else 1e-9
    different = [key for key in view.keys() | by_hand.keys() if not same(view.get(key), by_hand.get(key), within)]
    if different:
        key = different[0]
        raise SystemExit(f"{question.name}: {len(different)} differ, as {key}: {view.get(key)}, not {by_hand.get(key)}")


def same(a: tuple | None, b: tuple | None, within: float) -> bool:
    if a is None or b is None:
        return False
    return all(
        x == y or (isinstance(x, float | Decimal) and isinstance(y, float) and abs(float(x) - y) <= within * y)
        for x, y in zip(a, b, strict=True)
    )


def against_materialized(db: psycopg.Connection, rounds: int) -> None:
    """One view of each kind as most databases have it: made of all logs, and made again whole."""
    by_name = {question.name: question for question in questions(db)}
    rows = []
    db.execute("DROP SCHEMA IF EXISTS bench CASCADE; CREATE SCHEMA bench")
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
    print_table("reporting-materialized", ["", "materialized, ms", "its REFRESH, s", "the view, ms"], rows)


def every_view(db: psycopg.Connection, rounds: int) -> None:
    asked = view_questions(db)
    times: dict[str, list[float]] = {name: [] for name in asked}
    for number in range(rounds + 1):
        say(f"asking every view, round {number + 1} of {rounds + 1}, of which the first does not count")
        for name, query in asked.items():
            times[name].append(timed(db, query))
    middle = {name: statistics.median(runs[1:]) for name, runs in times.items()}
    late = [name for name, ms in middle.items() if ms >= SLOW_MS]
    print_table(
        "reporting-views",
        ["", "rows", "ms"],
        [[name, db.execute(query).rowcount, middle[name]] for name, query in asked.items()],
        f"{SLOW_MS} ms or more: {', '.join(late) or 'none'}.",
    )


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
    print_table(
        "reporting-refresh",
        ["", "logs", "seconds", "logs per second"],
        rows,
        f"While that day waited, daily_usage_by_model took {waiting:.0f} ms; otherwise {timed(db, view):.0f} ms.",
    )
    db.execute("VACUUM (ANALYZE)")


def refresh_row(db: psycopg.Connection, name: str, seconds: float, since, until) -> list:
    query = "SELECT count(*) FROM llm.session_logs WHERE request_time >= %s AND request_time < %s"
    logs = db.execute(query, [since, until]).fetchone()[0]
    return [name, logs, f"{seconds:.2f}", f"{logs / seconds:,.0f}"]


if __name__ == "__main__":
    main()
