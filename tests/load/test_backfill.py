"""Months that are new are filled beside the others. Nobody can tell afterwards: every row, report, counter and list is
as if each row had been inserted, and the month as if it had been made ahead. Whoever is in the way loses nothing."""

import csv
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from subprocess import CompletedProcess

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import errors
from psycopg.conninfo import make_conninfo

from command import documented, drop_role, llm_db, shell
from conftest import Company, refused
from llm_db.load import run

pytestmark = pytest.mark.one_node("months are filled beside the others on one node only; test_cluster.py says so")

SETUP = """
SELECT llm.found_department('D1', 'Kim', 'kim@example.com');
SELECT llm.found_department('D2', 'Lee', 'lee@example.com');
INSERT INTO llm.models (model_name, model_type) VALUES ('m1', 'chat');
INSERT INTO llm.model_configs (model_id, config_name, max_tokens) SELECT model_id, 'short', 10 FROM llm.models;
INSERT INTO llm.deployments (model_id, server_name, gpu_count, environment, status)
SELECT model_id, server, 1, 'production', 'active' FROM llm.models CROSS JOIN unnest(ARRAY['s1', 's2']) AS server;
INSERT INTO llm.projects (project_name, created_by, department_id) SELECT 'p1', user_id, department_id FROM llm.users
WHERE user_name = 'Kim';
INSERT INTO llm.prompt_templates (template_name, prompt_s3_path, task_category, created_by)
SELECT t, 's3://prompts/' || t, 'summarization', user_id FROM llm.users CROSS JOIN unnest(ARRAY['t1', 't2']) AS t
WHERE user_name = 'Kim';
SELECT llm.create_month('2024-02-01');
INSERT INTO llm.sessions (session_id, user_id, session_type, start_time, end_time, status)
SELECT '018df74b-0000-7000-8000-000000000001', user_id, 'test', '2024-02-29 23:55Z', '2024-02-29 23:58Z', 'completed'
FROM llm.users WHERE user_name = 'Kim';
INSERT INTO llm.session_logs (session_id, request_time, deployment_id)
SELECT '018df74b-0000-7000-8000-000000000001', '2024-02-29 23:55Z', min(deployment_id) FROM llm.deployments;
"""
HEADER = (
    "session_id,log_sequence,request_time,response_time,token_used,server_name,config_name,template_name,user_email,"
    "project_name,response_s3_path"
)
MANY = 10**9
BESIDE = "SELECT count(*) FROM pg_class WHERE relnamespace = 'llm'::regnamespace AND relname ~ 'beside|-'"
Load = Callable[..., CompletedProcess[str]]


@pytest.fixture
def ready(db: psycopg.Connection) -> psycopg.Connection:
    db.execute(SETUP)
    return db


@pytest.fixture
def load(db: psycopg.Connection, dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Load:
    def load(rows: list[str], *options: str, few: int = 0, dsn: str = dsn) -> CompletedProcess[str]:
        monkeypatch.setattr(run, "FEW_ROWS", few)
        path = tmp_path / "logs.csv"
        path.write_text("\n".join([HEADER, *rows]) + "\n", encoding="utf-8")
        for of_before in tmp_path.glob("logs.csv.*"):
            of_before.unlink()
        return llm_db("load", "--dsn", dsn, str(path), *options)

    return load


def one(db: psycopg.Connection, query: str, *parameters: object) -> object:
    return db.execute(query, parameters or None).fetchone()[0]


# All that a load can change; what is summed up from it; and what reports say, as they are with notes and without.
STORED = {
    "sessions": "SELECT tableoid::regclass::text, s.* FROM llm.sessions AS s",
    "logs": "SELECT tableoid::regclass::text, l.* FROM llm.session_logs AS l",
    "uses": "SELECT template_name, usage_count FROM llm.prompt_templates",
    "loads": "SELECT rows_read, rows_loaded, rows_present, rows_listed, rows_rejected FROM llm_db.loads",
    "rejects": "SELECT line, column_name, value, rule, raw FROM llm_db.load_rejects",
    "months": "SELECT month, problem FROM ops.months",
}
REPORTED = {
    name: f"SELECT * FROM reporting.{name}"
    for name in ("daily_usage_by_user", "daily_sessions", "hourly_usage_by_deployment", "slowest_requests")
}
SUMS = {
    "usage": "SELECT * FROM rollup.usage",
    "hours": "SELECT * FROM rollup.hours",
    "slowest": "SELECT * FROM rollup.slowest",
    "session sums": "SELECT * FROM rollup.sessions",
    "activity": "SELECT * FROM rollup.activity",
    "notes": "SELECT * FROM rollup.notes",
}


def seen(db: psycopg.Connection, *queries: dict[str, str]) -> dict[str, list[str]]:
    return {name: sorted(map(repr, db.execute(query).fetchall())) for each in queries for name, query in each.items()}


def both(db: psycopg.Connection) -> dict[str, list[str]]:
    before = seen(db, STORED, REPORTED)
    db.execute("CALL ops.refresh_rollups()")
    return before | {f"{name}, refreshed": rows for name, rows in seen(db, REPORTED, SUMS).items()}


def forget(db: psycopg.Connection) -> None:
    """What was loaded, as if it had never been."""
    for (month,) in db.execute("SELECT month FROM ops.months WHERE month > '2024-02-01' AND month < '2025-01-01'"):
        for table in ("session_logs", "sessions"):
            db.execute(f"ALTER TABLE llm.{table} DETACH PARTITION llm.{table}_{month:%Y_%m}")
            db.execute(f"DROP TABLE llm.{table}_{month:%Y_%m}")
    db.execute("DELETE FROM llm.sessions WHERE session_id <> '018df74b-0000-7000-8000-000000000001'")
    db.execute("DELETE FROM llm.session_logs WHERE log_sequence > 1")
    db.execute("UPDATE llm.sessions SET start_time = '2024-02-29 23:55Z', end_time = '2024-02-29 23:58Z'")
    db.execute("TRUNCATE llm_db.loads CASCADE; DELETE FROM llm.prompt_template_uses; SELECT ops.restart_rollups()")
    db.execute("CALL ops.refresh_rollups()")


# Times on both sides of the ends of months; one and the same session, with numbers and without; rows that break rules.
TIMES = [
    datetime(2024, month, day, hour, minute, tzinfo=UTC)
    for month, day in ((2, 29), (3, 1), (3, 31), (4, 1), (6, 15))
    for hour, minute in ((0, 0), (0, 20), (23, 50))
]
SESSIONS = ["", "", "", "018df74b-0000-7000-8000-000000000001"] + [
    f"{prefix}-7000-8000-00000000000{n}" for prefix in ("018df750-0000", "018e96f0-0000", "018e96f5-0000") for n in "12"
]


@st.composite
def rows(draw: st.DrawFn) -> list[str]:
    return [
        ",".join(
            [
                draw(st.sampled_from(SESSIONS)),
                draw(st.sampled_from(["", "", "", "2", "3", "0"])),
                f"{at:%Y-%m-%d %H:%M}",
                draw(st.sampled_from(["", (at + timedelta(seconds=5)).isoformat(), "2024-01-01"])),
                draw(st.sampled_from(["", "7", "100", "-1"])),
                draw(st.sampled_from(["s1", "s1", "s2", "s3"])),
                draw(st.sampled_from(["", "short"])),
                draw(st.sampled_from(["", "t1", "t2"])),
                draw(st.sampled_from(["kim@example.com", "kim@example.com", "lee@example.com", ""])),
                draw(st.sampled_from(["", "", "p1"])),
                draw(st.sampled_from(["", "s3://answers/1", "s3://a/1"])),
            ]
        )
        for at in draw(st.lists(st.sampled_from(TIMES), min_size=1, max_size=25))
    ]


@settings(
    max_examples=15,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(rows())
def test_nobody_can_tell_which_way_a_file_was_loaded(ready: psycopg.Connection, load: Load, file: list[str]) -> None:
    found = []
    for few in (MANY, 0):
        forget(ready)
        done = load(file, few=few)
        assert done.returncode in (0, 1), done.stderr
        assert "filled beside" not in done.stdout or not few
        found.append(both(ready))
        # Again, with what is rejected or listed.
        load(file, "--new", few=few)
        found[-1] |= {f"{name}, again": shown for name, shown in seen(ready, STORED).items()}
    assert found[0] == found[1]


def test_new_months_are_filled_beside_the_others_where_it_pays(ready: psycopg.Connection, load: Load) -> None:
    def row(month: int, n: int) -> str:
        return f",,2024-{month:02}-10 10:{n:02},,,s1,,,kim@example.com,,"

    file = [*(row(3, n) for n in range(5)), *(row(4, n) for n in range(6)), row(2, 0), *(row(5, n) for n in range(9))]
    done = load(file, few=5)
    assert done.returncode == 0, done.stderr
    assert "months made: 2024-03, 2024-04, 2024-05 (2 of them filled beside the others, and attached)" in done.stdout
    where = "SELECT tableoid::regclass::text, count(*) FROM llm.session_logs GROUP BY 1 ORDER BY 1"
    assert ready.execute(where).fetchall() == [
        ("llm.session_logs_2024_02", 2),
        ("llm.session_logs_2024_03", 5),
        ("llm.session_logs_2024_04", 6),
        ("llm.session_logs_2024_05", 9),
    ]
    assert one(ready, BESIDE) == 0


def test_subscribers_are_told_of_every_row(ready: psycopg.Connection, load: Load) -> None:
    """Those that come with a table they would not be told of."""
    ready.execute("CREATE PUBLICATION all_rows FOR ALL TABLES")
    done = load([f",,2024-03-10 10:{n:02},,,s1,,,kim@example.com,," for n in range(9)], few=5)
    assert done.returncode == 0, done.stderr
    assert "months made: 2024-03\n" in done.stdout
    assert one(ready, "SELECT count(*) FROM llm.session_logs_2024_03") == 9


# Everything that the catalog says of a month's tables and indexes, with MONTH for the month's name.
CATALOG = r"""
WITH tables AS (
    SELECT c.*, c.oid::regclass::text AS name
    FROM pg_class AS c
    WHERE c.relnamespace = 'llm'::regnamespace AND c.relname ~ ('^(sessions|session_logs)_' || %(month)s || '$')
), indexes AS (
    SELECT c.*, c.oid::regclass::text AS name
    FROM pg_index AS i INNER JOIN pg_class AS c ON i.indexrelid = c.oid
    WHERE i.indrelid IN (SELECT oid FROM tables)
), facts (about, name, fact) AS (
    SELECT 'relation', name, concat_ws('|', relkind, relpersistence, relowner, relacl, reloptions, reltablespace, relam,
        relreplident, relrowsecurity, relforcerowsecurity, relhastriggers, relispartition, obj_description(oid))
    FROM (SELECT * FROM tables UNION ALL SELECT * FROM indexes) AS r
    UNION ALL
    SELECT 'parent', name, (
        SELECT string_agg(i.inhparent::regclass::text, ' ') FROM pg_inherits AS i WHERE i.inhrelid = oid
    )
    FROM (SELECT * FROM tables UNION ALL SELECT * FROM indexes) AS r
    UNION ALL
    SELECT 'column', t.name, concat_ws('|', a.attnum, a.attname, a.atttypid, a.attnotnull, a.attgenerated,
        a.attidentity, a.attislocal, a.attinhcount, a.attstorage, a.attcompression, a.attstattarget, a.attacl,
        -- PostgreSQL's own number of the column's type, since 15.20.
        ARRAY(SELECT o FROM unnest(a.attoptions) AS o WHERE o NOT LIKE 'pg_attver=%%'),
        pg_get_expr(d.adbin, d.adrelid), col_description(t.oid, a.attnum))
    FROM tables AS t INNER JOIN pg_attribute AS a ON t.oid = a.attrelid AND a.attnum > 0
    LEFT JOIN pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    UNION ALL
    -- A foreign key is inherited or not whatever connoinherit says.
    SELECT 'constraint', t.name, concat_ws('|', k.conname, k.contype, k.convalidated, k.condeferrable, k.conislocal,
        k.coninhcount, k.connoinherit AND k.contype <> 'f', k.conparentid <> 0, pg_get_constraintdef(k.oid),
        obj_description(k.oid))
    FROM tables AS t INNER JOIN pg_constraint AS k ON t.oid = k.conrelid
    UNION ALL
    SELECT 'referred to', t.name,
        concat_ws('|', regexp_replace(k.conname, '_?[0-9]+$', ''), k.conrelid::regclass, k.convalidated)
    FROM tables AS t INNER JOIN pg_constraint AS k ON t.oid = k.confrelid
    UNION ALL
    SELECT 'index', name, pg_get_indexdef(oid) FROM indexes
    UNION ALL
    -- A foreign key's trigger has a number in its name.
    SELECT 'trigger', t.name, concat_ws('|', regexp_replace(g.tgname, '[0-9]+$', ''), g.tgtype, g.tgenabled,
        g.tgisinternal, g.tgparentid <> 0, g.tgfoid::regprocedure)
    FROM tables AS t INNER JOIN pg_trigger AS g ON t.oid = g.tgrelid
    UNION ALL
    SELECT 'statistics', t.name, pg_get_statisticsobjdef(s.oid)
    FROM tables AS t INNER JOIN pg_statistic_ext AS s ON t.oid = s.stxrelid
    UNION ALL
    SELECT 'publication', t.name, p.pubname
    FROM tables AS t INNER JOIN pg_publication_tables AS p ON p.schemaname = 'llm' AND p.tablename = t.relname
    UNION ALL
    SELECT 'depends', t.name, concat_ws('|', d.deptype, d.refclassid::regclass, count(*))
    FROM tables AS t INNER JOIN pg_depend AS d ON d.classid = 'pg_class'::regclass AND d.objid = t.oid
    GROUP BY t.name, d.deptype, d.refclassid
)
SELECT about, replace(name, %(month)s, 'MONTH'), replace(translate(fact, '-', '_'), %(month)s, 'MONTH')
FROM facts
ORDER BY 1, 2, 3
"""
# What a DBA may have added, and a month has too.
OF_A_DBA = """
CREATE INDEX ON llm.session_logs (token_used) WHERE token_used > 1000;
CREATE UNIQUE INDEX ON llm.session_logs (session_id, request_time, log_sequence);
CREATE INDEX my_own ON llm.sessions USING hash (user_id);
CREATE STATISTICS llm.pairs ON deployment_id, config_id FROM llm.session_logs;
ALTER TABLE llm.session_logs ALTER request_prompt_s3_path SET STORAGE EXTERNAL, ADD UNIQUE (log_sequence, session_id);
ALTER TABLE llm.sessions ADD CONSTRAINT mine CHECK (user_id > 0);
COMMENT ON CONSTRAINT mine ON llm.sessions IS 'my own';
ALTER DEFAULT PRIVILEGES IN SCHEMA llm GRANT SELECT ON TABLES TO llm_analyst;
"""


def test_a_month_that_was_filled_is_as_one_that_was_made(ready: psycopg.Connection, load: Load, dsn: str) -> None:
    catalogs = []
    for of_a_dba, (made, filled) in (("", ("2024_03", "2024_04")), (OF_A_DBA, ("2024_05", "2024_06"))):
        ready.execute(of_a_dba)
        ready.execute("SELECT llm.create_month(to_date(%s, 'YYYY_MM'))", [made])
        day = filled.replace("_", "-") + "-10"
        done = load([f",,{day} 10:00,,,s1,,,kim@example.com,,", f",,{day} 10:50,,5,s1,short,t1,kim@example.com,p1,"])
        assert "filled beside" in done.stdout, done.stderr
        as_made, as_filled = ([*ready.execute(CATALOG, {"month": month})] for month in (made, filled))
        assert as_filled == as_made
        assert len(as_made) > 100
        catalogs.append(as_made)
        analyzed = "SELECT count(*) FROM pg_class WHERE relname IN (%s, %s) AND reltuples = 2"
        assert one(ready, analyzed, f"sessions_{filled}", f"session_logs_{filled}") == 2
        if not of_a_dba:
            done = llm_db("check", "--dsn", dsn, "--scratch", dsn)
            assert done.returncode == 0, done.stdout
    assert len(catalogs[1]) > len(catalogs[0])
    # And as such it may be dropped, and made once more.
    ready.execute("CALL ops.refresh_rollups()")
    assert one(ready, "SELECT llm.drop_month('2024-06-01')")
    assert one(ready, "SELECT llm.create_month('2024-06-01')")


# The two functions by themselves, for those who COPY.

MARCH = "018df750-0000-7000-8000-000000000001"


def fill(db: psycopg.Connection, company: Company, **wrong: object) -> None:
    """A session of March with two logs, of which the second may be wrong."""
    log = {
        "session_id": MARCH, "log_sequence": 2, "request_time": "2024-03-01Z", "deployment_id": company.deployment_id,
        "config_id": company.config_id, "template_id": company.template_id, "response_s3_path": None,
    } | {name: value for name, value in wrong.items() if name not in ("user_id", "twice")}  # fmt: skip
    for _ in range(wrong.get("twice", 1)):
        db.execute(
            "INSERT INTO llm.sessions_beside (session_id, user_id, session_type, start_time, end_time, status)"
            " VALUES (%s, %s, 'test', '2024-03-01Z', '2024-03-02Z', 'completed')",
            [MARCH, wrong.get("user_id", company.user_id)],
        )
    for values in (log | {"session_id": MARCH, "log_sequence": 1}, log):
        if values is not log:
            values = values | {"deployment_id": company.deployment_id, "config_id": None, "template_id": None}
        db.execute(
            f"INSERT INTO llm.session_logs_beside ({', '.join(values)}) VALUES ({', '.join(['%s'] * len(values))})",
            list(values.values()),
        )


def test_what_the_page_says_fills_months(ready: psycopg.Connection, dsn: str, tmp_path: Path) -> None:
    april = MARCH.replace("018df750", "018e96f5")
    (tmp_path / "sessions.csv").write_text(
        "session_id,user_id,start_time,end_time,session_type,status\n"
        f"{MARCH},1,2024-03-01T00:00Z,2024-03-01T01:00Z,test,completed\n"
        f"{april},1,2024-04-01T00:00Z,2024-04-01T01:00Z,test,completed\n"
    )
    (tmp_path / "logs.csv").write_text(
        "session_id,log_sequence,request_time,response_time,deployment_id,template_id,token_used\n"
        f"{MARCH},1,2024-03-01T00:00Z,,1,,5\n{april},1,2024-04-01T00:00Z,2024-04-01T00:01Z,1,1,7\n"
    )
    commands = documented("docs/dba.md", "backfill")
    done = shell(commands, tmp_path, DATABASE_URL=dsn)
    assert done.returncode == 0, done.stderr
    query = "SELECT tableoid::regclass::text, token_used FROM llm.session_logs WHERE token_used > 0 ORDER BY 1"
    assert ready.execute(query).fetchall() == [("llm.session_logs_2024_03", 5), ("llm.session_logs_2024_04", 7)]
    done = shell(commands, tmp_path, DATABASE_URL=dsn)
    assert "the month 2024-03 is not new" in done.stderr
    # Committed too early, it is shown, and can be given up.
    ready.execute("SELECT llm.begin_months('{2024-05-01}')")
    assert "sessions_beside" in llm_db("check", "--dsn", dsn, "--scratch", dsn).stdout
    ready.execute("DROP TABLE llm.session_logs_beside, llm.sessions_beside")
    assert one(ready, BESIDE) == 0


@pytest.mark.parametrize(
    ("wrong", "constraint"),
    [
        ({"log_sequence": 1}, "session_logs_2024-03_pkey"),
        ({"twice": 2}, "sessions_2024-03_pkey"),
        ({"session_id": MARCH[:-1] + "2"}, "session_logs_session_id_fkey"),
        ({"user_id": 99}, "sessions_user_id_fkey"),
        ({"deployment_id": 99}, "session_logs_deployment_id_fkey"),
        ({"config_id": 99}, "session_logs_config_id_fkey"),
        # Uses are counted first.
        ({"template_id": 99}, "prompt_template_uses_template_id_fkey"),
        ({"log_sequence": 0}, "session_logs_log_sequence_positive"),
        ({"request_time": "1999-01-01Z"}, "session_logs_request_time_within_2000_to_2099"),
        ({"response_s3_path": "/tmp/x"}, "session_logs_response_s3_path_is_s3_uri"),
        ({"session_id": "018df750-0000-4000-8000-000000000001"}, "session_logs_session_id_fkey"),
    ],
)
def test_what_breaks_a_rule_is_refused_by_the_rule(
    db: psycopg.Connection, company: Company, wrong: dict[str, object], constraint: str
) -> None:
    before = seen(db, STORED)
    with refused(db, constraint):
        db.execute("SELECT llm.begin_months('{2024-03-15}')")
        fill(db, company, **wrong)
        db.execute("SELECT llm.attach_months()")
    assert seen(db, STORED) == before
    # The same without what is wrong.
    with db.transaction():
        db.execute("SELECT llm.begin_months('{2024-03-15}')")
        fill(db, company)
        assert one(db, "SELECT llm.attach_months()") == [datetime(2024, 3, 1).date()]
    assert one(db, "SELECT usage_count FROM llm.prompt_templates") == 1


def test_months_that_are_not_new_are_refused(db: psycopg.Connection, dsn: str, company: Company) -> None:
    with pytest.raises(errors.ObjectNotInPrerequisiteState, match="no month was begun"):
        db.execute("SELECT llm.attach_months()")
    with pytest.raises(errors.InvalidParameterValue, match="there can be no month"):
        db.execute("SELECT llm.begin_months(ARRAY['infinity'::date])")
    db.execute("SELECT llm.create_month('2024-02-01')")
    with pytest.raises(errors.SerializationFailure, match="2024-02 is not new"):
        db.execute("SELECT llm.begin_months('{2024-03-01, 2024-02-01}')")
    # And rows that are not of these months.
    with pytest.raises(errors.CheckViolation, match="no partition"), db.transaction():
        db.execute("SELECT llm.begin_months('{2024-04-01}')")
        fill(db, company)


def test_a_month_of_which_others_write_meanwhile_is_not_new(db: psycopg.Connection, dsn: str, company: Company) -> None:
    with psycopg.connect(dsn) as filler:
        filler.execute("SELECT llm.begin_months('{2024-03-01}')")
        fill(filler, company)
        # They do not wait for us.
        db.execute("SET lock_timeout = '2s'")
        db.execute(
            "INSERT INTO llm.sessions (session_id, user_id, session_type) VALUES (%s, %s, 'test')",
            [MARCH, company.user_id],
        )
        with pytest.raises(errors.SerializationFailure, match="2024-03 is not new"):
            filler.execute("SELECT llm.attach_months()")
    assert one(db, BESIDE) == 0


def test_who_makes_months_meanwhile_gives_way(db: psycopg.Connection, dsn: str, company: Company) -> None:
    with psycopg.connect(dsn) as filler:
        filler.execute("SELECT llm.begin_months('{2024-03-01}')")
        fill(filler, company)
        db.execute("SET lock_timeout = '500ms'")
        for month in ("2024-03-01", "2024-04-01"):
            with pytest.raises(errors.LockNotAvailable, match="could not lock sessions and session_logs within"):
                db.execute("SELECT llm.create_month(%s)", [month])
        filler.execute("SELECT llm.attach_months()")
    assert db.execute("SELECT llm.create_month('2024-03-01'), llm.create_month('2024-04-01')").fetchone() == (
        False,
        True,
    )


def test_a_refresh_meanwhile_loses_nothing(db: psycopg.Connection, dsn: str, company: Company) -> None:
    """Before the filler is known to write, time is closed, and noted; afterwards it is not closed."""
    requests = "SELECT coalesce(sum(requests), 0) FROM reporting.daily_usage"
    with psycopg.connect(dsn) as filler:
        filler.execute("SELECT llm.begin_months('{2024-03-01}')")
        fill(filler, company)
        db.execute("CALL ops.refresh_rollups()")
        assert one(db, "SELECT closed_before > '2024-04-01' FROM rollup.state")
        db.execute("SELECT ops.restart_rollups()")
        filler.execute("SAVEPOINT noted")
        filler.execute("SELECT ops.note_beside()")
        db.execute("CALL ops.refresh_rollups(patience => '10 ms')")
        assert not one(db, "SELECT closed_before > '2024-03-01' FROM rollup.state")
        filler.execute("ROLLBACK TO noted")
        db.execute("CALL ops.refresh_rollups()")
        assert one(db, requests) == 0
        filler.execute("SELECT llm.attach_months()")
    assert one(db, requests) == 2
    db.execute("CALL ops.refresh_rollups()")
    assert one(db, requests) == 2
    assert one(db, "SELECT sum(requests) FROM rollup.usage WHERE dimension = 'all'") == 2


def test_an_old_snapshot_sees_nothing_of_it(db: psycopg.Connection, dsn: str, company: Company) -> None:
    with psycopg.connect(dsn) as reader:
        reader.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        assert one(reader, "SELECT count(*) FROM llm.departments") == 1
        with db.transaction():
            db.execute("SELECT llm.begin_months('{2024-03-01}')")
            fill(db, company)
            db.execute("SELECT llm.attach_months()")
        assert one(reader, "SELECT count(*) FROM llm.session_logs") == 0
    assert one(db, "SELECT count(*) FROM llm.session_logs") == 2


def test_who_waits_for_a_row_of_the_filler_is_given_way(db: psycopg.Connection, dsn: str, company: Company) -> None:
    """Else each would wait for the other: a writer who holds the table waits for a row that the filler has."""
    with psycopg.connect(dsn) as filler, psycopg.connect(dsn) as writer:
        filler.execute("SELECT llm.begin_months('{2024-03-01}')")
        fill(filler, company)
        filler.execute("UPDATE llm.sessions SET start_time = start_time - interval '1 s'")
        writer.execute("LOCK TABLE llm.session_logs IN ROW EXCLUSIVE MODE")
        append = "INSERT INTO llm.session_logs (session_id, deployment_id) VALUES (%s, %s)"
        values = [company.session_id, company.deployment_id]
        pid = writer.info.backend_pid
        waiting = threading.Thread(target=writer.execute, args=[append, values])
        waiting.start()
        while not one(db, "SELECT cardinality(pg_blocking_pids(%s)) > 0", pid):
            time.sleep(0.01)
        began = time.monotonic()
        with pytest.raises(errors.LockNotAvailable):
            filler.execute("SELECT llm.attach_months()")
        assert time.monotonic() - began < 10
        filler.rollback()
        waiting.join(timeout=30)
        writer.commit()
    assert one(db, "SELECT count(*) FROM llm.session_logs") == 1


def test_a_writer_in_default_is_waited_for_and_then_joined(ready: psycopg.Connection, load: Load, dsn: str) -> None:
    """What cannot be attached is inserted: the month is left to whoever empties DEFAULT."""
    file = [f",,2024-03-10 10:{n:02},,,s1,,,kim@example.com,," for n in range(9)]
    with psycopg.connect(dsn) as writer:
        writer.execute(
            "INSERT INTO llm.sessions (session_id, user_id, session_type, start_time)"
            " SELECT %s, min(user_id), 'test', '2024-03-01' FROM llm.users",
            [MARCH],
        )
        done = load(file, "--lock-timeout", "0.3")
        assert done.returncode == 0, done.stderr
        assert "their rows go to DEFAULT" in done.stderr
    assert "filled beside" not in done.stdout
    assert one(ready, "SELECT count(*) FROM llm.session_logs_default") == 9
    # Rows of it that are there already take the same way.
    done = load([row.replace("10 10", "11 10") for row in file])
    assert "months made: 2024-03\n" in done.stdout
    assert one(ready, "SELECT count(*) FROM llm.session_logs_2024_03") == 18


@pytest.fixture
def loader(db: psycopg.Connection, dsn: str) -> Iterator[str]:
    name = f"loader_{uuid.uuid4().hex}"
    db.execute(f"CREATE ROLE {name} LOGIN IN ROLE llm_loader")
    yield name
    drop_role(dsn, name)


def test_a_loader_fills_months_and_owns_nothing(
    ready: psycopg.Connection, load: Load, dsn: str, loader: str, tmp_path: Path
) -> None:
    as_loader = make_conninfo(dsn, user=loader)
    done = load([",,2024-03-10 10:00,,,s1,,t1,kim@example.com,,", "x,,,,,,,,,,"], dsn=as_loader)
    assert "1 of them filled beside" in done.stdout, done.stderr
    with (tmp_path / "logs.csv.rejects.csv").open(encoding="utf-8", newline="") as file:
        assert [row["rule"] for row in csv.DictReader(file)] == ["not a UUID"]
    with psycopg.connect(as_loader, autocommit=True) as db:
        for statement in (
            "INSERT INTO llm.session_logs_2024_03 (session_id, log_sequence) VALUES (gen_random_uuid(), 1)",
            "SELECT FROM llm.sessions_2024_03",
            "SELECT ops.note_beside()",
            "SELECT llm.lock_for_month_change(NULL, NULL)",
        ):
            with pytest.raises(errors.InsufficientPrivilege):
                db.execute(statement)
        # What is begun and not attached is nobody's to read, and in nobody's way.
        db.execute("SELECT llm.begin_months('{2024-04-01}')")
        with pytest.raises(errors.InsufficientPrivilege):
            db.execute("SELECT FROM llm.session_logs_beside")
        assert "months made: 2024-05\n" in load([",,2024-05-10 10:00,,,s1,,,kim@example.com,,"]).stdout
        assert db.execute("SELECT llm.attach_months()").fetchone() == ([datetime(2024, 4, 1).date()],)
    assert one(ready, "SELECT sum(usage_count) FROM llm.prompt_templates") == 1
