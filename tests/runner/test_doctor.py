"""llm-db doctor: what ops.health says, for people and programs, to whoever looks after the database."""

import json
import uuid
from collections.abc import Iterator

import pytest
from psycopg.conninfo import make_conninfo

from cluster import Cluster, running, server_bin
from command import drop_role, execute, llm_db, value


@pytest.fixture
def login(dsn: str) -> Iterator[str]:
    name = f"login_{uuid.uuid4().hex}"
    execute(dsn, f"CREATE ROLE {name} LOGIN")
    yield name
    drop_role(dsn, name)


NO_MONTH = "SELECT llm.drop_month(((now() AT TIME ZONE 'UTC') + interval '1 month')::date)"
NEXT_MONTH = "SELECT to_char((now() AT TIME ZONE 'UTC') + interval '1 month', 'YYYY-MM')"


def test_errors_are_told_with_what_to_do_until_nothing_is_wrong(dsn: str) -> None:
    execute(dsn, NO_MONTH)
    done = llm_db("doctor", "--dsn", dsn)
    assert done.returncode == 7
    assert done.stdout.splitlines()[1:] == [
        f"error    months_ahead  llm.session_logs: there is no month {value(dsn, NEXT_MONTH)}",
        "         CALL llm.maintain();",
        f"error    months_ahead  llm.sessions: there is no month {value(dsn, NEXT_MONTH)}",
        "         CALL llm.maintain();",
        "2 errors, 0 warnings",
    ]
    for line in done.stdout.splitlines():
        if line.startswith("         "):
            execute(dsn, line)
    done = llm_db("doctor", "--dsn", dsn)
    assert (done.returncode, done.stdout.splitlines()[1:]) == (0, ["Nothing is wrong."])


def test_warnings_alone_are_no_failure_and_programs_get_the_rows(dsn: str) -> None:
    execute(dsn, "CALL llm.maintain()")
    done = llm_db("doctor", "--json", "--dsn", dsn)
    assert (done.returncode, json.loads(done.stdout)) == (0, [])
    # A name is data of a stranger: what would act on a terminal is spelled out.
    execute(dsn, 'CREATE INDEX "\x1b[2J" ON llm.users (department_id)')
    done = llm_db("doctor", "--json", "--dsn", dsn)
    assert (done.returncode, json.loads(done.stdout)) == (
        0,
        [
            {
                "name": "duplicate_index",
                "level": "warning",
                "object": 'llm."\x1b[2J"',
                "detail": "indexes the same as llm.users_department_id_idx",
                "what_to_do": 'DROP INDEX CONCURRENTLY llm."\x1b[2J";',
            }
        ],
    )
    done = llm_db("doctor", "--dsn", dsn)
    assert done.returncode == 0
    assert done.stdout.endswith("\n0 errors, 1 warnings\n")
    assert "\x1b" not in done.stdout


def test_an_older_database_is_told_to_migrate(empty_dsn: str) -> None:
    done = llm_db("doctor", "--dsn", empty_dsn)
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        "error: This database has no ops.health, which says what is wrong.",
        "hint: `llm-db migrate` makes it",
    ]


def test_who_may_not_is_told_what_to_be_granted(dsn: str, login: str) -> None:
    as_login = make_conninfo(dsn, user=login)
    done = llm_db("doctor", "--dsn", as_login)
    assert done.returncode == 1
    grant = f"GRANT llm_operator TO {login}"
    assert done.stderr.splitlines()[-1] == f"hint: {grant}"
    execute(dsn, grant)
    execute(dsn, NO_MONTH)
    done = llm_db("doctor", "--dsn", as_login)
    assert done.returncode == 7
    assert "CALL llm.maintain();" in done.stdout
    assert value(as_login, "SELECT count(*) > 20 FROM ops.sizes")


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """A server of its own, whose database belongs to a role that is no superuser."""
    with running(server_bin()) as cluster:
        execute(cluster.dsn, "CREATE ROLE keeper LOGIN CREATEROLE")
        execute(cluster.dsn, "CREATE DATABASE owned TEMPLATE template0 ENCODING 'UTF8' OWNER keeper")
        yield cluster


def test_an_owner_without_rights_and_a_standby(cluster: Cluster) -> None:
    owned = make_conninfo(cluster.dsn, dbname="owned")
    as_keeper = make_conninfo(owned, user="keeper")
    assert llm_db("migrate", "--dsn", as_keeper).returncode == 0
    execute(owned, "CREATE ROLE operator LOGIN IN ROLE llm_operator")
    as_operator = make_conninfo(owned, user="operator")
    execute(owned, NO_MONTH)
    done = llm_db("doctor", "--json", "--dsn", as_operator)
    todo = {row["what_to_do"] for row in json.loads(done.stdout)}
    assert todo == {
        "CALL llm.maintain();",
        "GRANT pg_read_all_stats TO keeper;",
    }
    for statement in todo:
        execute(owned, statement)
    assert llm_db("doctor", "--dsn", as_operator).stdout.endswith("\nNothing is wrong.\n")

    execute(owned, NO_MONTH)
    execute(owned, "SELECT pg_create_physical_replication_slot('left', true)")
    cluster.stop()
    (cluster.data / "standby.signal").touch()
    cluster.start()
    done = llm_db("doctor", "--json", "--dsn", as_operator)
    assert value(owned, "SELECT pg_is_in_recovery()")
    assert (done.returncode, [row["name"] for row in json.loads(done.stdout)]) == (7, ["months_ahead", "months_ahead"])
