"""report: the list, one view as a table with bars, CSV and JSON."""

import csv
import json

import pytest

from runner import checkout, llm_db

MIGRATIONS = {"0001.first": "CREATE SCHEMA reporting; CREATE SCHEMA ops; -- DOWN -- DROP SCHEMA ops, reporting;"}
USAGE = """
CREATE OR REPLACE VIEW reporting.team_usage AS
SELECT team, requests, latency, day
FROM (VALUES
    ('AI연구팀', 2000, interval '1.5 s', NULL::date),
    ('데이터팀', 500, NULL, date '2025-01-02')
) AS usage (team, requests, latency, day);
COMMENT ON VIEW reporting.team_usage IS '부서별 사용량: requests by team';
"""


@pytest.fixture
def project(tmp_path, empty_dsn):
    root = checkout(tmp_path, MIGRATIONS, {"reporting/10_team_usage": USAGE})
    assert llm_db("migrate", "--dsn", empty_dsn, root=root).returncode == 0
    return root


def report(project, dsn, *arguments):
    done = llm_db("report", *arguments, "--dsn", dsn, root=project)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_list_shows_each_view_with_its_comment(project, empty_dsn):
    listed = report(project, empty_dsn)
    assert "team_usage" in listed
    assert "부서별 사용량: requests by team" in listed


@pytest.mark.parametrize("name", ["team_usage", "reporting.team_usage"])
def test_one_view_is_a_table_with_bars(project, empty_dsn, name):
    lines = report(project, empty_dsn, name).splitlines()
    large, small = (next(line for line in lines if team in line) for team in ("AI연구팀", "데이터팀"))
    assert large.count("█") == 4 * small.count("█") > 0
    assert "2,000" in large
    assert "1.500 s" in large
    assert "2025-01-02" in small


def test_csv_and_json_hold_the_values(project, empty_dsn):
    rows = list(csv.DictReader(report(project, empty_dsn, "team_usage", "--csv").splitlines()))
    assert rows[0] == {"team": "AI연구팀", "requests": "2000", "latency": "0:00:01.500000", "day": ""}
    assert json.loads(report(project, empty_dsn, "team_usage", "--json"))[0] == {
        "team": "AI연구팀",
        "requests": 2000,
        "latency": 1.5,
        "day": None,
    }


def test_an_unknown_name_suggests_the_nearest(project, empty_dsn):
    done = llm_db("report", "team_usge", "--dsn", empty_dsn, root=project)
    assert done.returncode == 2
    assert "did you mean team_usage?" in done.stderr


def test_an_empty_database_has_no_reports_yet(empty_dsn):
    done = llm_db("report", "--dsn", empty_dsn)
    assert done.returncode == 2
    assert "llm-db migrate" in done.stderr
