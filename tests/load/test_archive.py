"""`llm-db archive`: a month in a file is the month, whatever is in it, or there is no file; and it comes back as if it had
never been gone."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from subprocess import CompletedProcess

import duckdb
import psycopg
import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from psycopg.conninfo import make_conninfo

from command import environment, llm_db
from rollup_model import assert_exact, make_model

SETUP = """
SELECT llm.found_department('D1', 'Kim', 'kim@example.com');
SELECT llm.found_department('D2', 'Lee', 'lee@example.com');
INSERT INTO llm.models (model_name, model_type) VALUES ('m1', 'chat'), ('m2', 'chat');
INSERT INTO llm.model_configs (model_id, config_name, max_tokens) SELECT model_id, 'short', 10 FROM llm.models;
INSERT INTO llm.deployments (model_id, server_name, gpu_count, environment, status)
SELECT model_id, 's1', 1, environment, 'active' FROM llm.models CROSS JOIN unnest(ARRAY['production', 'staging']) AS e (environment);
INSERT INTO llm.projects (project_name, created_by, department_id) SELECT 'p1, "한"', user_id, department_id FROM llm.users
WHERE user_name = 'Kim';
INSERT INTO llm.prompt_templates (template_name, version, prompt_s3_path, task_category, created_by)
SELECT 't', v, 's3://prompts/t', 'summarization', user_id FROM llm.users CROSS JOIN unnest(ARRAY['1.0', '2.0']) AS v
WHERE user_name = 'Kim';
SELECT llm.create_month('2024-03-01');
"""
MARCH = datetime(2024, 3, 1, tzinfo=UTC)
# What only a month's own rows tell, to the byte and the microsecond.
STORED = {
    "sessions": "SELECT tableoid::regclass::text, s.* FROM llm.sessions AS s",
    "logs": "SELECT tableoid::regclass::text, l.* FROM llm.session_logs AS l",
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
def run(dsn: str, tmp_path: Path) -> Callable[..., CompletedProcess[str]]:
    return lambda *arguments: llm_db(*arguments, "--dsn", dsn, cwd=tmp_path)


def seen(db: psycopg.Connection, queries: dict[str, str]) -> dict[str, list[str]]:
    return {name: sorted(map(repr, db.execute(query).fetchall())) for name, query in queries.items()}


PATHS = st.none() | st.sampled_from(["k", "k ", "k\n", 'a,"b"', "\\N", "a\tb\r\n", "한\u3000", "\u2028", "x" * 3000]).map(
    lambda key: f"s3://bucket/{key}"
)
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
def test_a_month_comes_back_as_it_was(ready: psycopg.Connection, run: Callable, tmp_path: Path, month: list[dict]) -> None:
    file = tmp_path / "march.parquet"
    file.unlink(missing_ok=True)
    ready.execute("TRUNCATE llm.sessions, llm_db.loads CASCADE; SELECT llm.create_month('2024-03-01')")
    ready.execute("DELETE FROM llm.prompt_template_uses; SELECT ops.restart_rollups()")
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
    # Of a month without rows there is nothing to bring.
    assert seen(ready, STORED) == stored
    assert seen(ready, COUNTED) == counted
    assert_exact(ready)
    ready.execute("CALL ops.refresh_rollups()")
    assert seen(ready, COUNTED) == counted
    assert_exact(ready)
