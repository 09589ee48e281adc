"""What the audit costs whoever changes users and templates: many rows in one statement, and one row per transaction.

Two databases that differ only in the triggers, in turn, round after round, so that a change in the machine's speed
meets both alike.
"""

import statistics
from contextlib import ExitStack

import psycopg
from common import arguments, connect, copies, migrated, print_table, ratio_of, say, server, timed

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
SETUP = "SELECT audit.create_months();"
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


def main() -> None:
    chosen = arguments(__doc__, {"rows": 50, "rounds": 1}, rows=10_000, rounds=5)
    measured: dict[str, list[tuple[float, float]]] = {}
    with server(chosen.keep) as uri, ExitStack() as ending:
        template = migrated(uri)
        variants = {"not audited": (template, SETUP + WITHOUT), "audited": (template, SETUP)}
        pair = [ending.enter_context(connect(dsn)) for dsn in copies(uri, variants, ending).values()]
        for number in range(chosen.rounds):
            say(f"round {number + 1} of {chosen.rounds}")
            for name, statement in STATEMENTS.items():
                name, text = (each.format(rows=chosen.rows, n=number) for each in (name, statement))
                measured.setdefault(name, []).append(tuple(timed(db, text) for db in pair))
            measured.setdefault("UPDATE of one user, a transaction", []).append(tuple(one_row(db) for db in pair))
    rows = []
    for name, pairs in measured.items():
        without, audited = zip(*pairs, strict=True)
        ratio = f"{ratio_of(audited, without):.2f}x"
        rows.append([name, statistics.median(without), statistics.median(audited), ratio])
    print_table("audit", ["", "not audited, ms", "audited, ms", "ratio"], rows)


def one_row(db: psycopg.Connection) -> float:
    return statistics.median(timed(db, ONE_ROW) for _ in range(LOGINS))


if __name__ == "__main__":
    main()
