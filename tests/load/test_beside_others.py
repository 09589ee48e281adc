"""A load beside others, and on a database that refuses: it says whom it waits for, gives up in words, and knows
beforehand what the server would refuse."""

import json
import uuid
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

import citus
from command import drop_role, execute, llm_db

SETUP = """
SELECT llm.found_department('D1', 'Kim', 'kim@example.com');
INSERT INTO llm.models (model_name, model_type) VALUES ('m1', 'chat');
INSERT INTO llm.deployments (model_id, server_name, gpu_count, environment, status)
SELECT model_id, 's1', 1, 'production', 'active' FROM llm.models;
INSERT INTO llm.sessions (session_id, user_id, session_type, start_time)
SELECT llm.uuidv7('2026-03-01 10:00Z'), user_id, 'test', '2026-03-01 10:00Z' FROM llm.users;
"""
MAPPING = ["--map", "server_name='s1'", "--map", "user_email='kim@example.com'"]
Load = Callable[..., CompletedProcess[str]]


@pytest.fixture
def ready(db: psycopg.Connection) -> psycopg.Connection:
    db.execute(SETUP)
    return db


@pytest.fixture
def load(ready: psycopg.Connection, dsn: str, tmp_path: Path) -> Load:
    def load(content: str, *options: str, header: str = "request_time", dsn: str = dsn) -> CompletedProcess[str]:
        path = tmp_path / "logs.csv"
        path.write_text(f"{header}\n{content}\n", encoding="utf-8")
        return llm_db("load", "--dsn", dsn, str(path), *MAPPING, *options)

    return load


@pytest.fixture
def rules(tmp_path: Path) -> Callable[[], list[str]]:
    return lambda: [line.split(",", 4)[3] for line in (tmp_path / "logs.csv.rejects.csv").read_text().splitlines()[1:]]


def session(db: psycopg.Connection) -> uuid.UUID:
    return db.execute("SELECT session_id FROM llm.sessions").fetchone()[0]


def logs(db: psycopg.Connection) -> int:
    return db.execute("SELECT count(*) FROM llm.session_logs").fetchone()[0]


@pytest.mark.parametrize(
    ("locked", "message"),
    [
        ("SELECT FROM llm.sessions WHERE session_id = '{session}' FOR UPDATE", "lock timeout"),
        ("LOCK TABLE llm_db.load_rejects IN SHARE ROW EXCLUSIVE MODE", "Another load is still at work"),
    ],
)
def test_whom_a_load_waits_for(load: Load, ready: psycopg.Connection, dsn: str, locked: str, message: str) -> None:
    row = f"{session(ready)},2026-03-01 10:00"
    with psycopg.connect(dsn, application_name="the holder") as holder:
        holder.execute(locked.format(session=session(ready)))
        done = load(row, "--wait", "2.5", "--lock-timeout", "0.8", header="session_id,request_time")
        assert done.returncode == 4, done.stderr
        who = f"pid {holder.info.backend_pid}, application the holder"
        assert f"waiting for {who}" in done.stderr
        assert message in done.stderr.partition("error: ")[2]
        assert who in done.stderr.partition("error: ")[2]
    assert (logs(ready), ready.execute("SELECT count(*) FROM llm_db.loads").fetchone()) == (0, (0,))
    assert load(row, header="session_id,request_time").returncode == 0


def test_a_login_without_a_grant_stops_no_load(load: Load, ready: psycopg.Connection, dsn: str) -> None:
    role = f"login_{uuid.uuid4().hex}"
    ready.execute(f"CREATE ROLE {role} LOGIN")
    try:
        with psycopg.connect(make_conninfo(dsn, user=role)) as stranger:
            # What 0.1.0 waited for, and all that could be.
            stranger.execute("SELECT pg_advisory_lock(%s)", [0x6C6C6D2D6C6F6164])
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                stranger.execute("LOCK TABLE llm_db.load_rejects IN ACCESS SHARE MODE")
            assert load("2026-03-01 10:00", "--wait", "1").returncode == 0
    finally:
        ready.execute(f"DROP ROLE {role}")


def test_what_to_grant_is_told(load: Load, ready: psycopg.Connection, dsn: str) -> None:
    """A role that could load before the turn was a table's lock."""
    role = f"loader_{uuid.uuid4().hex}"
    ready.execute(
        f"CREATE ROLE {role} LOGIN; GRANT USAGE ON SCHEMA llm, llm_db TO {role};"
        f"GRANT SELECT ON ALL TABLES IN SCHEMA llm TO {role};"
        f"GRANT INSERT, UPDATE ON llm.sessions, llm.session_logs TO {role};"
        f"GRANT SELECT, INSERT ON llm_db.loads TO {role}; GRANT INSERT ON llm_db.load_rejects TO {role}"
    )
    try:
        done = load("2026-03-01 10:00", dsn=make_conninfo(dsn, user=role))
        assert done.returncode == 1, done.stderr
        grant = f"GRANT SELECT, DELETE ON llm_db.load_rejects TO {role}"
        assert f"hint: {grant}" in done.stderr
        ready.execute(grant)
        assert load("2026-03-01 10:00", dsn=make_conninfo(dsn, user=role)).returncode == 0
    finally:
        drop_role(dsn, role)


def test_a_month_that_cannot_be_made_is_no_reason_to_fail(load: Load, ready: psycopg.Connection, dsn: str) -> None:
    with psycopg.connect(dsn) as reader:
        reader.execute("SELECT count(*) FROM llm.session_logs_default")
        done = load("2024-03-01 10:00\n2024-04-01 10:00", "--lock-timeout", "0.3")
        assert done.returncode == 0, done.stderr
        assert "months are not made (2024-03 to 2024-04); their rows go to DEFAULT" in done.stderr
    assert ready.execute("SELECT count(*) FROM llm.session_logs_default").fetchone() == (2,)
    # Half a month is no reason either.
    ready.execute("CREATE TABLE llm.sessions_2024_05 ()")
    done = load("2024-05-01 10:00")
    assert done.returncode == 0, done.stderr
    assert ready.execute("SELECT count(*) FROM llm.session_logs_default").fetchone() == (3,)
    assert ready.execute("SHOW statement_timeout").fetchone() == ("0",)


def test_months_that_nobody_can_mean(load: Load, ready: psycopg.Connection, rules: Callable[[], list[str]]) -> None:
    rule = "lies in a month that load does not make by itself; --any-month loads it"
    months = "SELECT count(*) FROM ops.months"
    before = ready.execute(months).fetchone()
    usual = ready.execute(
        "SELECT (now() - interval '119 months')::text, (now() + interval '11 months')::text"
    ).fetchone()
    assert load("\n".join(["2001-01-01 10:00", "2098-01-01 10:00", *usual])).returncode == 1
    assert rules() == [rule, rule]
    assert ready.execute(months).fetchone() == (before[0] + 2,)
    # By its session a row lies in a month too.
    far = ready.execute("SELECT llm.uuidv7('2098-01-01 10:00Z')").fetchone()[0]
    assert load(f"{far},2026-03-01 10:00", header="session_id,request_time").returncode == 1
    assert rules() == [rule]
    assert load("2001-01-01 10:00\n2098-01-01 10:00", "--any-month").returncode == 0
    assert ready.execute(months).fetchone() == (before[0] + 4,)
    # Now it is there.
    assert load("2001-01-02 10:00").returncode == 0
    for first, last in (("2001-01-01", "2026-01-01"), ("2026-01-01", "2206-01-01"), ("2026-01-01", "infinity")):
        with pytest.raises(psycopg.errors.InvalidParameterValue, match="more than ten years ago or more than one year"):
            ready.execute("CALL llm.create_months(%s, %s)", [first, last])
    assert ready.execute("SELECT llm.create_month('2003-01-01')").fetchone() == (True,)


def test_a_session_without_a_number_left(load: Load, ready: psycopg.Connection, rules: Callable[[], list[str]]) -> None:
    ready.execute(
        "INSERT INTO llm.session_logs (session_id, log_sequence, deployment_id)"
        " SELECT session_id, 2147483645, deployment_id FROM llm.sessions, llm.deployments"
    )
    rows = "\n".join(f"{session(ready)},2026-03-01 10:0{n}" for n in range(4))
    done = load(f"{rows}\n,2026-03-01 10:00", header="session_id,request_time")
    assert (done.returncode, logs(ready)) == (1, 4)
    assert rules() == ["session_logs_have_a_sequence: the session has no log_sequence left"] * 2


def test_a_session_of_before_that_breaks_a_rule(
    load: Load, ready: psycopg.Connection, rules: Callable[[], list[str]]
) -> None:
    """It may stay as it is, but nothing of it can be written."""
    constraint = "sessions_times_within_2000_to_2099"
    check = ready.execute("SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = %s", [constraint])
    definition = check.fetchone()[0]
    ready.execute(f"ALTER TABLE llm.sessions DROP CONSTRAINT {constraint}")
    ready.execute("UPDATE llm.sessions SET start_time = '1999-01-01', end_time = '2026-03-01', status = 'completed'")
    ready.execute(f"ALTER TABLE llm.sessions ADD CONSTRAINT {constraint} {definition} NOT VALID")
    done = load(f"{session(ready)},2026-03-01 10:00\n,2026-03-01 10:00", header="session_id,request_time")
    assert (done.returncode, logs(ready)) == (1, 1), done.stderr
    assert rules() == [constraint]


def test_what_changes_between_check_and_write_is_checked_again(
    load: Load, ready: psycopg.Connection, dsn: str, rules: Callable[[], list[str]]
) -> None:
    """Another writer takes a row's key; here, a trigger does, once."""
    # On every server, as each of them has triggers of its own.
    for server in citus.databases(dsn) if citus.DSN else [dsn]:
        execute(server, "CREATE SEQUENCE times_written")
    ready.execute("""
        CREATE FUNCTION take_the_key() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            -- A sequence is not rolled back.
            IF nextval('public.times_written') = 1 THEN
                RAISE EXCEPTION 'taken' USING ERRCODE = 'unique_violation';
            END IF;
            RETURN NULL;
        END $$
    """)
    ready.execute(
        "CREATE TRIGGER take_the_key BEFORE INSERT ON llm.session_logs"
        " FOR EACH STATEMENT EXECUTE FUNCTION take_the_key()"
    )
    done = load("2026-03-01 10:00")
    assert (done.returncode, logs(ready)) == (0, 1), done.stderr
    # A rule that load does not know is told as the server tells it, and nothing is loaded.
    ready.execute("""
        CREATE OR REPLACE FUNCTION take_the_key() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            RAISE EXCEPTION 'taken' USING ERRCODE = 'unique_violation';
        END $$
    """)
    done = load("2026-03-01 11:00", "--json")
    assert done.returncode == 1
    assert ("XX000: taken" if citus.DSN else "23505: taken") in json.loads(done.stdout)["error"]
    assert logs(ready) == 1
