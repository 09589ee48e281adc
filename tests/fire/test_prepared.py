"""A transaction is prepared, and forgotten for days: upkeep says so and waits for nobody for long, reports are exact
before and after it ends, and so they are when the server was killed in between."""

import threading
import time
from collections.abc import Iterator

import psycopg
import pytest
from psycopg import errors
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from sizes import size

from cluster import Cluster, running, server_bin
from conftest import Company, found_company, migrate_template
from rollup_model import assert_exact, make_model

LOG = (
    "INSERT INTO llm.session_logs (session_id, deployment_id, template_id, token_used, request_time)"
    " VALUES (%s, %s, %s, 2, now() - make_interval(hours => %s))"
)


def impatient(db: psycopg.Connection) -> None:
    """What would be waited for is not, as in test_maintain.py."""
    for routine, patience in (("llm.maintain", "'5s'"), ("ops.maintain_step", "'5 seconds'")):
        text = db.execute("SELECT pg_get_functiondef(%s::regproc)", [routine]).fetchone()[0]
        assert patience in text
        db.execute(text.replace(patience, "'0.2s'"))


def prepare(dsn: str, company: Company, hours: int, gid: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as writer:
        writer.execute("BEGIN")
        write(writer, company, hours)
        writer.execute(f"PREPARE TRANSACTION '{gid}'")


def write(connection: psycopg.Connection, company: Company, hours: int) -> None:
    """A new session, a log of just now and one of before, somebody who moves, and a template's name."""
    [session] = connection.execute(
        "INSERT INTO llm.sessions (user_id, session_type, start_time)"
        " VALUES (%s, 'test', now() - make_interval(hours => %s)) RETURNING session_id",
        [company.user_id, hours],
    ).fetchone()
    for at in (hours, 0):
        connection.execute(LOG, [session, company.deployment_id, company.template_id, at])
    connection.execute("INSERT INTO llm.users (user_name, user_email, role, department_id)"
                       " VALUES ('new', 'new@example.com', 'analyst', %s)", [company.department_id])  # fmt: skip
    connection.execute("UPDATE llm.prompt_templates SET description = 'changed'")


def uses(db: psycopg.Connection) -> int:
    return db.execute("SELECT sum(usage_count) FROM llm.prompt_templates").fetchone()[0]


def maintain(db: psycopg.Connection) -> list[tuple[str, str]]:
    told: list[tuple[str, str]] = []

    def note(diagnostic: psycopg.errors.Diagnostic) -> None:
        if diagnostic.severity_nonlocalized == "WARNING":
            told.append((diagnostic.message_primary or "", diagnostic.message_hint or ""))

    db.add_notice_handler(note)
    try:
        db.execute("CALL llm.maintain()")
    except errors.ObjectNotInPrerequisiteState:
        assert told
    finally:
        db.remove_notice_handler(note)
    return told


@pytest.fixture
def left(db: psycopg.Connection, dsn: str, company: Company) -> Iterator[str]:
    """Its name."""
    gid = f"left behind in {db.info.dbname}"
    make_model(db)
    impatient(db)
    db.execute("CALL ops.refresh_rollups(now() - interval '1 day')")
    prepare(dsn, company, 50, gid)
    yield gid
    for (still,) in db.execute("SELECT gid FROM pg_catalog.pg_prepared_xacts WHERE gid = %s", [gid]).fetchall():
        db.execute(f"ROLLBACK PREPARED '{still}'")


@pytest.mark.parametrize("how", ["COMMIT", "ROLLBACK"])
def test_upkeep_goes_on_beside_it(db: psycopg.Connection, company: Company, left: str, how: str) -> None:
    before, closed = uses(db), "SELECT closed_before < now() - interval '23 hours' FROM rollup.state"
    waited = time.monotonic()
    db.execute("SELECT 1 FROM ops.months")
    # Not due, so nothing asks for what it locks; and what is late, corrected or old is summed up all the same.
    db.execute(LOG, [company.session_id, company.deployment_id, company.template_id, 40])
    (message, _), (audit, _) = found = maintain(db)
    assert message.startswith("nothing more was closed: 1 transactions that write began more than")
    # Which a new database does not have yet.
    assert audit.startswith("audit months: ")
    assert all("pg_prepared_xacts" in hint for _, hint in found), found
    assert db.execute(closed).fetchone() == (True,)
    assert db.execute("SELECT count(*) FROM rollup.notes").fetchone() == (0,)
    assert_exact(db)
    # Months are changed when it has ended, and by nobody who waits for it for ever.
    db.execute("SET lock_timeout = '300ms'")
    for change in (
        "SELECT llm.create_month('2020-01-01')",
        "SELECT llm.drop_month((now() + interval '3 months')::date)",
    ):
        with pytest.raises(errors.LockNotAvailable) as refused:
            db.execute(change)
        assert "pg_prepared_xacts" in (refused.value.diag.message_hint or "")
    db.execute("RESET lock_timeout")
    assert time.monotonic() - waited < 10
    assert uses(db) == before + 1
    found = "SELECT what_to_do FROM ops.health WHERE name = 'prepared_transaction'"
    text = db.execute("SELECT pg_get_functiondef('ops.check_prepared_transaction'::regproc)").fetchone()[0]
    db.execute(text.replace("'00:05:00'", "'00:00:00'").replace("'5 minutes'", "'0 minutes'"))
    told = [statement for (statement,) in db.execute(found).fetchall() if left in statement]
    assert told == [f"ROLLBACK PREPARED '{left}'; -- in database {db.info.dbname}, or COMMIT PREPARED"]

    db.execute(f"{how} PREPARED '{left}'")
    assert uses(db) == before + 1 + (2 if how == "COMMIT" else 0)
    assert_exact(db)
    assert maintain(db) == []
    assert db.execute(closed).fetchone() == (False,)
    assert_exact(db)
    assert db.execute("SELECT llm.create_month('2020-01-01')").fetchone() == (True,)


@pytest.fixture
def own() -> Iterator[tuple[Cluster, str]]:
    with running(server_bin()) as cluster:
        with cluster.connect() as admin:
            admin.execute("CREATE DATABASE own")
        dsn = make_conninfo(cluster.dsn, dbname="own")
        migrate_template(**conninfo_to_dict(dsn))
        yield cluster, dsn


@pytest.mark.skipif(size(1, 0) == 1, reason="a server of its own, for LLM_DB_TEST_FULL_SIZE=1")
def test_it_outlives_the_server_and_is_still_waited_for(own: tuple[Cluster, str]) -> None:
    """A refresh has written down whom it waits for. After a restart the prepared transaction goes by another name."""
    cluster, dsn = own
    with psycopg.connect(dsn, autocommit=True) as db:
        company = found_company(db)
        make_model(db)
        db.execute("CALL ops.refresh_rollups(now() - interval '1 day')")
    prepare(dsn, company, 1, "left behind")

    def refresh() -> None:
        with pytest.raises(psycopg.OperationalError), psycopg.connect(dsn, autocommit=True) as refresher:
            refresher.execute("CALL ops.refresh_rollups(clock_timestamp())")

    waiting = threading.Thread(target=refresh)
    waiting.start()
    with psycopg.connect(dsn, autocommit=True) as db:
        while db.execute("SELECT count(*) FROM rollup.announcements WHERE awaited <> '{}'").fetchone() == (0,):
            time.sleep(0.01)
        names = [db.execute("SELECT array_agg(w) FROM rollup.writers() AS w").fetchone()[0]]
    cluster.kill()
    waiting.join()
    cluster.start()
    with psycopg.connect(dsn, autocommit=True) as db:
        names.append(db.execute("SELECT array_agg(w) FROM rollup.writers() AS w").fetchone()[0])
        assert names[0] != names[1]
        for _ in range(2):
            db.execute("CALL ops.refresh_rollups(clock_timestamp(), patience => '0.2 s')")
            assert_exact(db)
        db.execute("COMMIT PREPARED 'left behind'")
        assert_exact(db)
        db.execute("CALL ops.refresh_rollups(clock_timestamp())")
        assert_exact(db)
