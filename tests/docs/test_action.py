"""The GitHub Action and the pre-commit hook: what they contain is run on a copy of this checkout, as it is and with one
fault of each kind."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from command import ROOT, environment, execute, llm_db

pytestmark = pytest.mark.once("each step makes an embedded PostgreSQL of its own")

ACTION = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
HOOK = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8"))[0]
RUNS = {step["name"]: step for step in ACTION["runs"]["steps"] if "run" in step}
STEPS = ("lint", "fresh-apply", "up-down-up", "equality", "check")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy to spoil."""
    folder = tmp_path / "checkout"
    for part in (".ci", "migrations", "schema", "seeds", "views", "scripts", "tests"):
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, folder / name)
    return folder


def shell(command: str, tree: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """As the action's shell: bash does."""
    # Those of this test run are not for the one inside.
    env = {
        name: text for name, text in environment(tree).items() if not name.startswith(("PYTEST_", "LLM_DB_TEST_PG_P"))
    }
    env["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{env['PATH']}"
    command_line = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", command]
    return subprocess.run(
        command_line, cwd=tree, env={**env, **variables}, capture_output=True, text=True, encoding="utf-8", timeout=300
    )


def run_step(name: str, tree: Path, dsn: str = "", **variables: str) -> subprocess.CompletedProcess[str]:
    step = RUNS[name]
    variables |= {key: text.replace("${{ inputs.dsn }}", dsn) for key, text in step.get("env", {}).items()}
    return shell(step["run"], tree, **variables)


def test_the_action_is_a_composite_one_with_the_five_steps() -> None:
    assert ACTION["runs"]["using"] == "composite"
    assert tuple(RUNS) == ("install", *STEPS)
    assert [step["uses"].split("@")[0] for step in ACTION["runs"]["steps"] if "uses" in step] == [
        "actions/setup-python"
    ]
    # Neither is optional in a composite action's step, or it runs in the caller's own folder.
    assert {(step["shell"], step["working-directory"]) for step in RUNS.values()} == {("bash", "${{ inputs.path }}")}
    text = (ROOT / "action.yml").read_text(encoding="utf-8")
    assert set(re.findall(r"\$\{\{ inputs\.([\w-]+) \}\}", text)) == set(ACTION["inputs"])


def test_the_action_installs_what_scripts_test_installs() -> None:
    """Which is how this very test run was installed, so the requirement is known to work."""
    requirement = shlex.split(RUNS["install"]["run"])[-1]
    assert requirement == ".[dev]"
    assert shlex.quote(requirement) in (ROOT / "scripts" / "test").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", STEPS)
def test_a_good_tree_passes(tree: Path, name: str) -> None:
    # The walk itself is run on this very tree by the suite that this test is part of.
    done = run_step(name, tree, PYTEST_ADDOPTS="--collect-only" if name == "up-down-up" else "")
    assert done.returncode == 0, done.stdout + done.stderr


def append(path: Path, text: str) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(text)


def commit_in_a_file(tree: Path) -> None:
    append(tree / "migrations" / "0008.months.sql", "COMMIT;\n")


def broken_sql(tree: Path) -> None:
    new_migration(tree, "COMMENT ON TABLE llm.nothing IS 'x';\n")


def rollback_leaves_something(tree: Path) -> None:
    new_migration(tree, "CREATE TABLE llm.left_over (id bigint);\n")


def new_migration(tree: Path, text: str) -> None:
    (tree / "migrations" / "9999.new.sql").write_text(text, encoding="utf-8")
    (tree / "migrations" / "9999.new.rollback.sql").write_text("SELECT 1;\n", encoding="utf-8")


def schema_differs(tree: Path) -> None:
    append(tree / "schema" / "20_projects.sql", "COMMENT ON TABLE llm.projects IS 'something else';\n")


@pytest.mark.parametrize(
    ("name", "spoil", "exit_code", "told"),
    [
        ("lint", commit_in_a_file, 7, "0008.months.sql:"),
        ("fresh-apply", broken_sql, 1, "9999.new.sql"),
        ("up-down-up", rollback_leaves_something, 1, "AssertionError: 9999.new"),
        ("equality", schema_differs, 1, "in schema/ only"),
    ],
)
def test_a_faulty_tree_fails(tree: Path, name: str, spoil: Callable[[Path], None], exit_code: int, told: str) -> None:
    spoil(tree)
    done = run_step(name, tree)
    assert done.returncode == exit_code, done.stdout + done.stderr
    assert told in done.stdout + done.stderr


def test_a_database_that_drifted_fails(tree: Path, empty_dsn: str) -> None:
    assert llm_db("migrate", "--dsn", empty_dsn).returncode == 0
    assert run_step("check", tree, empty_dsn).returncode == 0
    execute(empty_dsn, "ALTER TABLE llm.users ADD COLUMN nickname text")
    done = run_step("check", tree, empty_dsn)
    assert done.returncode == 6, done.stdout + done.stderr
    assert "nickname" in done.stdout


def test_an_unknown_step_is_refused(tree: Path) -> None:
    done = shell(".ci/validate lnit", tree)
    assert done.returncode == 2
    assert "lnit" in done.stderr


def test_the_hook_lints_the_checkout_it_runs_in(tree: Path) -> None:
    assert shell(HOOK["entry"], tree).returncode == 0
    commit_in_a_file(tree)
    assert shell(HOOK["entry"], tree).returncode == 7


def test_the_hook_runs_for_migrations_only() -> None:
    assert shlex.split(HOOK["entry"])[-1] == "lint"
    assert HOOK["pass_filenames"] is False
    migrations = [path.relative_to(ROOT).as_posix() for path in (ROOT / "migrations").glob("*.sql")]
    assert all(re.search(HOOK["files"], path) for path in migrations)
    assert not re.search(HOOK["files"], "schema/10_departments.sql")
