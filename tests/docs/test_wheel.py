"""The wheel carries its SQL: installed into an empty environment, it migrates a database by itself."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from command import ROOT, environment, value

pytestmark = pytest.mark.once("it is about which files are packed and found")


def test_the_installed_wheel_migrates(tmp_path, empty_dsn):
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--outdir", tmp_path, ROOT], check=True, capture_output=True
    )
    [wheel] = tmp_path.glob("*.whl")
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if name.endswith(".sql")}
    ours = {
        f"llm_db/sql/{path.relative_to(ROOT).as_posix()}"
        for part in ("migrations", "schema", "seeds", "views")
        for path in (ROOT / part).rglob("*.sql")
    }
    beside_the_code = {path.relative_to(ROOT / "scripts").as_posix() for path in (ROOT / "scripts").rglob("*.sql")}
    assert packed == ours | beside_the_code

    venv = tmp_path / "venv"
    # The pip of this environment installs into the other one, which needs none of its own.
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
    install = [sys.executable, "-m", "pip", "--python", venv / "bin" / "python", "install", "--quiet", wheel]
    subprocess.run(install, check=True, capture_output=True)
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
