"""How many members of multixacts a log costs. A foreign key locks the row that it refers to until COMMIT; where others
have locked it at that moment, the row gets a multixact with all of them as members. A server has room for 2^32 members;
at half of them, or at 400,000,000 multixacts, autovacuum freezes every table.

Each way of writing has a copy of the demo company; they are driven in turn, round after round.
"""

import statistics
from contextlib import ExitStack
from dataclasses import dataclass

import psycopg
from common import arguments, company, connect, copies, pgbench, print_table, say, server

CLIENTS = 16
# The rate that docs/health.md speaks of.
LOGS_PER_SECOND = 1_700


@dataclass(frozen=True)
class Way:
    # How many rows of each kind the clients share: deployments, presets and templates.
    shared: int = 1
    logs_per_transaction: int = 1
    change: str = ""


NO_WAIT = """
DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET synchronous_commit = off', current_database()); END $$;
"""
WAYS = {
    "all on one deployment, preset and template": Way(),
    "on eight of each": Way(shared=8),
    "on eight, `synchronous_commit = off`": Way(shared=8, change=NO_WAIT),
    "on eight, ten logs a transaction": Way(shared=8, logs_per_transaction=10),
    "on eight, foreign keys checked at COMMIT": Way(
        shared=8,
        change="".join(
            f"ALTER TABLE llm.session_logs ALTER CONSTRAINT session_logs_{column}_fkey DEFERRABLE INITIALLY DEFERRED;"
            for column in ("deployment_id", "config_id", "template_id")
        ),
    ),
}

# Every client has a session of its own.
SETUP = """
SELECT llm.create_month(now()::date);
INSERT INTO llm.deployments (model_id, server_name, gpu_count, environment, status)
SELECT min(model_id), 'bench-' || n, 1, 'production', 'active' FROM llm.models, generate_series(1, 8) AS n GROUP BY n;
INSERT INTO llm.model_configs (model_id, config_name, max_tokens, temperature, top_p, top_k)
SELECT min(model_id), 'bench-' || n, 1, 1, 1, 1 FROM llm.models, generate_series(1, 8) AS n GROUP BY n;
INSERT INTO llm.prompt_templates (template_name, prompt_s3_path, task_category, created_by)
SELECT 'bench-' || n, 's3://bench/one', 'coding', min(user_id) FROM llm.users, generate_series(1, 8) AS n GROUP BY n;
CREATE TABLE bench_clients AS
WITH made AS (
    INSERT INTO llm.sessions (user_id, session_type)
    SELECT user_id, 'test' FROM llm.users ORDER BY user_id LIMIT 16
    RETURNING session_id
)
SELECT row_number() OVER () - 1 AS client, session_id FROM made;
CREATE SEQUENCE bench_sequence CACHE 1000;
"""
INSERT = """
INSERT INTO llm.session_logs (session_id, log_sequence, deployment_id, config_id, template_id, request_time)
SELECT session_id, nextval('bench_sequence'), d.deployment_id, c.config_id, t.template_id, now()
FROM bench_clients, llm.deployments AS d, llm.model_configs AS c, llm.prompt_templates_base AS t
WHERE client = :client_id AND d.server_name = 'bench-' || :one AND c.config_name = 'bench-' || :one
    AND t.template_name = 'bench-' || :one;
"""
COUNTED = """
SELECT next_multixact_id::text::bigint, next_multi_offset::text::bigint, (SELECT count(*) FROM llm.session_logs)
FROM pg_control_checkpoint()
"""


def main() -> None:
    chosen = arguments(__doc__, {"logs": 2_000, "rounds": 1, "seconds": 1}, logs=2_000, rounds=3, seconds=4)
    with server(chosen.keep) as uri, ExitStack() as ending:
        template = company(uri, chosen.logs)
        dsns = copies(uri, {name: (template, SETUP + way.change) for name, way in WAYS.items()}, ending)
        runs: dict[str, list[tuple[float, float, float]]] = {name: [] for name in WAYS}
        for number in range(chosen.rounds):
            say(f"round {number + 1} of {chosen.rounds}")
            for name, way in WAYS.items():
                runs[name].append(run(dsns[name], way, chosen.seconds))
    rows = []
    for name, found in runs.items():
        rate, multixacts, members = (statistics.median(column) for column in zip(*found, strict=True))
        hours = min(2**31 / max(members, 1e-9), 400_000_000 / max(multixacts, 1e-9)) / LOGS_PER_SECOND / 3600
        rows.append([name, f"{rate:,.0f}", f"{multixacts:.2f}", f"{members:.2f}", f"{hours:,.0f}"])
    print_table(
        "multixacts",
        ["16 clients", "logs/s", "multixacts a log", "members a log", "hours until autovacuum freezes all"],
        rows,
    )


def run(dsn: str, way: Way, seconds: int) -> tuple[float, float, float]:
    """Logs per second, and multixacts and members per log."""
    one = f"\\set one random(1, {way.shared})\n{INSERT}"
    script = one if way.logs_per_transaction == 1 else f"BEGIN;\n{one * way.logs_per_transaction}COMMIT;\n"
    with connect(dsn) as db:
        before = counted(db)
        pgbench(dsn, script, CLIENTS, f"-T{seconds}")
        multixacts, members, logs = (after - was for after, was in zip(counted(db), before, strict=True))
    return logs / seconds, multixacts / logs, members / logs


def counted(db: psycopg.Connection) -> tuple[int, int, int]:
    db.execute("CHECKPOINT")
    return db.execute(COUNTED).fetchone()


if __name__ == "__main__":
    main()
