"""`llm-db archive`: a month in a file is the month, whatever is in it, or there is no file; and it comes back as if it
had never been gone."""

import json
import signal
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from subprocess import CompletedProcess
from unittest.mock import patch

import duckdb
import psycopg
import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

import citus
from command import ROOT, documented, environment, llm_db, shell
from conftest import fresh_database
from llm_db import archive
from logins import logins_of_the_page
from rollup_model import assert_exact, make_model

SETUP = """
SELECT llm.found_department('D1', 'Kim', 'kim@example.com');
SELECT llm.found_department('D2', 'Lee', 'lee@example.com');
INSERT INTO llm.models (model_name, model_type) VALUES ('m1', 'chat'), ('m2', 'chat');
INSERT INTO llm.model_configs (model_id, config_name, max_tokens) SELECT model_id, 'short', 10 FROM llm.models;
INSERT INTO llm.deployments (model_id, server_name, gpu_count, environment, status)
SELECT model_id, 's1', 1, environment, 'active'
FROM llm.models CROSS JOIN unnest(ARRAY['production', 'staging']) AS e (environment);
INSERT INTO llm.projects (project_name, created_by, department_id)
SELECT 'p1, "한"', user_id, department_id FROM llm.users WHERE user_name = 'Kim';
INSERT INTO llm.prompt_templates (template_name, version, prompt_s3_path, task_category, created_by)
SELECT 't', v, 's3://prompts/t', 'summarization', user_id FROM llm.users CROSS JOIN unnest(ARRAY['1.0', '2.0']) AS v
WHERE user_name = 'Kim';
SELECT llm.create_month('2024-03-01');
"""
Run = Callable[..., CompletedProcess[str]]
MARCH = datetime(2024, 3, 1, tzinfo=UTC)
# What only a month's own rows tell, to the byte and the microsecond.
# On a cluster without the number of the shard.
TABLE = "regexp_replace(tableoid::regclass::text, '_[0-9]{6,}$', '')"
STORED = {
    "sessions": f"SELECT {TABLE}, s.* FROM llm.sessions AS s",
    "logs": f"SELECT {TABLE}, l.* FROM llm.session_logs AS l",
}
# What must not change where they go and come back.
COUNTED = {
    "uses": "SELECT template_name, version, usage_count FROM llm.prompt_templates",
    **{
        name: f"SELECT * FROM reporting.{name}"
        for name in (
            "daily_usage_by_user", "daily_usage_by_deployment", "daily_sessions", "hourly_usage_by_deployment",
            "slowest_requests", "template_usage", "active_users", "department_overview",
        )
    },
}  # fmt: skip


@pytest.fixture
def ready(db: psycopg.Connection) -> psycopg.Connection:
    db.execute(SETUP)
    make_model(db)
    return db


@pytest.fixture
def run(dsn: str, tmp_path: Path) -> Run:
    return lambda *arguments: llm_db(*arguments, "--dsn", dsn, cwd=tmp_path)


def seen(db: psycopg.Connection, queries: dict[str, str]) -> dict[str, list[str]]:
    return {name: sorted(map(repr, db.execute(query).fetchall())) for name, query in queries.items()}


KEYS = ["k", "k ", "k\n", 'a,"b"', "\\N", "a\tb\r\n", "한\u3000", "\u2028", "x" * 3000]
PATHS = st.none() | st.sampled_from(KEYS).map(lambda key: f"s3://bucket/{key}")
MICROSECONDS = st.integers(0, 3 * 10**9)
LOGS = st.fixed_dictionaries({
    "log_sequence": st.integers(1, 2**31 - 1),
    # Before the session's start too, and after the month's end.
    "after": st.integers(-(10**9), 31 * 24 * 3600 * 10**6),
    "response": st.none() | MICROSECONDS,
    "token_used": st.none() | st.integers(0, 10**8),
    "deployment_id": st.integers(1, 4),
    # Of either model, whatever the deployment's is.
    "config_id": st.none() | st.integers(1, 2),
    "template_id": st.none() | st.integers(1, 2),
    "request_prompt_s3_path": PATHS,
    "response_s3_path": PATHS,
})  # fmt: skip
SESSIONS = st.fixed_dictionaries({
    "begins": st.integers(0, 30 * 24 * 3600 * 10**3),
    "user_id": st.integers(1, 2),
    "project_id": st.none() | st.just(1),
    "start": st.integers(-(10**9), 10**9),
    "lasts": st.none() | MICROSECONDS,
    "session_type": st.sampled_from(["production", "test"]),
    "status": st.sampled_from(["completed", "aborted"]),
    "logs": st.lists(LOGS, max_size=4, unique_by=lambda log: log["log_sequence"]),
})  # fmt: skip
MONTHS = st.lists(SESSIONS, max_size=8, unique_by=lambda session: session["begins"])


def insert(db: psycopg.Connection, month: list[dict]) -> None:
    for session in month:
        begins = MARCH + timedelta(milliseconds=session["begins"])
        start = begins + timedelta(microseconds=session["start"])
        end = None if session["lasts"] is None else start + timedelta(microseconds=session["lasts"])
        [session_id] = db.execute(
            "INSERT INTO llm.sessions (session_id, user_id, project_id, start_time, end_time, session_type, status)"
            " VALUES (llm.uuidv7(%s), %s, %s, %s, %s, %s, %s) RETURNING session_id",
            [begins, session["user_id"], session["project_id"], start, end, session["session_type"],
             session["status"] if end else "running"],
        ).fetchone()  # fmt: skip
        for log in session["logs"]:
            request = begins + timedelta(microseconds=log["after"])
            response = None if log["response"] is None else request + timedelta(microseconds=log["response"])
            values = log | {"session_id": session_id, "request_time": request, "response_time": response}
            del values["after"], values["response"]
            db.execute(
                f"INSERT INTO llm.session_logs ({', '.join(values)}) VALUES ({', '.join(['%s'] * len(values))})",
                [*values.values()],
            )


QUICK = settings(
    max_examples=12,
    deadline=None,
    database=None,
    derandomize=True,
    # A failing month is small as it is.
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@QUICK
@given(MONTHS)
def test_a_month_comes_back_as_it_was(ready: psycopg.Connection, run: Run, tmp_path: Path, month: list[dict]) -> None:
    file = tmp_path / "march.parquet"
    file.unlink(missing_ok=True)
    ready.execute("TRUNCATE llm.sessions, llm_db.loads CASCADE; SELECT llm.create_month('2024-03-01')")
    ready.execute("DELETE FROM llm.prompt_template_uses; SELECT ops.restart_rollups()")
    if citus.DSN:
        ready.execute("DELETE FROM cluster.template_uses")
    insert(ready, month)
    ready.execute("CALL ops.refresh_rollups()")
    stored, counted = seen(ready, STORED), seen(ready, COUNTED)
    done = run("archive", "2024-03", file.name)
    assert done.returncode == 0, done.stderr
    [(sessions, logs)] = duckdb.sql(f"SELECT count(DISTINCT session_id), count(log_sequence) FROM '{file}'").fetchall()
    assert (sessions, logs) == (len(stored["sessions"]), len(stored["logs"]))
    assert ready.execute("SELECT ops.drop_month('2024-03-01', with_running => true)").fetchone() == (True,)
    done = run("load", file.name)
    assert done.returncode == 0, done.stderr
    assert seen(ready, STORED) == stored
    assert seen(ready, COUNTED) == counted
    is_exact(ready)
    ready.execute("CALL ops.refresh_rollups()")
    assert seen(ready, COUNTED) == counted
    is_exact(ready)


def is_exact(db: psycopg.Connection) -> None:
    """Citus cannot answer what the model asks."""
    if not citus.DSN:
        assert_exact(db)


# What is in March where a test does not care: two sessions with logs, one without, one that runs.
LOG = {
    "log_sequence": 1, "after": 0, "response": 10**6, "token_used": 100, "deployment_id": 1, "config_id": 1,
    "template_id": 1, "request_prompt_s3_path": "s3://bucket/k", "response_s3_path": None,
}  # fmt: skip
SESSION = {
    "begins": 0, "user_id": 1, "project_id": 1, "start": 0, "lasts": 10**9, "session_type": "test",
    "status": "aborted", "logs": [LOG],
}  # fmt: skip
SOME = [
    SESSION,
    SESSION
    | {
        "begins": 10**8,
        "user_id": 2,
        "logs": [LOG | {"response_s3_path": "s3://b-1/lee@example.com"}, LOG | {"log_sequence": 7}],
    },
    SESSION | {"begins": 2 * 10**8, "logs": []},
    SESSION | {"begins": 3 * 10**8, "lasts": None},
]


@pytest.fixture
def some(ready: psycopg.Connection) -> psycopg.Connection:
    insert(ready, SOME)
    ready.execute("CALL ops.refresh_rollups()")
    return ready


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def dropped(db: psycopg.Connection) -> dict[str, list[str]]:
    """March is gone; what it had."""
    stored = seen(db, STORED)
    db.execute("SELECT ops.drop_month('2024-03-01', with_running => true)")
    return stored


def test_others_read_it(some: psycopg.Connection, run: Run, tmp_path: Path) -> None:
    done = run("archive", "2024-03", "march.parquet")
    assert (done.returncode, done.stderr) == (0, "")
    size = (tmp_path / "march.parquet").stat().st_size
    assert done.stdout == (
        f"march.parquet: 2024-03 with 4 sessions and 4 logs in {size:,} bytes, read back and compared\n"
    )
    done = run("archive", "2024-03", "again.parquet", "--json")
    assert json.loads(done.stdout) == {
        "file": "again.parquet", "month": "2024-03", "sessions": 4, "logs": 4,
        "bytes": (tmp_path / "again.parquet").stat().st_size,
    }  # fmt: skip
    file = str(tmp_path / "march.parquet")
    described = duckdb.execute(f"DESCRIBE SELECT * FROM '{file}'").fetchall()
    types = {name: kind for name, kind, *_ in described}
    assert {name for name, kind in types.items() if kind == "TIMESTAMP WITH TIME ZONE"} == set(archive.TIMES)
    assert {name for name, kind in types.items() if kind == "BIGINT"} == set(archive.NUMBERS)
    assert (types.pop("log_sequence"), types["session_id"]) == ("INTEGER", "VARCHAR")
    query = """
        SELECT (request_time AT TIME ZONE 'UTC')::date, model_name, environment, user_email, project_name,
            template_name, version, config_name, count(*), sum(token_used)
        FROM {} WHERE log_sequence IS NOT NULL GROUP BY ALL ORDER BY ALL
    """
    joined = """(
        SELECT * FROM llm.session_logs JOIN llm.sessions USING (session_id) JOIN llm.users USING (user_id)
        LEFT JOIN llm.projects USING (project_id) JOIN llm.deployments USING (deployment_id)
        JOIN llm.models USING (model_id) LEFT JOIN llm.model_configs USING (config_id)
        LEFT JOIN llm.prompt_templates_base USING (template_id)
    ) AS l"""
    by_number = query.replace("ALL", "1, 2, 3, 4, 5, 6, 7, 8", 2)
    assert duckdb.execute(query.format(f"'{file}'")).fetchall() == some.execute(by_number.format(joined)).fetchall()
    told = dict(duckdb.execute(f"SELECT decode(key), decode(value) FROM parquet_kv_metadata('{file}')").fetchall())
    assert told["llm_db.month"] == "2024-03-01"
    assert (told["llm_db.rows"], told["llm_db.sessions"], told["llm_db.logs"]) == ("5", "4", "4")
    assert told["llm_db.schema_version"] == max(path.stem for path in ROOT.glob("migrations/????.*[!k].sql"))


def test_a_writer_does_not_change_what_is_written(
    some: psycopg.Connection, dsn: str, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look at the database and the writing a log is added, and one is corrected."""
    look = archive.of_database

    def look_and_write(*arguments: object) -> archive.Contents:
        found = look(*arguments)
        insert(some, [SESSION | {"begins": 5 * 10**8}])
        some.execute("UPDATE llm.session_logs SET token_used = 7")
        return found

    monkeypatch.setattr(archive, "of_database", look_and_write)
    done = run("archive", "2024-03", "march.parquet")
    assert done.returncode == 0, done.stderr
    rows = duckdb.execute(f"SELECT count(*), sum(token_used) FROM '{tmp_path / 'march.parquet'}'").fetchall()
    assert rows == [(5, 400)]
    # What came since would be lost, so it does not come back as if nothing had been lost.
    some.execute("CALL ops.refresh_rollups()")
    dropped(some)
    done = run("load", "march.parquet")
    assert done.returncode == 1
    assert "it had 5 sessions, 5 logs and 35 tokens when it was dropped, and has 4 sessions, 4 logs" in done.stderr
    assert seen(some, STORED) == {"sessions": [], "logs": []}


def less(table: pyarrow.Table) -> pyarrow.Table:
    return table.slice(1)


def other(table: pyarrow.Table) -> pyarrow.Table:
    """The first two rows have each other's value of a column."""
    number = table.schema.get_field_index("request_time")
    return table.set_column(number, table.schema.field(number), table[number].take([1, 0, *range(2, len(table))]))


@pytest.mark.parametrize("fault", [less, other])
def test_what_is_not_as_in_the_database_is_not_kept(
    some: psycopg.Connection, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: Callable
) -> None:
    parsed = archive.parsed
    monkeypatch.setattr(archive, "parsed", lambda *arguments: fault(parsed(*arguments)))
    done = run("archive", "2024-03", "march.parquet")
    assert done.returncode == 1
    assert "march.parquet is not what the database has" in done.stderr
    assert files(tmp_path) == []


def test_what_is_in_the_way_is_told(some: psycopg.Connection, run: Run, tmp_path: Path) -> None:
    (tmp_path / "old.parquet").write_text("of yesterday")
    (tmp_path / "begun.parquet.part").write_text("of another")
    some.execute("SELECT llm.create_month('2024-04-01')")
    some.execute("ALTER TABLE llm.session_logs DETACH PARTITION llm.session_logs_2024_04")
    before = files(tmp_path)
    for month, file, told in (
        ("2024-13", "new.parquet", "2024-13 is not a month, such as 2025-03"),
        ("March", "new.parquet", "March is not a month"),
        ("2024-02", "new.parquet", "There is no month 2024-02."),
        ("2024-04", "new.parquet", "The month 2024-04 is not whole: of its two tables 1 is attached."),
        ("2024-03", "old.parquet", "old.parquet is there already."),
        ("2024-03", "begun.parquet", "begun.parquet.part is there: another llm-db is writing it, or was killed"),
        ("2024-03", "none/new.parquet", "Cannot write none/new.parquet: No such file or directory."),
    ):
        done = run("archive", month, file)
        assert (done.returncode, told in done.stderr, "hint: " in done.stderr) == (2, True, True), done.stderr
        assert files(tmp_path) == before
    assert (tmp_path / "old.parquet").read_text() == "of yesterday"


def test_it_needs_a_migrated_database_and_pyarrow(
    empty_dsn: str, dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = llm_db("archive", "2024-03", "march.parquet", "--dsn", empty_dsn, cwd=tmp_path)
    assert (done.returncode, "run `llm-db migrate` first" in done.stderr) == (2, True), done.stderr
    (tmp_path / "other.parquet").write_bytes(b"PAR1")
    for command in (["archive", "2024-03", "march.parquet"], ["load", "other.parquet"]):
        with patch.dict(sys.modules, {"pyarrow": None}):
            done = llm_db(*command, "--dsn", dsn, cwd=tmp_path)
        assert (done.returncode, "hint: pip install 'llm-platform-db[parquet]'" in done.stderr) == (2, True)
    assert files(tmp_path) == ["other.parquet"]


# A job in a shell's background has SIGINT ignored, and so have those that it starts.
HELD = (
    "import os, signal, time; signal.signal(signal.SIGINT, signal.default_int_handler); "
    "os.fsync = lambda _: (print('written', flush=True), time.sleep(60)); from llm_db import cli; "
)


@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_it_is_cut_off(some: psycopg.Connection, dsn: str, run: Run, tmp_path: Path, ending: signal.Signals) -> None:
    """When all is written, and has not got its name."""
    command = ["archive", "2024-03", "march.parquet", "--dsn", dsn]
    with subprocess.Popen(
        [sys.executable, "-c", f"{HELD}raise SystemExit(cli.main({command}))"],
        cwd=tmp_path, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as archiving:  # fmt: skip
        assert archiving.stdout.readline() == "written\n"
        archiving.send_signal(ending)
        _, said = archiving.communicate(timeout=60)
    if ending == signal.SIGKILL:
        assert files(tmp_path) == ["march.parquet.part"]
        (tmp_path / "march.parquet.part").unlink()
    else:
        assert (archiving.returncode, said.splitlines()[0], files(tmp_path)) == (2, "error: Interrupted.", [])
    assert run("archive", "2024-03", "march.parquet").returncode == 0


def test_no_more_than_a_row_group_is_in_memory(
    ready: psycopg.Connection, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "GROUP_BYTES", 1 << 18)
    monkeypatch.setattr(archive, "BATCH", 300)
    insert(ready, [SESSION | {"logs": []}])
    ready.execute("""
        INSERT INTO llm.session_logs (session_id, log_sequence, request_time, deployment_id, request_prompt_s3_path)
        SELECT session_id, n, '2024-03-01Z', 1, 's3://bucket/' || repeat(md5(n::text), 20)
        FROM llm.sessions CROSS JOIN generate_series(1, 20000) AS n
    """)
    peak_before = pyarrow.default_memory_pool().max_memory()
    tracemalloc.start()
    try:
        done = run("archive", "2024-03", "march.parquet")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert done.returncode == 0, done.stderr
    file = pyarrow.parquet.ParquetFile(tmp_path / "march.parquet")
    assert file.metadata.num_row_groups > 50
    # 18 MB of CSV.
    assert peak < 6 << 20
    assert pyarrow.default_memory_pool().max_memory() - peak_before < 12 << 20


def test_who_loads_may_archive_and_nobody_else(some: psycopg.Connection, dsn: str, tmp_path: Path) -> None:
    some.execute("UPDATE llm.sessions SET end_time = now(), status = 'completed' WHERE end_time IS NULL")
    some.execute("CALL ops.refresh_rollups()")
    counted = seen(some, COUNTED)
    with logins_of_the_page(dsn) as connect:
        for name in ("alice", "bob", "chat_service", "oncall"):
            done = llm_db("archive", "2024-03", "march.parquet", "--dsn", connect(name).info.dsn, cwd=tmp_path)
            assert (done.returncode, "hint: GRANT llm_loader TO " in done.stderr) == (1, True), done.stderr
            assert files(tmp_path) == []
        loader = connect("nightly_load").info.dsn
        assert llm_db("archive", "2024-03", "march.parquet", "--dsn", loader, cwd=tmp_path).returncode == 0
        stored = dropped(some)
        done = llm_db("load", "march.parquet", "--dsn", loader, cwd=tmp_path)
        if citus.DSN:
            assert (done.returncode, "Load the archive as the role that migrates." in done.stderr) == (1, True), (
                done.stderr
            )
            done = llm_db("load", "march.parquet", "--dsn", dsn, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    assert seen(some, STORED) == stored
    assert seen(some, COUNTED) == counted


def test_a_person_who_was_erased_comes_back_without_a_name_or_not_at_all(some: psycopg.Connection, run: Run) -> None:
    some.execute("UPDATE llm.sessions SET end_time = now(), status = 'completed' WHERE end_time IS NULL")
    some.execute("CALL ops.refresh_rollups()")
    assert run("archive", "2024-03", "march.parquet").returncode == 0
    stored, counted = dropped(some), seen(some, COUNTED)
    some.execute("SELECT * FROM llm.erase_user(2)")
    done = run("load", "march.parquet")
    assert done.returncode == 1
    assert "2 rows are rejected, the first in line 2: unknown user_id + user_email. Nothing was loaded." in done.stderr
    assert seen(some, STORED) == {"sessions": [], "logs": []}
    done = run("load", "march.parquet", "--map", "user_id=user_id")
    assert done.returncode == 0, done.stderr
    assert seen(some, STORED) == stored
    assert seen(some, COUNTED)["uses"] == counted["uses"]
    # What the page says of their S3 paths.
    left = "SELECT count(*) FROM llm.session_logs WHERE response_s3_path LIKE '%lee@example.com%'"
    assert some.execute(left).fetchone() == (1,)
    some.execute("SELECT * FROM llm.erase_user(2, ARRAY['lee@example.com'])")
    assert some.execute(left).fetchone() == (0,)


KEYS_OF_TABLES = {
    "user_id": "users", "project_id": "projects", "model_id": "models", "config_id": "model_configs",
    "deployment_id": "deployments", "template_id": "prompt_templates_base",
}  # fmt: skip


def test_another_database_has_other_keys(
    some: psycopg.Connection, server: str, template: str, run: Run, tmp_path: Path
) -> None:
    assert run("archive", "2024-03", "march.parquet").returncode == 0
    with fresh_database(server, template) as dsn, psycopg.connect(dsn, autocommit=True) as db:
        for key in KEYS_OF_TABLES:
            db.execute(f"SELECT setval(pg_get_serial_sequence('llm.{KEYS_OF_TABLES[key]}', '{key}'), 100)")
        db.execute(SETUP)
        done = llm_db("load", "march.parquet", "--dsn", dsn, cwd=tmp_path)
        assert (done.returncode, "0 loaded, 0 there already, 5 rejected" in done.stdout) == (1, True), done.stdout
        names = ["server_name", "config_name", "template_name", "user_email", "project_name"]
        by_name = [option for name in names for option in ("--map", f"{name}={name}")]
        done = llm_db("load", "march.parquet", "--dsn", dsn, *by_name, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        same = "SELECT session_id, start_time, end_time, status, session_type FROM llm.sessions ORDER BY 1"
        assert db.execute(same).fetchall() == some.execute(same).fetchall()
        assert db.execute("SELECT min(user_id), min(project_id) FROM llm.sessions").fetchone() == (101, 101)
        assert db.execute("SELECT count(*), min(deployment_id) FROM llm.session_logs").fetchone() == (4, 101)


# Reading Parquet of others, and what CSV may say of sessions.


def test_parquet_of_others_is_read_as_csv_would_be(ready: psycopg.Connection, run: Run, tmp_path: Path) -> None:
    table = pyarrow.table({
        "request_time": pyarrow.array([1709280000123456789, 1709280001000000000], pyarrow.timestamp("ns")),
        "response_time": pyarrow.array([1709280005000, None], pyarrow.timestamp("ms", "Asia/Seoul")),
        "tokens": [7.0, None],
        "server_name": pyarrow.array([" s1 ", "s1"]).dictionary_encode(),
        "deployment_id": pyarrow.array([Decimal(1), Decimal(2)]),
        "user_email": ["kim@example.com", "nobody@example.com"],
        "note": [["a"], []],
    })  # fmt: skip
    pyarrow.parquet.write_table(table, tmp_path / "logs")
    options = ["--map", "token_used=tokens", "--map", "server_name=server_name", "--map", "model_name='m1'"]
    options += ["--map", "environment='production'", "--time-zone", "Asia/Seoul"]
    done = run("load", "logs", *options)
    assert (done.returncode, "columns ignored: deployment_id, note" in done.stdout) == (1, True), done.stderr
    [log] = ready.execute("SELECT request_time, response_time, token_used FROM llm.session_logs").fetchall()
    assert log == (datetime(2024, 2, 29, 23, 0, 0, 123456, UTC), datetime(2024, 3, 1, 8, 0, 5, tzinfo=UTC), 7)
    rejects = (tmp_path / "logs.rejects.csv").read_text()
    assert "2,user_email,nobody@example.com,unknown user_email" in rejects


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"PAR1 and no more", "is not a whole Parquet file"),
        (b"request_time,server_name\n", "is not a whole Parquet file"),
        (b"", "is empty"),
    ],
)
def test_what_is_no_parquet(run: Run, tmp_path: Path, content: bytes, told: str) -> None:
    (tmp_path / "logs.parquet").write_bytes(content)
    done = run("load", "logs.parquet")
    assert (done.returncode, told in done.stderr, "hint: " in done.stderr) == (2, True, True), done.stderr


def test_a_column_of_lists_is_no_target(ready: psycopg.Connection, run: Run, tmp_path: Path) -> None:
    table = pyarrow.table({"request_time": ["2024-03-01"], "server_name": [["s1"]], "user_email": ["kim@example.com"]})
    pyarrow.parquet.write_table(table, tmp_path / "logs.parquet")
    done = run("load", "logs.parquet")
    assert done.returncode == 2
    assert "The column server_name of logs.parquet is list<" in done.stderr


A, B, C = (f"018df750-0000-7000-8000-00000000000{n}" for n in "123")


def test_a_csv_file_says_of_sessions_what_an_archive_says(ready: psycopg.Connection, run: Run, tmp_path: Path) -> None:
    header = "session_id,session_start_time,session_end_time,session_status,request_time,deployment_id,user_email\n"
    rows = [
        f"{A},2024-03-01T00:00Z,2024-03-01T05:00Z,aborted,2024-03-01T01:00Z,1,kim@example.com",
        f"{A},,,,2024-03-01T02:00Z,1,",
        f"{A},2024-03-01T00:01Z,,,2024-03-01T03:00Z,1,",
        f"{B},2024-03-01T00:00Z,,running,,,kim@example.com",
        f"{C},2024-03-01T00:00Z,,completed,,,kim@example.com",
        f"{C},2024-03-01T00:00Z,2024-03-01T00:00Z,lost,,,kim@example.com",
        f"{C},,,,,1,kim@example.com",
        f"{C},2024-03-01T00:00Z,2024-03-01T00:00Z,completed,,1,kim@example.com",
        ",2024-03-01T00:00Z,,,2024-03-01T02:00Z,1,kim@example.com",
    ]
    (tmp_path / "logs.csv").write_text(header + "\n".join(rows) + "\n")
    done = run("load", "logs.csv")
    assert (done.returncode, "9 rows read, 3 loaded, 0 there already, 6 rejected" in done.stdout) == (1, True), done
    assert "sessions: 2 made" in done.stdout
    found = ready.execute(
        "SELECT session_id::text, start_time, end_time, status FROM llm.sessions ORDER BY 1"
    ).fetchall()
    assert found == [(A, MARCH, MARCH + timedelta(hours=5), "aborted"), (B, MARCH, None, "running")]
    lines = [line.split(",")[0::3][:2] for line in (tmp_path / "logs.csv.rejects.csv").read_text().splitlines()[1:]]
    assert lines == [
        ["4", "the first row of the session says otherwise"],
        ["6", "sessions_running_has_no_end"],
        ["7", "sessions_status_fkey"],
        ["8", "missing value"],
        ["9", "missing value"],
        ["10", "missing value: how the session began or ended is given"],
    ]
    # Again, there is nothing new.
    (tmp_path / "again.csv").write_text(header + "\n".join([rows[0], rows[1], rows[3]]) + "\n")
    done = run("load", "again.csv")
    assert "3 rows read, 0 loaded, 3 there already, 0 rejected" in done.stdout


def test_the_page_is_followed(
    some: psycopg.Connection, dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = "docs/scale-out.md"
    some.execute("UPDATE llm.sessions SET end_time = start_time, status = 'completed' WHERE end_time IS NULL")
    by_model = """
        SELECT (request_time AT TIME ZONE 'Asia/Seoul')::date, model_name, count(*), sum(token_used)
        FROM llm.session_logs JOIN llm.deployments USING (deployment_id) JOIN llm.models USING (model_id)
        GROUP BY 1, 2 ORDER BY 1, 2
    """
    stored, asked = seen(some, STORED), some.execute(by_model).fetchall()
    # The page's month is another one; its commands are the same.
    done = shell(documented(page, "archive").replace("2025-03", "2024-03"), tmp_path, DATABASE_URL=dsn)
    assert done.returncode == 0, done.stderr
    counted = seen(some, COUNTED)
    assert seen(some, STORED) == {"sessions": [], "logs": []}
    monkeypatch.chdir(tmp_path)
    assert duckdb.execute(documented(page, "duckdb")).fetchall() == asked
    # Twice: what came back may go again.
    for _ in range(2):
        done = shell(documented(page, "load").replace("2025-03", "2024-03"), tmp_path, DATABASE_URL=dsn)
        assert done.returncode == 0, done.stderr
        assert seen(some, STORED) == stored
        assert seen(some, COUNTED) == counted
        some.execute("CALL ops.refresh_rollups()")
        dropped(some)
        assert seen(some, COUNTED) == counted
