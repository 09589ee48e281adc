"""How long migrating an empty database takes: llm-db against plain yoyo, and against sqitch and dbmate where they are
in PATH, over the same SQL. The row "with views and seeds" is all that llm-db does, also what only it can run.
Each run is a process of its own on a database of its own; one run of each in turn, round after round, so that a change
in the machine's speed meets all of them alike.
"""

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psycopg
from common import BIN, ROOT, arguments, print_table, say, server
from psycopg.conninfo import conninfo_to_dict

TABLES = "SELECT count(*) FROM pg_catalog.pg_class WHERE relnamespace = 'llm'::regnamespace AND relkind IN ('r', 'p')"


@dataclass(frozen=True)
class Tool:
    """Its command on a database, and the least it can do: what starting it costs."""

    name: str
    start: list[str]
    migrate: Callable[[str], list[str]]
    folder: Path


def main() -> None:
    chosen = arguments(__doc__, {"rounds": 1}, rounds=9)
    with tempfile.TemporaryDirectory() as folder, server(chosen.keep) as uri:
        socket = conninfo_to_dict(uri)["host"]
        os.environ.update(PGHOST=socket, PGUSER="postgres", PATH=f"{BIN}{os.pathsep}{os.environ['PATH']}")
        tools = found(Path(folder), socket)
        starts: dict[str, list[float]] = {tool.name: [] for tool in tools}
        migrations: dict[str, list[float]] = {tool.name: [] for tool in tools}
        tables = set()
        with psycopg.connect(dbname="postgres", autocommit=True) as admin:
            # After one round that does not count.
            for number in range(chosen.rounds + 1):
                say(f"round {number} of {chosen.rounds}")
                for tool in tools:
                    starts[tool.name].append(timed(tool.start, tool.folder))
                    admin.execute("CREATE DATABASE bench")
                    migrations[tool.name].append(timed(tool.migrate("bench"), tool.folder))
                    with psycopg.connect(dbname="bench") as db:
                        tables.add(db.execute(TABLES).fetchone()[0])
                    admin.execute("DROP DATABASE bench")
    if len(tables) != 1:
        raise SystemExit(f"not the same work: {tables} tables")
    rows = []
    for tool in tools:
        start, runs = starts[tool.name][1:], migrations[tool.name][1:]
        middle, begin = statistics.median(runs), statistics.median(start)
        rows.append([tool.name, round(begin), round(middle), round(middle - begin), round(min(runs))])
    print_table("migrate", ["", "start", "migrate", "migrate without start", "fastest"], rows)


def timed(command: list[str], folder: Path) -> float:
    started = time.perf_counter()
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    took = (time.perf_counter() - started) * 1000
    if done.returncode:
        raise SystemExit(f"{command} failed: {done.stdout}{done.stderr}")
    return took


def found(folder: Path, socket: str) -> list[Tool]:
    python = [sys.executable, "-m", "llm_db"]
    os.environ["PYTHONPATH"] = str(ROOT / "scripts")
    bare = without_views(folder / "bare")
    from_bare = ["env", f"PYTHONPATH={bare / 'scripts'}", *python]
    yoyo = str(Path(sys.executable).with_name("yoyo"))
    uri = f"postgresql+psycopg://postgres@/{{}}?host={socket}"
    tools = [
        Tool("psql, nothing recorded", ["psql", "--version"], psql, ROOT / "migrations"),
        Tool(
            "llm-db, migrations only",
            [*from_bare, "--version"],
            lambda name: [*from_bare, "migrate", "--dsn", f"dbname={name}"],
            bare,
        ),
        Tool(
            "llm-db, with views and seeds",
            [*python, "--version"],
            lambda name: [*python, "migrate", "--dsn", f"dbname={name}"],
            ROOT,
        ),
        Tool(
            "yoyo",
            [yoyo, "--help"],
            lambda name: [yoyo, "apply", "--batch", "--no-config-file", "-d", uri.format(name), "migrations"],
            bare,
        ),
    ]
    if shutil.which("sqitch"):
        project = sqitch_project(folder / "sqitch")
        target = ["sqitch", "deploy", "--quiet"]
        tools.append(Tool("sqitch", ["sqitch", "--version"], lambda name: [*target, f"db:pg:{name}"], project))
    if shutil.which("dbmate"):
        project = dbmate_project(folder / "dbmate")
        flags = ["--migrations-dir", str(project), "--no-dump-schema", "up"]
        tools.append(
            Tool(
                "dbmate",
                ["dbmate", "--version"],
                lambda name: ["dbmate", "--url", f"postgres://postgres@/{name}?socket={socket}", *flags],
                project,
            )
        )
    return tools


def ups() -> list[Path]:
    """Without those that llm-db runs once per partition: no other tool can."""
    paths = sorted(path for path in (ROOT / "migrations").glob("*.sql") if not path.name.endswith(".rollback.sql"))
    return [path for path in paths if "-- each-partition-of:" not in path.read_text(encoding="utf-8")]


def psql(name: str) -> list[str]:
    files = [argument for path in ups() for argument in ("-f", path.name)]
    return ["psql", "--no-psqlrc", "--quiet", "--set", "ON_ERROR_STOP=1", "--single-transaction", "-d", name, *files]


def without_views(folder: Path) -> Path:
    """llm-db with nothing to do but the migrations."""
    shutil.copytree(ROOT / "scripts" / "llm_db", folder / "scripts" / "llm_db")
    (folder / "migrations").mkdir()
    for path in ups():
        for file in (path, path.with_name(path.name.removesuffix(".sql") + ".rollback.sql")):
            shutil.copy(file, folder / "migrations")
    for part in ("views/reporting", "views/ops", "seeds/reference"):
        (folder / part).mkdir(parents=True)
    return folder


def sqitch_project(folder: Path) -> Path:
    (folder / "deploy").mkdir(parents=True)
    plan = ["%syntax-version=1.0.0", "%project=llm", ""]
    for path in ups():
        name = path.name.removesuffix(".sql").replace(".", "-")
        plan.append(f"{name} 2026-01-01T00:00:00Z bench <bench@example.com>")
        text = f"BEGIN;\n{path.read_text(encoding='utf-8')}\nCOMMIT;\n"
        (folder / "deploy" / f"{name}.sql").write_text(text, encoding="utf-8")
    (folder / "sqitch.plan").write_text("\n".join(plan) + "\n")
    (folder / "sqitch.conf").write_text("[core]\n    engine = pg\n[user]\n    name = b\n    email = b@example.com\n")
    return folder


def dbmate_project(folder: Path) -> Path:
    folder.mkdir()
    for path in ups():
        text = f"-- migrate:up\n{path.read_text(encoding='utf-8')}\n-- migrate:down\n"
        (folder / path.name.replace(".", "_", 1)).write_text(text, encoding="utf-8")
    return folder


if __name__ == "__main__":
    main()
