"""llm-db maintain: a call of the database's own procedure, told to people and to programs."""

import json

import psycopg
from psycopg.conninfo import make_conninfo

from command import drop_role, execute, llm_db


def test_what_was_done_is_told_to_people_and_to_programs(db: psycopg.Connection, dsn: str) -> None:
    assert llm_db("maintain", "--dsn", dsn).returncode == 0
    execute(dsn, "SELECT llm.drop_month((now() + interval '3 months')::date)")
    done = llm_db("maintain", "--dsn", dsn)
    assert (done.returncode, done.stderr) == (0, "")
    made, rolled_up = done.stdout.splitlines()
    assert made.startswith("made the month ")
    assert rolled_up.startswith("rolled up until ")
    execute(dsn, "SELECT llm.drop_month((now() + interval '3 months')::date)")
    done = llm_db("maintain", "--json", "--dsn", dsn)
    document = json.loads(done.stdout)
    assert document["done"] == done.stderr.splitlines()
    assert (document["done"][0], document["warnings"]) == (made, [])


def test_what_failed_is_told_and_the_rest_is_done(db: psycopg.Connection, dsn: str) -> None:
    execute(dsn, "ALTER TABLE llm.deployment_history DISABLE TRIGGER deployment_history_is_noted")
    execute(dsn, "SELECT llm.drop_month((now() + interval '3 months')::date)")
    done = llm_db("maintain", "--json", "--dsn", dsn)
    document = json.loads(done.stdout)
    assert done.returncode == document["exit_code"] == 1
    assert document["error"].endswith("jobs that failed: refresh")
    assert document["done"][0].startswith("made the month ")
    [warning] = document["warnings"]
    assert warning["warning"].startswith("refresh: the trigger deployment_history_is_noted is missing or disabled")
    assert f"warning: {warning['warning']} ({warning['hint']})" in done.stderr
    execute(dsn, "ALTER TABLE llm.deployment_history ENABLE TRIGGER deployment_history_is_noted")
    assert llm_db("maintain", "--dsn", dsn).returncode == 0


def test_who_may_not_is_told_which_role_may(db: psycopg.Connection, dsn: str) -> None:
    execute(dsn, "CREATE ROLE no_operator LOGIN")
    try:
        stranger = make_conninfo(dsn, user="no_operator")
        done = llm_db("maintain", "--dsn", stranger)
        assert done.returncode == 1
        hint = done.stderr.splitlines()[-1]
        assert hint == "hint: GRANT llm_operator TO no_operator"
        execute(dsn, hint.removeprefix("hint: "))
        assert llm_db("maintain", "--dsn", stranger).returncode == 0
    finally:
        drop_role(dsn, "no_operator")


def test_an_older_database_is_to_be_migrated_first(empty_dsn: str) -> None:
    done = llm_db("maintain", "--dsn", empty_dsn)
    assert done.returncode == 2
    assert "hint: run `llm-db migrate` first" in done.stderr
