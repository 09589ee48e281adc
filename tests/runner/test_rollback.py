"""A rollback that something stands in the way of changes nothing, says so, and works once that is gone."""

import psycopg

import citus
from command import checkout, execute, llm_db, value
from llm_db import catalog, database, files, migrate, sql_text
from llm_db.errors import Problem

FORGET = "SET audit.may_change = 'on'; TRUNCATE audit.changes; RESET audit.may_change"
COMPANY = f"SELECT llm.found_department('D1', 'Kim', 'kim@example.com'); SET CONSTRAINTS ALL IMMEDIATE; {FORGET}"
NOBODY = "TRUNCATE llm.users, llm.departments CASCADE"
# What people have, how they take it away, and the newest version to which the database cannot go with it.
OBSTACLES = {
    "a view on a report": (
        "CREATE VIEW public.mine AS SELECT department_name FROM reporting.daily_usage_by_department",
        "DROP VIEW public.mine",
        "0012",
    ),
    "a view on a rollup": ("CREATE VIEW public.mine AS SELECT day FROM rollup.usage", "DROP VIEW public.mine", "0012"),
    "a view on a function": (
        "CREATE VIEW public.mine AS SELECT llm.as_name('x') AS name",
        "DROP VIEW public.mine",
        "0016",
    ),
    "a foreign key": (
        "CREATE TABLE public.mine (model_id bigint REFERENCES llm.models)",
        "DROP TABLE public.mine",
        "0004",
    ),
    "a function": (
        "CREATE FUNCTION public.mine(llm.users) RETURNS bigint LANGUAGE sql RETURN ($1).user_id",
        "DROP FUNCTION public.mine",
        "0002",
    ),
    "a table of theirs in a schema of ours": (
        "CREATE TABLE reporting.mine (id int)",
        "DROP TABLE reporting.mine",
        "none",
    ),
    "rows": (COMPANY, f"{NOBODY}; {FORGET}", "0002"),
    "what is on record": (f"{COMPANY}; {NOBODY}", FORGET, "0029"),
}
LEDGER = """
SELECT (SELECT jsonb_agg(m ORDER BY migration_id) FROM llm_db.migrations AS m),
    (SELECT jsonb_agg(r ORDER BY name) FROM llm_db.repeatables AS r),
    (SELECT count(*) FROM llm_db._yoyo_log), (SELECT count(*) FROM llm_db.grants)
"""


def state(session: psycopg.Connection) -> tuple:
    with database.reading(session):
        return catalog.read(session), catalog.read_faults(session), session.execute(LEDGER).fetchone()


def refusal(dsn: str, target: str) -> Problem | None:
    told: list[str] = []
    try:
        with database.connect(database.Target(dsn, "the tests")) as session:
            migrate.rollback(session, target, tell=told.append)
    except Problem as problem:
        # Nothing is told as rolled back that is not.
        return problem if not told else None
    return None


@citus.not_rolled_back
def test_whatever_stands_in_the_way_nothing_is_rolled_back(db, dsn):
    for puts, takes, newest in OBSTACLES.values():
        db.execute(puts)
        before = state(db)
        for target in {"none", newest}:
            problem = refusal(dsn, target)
            assert problem.hint.startswith("nothing was changed; "), problem.hint
            assert "CASCADE" not in problem.hint
            assert state(db) == before
        db.execute(takes)
    assert refusal(dsn, "none") is None
    assert value(dsn, "SELECT count(*) FROM pg_namespace WHERE nspname IN ('llm', 'rollup', 'reporting', 'ops')") == 0


@citus.not_rolled_back
def test_rows_are_found_without_a_lock_on_what_is_in_use(db, dsn):
    db.execute(COMPANY)
    with psycopg.connect(dsn) as writer:
        writer.execute("INSERT INTO llm.models (model_name, model_type) VALUES ('m1', 'chat')")
        writer.execute("UPDATE llm.users SET is_active = true")
        problem = refusal(dsn, "none")
    assert "departments, users would lose rows" in problem.message
    assert "Where the rows must stay, migrate forward" in problem.hint


def test_each_refusal_of_ours_is_one_that_can_be_asked_beforehand():
    for migration in files.migrations():
        text = files.read_sql(migration.down)
        if migrate.REFUSES in text or "RAISE EXCEPTION 'not rolled back" in text:
            assert migrate.REFUSES in sql_text.pieces(text)[0], migration.id


TOY = {
    "0001.first": "CREATE TABLE public.first (id int); -- DOWN -- DROP TABLE public.first;",
    "0002.alone": "-- transactional: false\nCREATE INDEX CONCURRENTLY first_idx ON public.first (id);\n"
    "-- DOWN --DROP INDEX CONCURRENTLY public.first_idx;",
    "0003.third": "CREATE TABLE public.third (id int); -- DOWN -- DROP TABLE public.third;",
    "0004.fourth": "CREATE TABLE public.fourth (id int); -- DOWN -- DROP TABLE public.fourth;",
}


def test_what_runs_outside_a_transaction_divides_a_rollback_and_the_hint_says_how_far_it_came(tmp_path, empty_dsn):
    root = checkout(tmp_path, TOY)
    rollback = ("rollback", "--to", "none", "--yes", "--dsn", empty_dsn)
    assert llm_db("migrate", "--dsn", empty_dsn, root=root).returncode == 0
    execute(empty_dsn, "CREATE VIEW public.mine AS SELECT FROM public.third")
    done = llm_db(*rollback, root=root)
    assert (done.returncode, done.stdout) == (1, "")
    assert "hint: nothing was changed; something that is not ours is built on it" in done.stderr
    execute(empty_dsn, "CREATE OR REPLACE VIEW public.mine AS SELECT FROM public.first")
    done = llm_db(*rollback, root=root)
    assert done.returncode == 1
    assert "hint: 3 of 4 rolled back: the database is at 0001.first; something that is not ours" in done.stderr
    execute(empty_dsn, "DROP VIEW public.mine")
    done = llm_db(*rollback, root=root)
    assert done.returncode == 0, done.stderr
    assert "[1/1] 0001.first rolled back" in done.stdout


def test_a_migrate_that_stops_says_how_far_it_came(tmp_path, empty_dsn):
    execute(empty_dsn, "CREATE TABLE public.third (id int)")
    done = llm_db("migrate", "--dsn", empty_dsn, root=checkout(tmp_path, TOY))
    assert done.returncode == 1
    assert "hint: 2 of 4 applied: the database is at 0002.alone; the object was made by something else" in done.stderr
