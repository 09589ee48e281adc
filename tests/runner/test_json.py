"""--json: one document on stdout, of whatever ends the command; what is said to people goes to stderr."""

import json

import pytest

from command import checkout, execute, llm_db, value

TOY = {
    "0001.first": "CREATE SCHEMA reporting; CREATE TABLE public.first (id int);"
    " -- DOWN -- DROP TABLE public.first; DROP SCHEMA reporting;",
    "0002.second": "CREATE TABLE public.second (id int); -- DOWN -- DROP TABLE public.second;",
}
VIEWS = {
    "1_views/10_firsts": "CREATE OR REPLACE VIEW reporting.firsts AS SELECT id FROM public.first;",
    "1_views/20_seconds": "CREATE OR REPLACE VIEW reporting.seconds AS SELECT id FROM public.second;",
}


@pytest.fixture
def project(tmp_path):
    return checkout(tmp_path, TOY, VIEWS)


@pytest.fixture
def asked(project, empty_dsn):
    """A command's document, exit code and stderr."""

    def ask(*arguments: str, dsn: str = empty_dsn) -> tuple[dict, int, str]:
        done = llm_db(*arguments, "--json", "--dsn", dsn, root=project)
        return json.loads(done.stdout), done.returncode, done.stderr

    return ask


def test_migrate_tells_what_it_applied_and_which_files_it_ran(asked):
    found, code, said = asked("migrate", "--to", "1")
    assert code == 0
    assert (found["applied"][0]["id"], found["applied"][0]["dropped"]) == ("0001.first", [])
    assert isinstance(found["applied"][0]["ms"], int)
    assert found["repeatables"] is None
    assert "[1/1] 0001.first" in said
    found, code, _ = asked("migrate")
    assert [one["id"] for one in found["applied"]] == ["0002.second"]
    assert found["repeatables"] == {"made": ["1_views/10_firsts", "1_views/20_seconds"], "unchanged": 0}
    found, code, _ = asked("migrate")
    assert (code, found) == (0, {"applied": [], "repeatables": {"made": [], "unchanged": 2}})


def test_a_migrate_that_fails_tells_how_far_it_came_and_why(asked, empty_dsn):
    execute(empty_dsn, "CREATE TABLE public.second (id int)")
    found, code, said = asked("migrate")
    assert code == found["exit_code"] == 1
    assert [one["id"] for one in found["applied"]] == ["0001.first"]
    assert found["error"].startswith("migrations/0002.second.sql: 42P07")
    assert f"error: {found['error']}\nhint: {found['hint']}\n" in said


def test_rollback_tells_what_would_go_and_then_what_went(asked):
    asked("migrate")
    found, code, _ = asked("rollback", "--to", "none")
    assert code == found["exit_code"] == 2
    assert found["would_roll_back"] == ["0002.second", "0001.first"]
    assert (found["error"], found["hint"]) == ("Nothing was rolled back.", "add --yes to do it")

    found, code, said = asked("rollback", "--to", "1", "--yes")
    assert code == 0
    assert [(one["id"], one["dropped"]) for one in found["rolled_back"]] == [
        ("0002.second", ["view reporting.seconds"])
    ]
    assert "0002.second rolled back" in said
    assert asked("rollback", "--to", "1", "--yes")[0] == {"rolled_back": []}


def test_repair_tells_the_problems_and_what_it_repaired(asked, project):
    asked("migrate")
    assert asked("repair")[:2] == ({"problems": []}, 0)
    path = project / "migrations" / "0002.second.sql"
    path.write_text(path.read_text() + "-- edited")
    found, code, _ = asked("repair")
    assert code == 5
    assert found["problems"][0]["problem"] == "0002.second has been edited since it was applied."
    assert "repair --accept 0002.second" in found["problems"][0]["way_out"]
    found, code, said = asked("repair", "--accept", "2")
    assert (found, code) == ({"repaired": "0002.second", "as": "applied as its files are now"}, 0)
    assert said == "0002.second counts as applied as its files are now\n"
    assert asked("repair", "--accept", "2")[0]["error"] == "0002.second needs no such repair."


GOOD = "request_time,server_name,user_email\n2024-03-01T10:00:00Z,a-1,kim@example.com\n"


def test_load_tells_its_counts(dsn, tmp_path):
    execute(
        dsn,
        "BEGIN; SELECT llm.found_department('a', 'Kim', 'kim@example.com');"
        "INSERT INTO llm.models (model_name, model_type) VALUES ('m', 'chat');"
        "INSERT INTO llm.deployments (model_id, server_name, gpu_count, environment, status)"
        " SELECT model_id, 'a-1', 1, 'production', 'active' FROM llm.models; COMMIT",
    )
    path = tmp_path / "logs.csv"
    path.write_text(GOOD + "2024-03-01,nowhere,kim@example.com\n")
    done = llm_db("load", str(path), "--json", "--dsn", dsn)
    found = json.loads(done.stdout)
    assert done.returncode == 1
    counts = ("read", "loaded", "present", "rejected", "new_sessions")
    assert [found[name] for name in counts] == [2, 1, 0, 1, 1]
    assert (found["file"], found["already_loaded"], found["months"]) == (str(path), False, ["2024-03"])
    assert "2 rows read" in done.stderr

    path.write_text(GOOD)
    assert json.loads(llm_db("load", str(path), "--json", "--dsn", dsn).stdout)["present"] == 1
    again = json.loads(llm_db("load", str(path), "--json", "--dsn", dsn).stdout)
    assert again == {"file": str(path), "already_loaded": True}


def test_demo_tells_what_it_made(empty_dsn):
    done = llm_db("demo", "--logs", "200", "--json", "--dsn", empty_dsn)
    found = json.loads(done.stdout)
    assert (done.returncode, found["created"], found["rows"]["session_logs"]) == (0, True, 200)
    assert found["migrate"]["applied"]
    again = json.loads(llm_db("demo", "--logs", "200", "--json", "--dsn", empty_dsn).stdout)
    assert (again["created"], again["rows"], again["migrate"]["applied"]) == (False, found["rows"], [])


@pytest.mark.parametrize(
    "command",
    ["status", "plan", "migrate", "rollback --to 1", "repair", "check", "baseline --to 1", "report", "doctor", "demo"],
)
def test_every_failure_is_a_document_without_a_password(command):
    done = llm_db(*command.split(), "--json", "--dsn", "postgresql://me:hunter2@127.0.0.1:1/llm")
    found = json.loads(done.stdout)
    assert done.returncode == found["exit_code"] == 2
    assert "Connection refused" in found["error"]
    assert found["hint"].startswith("is the server running")
    assert "hunter2" not in done.stdout + done.stderr


def test_wrong_usage_is_a_document_too(empty_dsn):
    done = llm_db("migrate", "--json", "--nonsense", "--dsn", empty_dsn)
    assert done.returncode == json.loads(done.stdout)["exit_code"] == 2
    assert value(empty_dsn, "SELECT to_regnamespace('llm_db') IS NULL")
    assert llm_db("migrate", "--nonsense", "--dsn", empty_dsn).stdout == ""
