"""The llm-db command as a user runs it: a process of its own, with nothing of ours in its environment."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import psycopg

ROOT = Path(__file__).parents[1]


def environment(root: Path = ROOT, **variables: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name != "DATABASE_URL" and not name.startswith("PG")}
    return {**kept, "PYTHONPATH": f"{root / 'scripts'}{os.pathsep}{kept.get('PYTHONPATH', '')}", **variables}


def llm_db(
    *arguments: str, root: Path = ROOT, cwd: Path | None = None, **variables: str
) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "llm_db", *arguments],
        env=environment(root, **variables),
        cwd=cwd,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=180,
    )
    assert "Traceback" not in done.stdout + done.stderr, done.stderr
    return done


def checkout(folder: Path, migrations: dict[str, str], views: dict[str, str] | None = None) -> Path:
    """The runner beside migrations and views of the test's own. Each value is "up -- DOWN -- down"."""
    shutil.copytree(ROOT / "scripts" / "llm_db", folder / "scripts" / "llm_db")
    for part in ("migrations", "views/reporting", "views/ops", "seeds/reference"):
        (folder / part).mkdir(parents=True)
    for name, text in migrations.items():
        up, _, down = text.partition("-- DOWN --")
        (folder / "migrations" / f"{name}.sql").write_text(up, encoding="utf-8")
        (folder / "migrations" / f"{name}.rollback.sql").write_text(down, encoding="utf-8")
    for name, text in (views or {}).items():
        (folder / "views" / f"{name}.sql").write_text(text, encoding="utf-8")
    return folder


def value(dsn: str, query: str) -> object:
    with psycopg.connect(dsn, autocommit=True) as connection:
        return connection.execute(query).fetchone()[0]


def execute(dsn: str, statement: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(statement)
