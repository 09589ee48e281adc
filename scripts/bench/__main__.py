"""Every benchmark of this folder, one after the other, each a program that can be run by itself too. Tables in Markdown
go to standard output, progress to standard error; --write puts them into the pages of docs/ that have their marks.

Run: python scripts/bench [--only NAME ...] [--quick] [--write] [--keep FOLDER]
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path

from common import ROOT, connect, hardware, say, server

FOLDER = Path(__file__).parent
NAMES = sorted(path.stem for path in FOLDER.glob("*.py") if path.stem not in ("__main__", "common"))
BLOCK = re.compile(r"<!-- bench ([\w-]+): begin -->\n.*?<!-- bench \1: end -->", re.DOTALL)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=NAMES, default=NAMES, metavar="NAME", help=", ".join(NAMES))
    parser.add_argument("--quick", action="store_true", help="a few rows of each: whether it works, not how fast")
    parser.add_argument("--write", action="store_true", help="put the tables into docs/")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="where the databases are kept for the next run")
    chosen = parser.parse_args()
    if chosen.quick and chosen.write:
        parser.error("what --quick measures is worth nothing, so --write does not take it")

    began = time.monotonic()
    with tempfile.TemporaryDirectory() as temporary:
        keep = chosen.keep or Path(temporary)
        with server(keep) as uri, connect(uri) as db:
            on = f"{hardware(db)} {date.today()}, load average {os.getloadavg()[0]:.1f} before."
        printed = [f"<!-- bench hardware: begin -->\n{on}\n<!-- bench hardware: end -->\n"]
        print(printed[0])
        for name in chosen.only:
            say(f"== {name}")
            start = time.monotonic()
            command = [sys.executable, FOLDER / f"{name}.py", "--keep", keep, *["--quick"] * chosen.quick]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
            if done.returncode:
                raise SystemExit(f"{name} failed, see above")
            printed.append(done.stdout)
            print(done.stdout, flush=True)
            say(f"== {name}: {time.monotonic() - start:.0f} s")
    say(f"== everything: {(time.monotonic() - began) / 60:.1f} minutes")
    # Also without --write: a table that no page has is one that nobody reads.
    missing = write({block[1]: block[0] for text in printed for block in BLOCK.finditer(text)}, chosen.write)
    if missing:
        raise SystemExit(f"no page of docs/ has marks for: {', '.join(sorted(missing))}")


def write(blocks: dict[str, str], really: bool) -> set[str]:
    """Puts the blocks where the pages have others of their names, and returns the names that no page has."""
    missing = set(blocks)
    for page in (ROOT / "docs").glob("*.md"):
        text = page.read_text(encoding="utf-8")
        missing -= {block[1] for block in BLOCK.finditer(text)}
        if really:
            page.write_text(BLOCK.sub(lambda old: blocks.get(old[1], old[0]), text), encoding="utf-8")
    return missing


if __name__ == "__main__":
    main()
