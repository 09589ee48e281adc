"""Whatever a file holds, a bad line costs one line: every line is loaded, there or rejected, each reject tells line,
value and rule, and every report answers afterwards."""

import csv
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, timedelta, timezone
from pathlib import Path
from tempfile import TemporaryDirectory
from zoneinfo import ZoneInfo

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import sql

from command import environment, llm_db
from llm_db.errors import printable
from llm_db.load import values
from llm_db.load.mapping import TARGETS

SETUP = """
SELECT llm.found_department('D1', 'Kim', 'kim@example.com');
INSERT INTO llm.models (model_name, model_type) VALUES ('m1', 'chat');
INSERT INTO llm.deployments (model_id, server_name, gpu_count, environment, status)
SELECT model_id, 's1', 1, 'production', 'active' FROM llm.models;
"""
QUICK = settings(
    max_examples=20,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
SESSION = "019a0000-0000-7000-8000-0000000000aa"

# By target: what is good, and what somebody has written where that was meant. Python takes much of it.
GOOD = {"request_time": "2026-11-20T10:00:00Z", "server_name": "s1", "user_email": "kim@example.com"}
NASTY = {
    "request_time": [
        "2026-01-01T00:00:00+16:00", "1970-01-01T00:00:00+09:00", "20260320223411096", "20271231x1000", "2026-11-20",
        "0001-01-01T00:00:00Z", "9999-12-31T23:59:59-15:59", "294276-12-31", "-infinity", "infinity", "now", "epoch",
        "2026-11-20T10:00:00.123456789+15:59", "2026-11-20T10:00:60Z", "2026-11-20T24:00:00Z", "2026-W47-5", "",
        "２０２６-11-20T10:00:00Z", "2026-11-20\u00a010:00", "2099-12-31 23:59:59", "2005-03-01 00:00", "1763632800",
    ],
    "response_time": ["2026-11-20T10:00:01Z", "9999-12-31T00:00:00Z", "2027-11-20T10:00:00Z", "x", ""],
    "token_used": [
        "9223372036854775807", "9223372036854775808", "-9223372036854775809", "1e3", "1_000", "0x10", "１２", "+7",
        "12.0", "1" * 5000, "NaN", "-0", "100000001",
    ],
    "session_id": [
        SESSION, SESSION.upper(), "{" + SESSION + "}", "urn:uuid:" + SESSION, "0x9aa0000000700080000000000000aa",
        "ffffffff-ffff-7fff-bfff-ffffffffffff", "00000000-0000-7000-8000-000000000000", "",
        "8d3e7d0c-6b5c-4c1e-9d43-0d4a3f7a2f10", "０19a0000-0000-7000-8000-0000000000aa",
        "0-1-9a0000000070008000000000000000aa",
    ],
    "log_sequence": ["2147483647", "2147483648", "-2147483649", "0", "1", "-1", ""],
    "server_name": ["\x1b[31ms1", "s1\0", " s1\u3000", "\u202es1", "a" * 140_000, "S1"],
    "user_email": ["KIM@EXAMPLE.COM", "kim@example.com\n", "\\N", "\\.", "kim\t@example.com"],
    "session_type": ["production", "no such type", "\ufeff"],
    "response_s3_path": ["s3://bucket/a\x1b[2J", "s3://b/x", "/etc/passwd", "s3://bucket/" + "k" * 70_000],
    "deployment_id": ["1", "999", "9223372036854775807", "1.5"],
    "note": ["x" * 200_000, 'a "quoted" word', "two\nlines", "\u2028", "\\"],
}  # fmt: skip
LIKELY = st.fixed_dictionaries(
    {
        column: st.sampled_from([GOOD[column]] * 12 + NASTY[column])
        if column in GOOD
        else st.sampled_from([""] * 12 + NASTY[column])
        for column in NASTY
    }
)
RECORDS = st.lists(LIKELY | LIKELY.map(lambda record: record | {"note": "n"}), min_size=1, max_size=12)
DAMAGE = st.lists(
    st.sampled_from(
        [b"\xff\xfe", b"\0", b'"', b"\r", b"\xef\xbb\xbf", b"\xed\xa0\x80", b"a,b", b"\x1f\x8b", b"{}", b"\n"]
    )
    | st.binary(max_size=20),
    max_size=4,
)


@pytest.fixture
def ready(db: psycopg.Connection) -> psycopg.Connection:
    db.execute(SETUP)
    return db


def every_report_answers(db: psycopg.Connection) -> None:
    for _ in range(2):
        for (view,) in db.execute("SELECT viewname FROM pg_catalog.pg_views WHERE schemaname = 'reporting'").fetchall():
            db.execute(sql.SQL("SELECT * FROM reporting.{}").format(sql.Identifier(view)))
        db.execute("CALL ops.refresh_rollups()")


def load_whatever(db: psycopg.Connection, dsn: str, name: str, content: bytes) -> None:
    before = db.execute("SELECT count(*) FROM llm.session_logs").fetchone()[0]
    with TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(content)
        done = llm_db("load", "--dsn", dsn, str(path), "--json", "--reject-duplicates")
        document = json.loads(done.stdout)
        assert done.returncode in (0, 1), done.stderr
        assert "error" not in document, done.stderr
        if "loaded" not in document:
            assert document["already_loaded"]
            return
        assert document["read"] == document["loaded"] + document["present"] + document["rejected"]
        after = db.execute("SELECT count(*) FROM llm.session_logs").fetchone()[0]
        assert after - before == document["loaded"]
        assert done.returncode == bool(document["rejected"] + document["listed"])
        for table in ("rejected", "listed"):
            kind = {"rejected": "rejects", "listed": "present"}[table]
            assert (f"{kind}_file" in document) is bool(document[table])
            if document[table]:
                csv.field_size_limit(10**7)
                with open(document[f"{kind}_file"], encoding="utf-8", newline="") as file:
                    told = list(csv.DictReader(file))
                assert len(told) == document[table]
                assert all(int(row["line"]) > 0 and row["rule"] for row in told)


def spoilt(lines: list[bytes], damage: list[bytes]) -> bytes:
    """The damage lies between the lines, and at the end of some."""
    for at, bytes_ in enumerate(damage):
        where = (7 * at + len(bytes_)) % len(lines) + 1
        lines = [*lines[:where], bytes_, *lines[where:]] if at % 2 else [*lines[:-1], lines[-1] + bytes_]
    return b"\n".join(lines)


def test_csv(ready: psycopg.Connection, dsn: str) -> None:
    @QUICK
    @given(RECORDS, DAMAGE)
    def check(records: list[dict[str, str]], damage: list[bytes]) -> None:
        lines = []
        for record in records:
            out = io.StringIO()
            csv.writer(out, lineterminator="").writerow(record.values())
            lines.append(out.getvalue().encode())
        load_whatever(ready, dsn, "logs.csv", ",".join(NASTY).encode() + b"\n" + spoilt(lines, damage))

    check()
    every_report_answers(ready)


def test_ndjson(ready: psycopg.Connection, dsn: str) -> None:
    other = st.sampled_from([True, None, 1.5, 10**400, [[]], {"a": {}}, "\ud800", "\0", float("nan"), 7])
    key = st.sampled_from(["\ud800x", "\0", "\x1b[31mred", "note", *GOOD, "token_used"])

    @QUICK
    @given(RECORDS, st.lists(st.tuples(key, other), max_size=6), DAMAGE)
    def check(records: list[dict[str, str]], more: list[tuple[str, object]], damage: list[bytes]) -> None:
        rows = [dict(record) for record in records]
        for at, (name, value) in enumerate(more):
            rows[at % len(rows)][name] = value
        lines = [json.dumps(GOOD).encode(), *(json.dumps(row).encode() for row in rows)]
        lines.append(b'{"request_time": ' + b"[" * 100_000)
        load_whatever(ready, dsn, "logs.ndjson", spoilt(lines, damage))

    check()
    every_report_answers(ready)


@pytest.mark.parametrize("kind", ["csv", "ndjson"])
def test_what_is_hardly_a_file(ready: psycopg.Connection, dsn: str, kind: str) -> None:
    parts = st.sampled_from([*GOOD, "\ufeff", ",", '"', "\n", "\0", "{", "}", ":", "[", "é", "\r", "1"]).map(str.encode)

    @settings(QUICK, max_examples=25)
    @given(st.lists(parts | st.binary(max_size=6), max_size=12))
    def check(content: list[bytes]) -> None:
        with TemporaryDirectory() as folder:
            path = Path(folder) / f"logs.{kind}"
            path.write_bytes(b"".join(content))
            done = llm_db("load", "--dsn", dsn, str(path))
        assert done.returncode in (0, 1, 2)
        assert "unexpectedly" not in done.stderr

    check()


TIMES = st.datetimes(timezones=st.sampled_from([None, UTC]) | st.integers(-1439, 1439).map(
    lambda minutes: timezone(timedelta(minutes=minutes))
)).map(lambda time: time.isoformat())  # fmt: skip
SPOILERS = st.sampled_from(list(" TtZz+-:.,/x０9\u00a0\n"))


def edited(texts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Mostly right, with a character put in, or one put out."""
    return st.builds(
        lambda text, at, put, cut: text[: at % (len(text) + 1)] + put + text[at % (len(text) + 1) + cut :],
        texts, st.integers(0, 40), st.just("") | SPOILERS, st.integers(0, 1),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("type_", "read", "texts"),
    [
        ("timestamptz", lambda text: values.time(text, ZoneInfo("Asia/Seoul")), edited(TIMES)),
        ("uuid", values.uuid, edited(st.uuids().map(str))),
        ("bigint", values.integer, edited(st.integers(-(10**20), 10**20).map(str))),
        ("integer", values.sequence, edited(st.integers(-(2**32), 2**32).map(str))),
        ("text", values.name, st.text(st.characters())),
    ],
)
def test_what_is_read_is_what_the_server_takes(
    db: psycopg.Connection, type_: str, read: Callable[[str], object], texts: st.SearchStrategy[str]
) -> None:
    taken: list[str] = []

    @settings(QUICK, max_examples=200)
    @given(texts)
    def check(text: str) -> None:
        try:
            taken.append(str(read(text)))
        except values.BadValue:
            return

    check()
    assert taken
    db.execute(f"CREATE TEMPORARY TABLE taken (value {type_})")
    with db.cursor().copy("COPY taken FROM STDIN") as copy:
        copy.write("".join(f"{value}\n" for value in taken).encode())
    assert db.execute("SELECT count(*) FROM taken").fetchone() == (len(taken),)


def test_every_target_is_read_by_one_of_the_grammars() -> None:
    assert set(TARGETS.values()) == {values.time, values.uuid, values.integer, values.sequence, values.name}


CONTENT = "request_time,user_email,server_name\n2026-11-21T10:00:00Z,kim@example.com,s1\nx,kim@example.com,s1\n"


def run_in(folder: Path, *arguments: str | bytes, **options: object) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "llm_db", "load", *arguments]
    done = subprocess.run(command, env=environment(), cwd=folder, capture_output=True, **options)
    assert b"Traceback" not in done.stderr
    return done


@pytest.mark.parametrize("source", ["-", "/dev/stdin", "fifo"])
def test_a_pipe_is_read_once(ready: psycopg.Connection, dsn: str, tmp_path: Path, source: str) -> None:
    stdin = None
    if source == "fifo":
        os.mkfifo(tmp_path / "fifo")
        # As <(...) does.
        subprocess.Popen(["sh", "-c", 'printf %s "$0" > fifo', CONTENT], cwd=tmp_path)
    else:
        stdin = CONTENT.encode()
    done = run_in(tmp_path, source, "--format", "csv", "--dsn", dsn, input=stdin)
    assert done.returncode == 1, done.stderr
    assert b"2 rows read, 1 loaded, 0 there already, 1 rejected" in done.stdout
    assert "not a time" in (tmp_path / "pipe.rejects.csv").read_text(encoding="utf-8")
    (tmp_path / "same.csv").write_text(CONTENT, encoding="utf-8")
    again = run_in(tmp_path, "same.csv", "--dsn", dsn)
    assert b"0 loaded, 1 there already, 1 rejected" in again.stdout
    assert b"--new" not in again.stderr


def test_a_name_that_is_not_utf8(ready: psycopg.Connection, dsn: str, tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"\xb1\xff.csv")).write_text(CONTENT, encoding="utf-8")
    done = run_in(tmp_path, b"\xb1\xff.csv", "--dsn", dsn)
    assert done.returncode == 1, done.stderr
    assert b"\\udcb1\\udcff.csv: 2 rows read, 1 loaded" in done.stdout
    assert (tmp_path / os.fsdecode(b"\xb1\xff.csv.rejects.csv")).exists()
    assert ready.execute("SELECT file FROM llm_db.loads").fetchall() == [("\\udcb1\\udcff.csv",)]
    done = run_in(tmp_path, b"\xb1\xff.csv", "--map", b"token_used=\xb1", "--dsn", dsn)
    assert done.returncode == 2
    assert b"error: --map token_used=\\udcb1 is not UTF-8." in done.stderr


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("logs.csv.gz", b"\x1f\x8b\x08\x08", "is compressed"),
        ("logs.csv", CONTENT.encode("utf-16-le"), "is UTF-16"),
        ("logs.ndjson", json.dumps(GOOD).encode("utf-16-be"), "is UTF-16"),
        ("logs.csv", CONTENT.replace("\n", "\r").encode(), "is not CSV"),
    ],
)
def test_what_is_no_such_file_is_told(
    ready: psycopg.Connection, dsn: str, tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    (tmp_path / name).write_bytes(content)
    done = llm_db("load", "--dsn", dsn, str(tmp_path / name))
    assert done.returncode == 2
    assert message in done.stderr


@pytest.mark.parametrize("in_the_way", ["logs.csv.rejects.csv", "logs.csv.rejects.csv.part"])
def test_nothing_is_loaded_that_could_not_be_told(
    ready: psycopg.Connection, dsn: str, tmp_path: Path, in_the_way: str
) -> None:
    (tmp_path / "logs.csv").write_text(CONTENT, encoding="utf-8")
    (tmp_path / in_the_way).mkdir()
    done = llm_db("load", "--dsn", dsn, str(tmp_path / "logs.csv"))
    assert done.returncode == 2
    assert "Cannot write" in done.stderr
    assert "Nothing was loaded" in done.stderr
    assert ready.execute("SELECT count(*) FROM llm.session_logs").fetchone() == (0,)


def test_nothing_acts_on_the_terminal(ready: psycopg.Connection, dsn: str, tmp_path: Path) -> None:
    columns = [f"\x1b[3{n}m\u202ecolumn {n}" for n in range(10_000)]
    path = tmp_path / "logs.ndjson"
    path.write_text(json.dumps(GOOD | dict.fromkeys(columns, 1)), encoding="utf-8")
    done = llm_db("load", "--dsn", dsn, str(path))
    assert done.returncode == 0, done.stderr
    assert "columns ignored: \\x1b[30m\\u202ecolumn 0" in done.stdout
    assert "column 9 and 9,990 more" in done.stdout
    ready.execute(
        "CREATE VIEW reporting.\"a\x1b[2J\" AS SELECT E's3://bucket/\\x1b[2J\\u202e\\n' AS path, 1 AS requests"
    )
    ready.execute("COMMENT ON VIEW reporting.\"a\x1b[2J\" IS E'\\x1b]0;title\\x07'")
    for shown in (llm_db("report", "--dsn", dsn), llm_db("report", "a\x1b[2J", "--dsn", dsn)):
        assert shown.returncode == 0, shown.stderr
        assert "\x1b" not in shown.stdout
        assert "\\x1b" in shown.stdout
    assert "\x1b" not in llm_db("report", "\x1b[2J", "--dsn", dsn).stderr


@given(st.text(st.characters()))
def test_printable_text_is_printed_as_it_is(text: str) -> None:
    shown = printable(text)
    assert shown.encode("utf-8").decode("utf-8").splitlines() in ([shown], [])
    assert shown == text or any(not character.isprintable() for character in text)
