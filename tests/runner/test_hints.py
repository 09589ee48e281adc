"""What a user reads when something outside of us is not as it should be: the situations are made, and where the hint is
a statement, it is run and then it works."""

import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from cluster import running, server_bin, unprivileged_user
from command import drop_role, environment, execute, llm_db, value

COMPANY = """
SELECT llm.found_department('D1', 'Kim', 'kim@example.com');
INSERT INTO llm.models (model_name, model_type) VALUES ('m1', 'chat');
INSERT INTO llm.deployments (model_id, server_name, gpu_count, environment, status)
VALUES (1, 's1', 8, 'production', 'active');
"""
LOGS = "user_email,server_name,request_time\nkim@example.com,s1,2026-03-05T10:00:00Z\n"
# Each way of not getting in: whose, and what the hint says.
HBA = """
host all rejected 127.0.0.1/32 reject
hostssl all encrypted 127.0.0.1/32 trust
host all secret 127.0.0.1/32 scram-sha-256
host all postgres,strict,nologin,nocreate,nobody 127.0.0.1/32 trust
"""
CONNECTIONS = {
    "rejected": "let this user, host and database in",
    "encrypted": "try sslmode=require",
    "secret": "PGPASSWORD",
    "strict": "CONNECTION LIMIT",
    "nologin": "may log in",
    "nobody": "correct the user name",
    "unlisted": "let this user, host and database in",
}


@pytest.fixture(scope="module")
def other_server() -> Iterator[str]:
    """A server of its own, as strict as need be."""
    with running(server_bin()) as cluster:
        with cluster.connect() as admin:
            for role in ("rejected", "encrypted", "unlisted", "nocreate", "strict CONNECTION LIMIT 0"):
                admin.execute(f"CREATE ROLE {role} LOGIN")
            admin.execute("CREATE ROLE secret LOGIN PASSWORD 'right'; CREATE ROLE nologin")
            admin.execute("CREATE DATABASE locked ALLOW_CONNECTIONS false")
            admin.execute("CREATE DATABASE private")
            admin.execute("REVOKE CONNECT ON DATABASE private FROM PUBLIC")
            (cluster.data / "pg_hba.conf").write_text(HBA)
            admin.execute("SELECT pg_reload_conf()")
        yield cluster.dsn


@pytest.mark.parametrize("user", CONNECTIONS)
def test_who_does_not_get_in_is_told_why(other_server, user):
    done = llm_db("status", "--dsn", make_conninfo(other_server, user=user, password="wrong"))
    assert done.returncode == 2
    assert "error: Cannot connect to PostgreSQL" in done.stderr
    assert CONNECTIONS[user] in done.stderr.splitlines()[-1]
    assert "createdb" not in done.stderr


@pytest.mark.parametrize(
    ("other", "says"),
    [
        ({"dbname": "nowhere"}, "createdb NAME"),
        ({"dbname": "locked"}, "lets nobody in now"),
        ({"dbname": "private", "user": "nocreate"}, "GRANT CONNECT ON DATABASE"),
        ({"sslmode": "require"}, "sslmode"),
        ({"host": "nowhere.invalid"}, "spelling of the host name"),
        ({"port": "1"}, "is the server running"),
        ({"sslmode": "verify-full", "sslrootcert": "/nowhere"}, "sslrootcert"),
    ],
)
def test_what_cannot_be_reached_is_told_too(other_server, other, says):
    done = llm_db("status", "--dsn", make_conninfo(other_server, **other))
    assert done.returncode == 2
    assert says in done.stderr.splitlines()[-1]


def test_without_createrole_the_one_role_is_asked_for(other_server):
    as_owner = make_conninfo(other_server, user="nocreate", dbname="owned")
    execute(other_server, "CREATE DATABASE owned TEMPLATE template0 ENCODING 'UTF8' OWNER nocreate")
    done = llm_db("migrate", "--dsn", as_owner)
    assert done.returncode == 1
    assert hint(done) == ["nothing was changed", "as a role with CREATEROLE: CREATE ROLE llm_analyst NOLOGIN"]
    execute(other_server, "CREATE ROLE llm_analyst NOLOGIN")
    done = llm_db("migrate", "--to", "1", "--dsn", as_owner)
    assert done.returncode == 0, done.stderr


def test_a_standby_is_named_before_anything_is_tried(other_server):
    """Last, as the server stays one."""
    folder = Path(value(other_server, "SHOW data_directory"))
    bin_folder = value(other_server, "SELECT setting FROM pg_config WHERE name = 'BINDIR'")
    user = unprivileged_user() if os.geteuid() == 0 else None

    def restart() -> None:
        command = [f"{bin_folder}/pg_ctl", "-D", folder, "-l", folder / "log", "-m", "fast"]
        for action in (["-w", "stop"], ["-W", "start"]):
            subprocess.run(
                [*command, *action],
                user=user,
                extra_groups=[] if user else None,
                cwd="/",
                check=True,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )

    (folder / "standby.signal").touch()
    restart()
    for _ in range(100):
        done = llm_db("migrate", "--dsn", other_server)
        # It lets nobody in until it is consistent.
        if "lets nobody in now" not in done.stderr and "is the server running" not in done.stderr:
            break
    assert done.returncode == 2
    assert "error: This server is a standby" in done.stderr
    assert "connect to the primary" in done.stderr
    assert llm_db("status", "--dsn", other_server).returncode == 0


def hint(done: subprocess.CompletedProcess[str]) -> list[str]:
    return done.stderr.splitlines()[-1].removeprefix("hint: ").split("; ")


@contextmanager
def stranger(server: str, dsn: str) -> Iterator[str]:
    name = f"stranger_{uuid.uuid4().hex}"
    execute(server, f"CREATE ROLE {name} LOGIN")
    try:
        yield make_conninfo(dsn, user=name)
    finally:
        drop_role(dsn, name)


def test_who_may_not_read_reports_or_load_is_told_the_grants_and_they_are_enough(db, dsn, server, tmp_path):
    db.execute(COMPANY)
    file = tmp_path / "logs.csv"
    file.write_text(LOGS)
    execute(server, f'REVOKE TEMPORARY ON DATABASE "{db.info.dbname}" FROM PUBLIC')
    for command in (("report", "department_overview"), ("load", str(file))):
        with stranger(server, dsn) as as_stranger:
            done = llm_db(*command, "--dsn", as_stranger)
            assert done.returncode in (1, 2)
            assert "Traceback" not in done.stderr
            for statement in hint(done):
                execute(dsn, statement)
            done = llm_db(*command, "--dsn", as_stranger)
            assert done.returncode == 0, done.stderr


def test_who_may_not_make_schemas_is_told_the_grant_and_it_is_enough(db, empty_dsn, server):
    """On a server that has the role llm_analyst by then, as there is another database of ours."""
    with stranger(server, empty_dsn) as as_stranger:
        done = llm_db("migrate", "--dsn", as_stranger)
        assert done.returncode == 1
        for statement in hint(done):
            execute(empty_dsn, statement)
        done = llm_db("migrate", "--to", "2", "--dsn", as_stranger)
        assert done.returncode == 0, done.stderr
        execute(empty_dsn, "DROP SCHEMA llm, ops, reporting, llm_db CASCADE")


@pytest.mark.parametrize("command", [("migrate",), ("rollback", "--to", "0012", "--yes")])
def test_who_does_not_own_what_is_there_is_told_who_does(db, dsn, server, command):
    with stranger(server, dsn) as as_stranger:
        user, database = conninfo_to_dict(as_stranger)["user"], db.info.dbname
        grants = f'GRANT CREATE ON DATABASE "{database}" TO {user}; GRANT USAGE ON SCHEMA llm_db, llm TO {user};'
        for more in ("", grants + f"GRANT ALL ON ALL TABLES IN SCHEMA llm_db, llm TO {user}"):
            execute(dsn, more)
            # So that there is something to do.
            execute(dsn, "UPDATE llm_db.repeatables SET sha256 = ''")
            done = llm_db(*command, "--dsn", as_stranger)
            assert done.returncode in (1, 2)
            assert 'connect as "postgres", which owns what is there, or act as it with --role' in hint(done)


# Which database


COMMANDS = (
    ("status",),
    ("plan",),
    ("migrate",),
    ("rollback", "--to", "none", "--yes"),
    ("load", "logs.csv"),
    ("report",),
    ("maintain",),
    ("check",),
    ("baseline", "--to", "1"),
    ("repair",),
)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_job_that_has_lost_its_environment_does_not_take_another_database(tmp_path, command):
    (tmp_path / "logs.csv").write_text(LOGS)
    done = llm_db(*command, cwd=tmp_path)
    assert done.returncode == 2
    assert "error: No database was named" in done.stderr
    assert "--dsn embedded" in done.stderr
    assert not (tmp_path / ".llm-db").exists()


def test_at_a_terminal_the_embedded_one_is_taken(tmp_path):
    """As far as a folder whose path it does not take."""
    folder = tmp_path / "with space"
    folder.mkdir()
    controller, terminal = os.openpty()
    done = subprocess.run(
        [sys.executable, "-m", "llm_db", "status"],
        env=environment(),
        cwd=folder,
        stdin=terminal,
        capture_output=True,
        text=True,
    )
    os.close(controller)
    os.close(terminal)
    assert "The embedded PostgreSQL cannot run in a folder whose path has a space" in done.stderr


# Options before the command


def test_dsn_and_json_stand_before_or_behind_the_command_and_the_later_one_wins(dsn):
    usual = llm_db("status", "--json", "--dsn", dsn)
    nowhere = "host=127.0.0.1 port=1"
    for arguments in (
        ("--dsn", dsn, "--json", "status"),
        ("--json", f"--dsn={dsn}", "status"),
        ("--json", "status", "--dsn", dsn),
        ("--dsn", nowhere, "status", "--json", "--dsn", dsn),
        ("--dsn", nowhere, "--dsn", dsn, "--json", "status", "--json"),
    ):
        done = llm_db(*arguments)
        assert (done.returncode, done.stdout) == (0, usual.stdout), done.stderr
    assert llm_db("--dsn", dsn, "status", "--dsn", nowhere).returncode == 2
    assert llm_db("--json", "lint").stdout == llm_db("lint", "--json").stdout == "[]\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ["--dsn"],
        ["--json"],
        ["--dsn", "status"],
        ["--json", "serve"],
        ["--dsn", "x", "lint"],
        ["--json", "report", "requests", "--csv"],
        ["--jsn", "status"],
    ],
)
def test_what_a_command_does_not_take_is_refused_before_it_too(arguments):
    done = llm_db(*arguments)
    assert done.returncode == 2
    assert "error: " in done.stderr
