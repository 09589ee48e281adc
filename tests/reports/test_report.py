"""report: the list, one view as a table with bars, CSV and JSON, and which of its rows."""

import csv
import json
import subprocess
import sys

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from command import DICTIONARY, checkout, environment, llm_db
from conftest import fresh_database
from llm_db.report import query

FIRST = """
CREATE SCHEMA reporting;
CREATE SCHEMA ops;
CREATE FUNCTION reporting.time_zone() RETURNS text LANGUAGE sql RETURN 'Asia/Seoul';
CREATE TABLE reporting.logs (log_day date, tokens bigint);
CREATE INDEX logs_log_day_idx ON reporting.logs (log_day);
CREATE SEQUENCE reporting.counter;
-- DOWN --
DROP FUNCTION reporting.time_zone();
DROP SCHEMA ops, reporting;
"""
MIGRATIONS = {"0001.first": FIRST}
USAGE = """
CREATE OR REPLACE VIEW reporting.team_usage AS
SELECT team, requests, latency, day
FROM (VALUES
    ('AI연구팀', 2000, interval '1.5 s', NULL::date),
    ('데이터팀', 500, NULL, date '2025-01-02')
) AS usage (team, requests, latency, day);
COMMENT ON VIEW reporting.team_usage IS '부서별 사용량: requests by team';
"""
# Midnight in Seoul is 15:00 UTC.
HOURS = """
CREATE OR REPLACE VIEW reporting.hourly AS
SELECT request_hour, requests
FROM (VALUES
    (timestamptz '2025-01-30 15:00Z', 1),
    ('2025-01-31 14:00Z', 4),
    ('2025-01-31 15:00Z', 2)
) AS hours (request_hour, requests);
"""
RECENT = """
CREATE OR REPLACE VIEW reporting.recent AS
SELECT (now() AT TIME ZONE 'Asia/Seoul')::date - days AS request_day, days FROM generate_series(0, 9) AS days;
"""
PEOPLE = """
CREATE OR REPLACE VIEW reporting.people AS
SELECT user_id, user_name, latency_ms
FROM (VALUES (1, '[red]김', 10), (2, '', NULL), (3, NULL, 30), (4, 'O''Brien "100%"', 20))
    AS people (user_id, user_name, latency_ms);
"""
BY_DAY = """
CREATE OR REPLACE VIEW reporting.by_day AS
SELECT log_day, sum(tokens)::bigint AS tokens FROM reporting.logs GROUP BY log_day;
"""
WRITES = "CREATE OR REPLACE VIEW reporting.writes AS SELECT nextval('reporting.counter') AS next;"
MANY = "CREATE OR REPLACE VIEW reporting.many AS SELECT n AS number FROM generate_series(1, 200000) AS n;"
VIEWS = {
    "3_reporting/10_team_usage": USAGE,
    "3_reporting/20_hourly": HOURS,
    "3_reporting/30_recent": RECENT,
    "3_reporting/40_people": PEOPLE,
    "3_reporting/50_by_day": BY_DAY,
    "3_reporting/60_writes": WRITES,
    "3_reporting/70_many": MANY,
    "3_reporting/80_data_dictionary": DICTIONARY,
}


@pytest.fixture(scope="module")
def dsn(server):
    with fresh_database(server) as dsn:
        yield dsn


@pytest.fixture(scope="module")
def project(tmp_path_factory, dsn):
    root = checkout(tmp_path_factory.mktemp("project"), MIGRATIONS, VIEWS)
    done = llm_db("migrate", "--dsn", dsn, root=root)
    assert done.returncode == 0, done.stderr
    return root


def report(project, dsn, *arguments):
    done = llm_db("report", *arguments, "--dsn", dsn, root=project)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_list_shows_each_view_with_its_comment(project, dsn):
    listed = report(project, dsn)
    assert "team_usage" in listed
    assert "부서별 사용량: requests by team" in listed


@pytest.mark.parametrize("name", ["team_usage", "reporting.team_usage"])
def test_one_view_is_a_table_with_bars(project, dsn, name):
    lines = report(project, dsn, name).splitlines()
    large, small = (next(line for line in lines if team in line) for team in ("AI연구팀", "데이터팀"))
    assert large.count("█") == 4 * small.count("█") > 0
    assert "2,000" in large
    assert "1.500 s" in large
    assert "2025-01-02" in small


def test_csv_and_json_hold_the_values(project, dsn):
    rows = list(csv.DictReader(report(project, dsn, "team_usage", "--csv").splitlines()))
    assert rows[0] == {"team": "AI연구팀", "requests": "2000", "latency": "0:00:01.500000", "day": ""}
    assert json.loads(report(project, dsn, "team_usage", "--json"))[0] == {
        "team": "AI연구팀",
        "requests": 2000,
        "latency": 1.5,
        "day": None,
    }


def test_an_unknown_name_suggests_the_nearest(project, dsn):
    done = llm_db("report", "team_usge", "--dsn", dsn, root=project)
    assert done.returncode == 2
    assert "did you mean team_usage?" in done.stderr


def test_an_empty_database_has_no_reports_yet(empty_dsn):
    done = llm_db("report", "--dsn", empty_dsn)
    assert done.returncode == 2
    assert "llm-db migrate" in done.stderr


def numbers(project, dsn, *arguments):
    """The last column of every row."""
    return [int(line.rpartition(",")[2]) for line in report(project, dsn, *arguments, "--csv").splitlines()[1:]]


def refusal(project, dsn, *arguments):
    done = llm_db("report", *arguments, "--dsn", dsn, root=project)
    assert done.returncode == 2, done.stderr
    assert not done.stdout
    return done.stderr


@pytest.mark.parametrize(
    ("period", "found"),
    [
        (("--since", "2025-01-31"), {1, 2, 4}),
        (("--since", "2025-01-31T01:00"), {2, 4}),
        (("--until", "2025-01-31"), {1, 4}),
        # A date is all of its day, a time is where the period ends.
        (("--until", "2025-02-01T00:00"), {1, 4}),
        (("--until", "2025-01-31T15:00:00Z"), {1, 4}),
        (("--since", "2025-02-01", "--until", "2025-02-01"), {2}),
        (("--since", "2025-02-02"), set()),
    ],
)
def test_a_period_is_in_the_time_zone_of_the_reports(project, dsn, period, found):
    elsewhere = make_conninfo(dsn, options="-c timezone=UTC")
    assert set(numbers(project, elsewhere, "hourly", *period)) == found


def test_days_ago_are_counted_from_today(project, dsn):
    assert set(numbers(project, dsn, "recent", "--since", "3d")) == {0, 1, 2, 3}
    assert set(numbers(project, dsn, "recent", "--since", "3d", "--until", "2d")) == {2, 3}


def test_a_period_needs_a_report_with_a_time_and_a_time_that_can_be_read(project, dsn):
    assert "people has no time" in refusal(project, dsn, "people", "--since", "3d")
    told = refusal(project, dsn, "hourly", "--until", "31.1.2025")
    assert "--until 31.1.2025 is neither a date nor a time." in told
    assert "2026-01-31" in told


def test_a_period_reaches_the_tables_under_the_view(project, dsn):
    with psycopg.connect(dsn) as connection:
        connection.execute("SET enable_seqscan = off")
        asked = query.question(connection, "by_day", since="2025-01-01", until="2025-01-31")
        select = query.select(asked).as_string(connection)
        plan = "\n".join(line for (line,) in connection.execute(f"EXPLAIN {select}"))
    condition = plan.split("Index Cond: ")[1].splitlines()[0]
    assert "log_day >= '2025-01-01'" in condition
    assert "log_day < '2025-02-01'" in condition


@pytest.mark.parametrize(
    ("conditions", "found"),
    [
        (["user_id=4"], {4}),
        (["user_name="], {2}),
        (["user_name=NULL"], {3}),
        (['user_name=O\'Brien "100%"'], {4}),
        (["user_name=' OR true --"], set()),
        # Interleaved: either value of one column, and that of the other.
        (["user_id=3", "latency_ms=30", "user_id=4"], {3}),
        (["user_id=3", "user_id=4"], {3, 4}),
    ],
)
def test_where_keeps_the_rows_with_a_value(project, dsn, conditions, found):
    arguments = [argument for condition in conditions for argument in ("--where", condition)]
    rows = json.loads(report(project, dsn, "people", *arguments, "--json"))
    assert {row["user_id"] for row in rows} == found


def test_where_names_what_does_not_fit(project, dsn):
    told = refusal(project, dsn, "people", "--where", "user_nme=x")
    assert "people has no column user_nme." in told
    assert "did you mean user_name" in told
    told = refusal(project, dsn, "people", "--where", "user_id=four")
    assert "--where user_id=four: the column is integer" in told
    assert "no equals sign" in refusal(project, dsn, "people", "--where", "user_id")


def test_top_keeps_the_largest(project, dsn):
    rows = json.loads(report(project, dsn, "people", "--top", "2", "--json"))
    assert [row["latency_ms"] for row in rows] == [30, 20]
    assert numbers(project, dsn, "hourly", "--top", "1", "--until", "2025-01-31") == [4]
    lines = [line for line in report(project, dsn, "hourly", "--top", "2").splitlines() if "2025-0" in line]
    assert [line[2:18] for line in lines] == ["2025-01-31 23:00", "2025-02-01 00:00"]


def test_names_are_no_markup(project, dsn):
    assert "[red]김" in report(project, dsn, "people")


def test_nothing_can_be_written_by_a_report(project, dsn):
    done = llm_db("report", "writes", "--dsn", dsn, root=project)
    assert done.returncode == 1
    assert "read-only transaction" in done.stderr


def test_a_reader_that_has_seen_enough_is_no_error(project, dsn):
    command = f"set -o pipefail; {sys.executable} -m llm_db report many --csv --dsn '{dsn}' | head -n 2"
    done = subprocess.run(
        ["bash", "-c", command], env=environment(project), capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "number\n1\n"
    assert done.stderr == ""


def test_conditions_need_a_report(project, dsn):
    assert "Which report?" in refusal(project, dsn, "--since", "3d")
