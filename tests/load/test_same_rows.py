"""Which rows are the same request? What a key or an earlier load of the file tells is certain; the rest is listed, and
--new loads it. No row is dropped or doubled without a word."""

import csv
import json
import os
import signal
from collections.abc import Callable, Iterable
from pathlib import Path
from subprocess import CompletedProcess

import psycopg
import pytest

from command import ROOT, llm_db

TRACE = ROOT.parent / "shared" / "data" / "azure-llm-trace-2023" / "conv.csv"
SETUP = """
SELECT llm.found_department('D1', 'Kim', 'kim@example.com');
INSERT INTO llm.models (model_name, model_type) VALUES ('m1', 'chat');
INSERT INTO llm.deployments (model_id, server_name, gpu_count, environment, status)
SELECT model_id, 's1', 1, 'production', 'active' FROM llm.models;
"""
MAPPING = ["--map", "server_name='s1'", "--map", "user_email='kim@example.com'"]
HEADER = "request_time,response_time,token_used,response_s3_path"

Write = Callable[..., Path]
Load = Callable[..., CompletedProcess[str]]


@pytest.fixture
def ready(db: psycopg.Connection) -> psycopg.Connection:
    db.execute(SETUP)
    return db


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(name: str, rows: Iterable[str], header: str = HEADER) -> Path:
        path = tmp_path / name
        path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
        return path

    return write


@pytest.fixture
def load(ready: psycopg.Connection, dsn: str) -> Load:
    return lambda path, *options: llm_db("load", "--dsn", dsn, str(path), *MAPPING, *options)


def told(done: CompletedProcess[str]) -> str:
    """read, loaded, there already, rejected; and how many sessions got a log."""
    return done.stdout.partition(": ")[2].partition(" in ")[0]


def listed(path: Path) -> list[tuple[int, str, str]]:
    with path.with_name(f"{path.name}.present.csv").open(encoding="utf-8", newline="") as file:
        return [(int(row["line"]), row["column"], row["rule"]) for row in csv.DictReader(file)]


def logs(db: psycopg.Connection) -> int:
    return db.execute("SELECT count(*) FROM llm.session_logs").fetchone()[0]


EQUAL = "there already: equal to this log of another file or writer"


@pytest.mark.skipif(not TRACE.is_file(), reason=f"the public trace is not at {TRACE}")
@pytest.mark.parametrize(("digits", "count"), [(26, 12_031), (19, 10_000)], ids=["as it is", "whole seconds"])
def test_two_gateways_lose_no_row(load: Load, ready: psycopg.Connection, write: Write, digits: int, count: int) -> None:
    with TRACE.open(encoding="utf-8") as file:
        rows = [
            f"{row['TIMESTAMP'][:digits]},,{int(row['ContextTokens']) + int(row['GeneratedTokens'])},"
            for row, _ in zip(csv.DictReader(file), range(count), strict=False)
        ]
    one, two = write("one.csv", rows[::2]), write("two.csv", rows[1::2])
    assert load(one).returncode == 0
    document = json.loads(load(two, "--json").stdout)
    same = document["listed"]
    assert document["present"] == same
    assert document["loaded"] == len(rows) // 2 - same
    assert logs(ready) + same == len(rows)
    if same:
        assert {rule for _, _, rule in listed(two)} == {EQUAL}
        assert len(listed(two)) == same
        # Said once more, until somebody decides.
        again = load(two)
        assert again.returncode == 1
        assert "already loaded on" in again.stdout
        assert f"{same:,} of these rows were taken for logs that were there" in again.stderr
        assert load(two, "--new").returncode == 0
    assert logs(ready) == len(rows)
    for path in (one, two):
        for options in ([], ["--new"]):
            done = load(path, *options)
            assert done.returncode == 0
            assert "already loaded on" in done.stdout
    assert logs(ready) == len(rows)


ROWS = [f"2026-03-01 10:{n:02}:00,2026-03-01 10:{n:02}:05,{n},s3://answers/{n}" for n in range(10)]


def test_a_file_that_has_grown_is_certain(load: Load, ready: psycopg.Connection, write: Write) -> None:
    path = write("log.csv", [*ROWS[:5], ROWS[4]])
    assert load(path).returncode == 0
    # What was equal then is so still, and what comes twice in the file is two requests.
    path = write("log.csv", [*ROWS[:5], ROWS[4], *ROWS[5:7], ROWS[6]])
    done = load(path)
    assert (done.returncode, told(done)) == (0, "9 rows read, 3 loaded, 6 there already, 0 rejected")
    assert "sessions: 0 made, 1 continued" in done.stdout
    # Nothing new, in other words; a request of before comes again at the end.
    path = write("log.csv", [*ROWS[:5], ROWS[4], *ROWS[5:7], ROWS[6], ROWS[0]])
    document = json.loads(load(path, "--new", "--json").stdout)
    assert (document["loaded"], document["present"], document["listed"], document["sessions"]) == (1, 9, 0, 1)
    assert logs(ready) == 10


def test_sessions_that_got_no_log_are_not_continued(load: Load, write: Write) -> None:
    load(write("one.csv", ROWS[:2]))
    far = ROWS[0].replace("2026-03-01", "2026-03-02")
    done = load(write("two.csv", [*ROWS[:2], far]))
    assert "sessions: 1 made, 0 continued" in done.stdout


def test_a_file_exported_again_is_listed_not_doubled(load: Load, ready: psycopg.Connection, write: Write) -> None:
    load(write("one.csv", ROWS))
    swapped = [",".join(reversed(row.split(","))) for row in reversed(ROWS)]
    path = write("two.csv", swapped, ",".join(reversed(HEADER.split(","))))
    done = load(path)
    assert (done.returncode, told(done)) == (1, "10 rows read, 0 loaded, 10 there already, 0 rejected")
    assert [line for line, *_ in listed(path)] == list(range(2, 12))
    kept = "SELECT count(*) FROM llm_db.load_rejects WHERE rule LIKE 'there already: %'"
    assert ready.execute(kept).fetchone() == (10,)
    assert logs(ready) == 10


# The threads of the test run are not used by what is forked.
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_what_a_load_listed_that_was_killed_after_its_commit_is_listed_by_the_next(
    load: Load, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [f"2024-03-01 10:00:{second:02},,1," for second in range(10)]
    path = write("one.csv", rows[3:])
    assert load(write("two.csv", rows)).returncode == 0
    process = os.fork()
    if process == 0:
        # What it does once it has committed: it gives the list its name.
        monkeypatch.setattr(Path, "replace", lambda *_: os.kill(os.getpid(), signal.SIGKILL))
        load(path)
        os._exit(0)
    assert os.WIFSIGNALED(os.waitpid(process, 0)[1])
    again = load(path)
    assert again.returncode == 1
    assert "already loaded on" in again.stdout
    assert [line for line, *_ in listed(path)] == list(range(2, 9))
    assert sorted(path.parent.glob("*.part")) == []


def test_what_services_wrote_is_listed_too(load: Load, ready: psycopg.Connection, write: Write) -> None:
    ready.execute(
        "INSERT INTO llm.sessions (session_id, user_id, session_type, start_time)"
        " SELECT llm.uuidv7('2026-03-01 10:00Z'), user_id, 'production', '2026-03-01 10:00Z' FROM llm.users"
    )
    ready.execute(
        "INSERT INTO llm.session_logs (session_id, deployment_id, request_time) SELECT session_id, deployment_id,"
        " '2026-03-01 10:00Z' FROM llm.sessions, llm.deployments"
    )
    path = write("export.csv", ["2026-03-01 10:00,,,"])
    assert load(path).returncode == 1
    assert listed(path) == [(2, "session_id + log_sequence", EQUAL)]
    assert load(path, "--new").returncode == 0
    assert logs(ready) == 2


def test_a_key_is_certain(load: Load, ready: psycopg.Connection, write: Write) -> None:
    session = ready.execute("SELECT llm.uuidv7('2026-03-01 10:00Z')").fetchone()[0]
    rows = [f"{session},{n},{row}" for n, row in enumerate(ROWS, start=1)]
    header = f"session_id,log_sequence,{HEADER}"
    load(write("one.csv", rows, header))
    done = load(write("two.csv", reversed(rows), header))
    assert (done.returncode, told(done)) == (0, "10 rows read, 0 loaded, 10 there already, 0 rejected")


STATES = ["2026-03-01 10:00:00,,,", "2026-03-01 10:00:00,2026-03-01 10:00:05,,", ROWS[0].replace(",0,", ",7,")]


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 1, 0], [0, 2, 1], [1, 0, 2]])
def test_states_of_one_request_are_one_log(
    load: Load, ready: psycopg.Connection, write: Write, order: list[int]
) -> None:
    """In one file the last state is loaded and the others are listed; of several files, whichever came first."""
    states = [STATES[n] for n in order]
    path = write("all.csv", states)
    done = load(path)
    assert (done.returncode, told(done)) == (1, "3 rows read, 1 loaded, 2 there already, 0 rejected")
    assert ready.execute("SELECT token_used FROM llm.session_logs").fetchall() == [(7,)]
    rule = "there already: the request of this line, unfinished"
    assert listed(path) == [(line, "line", rule) for line in range(2, 5) if order[line - 2] != 2]
    for n, state in enumerate(states):
        path = write(f"{n}.csv", [state])
        assert load(path).returncode == 1
        ((_, column, rule),) = listed(path)
        assert column == "session_id + log_sequence"
        assert rule in (EQUAL, "there already: this log, in another state")
    assert logs(ready) == 1
    # Somebody who knows better.
    assert load(write("all.csv", states), "--new").returncode == 0
    assert logs(ready) == 3


def test_other_requests_of_the_same_moment_are_no_states(load: Load, ready: psycopg.Connection, write: Write) -> None:
    at = "2026-03-01 10:00:00"
    rows = [f"{at},,5,", f"{at},,6,", f"{at},{at},7,s3://answers/a", f"{at},{at},8,s3://answers/a"]
    assert load(write("one.csv", rows)).returncode == 0
    assert load(write("two.csv", [f"{at},,9,", f"{at},{at},7,s3://answers/b"])).returncode == 0
    assert logs(ready) == 6


def test_what_was_listed_is_forgotten_after_a_month(load: Load, ready: psycopg.Connection, write: Write) -> None:
    load(write("one.csv", ["x,,,", *ROWS[:2]]))
    load(write("two.csv", [*ROWS[:2]]))
    assert ready.execute("SELECT count(*) FROM llm_db.load_rejects").fetchone() == (3,)
    ready.execute("UPDATE llm_db.load_rejects SET loaded_at = loaded_at - interval '31 days' WHERE line = 2")
    load(write("three.csv", ROWS[5:6]))
    assert ready.execute("SELECT line FROM llm_db.load_rejects").fetchall() == [(3,)]
