"""Runs the test suite on each version of PostgreSQL, and writes the table in README.md.

What is marked `once` does not depend on the server's version, and is run on the newest only; --all runs it on each.
"""

import argparse
import os
import re
import subprocess
import tempfile
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path

from cluster import DEBIAN, EMBEDDED, WHEELS, server_bins

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
BEGIN, END = "<!-- versions: begin -->\n", "<!-- versions: end -->\n"
HEAD = "| PostgreSQL | passed | skipped | failed | minutes |\n|---|---|---|---|---|\n"
ROW = re.compile(r"^(\| (\d+)\..*\n)", re.MULTILINE)


@dataclass(frozen=True)
class Result:
    version: str
    passed: int
    skipped: int
    failed: int
    seconds: float

    def __str__(self) -> str:
        counts = " | ".join(f"{count:,}" for count in (self.passed, self.skipped, self.failed))
        return f"| {self.version} | {counts} | {self.seconds / 60:.1f} |\n"


def run(bin_folder: Path, arguments: list[str]) -> Result:
    """The suite on one server. pytest says on the way what it says."""
    version = subprocess.run([bin_folder / "postgres", "--version"], capture_output=True, text=True, check=True).stdout
    number = re.search(r"[\d.]+", version)[0]
    print(f"\n== the suite on PostgreSQL {number}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "junit.xml"
        command = [ROOT / "scripts" / "test", "-q", "-r", "fEs", f"--junitxml={report}", *arguments]
        done = subprocess.run(command, env={**os.environ, "LLM_DB_TEST_PG_BIN": str(bin_folder)})
        if not report.exists():
            raise SystemExit(f"pytest ended with {done.returncode} and no report")
        suite = ElementTree.parse(report).getroot().find("testsuite")
    tests, failures, errors, skipped = (int(suite.get(name)) for name in ("tests", "failures", "errors", "skipped"))
    # A run that ended before its end, as by a signal, has failed too.
    failed = failures + errors or int(done.returncode != 0)
    return Result(number, tests - failures - errors - skipped, skipped, failed, float(suite.get("time")))


def table_of(readme: str) -> str:
    return readme.split(BEGIN)[1].split(END)[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("version", nargs="*", help="only these")
    shared = parser.add_mutually_exclusive_group()
    shared.add_argument("--all", action="store_true", help="what is marked `once` on each version too")
    shared.add_argument("--tenth", type=int, help="one tenth of the tests on the older versions: 0 to 9")
    parser.add_argument("--write", action="store_true", help="write what came out into the table of README.md")
    chosen = parser.parse_args()
    if chosen.write and chosen.tenth is not None:
        parser.error("a tenth is not what the table says")
    wanted = chosen.version or [*DEBIAN, *WHEELS]
    if missing := [version for version in wanted if version not in server_bins()]:
        ways = "15 comes with apt-get install postgresql-15, 16 to 18 with pip install -e '.[dev]'"
        raise SystemExit(f"There is no PostgreSQL {missing[0]} here: {ways}")
    results = []
    for version in wanted:
        share = [] if chosen.all or version == EMBEDDED else ["-m", "not once"]
        if chosen.tenth is not None and version != EMBEDDED:
            share.append(f"--tenth={chosen.tenth}")
        if chosen.write:
            # The table may say what is not so until it is written.
            share.append("--deselect=tests/docs/test_versions.py")
        results.append(run(server_bins()[version], share))
    print(f"\n{HEAD}{''.join(map(str, results))}")
    if any(result.failed for result in results):
        raise SystemExit("tests failed")
    if chosen.write:
        readme = README.read_text(encoding="utf-8")
        rows = {version: line for line, version in ROW.findall(table_of(readme))}
        rows |= {result.version.split(".")[0]: str(result) for result in results}
        before, after = readme.split(BEGIN)[0], readme.split(END)[1]
        table = "".join(rows[version] for version in sorted(rows))
        README.write_text(f"{before}{BEGIN}{HEAD}{table}{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
