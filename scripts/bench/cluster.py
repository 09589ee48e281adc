"""What a Citus cluster costs and brings, against one node of the same servers: LLM_DB_CITUS_DSN names the coordinator.

Two databases with the same demo company lie on it, one of them distributed; they are asked in turn, round after round.
A bare table, local and distributed, tells how much of it is Citus' own price. Where the servers are on this machine,
CPU time is told apart by coordinator and workers, from which follows what workers of their own would do.
"""

import os
import time
from contextlib import ExitStack
from pathlib import Path

import psycopg
from common import (
    STEP,
    arguments,
    cell,
    compared,
    connect,
    hardware,
    llm_db,
    pgbench,
    print_table,
    refresh,
    say,
    timed,
)
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

DSN = os.environ.get("LLM_DB_CITUS_DSN", "")
PLAIN, SPREAD = "bench_one_node", "bench_cluster"
CLIENTS = 16
# As scripts/bench/writers.py writes: sessions of their own, and numbers given.
SETUP = """
SELECT llm.create_month(now()::date);
CREATE TABLE bench_sessions AS
SELECT n AS client, llm.uuidv7() AS session_id FROM generate_series(0, 63) AS n;
INSERT INTO llm.sessions (session_id, user_id, session_type)
SELECT session_id, 1, 'test' FROM bench_sessions;
CREATE SEQUENCE bench_sequence CACHE 1000;
CREATE TABLE bench_bare (session_id uuid NOT NULL, log_sequence bigint NOT NULL, token_used bigint, at timestamptz,
    PRIMARY KEY (session_id, log_sequence));
"""
INSERT = """
SELECT session_id, nextval('bench_sequence') AS n FROM bench_sessions WHERE client = :client_id \\gset
INSERT INTO llm.session_logs (session_id, log_sequence, deployment_id, template_id, token_used)
VALUES (:session_id, :n, 1, 1, 100);
"""
INSERT_BARE = """
SELECT session_id, nextval('bench_sequence') AS n FROM bench_sessions WHERE client = :client_id \\gset
INSERT INTO bench_bare VALUES (:session_id, :n, 100, now());
"""
SELECT = """
SELECT session_id FROM bench_sessions WHERE client = :client_id \\gset
SELECT status FROM llm.sessions WHERE session_id = :session_id;
"""
WRITES = {
    "single-row inserts of logs, 16 clients, a second": INSERT,
    "single-row inserts into a bare table": INSERT_BARE,
    "single-row SELECT of a session": SELECT,
}
DAYS = "(SELECT max(request_day) - 29 FROM reporting.daily_usage)"
USAGE = f"SELECT * FROM reporting.daily_usage WHERE request_day >= {DAYS}"
READS = {
    "30 days of usage, ms": USAGE,
    "30 days by project, ms": f"SELECT * FROM reporting.daily_usage_by_project WHERE request_day >= {DAYS}",
    "a month's cost by department, ms": "SELECT * FROM reporting.monthly_cost_by_department"
    f" WHERE cost_month = date_trunc('month', {DAYS})::date",
    "usage_count of a template, ms": "SELECT usage_count FROM llm.prompt_templates WHERE template_id = 1",
}


def main() -> None:
    chosen = arguments(__doc__, {"logs": 2_000, "rounds": 1, "seconds": 1}, logs=1_000_000, rounds=3, seconds=3)
    if not DSN:
        say("LLM_DB_CITUS_DSN names no Citus cluster, so none is measured")
        return
    with ExitStack() as ending:
        dsns = {"one node": made(PLAIN, chosen.logs, ending), "cluster": made(SPREAD, chosen.logs, ending)}
        moved = seconds_of("distribute", dsns["cluster"])
        for dsn in dsns.values():
            with connect(dsn) as db:
                for statement in filter(str.strip, SETUP.split(";")):
                    db.execute(statement)
        with connect(dsns["cluster"]) as db:
            db.execute("SELECT create_distributed_table('bench_bare', 'session_id', colocate_with => 'llm.sessions')")
            on = hardware(db)
        found = measured(dsns, chosen.rounds, chosen.seconds)
        rows = compared(found)
        paper = on_paper(dsns, chosen.seconds)
        back = seconds_of("distribute --undo", dsns["cluster"])
    rows.append([f"`llm-db distribute`, {chosen.logs:,} logs, s", "", moved, ""])
    rows.append(["`llm-db distribute --undo`, s", "", back, ""])
    print_table("cluster", ["", "one node", "cluster", "ratio"], rows, f"{on} A coordinator and its workers share it.")
    if paper:
        print_table(
            "cluster-on-paper",
            ["", "us of CPU, coordinator", "us of CPU, workers", "2 workers", "4 workers", "4 workers that are asked"],
            paper,
        )


def servers() -> list[str]:
    with psycopg.connect(DSN) as db:
        nodes = db.execute("SELECT nodename, nodeport FROM pg_dist_node WHERE groupid <> 0 ORDER BY 1, 2").fetchall()
        user = db.info.user
    workers = [make_conninfo(host=host, port=port, user=user, dbname="postgres") for host, port in nodes]
    return [make_conninfo(DSN, dbname="postgres"), *workers]


def made(name: str, logs: int, ending: ExitStack) -> str:
    """A database with the demo company on the coordinator, whose cluster has the workers of LLM_DB_CITUS_DSN."""
    say(f"making {name} ...")
    for server in servers():
        drop(server, name)
        with psycopg.connect(server, autocommit=True) as admin:
            admin.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(name)))
        ending.callback(drop, server, name)
    dsn = make_conninfo(DSN, dbname=name)
    for command in (["migrate"], ["demo", "--logs", str(logs)]):
        done = llm_db(*command, "--dsn", dsn)
        if done.returncode:
            raise SystemExit(done.stderr)
    for server in servers():
        with connect(make_conninfo(server, dbname=name)) as db:
            db.execute("CREATE EXTENSION citus")
    first, *workers = map(conninfo_to_dict, servers())
    with connect(dsn) as db:
        db.execute("SELECT citus_set_coordinator_host(%s, %s)", [first["host"], int(first["port"])])
        for worker in workers:
            db.execute("SELECT citus_add_node(%s, %s)", [worker["host"], int(worker["port"])])
        db.execute("VACUUM (ANALYZE)")
    return dsn


def drop(server: str, name: str) -> None:
    with psycopg.connect(server, autocommit=True) as admin:
        admin.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def seconds_of(command: str, dsn: str) -> float:
    began = time.monotonic()
    done = llm_db(*command.split(), "--dsn", dsn)
    if done.returncode:
        raise SystemExit(done.stderr)
    return time.monotonic() - began


def measured(dsns: dict[str, str], rounds: int, seconds: int) -> dict[str, dict[str, list[float]]]:
    found: dict[str, dict[str, list[float]]] = {}

    def add(name: str, where: str, figure: float) -> None:
        found.setdefault(name, {}).setdefault(where, []).append(figure)

    for number in range(rounds):
        say(f"round {number + 1} of {rounds} ...")
        for where, dsn in dsns.items():
            for name, script in WRITES.items():
                add(name, where, len(pgbench(dsn, script, CLIENTS, f"-T {seconds}")) / seconds)
        for where, dsn in dsns.items():
            with connect(dsn) as db:
                db.execute("SELECT ops.restart_rollups()")
                last, now = db.execute("SELECT max(request_time) - %s, now() FROM llm.session_logs", [STEP]).fetchone()
                add("a refresh from the beginning, s", where, refresh(db, last))
                add("30 days of usage, what the round wrote being open, ms", where, best(db, USAGE))
                refresh(db, now)
                for name, question in READS.items():
                    add(name, where, best(db, question))
    return found


def best(db: psycopg.Connection, question: str) -> float:
    return min(timed(db, question) for _ in range(5))


def on_paper(dsns: dict[str, str], seconds: int) -> list[list]:
    """Of each kind of statement, its CPU time on the coordinator and on the workers, and how many a second servers of
    two cores would do, if nothing else were in the way."""
    pids = [pid for server in servers() if (pid := postmaster(server))]
    if len(pids) < len(servers()):
        say("the servers are not on this machine, so CPU times are not told apart")
        return []
    rows = []
    for name, script in WRITES.items():
        before = [cpu(pid) for pid in pids]
        done = len(pgbench(dsns["cluster"], script, CLIENTS, f"-T {seconds}"))
        coordinator, *workers = ((cpu(pid) - was) / done * 1e6 for pid, was in zip(pids, before, strict=True))
        work = sum(workers)
        rates = [min(2e6 / coordinator, 2e6 * count / work) for count in (2, 4)] + [4 * 2e6 / (coordinator + work)]
        rows.append([name, coordinator, work, *(f"{cell(rate)}/s" for rate in rates)])
    return rows


def postmaster(server: str) -> int | None:
    with psycopg.connect(server) as db:
        folder = Path(db.execute("SHOW data_directory").fetchone()[0])
    file = folder / "postmaster.pid"
    return int(file.read_text().split()[0]) if file.exists() else None


def cpu(postmaster: int) -> float:
    """Seconds of CPU that a server and all of its processes have had, those that are over too."""
    ticks = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            words = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        pid, parent = int(stat.parent.name), int(words[1])
        if pid == postmaster:
            ticks += sum(map(int, words[11:15]))
        elif parent == postmaster:
            ticks += int(words[11]) + int(words[12])
    return ticks / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
