"""llm-db load: a real trace right to the unit, then what a user sees of files that are damaged."""

import csv
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
import tracemalloc
import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

import citus
from command import ROOT, drop_role, environment, llm_db
from llm_db.load import records

TRACE = ROOT.parent / "shared" / "data" / "azure-llm-trace-2023"
needs_trace = pytest.mark.skipif(not TRACE.is_dir(), reason=f"the public trace is not at {TRACE}")
TRACE_OPTIONS = [
    "--map", "request_time=TIMESTAMP",
    "--map", "token_used=ContextTokens+GeneratedTokens",
    "--map", "user_email='trace@example.com'",
]  # fmt: skip

SETUP = """
SELECT llm.found_department('플랫폼팀', 'Trace', 'trace@example.com', 'developer');
INSERT INTO llm.models (model_name, model_type) VALUES ('trace-llm', 'chat');
INSERT INTO llm.model_configs (model_id, config_name) SELECT model_id, 'default' FROM llm.models;
INSERT INTO llm.deployments (model_id, server_name, gpu_count, environment, status)
SELECT model_id, server, 8, 'production', 'active' FROM llm.models CROSS JOIN unnest(ARRAY['code', 'conv']) AS server;
INSERT INTO llm.deployments (model_id, server_name, gpu_count, environment, status)
SELECT model_id, 'twice', 8, environment, 'active'
FROM llm.models CROSS JOIN unnest(ARRAY['production', 'staging']) AS environment;
INSERT INTO llm.projects (project_name, created_by, department_id)
SELECT 'chatbot', user_id, department_id FROM llm.users;
INSERT INTO llm.prompt_templates (template_name, prompt_s3_path, task_category, version, created_by)
SELECT t.name, 's3://prompts/' || t.name, 'summarization', t.version, user_id
FROM llm.users CROSS JOIN (VALUES ('one', '1.0'), ('two', '1.0'), ('two', '2.0')) AS t (name, version);
"""

HEADER = "request_time,response_time,token_used,server_name,user_email\n"
GOOD = "2024-03-01 10:00:00,2024-03-01 10:00:02,100,code,trace@example.com\n"
LATER = "2024-03-01 10:01:00,2024-03-01 10:01:02,7,conv,Trace@Example.com\n"


@pytest.fixture
def ready(db: psycopg.Connection) -> psycopg.Connection:
    db.execute(SETUP)
    return db


@pytest.fixture
def load(ready: psycopg.Connection, dsn: str):
    def run(path: Path, *options: str) -> subprocess.CompletedProcess[str]:
        return llm_db("load", "--dsn", dsn, str(path), *options)

    return run


def written(folder: Path, content: str | bytes, name: str = "logs.csv") -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def one(db: psycopg.Connection, query: str, *parameters: object) -> tuple:
    return db.execute(query, parameters).fetchone()


def logs(db: psycopg.Connection) -> int:
    return one(db, "SELECT count(*) FROM llm.session_logs")[0]


def rejects(path: Path) -> list[dict[str, str]]:
    with path.with_name(path.name + ".rejects.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def trace_rows(service: str) -> list[tuple[datetime, int]]:
    with (TRACE / f"{service}.csv").open() as file:
        return [
            (
                datetime.strptime(row["TIMESTAMP"][:26], "%Y-%m-%d %H:%M:%S.%f").replace(tzinfo=UTC),
                int(row["ContextTokens"]) + int(row["GeneratedTokens"]),
            )
            for row in csv.DictReader(file)
        ]


def load_trace(load, folder: Path, service: str) -> subprocess.CompletedProcess[str]:
    # In a folder of the test's own, as lists of rows are written beside the file.
    link = folder / f"{service}.csv"
    if not link.exists():
        link.symlink_to(TRACE / link.name)
    return load(link, *TRACE_OPTIONS, "--map", f"server_name='{service}'")


@needs_trace
def test_trace_is_loaded_right_to_the_unit_and_only_once(load, ready, tmp_path):
    for service in ("code", "conv"):
        done = load_trace(load, tmp_path, service)
        assert done.returncode == 0, done.stderr
        assert "0 rejected" in done.stdout
        assert "rows/s" in done.stdout
    assert one(ready, "SELECT count(*), sum(token_used) FROM llm.session_logs") == (28_185, 44_756_405)
    assert ready.execute(
        "SELECT d.server_name, count(*), sum(l.token_used) FROM llm.session_logs AS l "
        "INNER JOIN llm.deployments AS d USING (deployment_id) GROUP BY d.server_name ORDER BY d.server_name"
    ).fetchall() == [("code", 8_819, 18_305_870), ("conv", 19_366, 26_450_535)]

    requests: Counter = Counter()
    tokens: Counter = Counter()
    for service in ("code", "conv"):
        for moment, used in trace_rows(service):
            requests[service, moment.replace(minute=0, second=0, microsecond=0)] += 1
            tokens[service, moment.replace(minute=0, second=0, microsecond=0)] += used
    by_hour = ready.execute(
        "SELECT d.server_name, date_trunc('hour', l.request_time, 'UTC'), count(*), sum(l.token_used) "
        "FROM llm.session_logs AS l INNER JOIN llm.deployments AS d USING (deployment_id) GROUP BY 1, 2"
    ).fetchall()
    assert {(service, hour): count for service, hour, count, _ in by_hour} == requests
    assert {(service, hour): used for service, hour, _, used in by_hour} == tokens

    # What the trace does not have stays unknown, and the seventh digit is cut off.
    assert one(ready, "SELECT count(response_time), count(latency) FROM llm.session_logs") == (0, 0)
    first = "SELECT min(request_time) FROM llm.session_logs AS l INNER JOIN llm.deployments AS d USING (deployment_id) "
    assert one(ready, first + "WHERE d.server_name = 'code'")[0] == datetime(2023, 11, 16, 18, 17, 3, 979960, UTC)
    assert one(ready, "SELECT count(*) FROM llm.session_logs_default") == (0,)

    before = ready.execute("SELECT * FROM llm.session_logs ORDER BY session_id, log_sequence").fetchall()
    again = load_trace(load, tmp_path, "code")
    assert again.returncode == 0
    assert "already loaded on" in again.stdout
    # Also when the ledger knows nothing of it.
    ready.execute("DELETE FROM llm_db.loads")
    again = load_trace(load, tmp_path, "conv")
    assert "0 loaded, 19,366 there already, 0 rejected" in again.stdout
    assert ready.execute("SELECT * FROM llm.session_logs ORDER BY session_id, log_sequence").fetchall() == before


@needs_trace
def test_a_file_that_overlaps_another_adds_only_what_is_new(load, ready, tmp_path):
    lines = (TRACE / "code.csv").read_text().splitlines(keepends=True)
    options = [*TRACE_OPTIONS, "--map", "server_name='code'"]
    assert load(written(tmp_path, "".join(lines[:1001])), *options).returncode == 0
    done = load(written(tmp_path, "".join([lines[0], *lines[501:2001]])), *options)
    assert "1,500 rows read, 1,000 loaded, 500 there already, 0 rejected" in done.stdout
    assert "0 made, 1 continued" in done.stdout
    assert one(ready, "SELECT count(*), max(log_sequence) FROM llm.session_logs") == (2000, 2000)
    start, end, first, last = one(
        ready, "SELECT start_time, end_time, min(request_time), max(request_time) FROM llm.sessions "
        "INNER JOIN llm.session_logs USING (session_id) GROUP BY 1, 2"
    )  # fmt: skip
    assert (start, end) == (first, last)


BAD_ROWS = {
    "a broken number": ("2024-03-01 10:00:05,,12x,code,trace@example.com", "token_used", "12x", "not a number"),
    "a fraction": ("2024-03-01 10:00:05,,1.5,code,trace@example.com", "token_used", "1.5", "not a whole number"),
    "a number too large": (
        "2024-03-01 10:00:05,,9999999999999999999,code,trace@example.com",
        "token_used", "9999999999999999999", "number out of range",
    ),
    "a negative number": (
        "2024-03-01 10:00:05,,-1,code,trace@example.com", "token_used", "-1", "session_logs_token_used_not_negative",
    ),
    "a broken time": (
        "2024-02-30 10:00:05,,1,code,trace@example.com", "request_time", "2024-02-30 10:00:05", "not a time",
    ),
    "a time no session_id can carry": (
        "1969-12-31 10:00:05,,1,code,trace@example.com",
        "request_time", "1969-12-31 10:00:05", "before 1970, which a session_id (UUIDv7) cannot carry",
    ),
    "a missing time": (",,1,code,trace@example.com", "request_time", "", "missing value"),
    "a missing deployment": (
        "2024-03-01 10:00:05,,1,,trace@example.com", "server_name", "", "missing value: which deployment?",
    ),
    "a missing user": ("2024-03-01 10:00:05,,1,code,", "user_email", "", "missing value: whose session?"),
    "an unknown deployment": (
        "2024-03-01 10:00:05,,1,nowhere,trace@example.com", "server_name", "nowhere", "unknown server_name",
    ),
    "an ambiguous deployment": (
        "2024-03-01 10:00:05,,1,twice,trace@example.com", "server_name", "twice", "ambiguous: 2 have this server_name",
    ),
    "an unknown user": (
        "2024-03-01 10:00:05,,1,code,no@example.com", "user_email", "no@example.com", "unknown user_email",
    ),
    "a response before its request": (
        "2024-03-01 10:00:05,2024-03-01 10:00:04,1,code,trace@example.com",
        "response_time + request_time", None, "session_logs_response_not_before_request",
    ),
    "a field too few": ("2024-03-01 10:00:05,,1,code", "", "", "4 fields where the header has 5"),
    "a field too many": ("2024-03-01 10:00:05,,1,code,trace@example.com,x", "", "", "6 fields where the header has 5"),
    "an open quote": ('2024-03-01 10:00:05,,1,"code,trace@example.com', "", "", "a quote is not closed within 1 MB"),
    "a NUL": ("2024-03-01 10:00:05,,1,co\0de,trace@example.com", "server_name", None, "has a NUL character"),
}  # fmt: skip


def test_each_bad_row_is_told_and_every_good_one_is_loaded(load, ready, tmp_path):
    path = written(tmp_path, HEADER + GOOD + "".join(f"{row}\n" for row, *_ in BAD_ROWS.values()) + LATER)
    done = load(path)
    assert done.returncode == 1
    assert f"{len(BAD_ROWS) + 2} rows read, 2 loaded, 0 there already, {len(BAD_ROWS)} rejected" in done.stdout
    assert "rejected 1: not a whole number (first in line 4)" in done.stderr
    assert str(path) + ".rejects.csv" in done.stderr

    in_file = rejects(path)
    for line, (row, column, value, rule), reject in zip(range(3, 99), BAD_ROWS.values(), in_file, strict=False):
        assert (int(reject["line"]), reject["column"], reject["rule"]) == (line, column, rule)
        assert reject["raw"] == row.replace("\0", "\\x00")
        if value is not None:
            assert reject["value"] == value
    in_table = ready.execute(
        "SELECT line, coalesce(column_name, ''), coalesce(value, ''), rule, raw FROM llm_db.load_rejects "
        "WHERE file = 'logs.csv' ORDER BY line"
    ).fetchall()
    assert in_table == [(int(r["line"]), r["column"], r["value"], r["rule"], r["raw"]) for r in in_file]
    assert len(in_table) == len(BAD_ROWS)
    assert ready.execute("SELECT log_sequence, token_used FROM llm.session_logs ORDER BY 1").fetchall() == [
        (1, 100),
        (2, 7),
    ]


def test_a_corrected_database_takes_the_rejected_rows_of_the_same_file(load, ready, tmp_path):
    path = written(tmp_path, HEADER + GOOD + GOOD.replace("code", "new"))
    assert load(path).returncode == 1
    ready.execute("UPDATE llm.deployments SET server_name = 'new' WHERE server_name = 'conv'")
    done = load(path)
    assert (done.returncode, logs(ready)) == (0, 2)
    assert "1 loaded, 1 there already, 0 rejected" in done.stdout


def test_wrong_encoding_names_line_and_byte(load, ready, tmp_path):
    path = written(tmp_path, (HEADER + GOOD).encode() + "2024-03-01 10:00:05,,1,code,김@example.com\n".encode("cp949"))
    assert load(path).returncode == 1
    (reject,) = rejects(path)
    assert (reject["line"], reject["rule"]) == ("3", "not UTF-8: byte 0xb1 at position 29 of the line")
    assert logs(ready) == 1


def test_a_huge_line_is_told_and_skipped(load, ready, tmp_path):
    path = written(tmp_path, HEADER + GOOD + "x" * 3_000_000 + "\n" + LATER)
    assert load(path).returncode == 1
    (reject,) = rejects(path)
    assert (reject["line"], reject["rule"]) == ("3", "longer than 1 MB (3,000,001 bytes)")
    assert len(reject["raw"]) < 2000
    assert logs(ready) == 2


def test_the_longest_line_is_one_megabyte(load, ready, tmp_path):
    def line(length: int) -> str:
        return GOOD.strip() + "," + "x" * (length - len(GOOD) - 1) + "\n"

    megabyte = 1024 * 1024
    path = written(tmp_path, HEADER.strip() + ",note\n" + line(megabyte) + line(megabyte + 1) + line(megabyte + 2))
    load(path)
    assert [(r["line"], r["rule"]) for r in rejects(path)] == [
        ("3", "longer than 1 MB (1,048,577 bytes)"),
        ("4", "longer than 1 MB (1,048,578 bytes)"),
    ]
    assert logs(ready) == 1


def test_a_mapped_name_is_meant_whatever_else_the_file_has(load, ready, tmp_path):
    path = written(tmp_path, "request_time,user_id,session_id,who\n2024-03-01 10:00,77,abc,trace@example.com\n")
    options = ["--map", "user_email=who", "--map", "session_id=''", "--map", "server_name='code'"]
    done = load(path, *options)
    assert done.returncode == 0, done.stderr
    assert "columns ignored: user_id, session_id" in done.stdout


def test_reading_is_right_about_quotes_boms_blank_lines_and_line_ends(load, ready, tmp_path):
    text = HEADER.strip() + ",note\n" + GOOD.strip() + ',"two\nlines, ""quoted"""\n\n' + LATER.strip() + ",\n"
    path = written(tmp_path, b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
    done = load(path)
    assert done.returncode == 0, done.stderr
    assert "2 rows read, 2 loaded" in done.stdout
    assert "columns ignored: note" in done.stdout
    assert "blank lines skipped: 1" in done.stdout


def test_duplicates_are_rejected_by_key_and_kept_without(load, ready, tmp_path):
    done = load(written(tmp_path, HEADER + GOOD + GOOD + LATER))
    assert done.returncode == 0
    assert "identical rows kept: 1" in done.stdout
    assert logs(ready) == 3
    rejected = load(written(tmp_path, HEADER + GOOD + GOOD + LATER), "--reject-duplicates")
    assert rejected.returncode == 1
    assert "0 loaded, 2 there already, 1 rejected" in rejected.stdout

    session = one(ready, "SELECT llm.uuidv7('2024-03-02 10:00+00')")[0]
    header = "session_id,log_sequence," + HEADER
    path = written(tmp_path, f"{header}{session},1,{GOOD}{session},2,{LATER}{session},1,{GOOD}", "keyed.csv")
    done = load(path)
    assert done.returncode == 1
    (reject,) = rejects(path)
    assert (reject["line"], reject["rule"]) == ("4", "session_logs_pkey: duplicate of line 2")
    assert "2 there already, 1 rejected" in load(path).stdout
    changed = written(tmp_path, f"{header}{session},1,{LATER}", "keyed.csv")
    load(changed)
    assert rejects(changed)[0]["rule"] == "session_logs_pkey: the database has another log there"


def test_given_sessions_are_continued_or_made(load, ready, tmp_path, db):
    known = one(
        ready, "INSERT INTO llm.sessions (session_id, user_id, session_type, start_time) "
        "SELECT llm.uuidv7('2024-03-01 09:59+00'), user_id, 'test', '2024-03-01 09:59+00' FROM llm.users "
        "RETURNING session_id"
    )[0]  # fmt: skip
    new, orphan = (one(ready, "SELECT llm.uuidv7('2024-03-01 10:00+00')")[0] for _ in range(2))
    version_4 = "8d3e7d0c-6b5c-4c1e-9d43-0d4a3f7a2f10"
    rows = [
        f"{known},2024-03-01 10:00:00,code,",
        f"{known},2024-03-01 10:00:01,code,",
        f"{new},2024-03-01 10:00:00,code,trace@example.com",
        f"{new},2024-03-01 10:00:03,code,",
        f"{orphan},2024-03-01 10:00:00,code,",
        f"{version_4},2024-03-01 10:00:00,code,trace@example.com",
        "abc,2024-03-01 10:00:00,code,trace@example.com",
    ]
    path = written(tmp_path, "session_id,request_time,server_name,user_email\n" + "\n".join(rows))
    assert load(path).returncode == 1
    assert [(r["line"], r["rule"]) for r in rejects(path)] == [
        ("6", "missing value: the session is not there, so whose is it?"),
        ("7", "sessions_session_id_is_uuidv7"),
        ("8", "not a UUID"),
    ]
    assert ready.execute(
        "SELECT s.session_id, s.status, count(*), max(l.log_sequence) FROM llm.sessions AS s "
        "INNER JOIN llm.session_logs AS l USING (session_id) GROUP BY 1, 2 ORDER BY 1"
    ).fetchall() == sorted([(known, "running", 2, 2), (new, "completed", 2, 2)])


@citus.deadlock_of_orders
def test_a_load_waits_for_writers_of_its_sessions_without_ending_one(load, ready, dsn, tmp_path):
    """They come to the sessions in any order, several in one transaction, while it needs all of them."""
    sessions = [
        session
        for (session,) in ready.execute(
            "INSERT INTO llm.sessions (user_id, session_type) SELECT user_id, 'test' "
            "FROM llm.users, generate_series(1, 10) RETURNING session_id"
        )
    ]
    stop = threading.Event()

    def write(number: int) -> int:
        chance, written_logs = random.Random(number), 0
        with psycopg.connect(dsn, options="-c statement_timeout=60s") as writer:
            # Busy, but no more than services are: each log comes after an answer.
            while not stop.wait(0.02):
                chosen = chance.choices(sessions, k=5)
                for session in chosen:
                    writer.execute(
                        "INSERT INTO llm.session_logs (session_id, deployment_id) "
                        "SELECT %s, min(deployment_id) FROM llm.deployments",
                        [session],
                    )
                writer.commit()
                written_logs += len(chosen)
        return written_logs

    with ThreadPoolExecutor(4) as pool:
        writers = [pool.submit(write, number) for number in range(4)]
        try:
            for n in range(3):
                rows = [f"{session},2024-03-01 10:00:0{n},code" for session in sessions]
                path = written(tmp_path, "session_id,request_time,server_name\n" + "\n".join(rows), f"{n}.csv")
                done = load(path, "--wait", "600")
                assert done.returncode == 0, done.stderr
        finally:
            stop.set()
        appended = sum(writer.result() for writer in writers)
    assert logs(ready) == appended + 3 * len(sessions)
    assert one(ready, "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()") == (0,)


def test_sessions_are_made_per_owner_and_pause(load, ready, tmp_path):
    moments = [("10:00", ""), ("10:29", ""), ("10:59", ""), ("10:30", "chatbot"), ("10:31", "chatbot")]
    rows = "".join(f"2024-03-01 {at},code,trace@example.com,{project}\n" for at, project in moments)
    path = written(tmp_path, "request_time,server_name,user_email,project_name\n" + rows)
    assert "sessions: 3 made" in load(path).stdout
    assert ready.execute(
        "SELECT s.start_time AT TIME ZONE 'UTC' = llm.uuidv7_time(s.session_id) AT TIME ZONE 'UTC', "
        "s.project_id IS NULL, s.session_type, count(*) "
        "FROM llm.sessions AS s INNER JOIN llm.session_logs USING (session_id) "
        "GROUP BY s.session_id ORDER BY s.start_time"
    ).fetchall() == [(True, True, "production", 2), (True, False, "production", 2), (True, True, "production", 1)]


def test_configs_and_templates_are_found_by_name(load, ready, tmp_path):
    rows = ["default,one,", "other,one,", "default,two,", "default,two,2.0", "default,three,", ",,"]
    lines = [f"2024-03-01 10:00:0{n},code,trace@example.com,{row}" for n, row in enumerate(rows)]
    path = written(
        tmp_path, "request_time,server_name,user_email,config_name,template_name,version\n" + "\n".join(lines)
    )
    assert load(path).returncode == 1
    assert [(r["line"], r["column"], r["value"], r["rule"]) for r in rejects(path)] == [
        ("3", "config_name", "other", "unknown config_name"),
        ("4", "template_name", "two", "ambiguous: 2 have this template_name"),
        ("6", "template_name", "three", "unknown template_name"),
    ]
    assert ready.execute(
        "SELECT template_name, version, usage_count FROM llm.prompt_templates ORDER BY 1, 2"
    ).fetchall() == [("one", "1.0", 1), ("two", "1.0", 0), ("two", "2.0", 1)]


def test_ndjson_and_its_broken_lines(load, ready, tmp_path):
    good = {
        "ts": "2024-03-01T10:00:00+09:00",
        "token_used": 5,
        "server_name": "code",
        "user_email": "trace@example.com",
    }
    lines = [
        json.dumps(good),
        json.dumps(good)[:-9],
        "[1]",
        json.dumps({**good, "token_used": True}),
        json.dumps({**good, "token_used": 1.5}),
        json.dumps({**good, "server_name": {"a": "긴 이름"}}),
        json.dumps({**good, "server_name": "\ud800"}),
        json.dumps({**good, "token_used": float("nan")}),
        json.dumps({**good, "extra": 1}),
    ]
    path = written(tmp_path, "\n".join(lines), "logs.ndjson")
    done = load(path, "--map", "request_time=ts")
    assert done.returncode == 1
    assert "columns ignored: extra" in done.stdout
    assert "2 loaded" in done.stdout
    rules = [(r["line"], r["rule"]) for r in rejects(path)]
    assert rules[0][0] == "2"
    assert rules[0][1].startswith("not JSON: ")
    assert rules[1:] == [
        ("3", "not a JSON object"),
        ("4", "not a plain value"),
        ("5", "not a whole number"),
        ("6", "not a plain value"),
        ("7", "has half a character (a lone surrogate)"),
        ("8", "not JSON: NaN is not JSON"),
    ]
    assert one(ready, "SELECT min(request_time) FROM llm.session_logs")[0] == datetime(2024, 3, 1, 1, tzinfo=UTC)


def test_half_a_sum_is_not_a_sum(load, ready, tmp_path):
    rows = "2024-03-01 10:00,1,2\n2024-03-01 10:01,1,\n2024-03-01 10:02,,\n2024-03-01 10:03,1,x\n"
    path = written(tmp_path, "request_time,a,b\n" + rows)
    options = ["--map", "token_used=a+b", "--map", "server_name='code'", "--map", "user_email='trace@example.com'"]
    assert load(path, *options, "--time-zone", "Asia/Seoul").returncode == 1
    assert [(r["line"], r["column"], r["rule"]) for r in rejects(path)] == [
        ("3", "b", "missing value"),
        ("5", "b", "not a number"),
    ]
    assert ready.execute("SELECT token_used, request_time FROM llm.session_logs ORDER BY log_sequence").fetchall() == [
        (3, datetime(2024, 3, 1, 1, tzinfo=UTC)),
        (None, datetime(2024, 3, 1, 1, 2, tzinfo=UTC)),
    ]


@pytest.mark.parametrize(
    ("name", "content", "options", "message"),
    [
        ("logs.csv", "", [], "is empty"),
        ("logs.ndjson", "\n", [], "has only blank lines"),
        ("logs.txt", HEADER + GOOD, [], "does not say by its name"),
        ("logs.csv", GOOD, [], "No column gives request_time"),
        ("logs.csv", "\n" + HEADER, [], "is blank"),
        ("logs.csv", HEADER.strip() + ",token_used\n", [], "names a column twice: token_used"),
        ("logs.csv", (HEADER + GOOD).encode("utf-16"), [], "is UTF-16"),
        ("logs.csv", "시각,x\n".encode("cp949"), [], "not UTF-8"),
        ("logs.csv", "request_time,token_used\n", [], "No column gives the deployment"),
        ("logs.csv", "request_time,server_name\n", [], "No column gives the session or its user"),
        ("logs.csv", HEADER + GOOD, ["--map", "request_time=WHEN"], "the file has no column WHEN"),
        ("logs.csv", HEADER + GOOD, ["--map", "request_tim=a"], "there is no target request_tim"),
        ("logs.csv", HEADER + GOOD, ["--map", "request_time"], "is not target=source"),
        ("logs.csv", HEADER + GOOD, ["--map", "token_used='many'"], "is not a number"),
        ("logs.csv", HEADER + GOOD, ["--map", "server_name=token_used+user_email"], "only token_used can be a sum"),
        ("logs.csv", HEADER + GOOD, ["--time-zone", "Mars"], "There is no time zone Mars"),
        ("logs.ndjson", '{"request_time": "2024-03-01"}', ["--map", "token_used=tokens"], "has tokens, which"),
    ],
)
def test_a_file_that_cannot_be_loaded_is_told_in_a_sentence(load, ready, tmp_path, name, content, options, message):
    done = load(written(tmp_path, content, name), *options)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr.splitlines()[0]
    assert done.stderr.splitlines()[1].startswith("hint: ")
    assert logs(ready) == 0


def test_a_header_without_rows_is_nothing_to_load(load, ready, tmp_path):
    done = load(written(tmp_path, HEADER))
    assert done.returncode == 0
    assert "no rows" in done.stdout


def test_a_missing_file_and_an_empty_database_are_told(load, empty_dsn, tmp_path):
    done = load(tmp_path / "none.csv")
    assert done.returncode == 2
    assert "No such file" in done.stderr
    done = llm_db("load", "--dsn", empty_dsn, str(written(tmp_path, HEADER + GOOD)))
    assert done.returncode == 2
    assert "llm-db migrate" in done.stderr


def test_reject_rules_are_the_names_of_constraints(ready):
    rules = {rule for *_, rule in BAD_ROWS.values() if rule.startswith("session")}
    rules |= {"sessions_session_id_is_uuidv7", "sessions_session_type_fkey", "session_logs_pkey"}
    names = {name for (name,) in ready.execute("SELECT conname FROM pg_catalog.pg_constraint")}
    assert rules <= names


def many_rows(folder: Path, count: int) -> Path:
    row = "2024-03-01 {:02}:{:02}:{:02}.{:06},,1,code,trace@example.com\n"
    return written(folder, HEADER + "".join(row.format(n // 3600 % 24, n // 60 % 60, n % 60, n) for n in range(count)))


def start(dsn: str, path: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "llm_db", "load", "--dsn", dsn, str(path)]
    return subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_a_killed_load_leaves_nothing(load, ready, dsn, tmp_path):
    path = many_rows(tmp_path, 20_000)
    loader = start(dsn, path)
    writing = (
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state = 'active' "
        "AND query LIKE '%%INSERT INTO llm.session_logs%%' AND pid <> pg_backend_pid()"
    )
    while one(ready, writing)[0] == 0:
        assert loader.poll() is None, loader.communicate()
        time.sleep(0.01)
    os.kill(loader.pid, signal.SIGKILL)
    loader.communicate()
    assert (logs(ready), one(ready, "SELECT count(*) FROM llm.sessions")[0]) == (0, 0)
    assert one(ready, "SELECT count(*) FROM llm_db.loads") == (0,)
    # The killed one's session ends when the server notices; the next load waits for its turn.
    assert load(path).returncode == 0
    assert logs(ready) == 20_000


def test_two_loads_of_one_file_at_once_load_it_once(ready, dsn, tmp_path):
    path = many_rows(tmp_path, 5_000)
    loaders = [start(dsn, path) for _ in range(2)]
    outputs = [loader.communicate(timeout=180) for loader in loaders]
    assert [loader.returncode for loader in loaders] == [0, 0], outputs
    assert logs(ready) == 5_000
    assert sum("5,000 loaded" in out for out, _ in outputs) == 1
    assert sum("already loaded" in out for out, _ in outputs) == 1


def test_a_role_that_may_only_write_logs_loads_and_fills_default(ready, dsn, tmp_path):
    """It makes neither months nor tables of its own, not for the first file either."""
    role = f"writer_{uuid.uuid4().hex}"
    ready.execute(
        f"CREATE ROLE {role} LOGIN; GRANT USAGE ON SCHEMA llm, llm_db TO {role};"
        f"GRANT SELECT ON ALL TABLES IN SCHEMA llm TO {role};"
        f"GRANT INSERT, UPDATE ON llm.sessions, llm.session_logs TO {role};"
        f"GRANT SELECT, INSERT ON llm_db.loads TO {role};"
        f"GRANT SELECT, INSERT, DELETE ON llm_db.load_rejects TO {role}"
    )
    try:
        path = written(tmp_path, HEADER + GOOD + GOOD.replace("code", "nowhere"))
        done = llm_db("load", "--dsn", make_conninfo(dsn, options=f"-c role={role}"), str(path))
    finally:
        drop_role(dsn, role)
    assert done.returncode == 1, done.stderr
    assert "their rows go to DEFAULT" in done.stderr
    assert one(ready, "SELECT count(*) FROM llm_db.load_rejects") == (1,)
    assert one(ready, "SELECT count(*) FROM llm.session_logs_default") == (1,)


def test_memory_stays_flat(load, ready, tmp_path):
    path = many_rows(tmp_path, 30_000)
    tracemalloc.start()
    with path.open("rb") as file:
        names = records.read_header(file, path)
        assert sum(1 for _ in records.csv_records(file, names, records.Notes())) == 30_000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_000_000
