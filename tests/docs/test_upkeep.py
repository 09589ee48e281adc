"""docs/upkeep.md, followed: each way to have it done every minute does it, and says so when it does not."""

import re
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
import yaml
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from cluster import server_bin
from command import ROOT, documented, drop_role, execute, value

PAGE = "docs/upkeep.md"
FIELDS = r"\* \* \* \* \*  "
BREAK = "ALTER TABLE llm.deployment_history DISABLE TRIGGER deployment_history_is_noted"
MISSING = "SELECT to_regclass('llm.sessions_' || to_char(now() + interval '3 months', 'YYYY_MM')) IS NULL"
DROP = "SELECT llm.drop_month((now() + interval '3 months')::date)"


@dataclass
class Host:
    """A machine on which the page is followed: what it names differs, its commands do not."""

    dsn: str
    login: str
    folder: Path

    def page(self, name: str) -> str:
        place = conninfo_to_dict(self.dsn)
        url = f"postgresql://{self.login}@{place['host']}:{place['port']}/{place['dbname']}"
        text = documented(PAGE, name).replace("postgresql://llm_upkeep@db1/llm", url)
        return text.replace("llm_upkeep", self.login).replace("/opt/llm-db/bin", str(self.folder))

    def run(self, command: list[str], **variables: str) -> subprocess.CompletedProcess[str]:
        """With nothing in the environment but what is given, as cron and its like do."""
        path = variables.pop("PATH", f"{self.folder}:/usr/bin:/bin")
        return subprocess.run(
            command,
            env={"HOME": str(self.folder), "PATH": path, **variables},
            cwd=self.folder,
            capture_output=True,
            text=True,
        )

    def does_it(self, command: list[str], **variables: str) -> None:
        """Does what is due, and ends with an error that says why where it cannot."""
        execute(self.dsn, DROP)
        done = self.run(command, **variables)
        assert (done.returncode, done.stderr) == (0, "")
        assert value(self.dsn, MISSING) is False
        execute(self.dsn, BREAK)
        done = self.run(command, **variables)
        assert done.returncode != 0
        assert "deployment_history_is_noted is missing or disabled" in done.stderr
        assert "jobs that failed: refresh" in done.stderr
        execute(self.dsn, BREAK.replace("DISABLE", "ENABLE"))


@pytest.fixture
def host(db: psycopg.Connection, dsn: str, tmp_path: Path) -> Iterator[Host]:
    for name, program in (("llm-db", f"{sys.executable} -m llm_db"), ("psql", str(server_bin() / "psql"))):
        script = tmp_path / name
        script.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT / "scripts"} exec {program} "$@"\n')
        script.chmod(0o755)
    host = Host(dsn, f"upkeep_{uuid.uuid4().hex}", tmp_path)
    execute(dsn, host.page("login"))
    yield host
    drop_role(dsn, host.login)


@pytest.mark.parametrize("name", ["cron", "cron with psql"])
def test_the_lines_for_cron(host: Host, name: str) -> None:
    variables = {}
    for line in host.page(name).splitlines():
        if job := re.fullmatch(FIELDS + "(.*)", line):
            host.does_it(["/bin/sh", "-c", job[1]], **variables)
            # cron sends what is printed.
            done = host.run(["/bin/sh", "-c", job[1]], **variables)
            assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
            return
        key, _, variables[key] = line.partition("=")
    pytest.fail("no line for cron")


def test_the_units_for_systemd(host: Host) -> None:
    settings = dict(line.split("=", 1) for line in host.page("service").splitlines() if "=" in line)
    name, _, url = settings["Environment"].partition("=")
    host.does_it(settings["ExecStart"].split(), **{name: url})
    assert "OnCalendar=minutely" in host.page("timer").splitlines()


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd is not here")
def test_systemd_accepts_the_units(host: Host) -> None:
    for kind in ("service", "timer"):
        (host.folder / f"llm-maintain.{kind}").write_text(host.page(kind))
    units = [str(host.folder / f"llm-maintain.{kind}") for kind in ("service", "timer")]
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", *units], capture_output=True, text=True)
    said = [line for line in done.stderr.splitlines() if "llm-maintain" in line]
    assert (done.returncode, said) == (0, []), done.stderr


def test_the_cronjob_for_kubernetes(host: Host) -> None:
    job = yaml.safe_load(host.page("cronjob"))
    assert (job["apiVersion"], job["kind"], job["spec"]["schedule"]) == ("batch/v1", "CronJob", "* * * * *")
    [container] = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    [variable] = container["env"]
    host.does_it(
        container["command"],
        **{variable["name"]: make_conninfo(host.dsn, user=host.login)},
    )


def test_the_statement_for_pg_cron(host: Host) -> None:
    schedule, call = re.search(r"cron\.schedule\('[^']+', '([^']+)', '([^']+)'\)", host.page("pg_cron")).groups()
    assert schedule == "* * * * *"
    quiet = make_conninfo(host.dsn, user=host.login, options="-c client_min_messages=warning")
    host.does_it(["psql", "-X", "-q", "-d", quiet, "-c", call])


def test_the_rule_for_retention(db: psycopg.Connection, host: Host) -> None:
    for _ in range(2):
        db.execute(host.page("retention"))
    assert db.execute("SELECT what, keep_months FROM llm.retention").fetchall() == [("sessions", 13)]


def test_the_page_names_every_job(db: psycopg.Connection) -> None:
    text = (ROOT / PAGE).read_text(encoding="utf-8")
    source = db.execute("SELECT prosrc FROM pg_proc WHERE oid = 'llm.maintain'::regproc").fetchone()[0]
    jobs = re.findall(r"'([^']+)'", re.search(r"FOREACH job IN ARRAY ARRAY\[(.*?)\]", source, re.S)[1])
    assert re.findall(r"^\| `([^`]+)` \| ", text, re.M) == jobs
