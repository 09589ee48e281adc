"""Settings that a server, a database, a role or an environment may have: every command gives the same under all of
them, and so does what runs inside the database in other people's sessions."""

import os
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from unittest.mock import patch

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from command import execute, llm_db, value
from conftest import fresh_database
from llm_db import files

NEWEST = files.migrations()[-1].id
COMMON = {
    "quote_all_identifiers": "on",
    "bytea_output": "escape",
    "array_nulls": "off",
    "transform_null_equals": "on",
    "standard_conforming_strings": "off",
    "check_function_bodies": "off",
    "row_security": "off",
    "client_min_messages": "error",
    "default_transaction_read_only": "on",
    "default_transaction_deferrable": "on",
    "session_replication_role": "replica",
    "plpgsql.variable_conflict": "use_column",
    "idle_in_transaction_session_timeout": "1s",
    "idle_session_timeout": "1s",
    "statement_timeout": "100s",
    "lock_timeout": "5s",
    "jit_above_cost": "1000",
    "enable_hashjoin": "off",
    "enable_seqscan": "off",
    "xmloption": "document",
    "temp_tablespaces": "pg_default",
}
# A profile and where it is set. A name in `strangers` hides each one that is not qualified.
PROFILES = {
    "environment": COMMON
    | {
        "DateStyle": "German",
        "IntervalStyle": "sql_standard",
        "TimeZone": "Asia/Seoul",
        "extra_float_digits": "-15",
        "search_path": "strangers, pg_catalog",
        "default_transaction_isolation": "serializable",
    },
    "role": COMMON
    | {
        "DateStyle": "SQL, DMY",
        "IntervalStyle": "iso_8601",
        "TimeZone": "America/St_Johns",
        "extra_float_digits": "3",
        "search_path": "",
        "default_transaction_isolation": "repeatable read",
    },
    "database": COMMON
    | {
        "DateStyle": "Postgres, DMY",
        "IntervalStyle": "postgres_verbose",
        "TimeZone": "Pacific/Kiritimati",
        "extra_float_digits": "0",
        "search_path": "strangers, public",
        "default_transaction_isolation": "serializable",
    },
}
STRANGERS = """
CREATE SCHEMA strangers;
CREATE FUNCTION strangers.now() RETURNS timestamptz LANGUAGE sql RETURN pg_catalog.to_timestamp(0);
CREATE FUNCTION strangers.format(text, VARIADIC text[]) RETURNS text LANGUAGE sql RETURN 'a stranger''s';
CREATE FUNCTION strangers.to_regclass(text) RETURNS regclass LANGUAGE sql RETURN NULL::regclass;
CREATE FUNCTION strangers.host(inet) RETURNS text LANGUAGE sql RETURN 'a stranger''s';
CREATE TABLE strangers.pg_class (oid oid);
CREATE TABLE strangers.load_rows (line bigint);
"""
COMPANY = """
SELECT llm.found_department('D1', 'Kim', 'kim@example.com');
INSERT INTO llm.models (model_name, model_type) VALUES ('m1', 'chat');
INSERT INTO llm.deployments (model_id, server_name, gpu_count, environment, status)
VALUES (1, 's1', 8, 'production', 'active');
"""
LOGS = """user_email,server_name,request_time,response_time,token_used
kim@example.com,s1,2026-03-05T10:00:00+09:00,2026-03-05T10:00:01.5+09:00,10
kim@example.com,s1,2026-04-03T23:59:59Z,,20
kim@example.com,s1,03.04.2026,,30
nobody@example.com,s1,2026-04-03T23:59:59Z,,40
"""
# What each run has of its own.
OWN = [
    (r'"(applied_at|applied_by|duration_ms|server_address)": [^\n]*', "of this run"),
    (r"\d+ ms|\d+\.\d s|[\d,]+ rows/s", "so long"),
    (r"\d{4}-\d\d-\d\d \d\d:\d\d \(", "now ("),
    (r"^.* on 127\.0\.0\.1:\d+ as .*$", "there"),
    (r"already loaded on [\d:\- ]* UTC", "already loaded"),
]


@contextmanager
def hardened(server: str, dsn: str, where: str, profile: dict[str, str]) -> Iterator[tuple[str, dict[str, str]]]:
    """The connection string and the environment under which the profile holds."""
    if where == "environment":
        # In libpq's own way of quoting.
        given = " ".join(
            f"-c {name}={text}".replace(", ", ",") for name, text in profile.items() if name != "DateStyle"
        )
        yield dsn, {"PGOPTIONS": given, "PGDATESTYLE": profile["DateStyle"], "PGTZ": profile["TimeZone"]}
        return
    role, database = f"hardened_{uuid.uuid4().hex}", conninfo_to_dict(dsn)["dbname"]
    kind, name = ("ROLE", role) if where == "role" else ("DATABASE", database)
    with psycopg.connect(server, autocommit=True) as admin:
        admin.execute(f'CREATE ROLE "{role}" LOGIN SUPERUSER')
        for setting, text in profile.items():
            values = sql.SQL(", ").join(text.split(", ") if setting in ("search_path", "DateStyle") else [text])
            admin.execute(
                sql.SQL("ALTER {} {} SET {} = {}").format(sql.SQL(kind), sql.Identifier(name), sql.SQL(setting), values)
            )
        try:
            yield make_conninfo(dsn, user=role if where == "role" else "postgres"), {}
        finally:
            admin.execute(f'ALTER ROLE "{role}" RESET ALL')
            with psycopg.connect(dsn, autocommit=True, options="-c default_transaction_read_only=off") as owner:
                owner.execute(f'REASSIGN OWNED BY "{role}" TO postgres')
                owner.execute(f'DROP OWNED BY "{role}"')
            admin.execute(f'DROP ROLE "{role}"')


def story(dsn: str, server: str, folder: Path, variables: dict[str, str]) -> Iterator[tuple[str, int, str]]:
    """Every command, in the life of one database: what it says and its exit code."""
    folder.mkdir()
    (folder / "logs.csv").write_text(LOGS)

    def run(*arguments: str, database: bool = True) -> tuple[str, int, str]:
        done = llm_db(*arguments, *(["--dsn", dsn] * database), cwd=folder, **variables)
        said = done.stdout + done.stderr
        for pattern, instead in OWN:
            said = re.sub(pattern, instead, said, flags=re.MULTILINE)
        return " ".join(arguments), done.returncode, said.replace(str(folder), "").replace(dsn, "")

    # Another session, which has none of it.
    usual = ("read_only=off", "isolation=read\\ committed")
    options = [f"-c default_transaction_{one}" for one in usual] + ["-c session_replication_role=origin"]
    plain = make_conninfo(dsn, user="postgres", options=" ".join(options))
    execute(plain, STRANGERS)
    yield run("status")
    yield run("plan", "--json")
    yield run("migrate")
    execute(plain, COMPANY)
    yield run("load", "logs.csv")
    yield "rejects", 0, (folder / "logs.csv.rejects.csv").read_text()
    execute(plain, "CALL ops.refresh_rollups()")
    yield run("load", "logs.csv", "--json")
    yield run("repair")
    yield run("status", "--json")
    yield run("check", "--scratch", server)
    yield run("report")
    for shape in ([], ["--csv"], ["--json"], ["--html", "page.html"]):
        for name in ("daily_usage_by_department", "slowest_requests", "department_overview"):
            yield run("report", name, *shape)
    period = ["--since", "2026-03-05", "--until", "2026-03-05T12:00"]
    yield run("report", "slowest_requests", *period, "--where", "request_time=2026-03-05T01:00:00Z")
    page = (folder / "page.html").read_text(encoding="utf-8")
    yield "page", 0, re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d|\w{8}-\w{4}-\w{4}-\w{4}-\w{12}", "", page)
    yield run("rollback", "--to", "0026", "--yes")
    yield run("plan", "--locks", "--scratch", server)
    yield run("migrate")
    execute(plain, "DROP SCHEMA llm_db CASCADE")
    yield run("baseline", "--to", NEWEST, "--scratch", server)
    yield run("repair", "--accept", NEWEST)
    yield run("lint", database=False)


@pytest.fixture(scope="module")
def usual(server, tmp_path_factory) -> list[tuple[str, int, str]]:
    with fresh_database(server) as dsn:
        return list(story(dsn, server, tmp_path_factory.mktemp("usual") / "folder", {}))


@pytest.mark.parametrize("where", PROFILES)
def test_every_command_gives_the_same_under_any_settings(usual, server, empty_dsn, tmp_path, where):
    with hardened(server, empty_dsn, where, PROFILES[where]) as (dsn, variables):
        with patch.dict(os.environ, variables):
            assert str(value(dsn, "SHOW DateStyle")).startswith(PROFILES[where]["DateStyle"])
        for told, expected in zip(story(dsn, server, tmp_path / "folder", variables), usual, strict=True):
            assert told[:2] == expected[:2], told[2]
            assert told[2].splitlines() == expected[2].splitlines()


# Ids and times are given, so that all store the same; a day has 24 hours in no time zone but UTC.
APPLICATION = [
    "SELECT llm.found_department('D1', 'Kim', 'kim@example.com')",
    "SELECT llm.found_department('D2', 'Lee', 'lee@example.com')",
    "INSERT INTO llm.projects (project_name, created_by, department_id, created_at) VALUES ('P', 1, 1, {day})",
    "INSERT INTO llm.models (model_name, model_type) VALUES ('m1', 'chat')",
    "INSERT INTO llm.model_configs (model_id, config_name, max_tokens, created_at) VALUES (1, 'c', 10, {day})",
    "INSERT INTO llm.datasets (learning_type, s3_path, created_at) VALUES ('fine_tuning', 's3://bucket/b', {day})",
    "INSERT INTO llm.deployments (model_id, dataset_id, server_name, gpu_count, environment, status)"
    " VALUES (1, 1, 's1', 8, 'production', 'active')",
    # GPUs that it held until yesterday: what they cost does not grow while this is asked.
    "UPDATE llm.deployment_history SET since = {day} - interval '960 hours' WHERE since > '-infinity'",
    "INSERT INTO llm.deployment_history (deployment_id, since, model_id, gpu_count, environment, status)"
    " SELECT deployment_id, {day}, model_id, gpu_count, environment, 'inactive' FROM llm.deployments",
    "INSERT INTO llm.gpu_rates (since, price_per_hour) VALUES ('-infinity', 3000.5)",
    "INSERT INTO llm.budgets (department_id, since, amount) VALUES (1, '2020-01-01', 1000000)",
    "INSERT INTO llm.prompt_templates"
    " (template_name, prompt_s3_path, task_category, variables, version, created_by, created_at)"
    " VALUES ('t', 's3://bucket/c', 'summarization', ARRAY['{{text}}'], '1.0', 1, {day})",
    "CALL llm.create_months({first}, {last})",
    "INSERT INTO llm.sessions (session_id, user_id, project_id, start_time, session_type, status)"
    " SELECT overlay(overlay(llm.uuidv7_floor(at)::text PLACING '7' FROM 15) PLACING '8' FROM 20)::uuid,"
    " 1, 1, at, 'production', 'running'"
    " FROM generate_series({day} - interval '960 hours', {day}, '24 hours') AS at",
    "INSERT INTO llm.session_logs (session_id, request_time, response_time, deployment_id, config_id, template_id,"
    " token_used) SELECT session_id, start_time, start_time + interval '1.5 seconds', 1, 1, 1, 10 FROM llm.sessions",
    "CALL ops.refresh_rollups({day} - interval '48 hours')",
    "UPDATE llm.session_logs SET token_used = 11 WHERE request_time < {day} - interval '936 hours'",
    "INSERT INTO llm.users (user_name, user_email, role, department_id) VALUES ('Park', 'p@example.com', 'admin', 1)",
    "UPDATE llm.departments SET manager_id = 3 WHERE department_id = 1",
    "UPDATE llm.users SET department_id = 2 WHERE user_id = 1",
    "UPDATE llm.sessions SET status = 'completed', end_time = start_time + interval '1 hour'"
    " WHERE start_time < {day} - interval '120 hours'",
    "UPDATE llm.model_configs SET max_tokens = 20",
    "DELETE FROM llm.session_logs WHERE request_time < {day} - interval '948 hours'",
    "CALL ops.refresh_rollups({day} - interval '24 hours')",
    "SELECT llm.fold_template_uses()",
    "CALL llm.move_default_rows()",
    "SELECT llm.drop_month({first})",
]
VIEWS = """
SELECT format('%I.%I', n.nspname, c.relname)
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind = 'v' AND n.nspname IN ('reporting', 'ops') AND c.relname <> 'data_dictionary'
ORDER BY 1
"""
# What is of one run: when it was, and what is where on the disk.
OF_A_RUN = r"(last_login|refreshed_at|valid_from|(.*_)?bytes|.*_size|open_time)"


def answers(session: psycopg.Connection, views: list[str]) -> dict[str, list[str]]:
    """Each view, asked in this session and read in a usual one."""
    for number, view in enumerate(views):
        session.execute(f"CREATE TEMP TABLE answer_{number} AS SELECT * FROM {view}")
    session.execute("RESET ALL; SET DateStyle = ISO; SET IntervalStyle = postgres; SET TimeZone = UTC")
    found = {}
    for number, view in enumerate(views):
        rows = session.execute(f"SELECT to_jsonb(a) FROM pg_temp.answer_{number} AS a").fetchall()
        kept = [{name: one for name, one in row.items() if not re.fullmatch(OF_A_RUN, name)} for (row,) in rows]
        found[view] = sorted(re.sub(rf'"?{session.info.dbname}"?', "this", str(row)) for row in kept)
    return found


@pytest.mark.one_node("its application works out new values of a row's own times")
def test_what_runs_in_other_peoples_sessions_does_not_depend_on_their_settings(db, server, template):
    """Writers, upkeep and reports: in a session as it comes, and in strange ones."""
    views = [view for (view,) in db.execute(VIEWS)]
    yesterday = datetime.now(UTC).date() - timedelta(days=1)
    given = {
        "day": f"'{yesterday} 00:00:00+00'::timestamptz",
        "first": f"'{yesterday - timedelta(days=40)}'::date",
        "last": f"'{yesterday}'::date",
    }

    def lived(settings: dict[str, str]) -> dict[str, list[str]]:
        with fresh_database(server, template) as dsn:
            execute(dsn, STRANGERS)
            with psycopg.connect(dsn, autocommit=True) as session:
                for setting, text in settings.items():
                    # What would be wrong is refused in words; the others are not about meaning.
                    if not re.search("read_only|isolation|session_replication|timeout", setting):
                        session.execute("SELECT pg_catalog.set_config(%s, %s, false)", [setting, text])
                for statement in APPLICATION:
                    session.execute(statement.format(**given))
                return answers(session, views)

    usual = lived({})
    assert sum(map(len, usual.values())) > 400
    for profile in PROFILES.values():
        for view, rows in lived(profile).items():
            assert rows == usual[view], view
