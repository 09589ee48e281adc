"""CALL llm.maintain(): what is due is done, by whoever may; what fails is told, and stops nothing else."""

import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import NamedTuple

import psycopg
import pytest
from psycopg import errors, sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.types.json import Jsonb

import citus
from command import drop_role
from conftest import Company, found_company, fresh_database, migrate_database
from rollup_model import IS_WRITING

FAR = "SELECT to_char(date_trunc('month', now()) + make_interval(months => %s), 'YYYY_MM')"


def suffix(db: psycopg.Connection, months: int) -> str:
    """The month so many months from now, as partitions have it in their names."""
    return db.execute(FAR, [months]).fetchone()[0]


def write(db: psycopg.Connection, company: Company, began: str) -> None:
    """A session that ended, with a log."""
    session, at = db.execute(f"SELECT llm.uuidv7(t), t FROM (SELECT {began}) AS x (t)").fetchone()
    db.execute(
        "INSERT INTO llm.sessions (session_id, user_id, session_type, start_time, end_time, status)"
        " VALUES (%s, %s, 'test', %s, %s, 'completed')",
        [session, company.user_id, at, at],
    )
    db.execute(
        "INSERT INTO llm.session_logs (session_id, deployment_id, request_time) VALUES (%s, %s, %s)",
        [session, company.deployment_id, at],
    )


def make_due(db: psycopg.Connection, company: Company) -> None:
    """Something to do for every job."""
    write(db, company, "now() - interval '3 years'")
    db.execute("CALL llm.move_default_rows()")
    db.execute("CALL ops.refresh_rollups(now() - interval '1 day')")
    db.execute("INSERT INTO llm.retention VALUES ('sessions', 13), ('audit', 24)")
    db.execute("SELECT audit.create_months(), audit.create_month((now() - interval '3 years')::date)")
    far = suffix(db, 3)
    db.execute(f"ALTER TABLE audit.changes DETACH PARTITION audit.changes_{far}; DROP TABLE audit.changes_{far}")
    db.execute("SELECT llm.drop_month((now() + interval '3 months')::date)")
    write(db, company, "date_trunc('month', now()) - interval '40 days'")
    db.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
    db.execute(
        "INSERT INTO llm.session_logs (session_id, deployment_id, template_id) VALUES (%s, %s, %s)",
        [company.session_id, company.deployment_id, company.template_id],
    )
    db.execute("COMMIT")


# That a job was done, when make_due() has left it something.
DONE = {
    "months": "to_regclass('llm.sessions_' || to_char(now() + interval '3 months', 'YYYY_MM')) IS NOT NULL",
    "default rows": "NOT EXISTS (SELECT 1 FROM llm.sessions_default AS s WHERE llm.uuidv7_time(s.session_id) < now())",
    "refresh": "EXISTS (SELECT FROM rollup.state WHERE closed_before > now() - interval '1 hour'"
    " AND closed_before < now() AND refreshed_at > now() - interval '1 hour')"
    " AND NOT EXISTS (SELECT FROM rollup.notes)",
    "template uses": f"NOT EXISTS (SELECT 1 FROM {'cluster.template_uses' if citus.DSN else 'llm.prompt_template_uses'}"
    " WHERE slot < 0)",
    "sessions retention": "NOT EXISTS (SELECT FROM ops.months WHERE month < now() - interval '15 months')",
    "audit months": "to_regclass('audit.changes_' || to_char(now() + interval '3 months', 'YYYY_MM')) IS NOT NULL",
    "audit retention": "NOT EXISTS (SELECT FROM audit.months WHERE month < now() - interval '26 months')",
}


def done(db: psycopg.Connection) -> set[str]:
    return {job for job, query in DONE.items() if db.execute(f"SELECT {query}").fetchone() == (True,)}


class Told(NamedTuple):
    severity: str
    text: str
    hint: str | None


def listen(db: psycopg.Connection) -> list[Told]:
    """What is told from now on. The server's own record of it is gone after the call."""
    told: list[Told] = []

    def note(diag: psycopg.errors.Diagnostic) -> None:
        told.append(Told(diag.severity_nonlocalized or "", diag.message_primary or "", diag.message_hint))

    db.add_notice_handler(note)
    return told


def impatient(db: psycopg.Connection) -> None:
    """What would be waited for is not, as in test_strangers.py."""
    for routine, patience in (("llm.maintain", "'5s'"), ("ops.maintain_step", "'5 seconds'")):
        text = db.execute("SELECT pg_get_functiondef(%s::regproc)", [routine]).fetchone()[0]
        assert patience in text
        db.execute(text.replace(patience, "'0.2s'"))


def test_everything_that_is_due_is_done_and_told(db: psycopg.Connection, company: Company) -> None:
    make_due(db, company)
    assert done(db) == set()
    told = listen(db)
    db.execute("CALL llm.maintain()")
    assert done(db) == set(DONE)
    said = [one.text for one in told]
    default = db.execute("SELECT to_char(date_trunc('month', now()) - interval '40 days', 'YYYY-MM')").fetchone()[0]
    old, far = (suffix(db, months).replace("_", "-") for months in (-36, 3))
    for expected in (
        f"made the month {far}",
        f"moving the rows of {default} out of DEFAULT",
        f"made the month {default}",
        "folded 1 counters of template uses",
        f"dropped the month {old}",
        "made 1 months of the audit",
        "dropped 1 months of the audit",
    ):
        assert said.count(expected) == 1, said
    assert [one.severity for one in told] == ["NOTICE"] * len(told)
    # And when nothing is due, nothing more is done than to close the last minute.
    told.clear()
    db.execute("CALL llm.maintain()")
    assert [one.text.split(" until ")[0] for one in told] == ["rolled up"]


def test_what_has_no_rule_is_kept(db: psycopg.Connection, company: Company) -> None:
    make_due(db, company)
    db.execute("DELETE FROM llm.retention")
    db.execute("CALL llm.maintain()")
    assert done(db) == set(DONE) - {"sessions retention", "audit retention"}


# Each cause of failing: what is done to the database, who fails, and what is said of it.

Cause = Callable[[psycopg.Connection, Company], None]


def half_a_month_ahead(db: psycopg.Connection, company: Company) -> None:
    name = f"llm.session_logs_{suffix(db, 1)}"
    db.execute(f"ALTER TABLE llm.session_logs DETACH PARTITION {name}")


def half_a_month_in_default(db: psycopg.Connection, company: Company) -> None:
    month = db.execute("SELECT to_char(date_trunc('month', now()) - interval '40 days', 'YYYY_MM')").fetchone()[0]
    db.execute(f"CREATE TABLE llm.sessions_{month} (LIKE llm.sessions INCLUDING ALL)")


def no_session_for_a_month(db: psycopg.Connection, company: Company) -> None:
    db.execute("DELETE FROM llm.sessions WHERE session_id = %s", [company.session_id])


CAUSES: dict[str, tuple[Cause | str, set[str], str]] = {
    "half a month": (half_a_month_ahead, {"months"}, "is not whole"),
    "half a month with rows": (half_a_month_in_default, {"default rows"}, "is not whole"),
    "rows of strange years": (
        "INSERT INTO llm.sessions (session_id, user_id, session_type)"
        " SELECT llm.uuidv7('9999-12-31 12:00Z'), user_id, 'test' FROM llm.users",
        {"default rows"},
        "more than ten years old or more than one year ahead: 9999-12",
    ),
    "a clock that was ahead": (
        "UPDATE rollup.state SET (closed_before, noted_before) = (now() + '10 years', now() + '10 years')",
        {"refresh"},
        "the clock was wrong",
    ),
    "a clock that is ahead": (
        no_session_for_a_month,
        {"sessions retention", "audit retention"},
        "the clock may be wrong",
    ),
    "a lost state": (
        "DELETE FROM rollup.state",
        # A cluster's writers look at what lies beside their shards.
        {"refresh", "sessions retention"} | (set() if citus.DSN else {"default rows"}),
        "rollup.state has lost its row",
    ),
    "a disabled trigger": (
        "ALTER TABLE llm.session_logs DISABLE TRIGGER session_logs_changes_are_noted",
        {"refresh"},
        "session_logs_changes_are_noted is missing or disabled",
    ),
    "an old session that runs": (
        "UPDATE llm.sessions SET end_time = NULL, status = 'running' WHERE start_time < now() - interval '2 years'",
        {"sessions retention"},
        "running sessions: 1",
    ),
}


@pytest.mark.parametrize("cause", CAUSES)
def test_a_job_that_fails_is_told_and_stops_no_other(db: psycopg.Connection, company: Company, cause: str) -> None:
    change, failing, says = CAUSES[cause]
    make_due(db, company)
    if callable(change):
        change(db, company)
    else:
        db.execute(change)
    fails(db, failing, says)
    if cause != "a lost state":
        assert done(db) | failing == set(DONE)


def fails(db: psycopg.Connection, failing: set[str], says: str) -> None:
    told = listen(db)
    with pytest.raises(errors.ObjectNotInPrerequisiteState) as error:
        db.execute("CALL llm.maintain()")
    assert error.value.diag.message_primary.startswith("jobs that failed: ")
    assert set(error.value.diag.message_primary.split(": ")[1].split(", ")) == failing
    warnings = [one for one in told if one.severity == "WARNING"]
    assert {one.text.split(": ")[0] for one in warnings} == failing
    for one in warnings:
        assert says in one.text
        assert one.hint


WAITED_FOR = {
    "SELECT FROM llm.sessions": {"months", "default rows", "sessions retention"},
    "SELECT FROM audit.changes": {"audit months", "audit retention"},
    "LOCK TABLE llm.prompt_template_uses": {"template uses"},
    IS_WRITING.replace("session_logs", "sessions"): {"months", "default rows", "sessions retention", "refresh"},
}


@pytest.mark.parametrize("statement", WAITED_FOR)
def test_a_long_transaction_is_not_waited_for(
    db: psycopg.Connection, dsn: str, company: Company, statement: str
) -> None:
    make_due(db, company)
    impatient(db)
    undone = WAITED_FOR[statement]
    with psycopg.connect(dsn) as other:
        other.execute(statement)
        told = listen(db)
        with pytest.raises(errors.ObjectNotInPrerequisiteState) as error:
            db.execute("CALL llm.maintain()")
        # The refresh does what it can without closing more, and warns: that is no failure.
        assert set(error.value.diag.message_primary.split(": ")[1].split(", ")) == undone - {"refresh"}
        assert any("nothing more was closed" in one.text for one in told) is ("refresh" in undone)
    assert done(db) == set(DONE) - undone
    db.execute("CALL llm.maintain()")
    assert done(db) == set(DONE)


TURNS = {
    # The guard of both retentions reads sessions.
    "SELECT llm.create_month('2024-02-01')": {
        "months",
        "default rows",
        "refresh",
        "sessions retention",
        "audit retention",
    },
    "SELECT rollup.lock_state(true)": {"refresh", "sessions retention"},
    "SELECT audit.create_month('2024-02-01')": {"audit months", "audit retention"},
}


@pytest.mark.parametrize("statement", TURNS)
def test_what_another_is_at_work_on_is_left_to_it(
    db: psycopg.Connection, dsn: str, company: Company, statement: str
) -> None:
    make_due(db, company)
    impatient(db)
    told = listen(db)
    with psycopg.connect(dsn) as other:
        other.execute(statement)
        db.execute("CALL llm.maintain()")
        said = [one.text for one in told]
        left = f": left to pid {other.info.backend_pid}, which is at work"
        assert {one.removesuffix(left) for one in said if left in one} == TURNS[statement]
        # On a cluster who makes a month writes on the workers, and a refresh tells whom it waited for.
        waited = "nothing more was closed" if citus.DSN else None
        assert {one.severity for one in told if not waited or waited not in one.text} == {"NOTICE"}
        other.rollback()
    assert done(db) >= set(DONE) - TURNS[statement]
    db.execute("CALL llm.maintain()")
    assert done(db) == set(DONE)


def test_several_at_once_do_each_job_once(db: psycopg.Connection, dsn: str, company: Company) -> None:
    make_due(db, company)

    def run(_: int) -> list[str]:
        with psycopg.connect(dsn, autocommit=True) as connection:
            told = listen(connection)
            connection.execute("CALL llm.maintain()")
            return [one.text for one in told]

    with ThreadPoolExecutor(4) as pool:
        said = [one for told in pool.map(run, range(4)) for one in told]
    assert done(db) == set(DONE)
    for kind in ("made", "dropped", "folded"):
        once = [one for one in said if one.startswith(kind)]
        assert len(once) == len(set(once)) > 0, said


WAITS = "SELECT count(*) FROM pg_stat_activity WHERE pid = %s AND wait_event_type = 'Lock'"
HELD_MONTHS = """
SELECT l.relation::regclass::text FROM pg_locks AS l
WHERE l.pid = %s AND l.relation IN (SELECT relid FROM pg_partition_tree('llm.session_logs')
    UNION ALL SELECT relid FROM pg_partition_tree('llm.sessions'))
"""


def test_a_refresh_that_waits_for_its_turn_keeps_no_month(db: psycopg.Connection, dsn: str, company: Company) -> None:
    """Whoever drops a month has the turn, and wants the months: the two would wait for each other."""
    write(db, company, "now() - interval '9 days'")
    with psycopg.connect(dsn, autocommit=True) as refresh, psycopg.connect(dsn) as turn:
        refresh.execute("SET lock_timeout = '5s'")
        with psycopg.connect(dsn) as writer:
            write(writer, company, "now()")
            [step] = refresh.execute("SELECT ops.begin_refresh(clock_timestamp(), '1 min', 9)").fetchone()
            [step] = refresh.execute("SELECT ops.refresh_step(%s)", [Jsonb(step)]).fetchone()
            assert step["phase"] == "wait"
        waited = 0
        with ThreadPoolExecutor(1) as pool:
            while step:
                turn.execute("SELECT FROM rollup.state FOR NO KEY UPDATE")
                doing = pool.submit(refresh.execute, "SELECT ops.refresh_step(%s)", [Jsonb(step)])
                while not doing.done():
                    if db.execute(WAITS, [refresh.info.backend_pid]).fetchone() == (1,):
                        assert db.execute(HELD_MONTHS, [refresh.info.backend_pid]).fetchall() == []
                        waited += 1
                        break
                turn.rollback()
                [step] = doing.result().fetchone()
    assert waited >= 2
    assert db.execute("SELECT open_time < '1 min' FROM ops.rollups").fetchone() == (True,)


def test_what_is_cut_off_goes_on_where_it_was(db: psycopg.Connection, dsn: str, company: Company) -> None:
    make_due(db, company)
    for pause in (0.0, 0.01, 0.02, 0.04, 0.08):
        with psycopg.connect(dsn, autocommit=True) as cut, ThreadPoolExecutor(1) as pool:
            running = pool.submit(cut.execute, "CALL llm.maintain()")
            time.sleep(pause)
            db.execute("SELECT pg_terminate_backend(%s::integer)", [cut.info.backend_pid])
            assert running.exception() is None or isinstance(running.exception(), psycopg.OperationalError)
    db.execute("CALL llm.maintain()")
    assert done(db) == set(DONE)
    assert db.execute("SELECT count(*) FROM ops.months WHERE problem IS NOT NULL").fetchone() == (0,)


def test_a_long_refresh_says_how_far_it_is(db: psycopg.Connection, company: Company) -> None:
    """Every two seconds, that is: here the last word is always long ago."""
    write(db, company, "now() - interval '9 days'")
    db.execute("CALL ops.refresh_rollups()")
    write(db, company, "now() - interval '9 days'")
    write(db, company, "now() - interval '1 second'")
    told = listen(db)
    [step] = db.execute("SELECT ops.begin_refresh(clock_timestamp(), '1 s', 9)").fetchone()
    while step:
        [step] = db.execute("SELECT ops.refresh_step(%s)", [Jsonb(step | {"told_at": "-infinity"})]).fetchone()
    said = [one.text.rpartition(" ")[0] for one in told]
    assert said[:2] == ["rolled up again:"] * 2
    assert any(one.startswith("rolled up until") for one in said)
    assert said[-2:] == ["counted who was active until", "worked out costs since"]


def test_a_change_of_months_waits_no_longer_than_its_caller(db: psycopg.Connection, dsn: str) -> None:
    db.execute("SET lock_timeout = '300ms'")
    with psycopg.connect(dsn) as reader:
        reader.execute("SELECT FROM llm.sessions")
        with pytest.raises(errors.LockNotAvailable, match=r"within 00:00:00\.3"):
            db.execute("SELECT llm.create_month('2024-01-01')")
    assert db.execute("SELECT llm.create_month('2024-01-01'), current_setting('lock_timeout')").fetchone() == (
        True,
        "300ms",
    )


# Without being owner


@contextmanager
def login(dsn: str, *groups: str) -> Iterator[str]:
    """The database, as a login of its own."""
    name = f"login_{uuid.uuid4().hex}"
    with psycopg.connect(dsn, autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(name)))
        for group in groups:
            admin.execute(sql.SQL("GRANT {} TO {}").format(sql.Identifier(group), sql.Identifier(name)))
    try:
        yield make_conninfo(dsn, user=name)
    finally:
        drop_role(dsn, name)


@pytest.fixture(scope="module")
def owned(server: str) -> Iterator[str]:
    """A database whose owner is no superuser, as its superuser sees it."""
    with fresh_database(server) as dsn, login(dsn) as as_owner:
        with psycopg.connect(dsn, autocommit=True) as admin:
            database, owner = sql.Identifier(admin.info.dbname), sql.Identifier(conninfo_to_dict(as_owner)["user"])
            owning = sql.SQL("ALTER DATABASE {0} OWNER TO {1}; ALTER ROLE {1} CREATEROLE")
            admin.execute(owning.format(database, owner))
            migrate_database(as_owner)
            found_company(admin)
        yield dsn


OPERATIONS = [
    "CALL llm.maintain()",
    "CALL ops.refresh_rollups()",
    "CALL ops.set_reporting_time_zone('Asia/Tokyo')",
    "CALL llm.create_months((now() - interval '5 months')::date)",
    "CALL llm.move_default_rows()",
    "CALL llm.drop_old_months(13)",
    "SELECT llm.create_month('2024-01-01')",
    "SELECT ops.repair_month('2024-01-01')",
    "SELECT llm.drop_month('2024-01-01')",
    "SELECT ops.drop_month('2024-01-01', with_running => true)",
    "SELECT * FROM ops.months_to_drop(13)",
    "SELECT llm.fold_template_uses()",
    "SELECT ops.restart_rollups()",
    "SELECT * FROM ops.months",
    "SELECT * FROM ops.rollups",
    "SELECT * FROM llm.retention",
]
# What upkeep is made of, and what decides what it does.
NOT_THE_OPERATORS = [
    "INSERT INTO llm.retention VALUES ('sessions', 1)",
    "DELETE FROM llm.retention",
    "SELECT FROM llm.users",
    "SELECT FROM llm.sessions",
    "SELECT rollup.close_until(now())",
    "SELECT rollup.lock_state(true)",
    "SELECT rollup.writers()",
    "SELECT ops.make_month('2024-01-01')",
    "SELECT llm.lock_for_month_change('ACCESS EXCLUSIVE', '2024_01')",
    "UPDATE rollup.state SET closed_before = now()",
    "LOCK TABLE llm.sessions_default IN ACCESS SHARE MODE",
    "ALTER TABLE llm.sessions DETACH PARTITION llm.sessions_default",
]


def test_an_operator_does_all_upkeep_and_nothing_else(owned: str) -> None:
    with login(owned, "llm_operator") as as_operator, psycopg.connect(as_operator, autocommit=True) as operator:
        for statement in OPERATIONS:
            operator.execute(statement)
        for statement in NOT_THE_OPERATORS:
            with pytest.raises(errors.InsufficientPrivilege), operator.transaction():
                operator.execute(statement)


def test_others_do_none_of_it(owned: str) -> None:
    with (
        login(owned, "llm_analyst", "llm_app", "llm_people_reader") as as_other,
        psycopg.connect(as_other, autocommit=True) as other,
    ):
        for statement in OPERATIONS:
            with pytest.raises(errors.InsufficientPrivilege):
                other.execute(statement)


def test_an_operator_does_what_is_due(owned: str) -> None:
    """As the owner would: what is made is the owner's, and writers of other roles are seen and waited for."""
    with (
        psycopg.connect(owned, autocommit=True) as admin,
        login(owned, "llm_operator") as as_operator,
        psycopg.connect(as_operator, autocommit=True) as operator,
    ):
        company = found_company(admin, "another")
        make_due(admin, company)
        with psycopg.connect(owned) as writer:
            write(writer, company, "now()")
            told = listen(operator)
            operator.execute("CALL ops.refresh_rollups(patience => '0.1 s')")
            assert ["nothing more was closed" in one.text for one in told] == [True]
        operator.execute("CALL llm.maintain()")
        assert done(admin) == set(DONE)
        owners = admin.execute("""
            SELECT count(*), array_agg(DISTINCT c.relowner), array_agg(DISTINCT p.relowner)
            FROM pg_class AS c INNER JOIN pg_inherits AS i ON c.oid = i.inhrelid
            INNER JOIN pg_class AS p ON i.inhparent = p.oid
            WHERE p.oid IN ('llm.sessions'::regclass, 'llm.session_logs'::regclass)
        """).fetchone()
        assert owners[0] > 8
        assert owners[1] == owners[2]
        assert len(owners[1]) == 1


STEPS = [
    '{"phase": "close", "close_before": "infinity", "batch_logs": 9}',
    '{"phase": "close", "close_before": null, "batch_logs": 9, "days": []}',
    '{"phase": "announced", "give_up_at": "infinity", "close_before": "infinity", "batch_logs": 9}',
    '{"phase": "wait", "give_up_at": "-infinity", "patience": "0", "close_before": "infinity", "batch_logs": 9}',
    '{"phase": "anything", "close_before": "infinity", "batch_logs": 9}',
    '{"close_before": "infinity"}',
    "{}",
]


@pytest.mark.parametrize("step", STEPS)
def test_no_step_closes_time_that_a_writer_takes_for_open(
    db: psycopg.Connection, dsn: str, company: Company, step: str
) -> None:
    """Whoever may take steps may hand them anything, in any order and transaction."""
    closed = "SELECT isfinite(closed_before) FROM rollup.state"
    begin = "SELECT ops.begin_refresh(now() - interval '1 minute', '1 minute', 9)"
    # In the transaction that announces it, nobody has heard of it.
    with db.transaction(force_rollback=True):
        db.execute(begin)
        with db.transaction():
            db.execute("SELECT ops.refresh_step(%s)", [step])
            db.execute("SELECT ops.refresh_step(%s)", [step])
        assert db.execute(closed).fetchone() == (False,)
    with psycopg.connect(dsn) as writer:
        writer.execute(IS_WRITING)
        db.execute(begin)
        for _ in range(3):
            db.execute("SELECT ops.refresh_step(%s)", [step])
        assert db.execute(closed).fetchone() == (False,)
    # Nothing is broken by it.
    db.execute("CALL ops.refresh_rollups()")
    assert db.execute(closed).fetchone() == (True,)
