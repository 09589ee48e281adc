"""Every benchmark runs, with a few rows: what it measures then means nothing, but it does not rot. All take minutes,
so that without LLM_DB_TEST_BENCH=1 those run that are done in seconds."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from command import documented

ROOT = Path(__file__).parents[2]


@pytest.mark.skipif("LLM_DB_TEST_PG_BIN" in os.environ, reason="the benchmarks have a server of their own")
def test_every_benchmark_runs_and_has_a_place_in_the_documents() -> None:
    command = next(line for line in documented("docs/benchmarks.md", "bench").splitlines() if "--quick" in line)
    arguments = command.split("#")[0].split()[1:]
    names = {path.stem for path in (ROOT / "scripts" / "bench").glob("*.py")} - {"__main__", "common"}
    if "LLM_DB_TEST_BENCH" not in os.environ:
        names = {"backfill", "size"}
        arguments += ["--only", *names]
    done = subprocess.run([sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for name in names:
        assert f"<!-- bench {name}" in done.stdout
