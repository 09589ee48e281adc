"""The command itself: opens the file, has it loaded, and tells what came of it."""

import argparse
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING

import psycopg

from llm_db.database import Connect
from llm_db.errors import Exit, sql_problem
from llm_db.load.file import LogFile, opened
from llm_db.load.run import Load, Progress

if TYPE_CHECKING:
    from llm_db.cli import Output

RULES_SHOWN = 10


def run(options: argparse.Namespace, connect: Connect, output: "Output") -> Exit:
    with opened(options.file, options.format, options.map, options.time_zone) as file, connect() as connection:
        load = Load(connection, file, described(options, file), options.reject_duplicates, Progress(file.percent))
        started = time.perf_counter()
        try:
            load.run()
        except psycopg.Error as error:
            raise sql_problem(error, file.path) from error
        finally:
            output.document = {"file": str(file.path), "already_loaded": load.earlier is not None} | (
                asdict(load.counts) if load.counts else {}
            )
        for line in told(load, time.perf_counter() - started):
            output.say(line)
        if load.counts and load.counts.rejected:
            tell_rejects(load)
            return Exit.SQL_FAILED
        return Exit.DONE


def described(options: argparse.Namespace, file: LogFile) -> str:
    sources = {
        target: source.constant if source.constant is not None else list(source.columns)
        for target, source in file.mapping.items()
    }
    return json.dumps(
        {"map": sources, "time_zone": options.time_zone, "reject_duplicates": options.reject_duplicates},
        ensure_ascii=False,
        sort_keys=True,
    )


def told(load: Load, seconds: float) -> Iterator[str]:
    file, earlier, counts = load.file, load.earlier, load.counts
    if earlier:
        yield (
            f"{file.path}: already loaded on {earlier.loaded_at:%Y-%m-%d %H:%M:%S %Z} ({earlier.rows:,} rows); nothing "
            f"to do.\nIf its logs were deleted since: DELETE FROM llm_db.loads WHERE load_id = {earlier.load_id}, and "
            "load it again."
        )
        return
    if not counts.read:
        yield f"{file.path} has a header and no rows; nothing to load."
        return
    yield (
        f"{file.path}: {counts.read:,} rows read, {counts.loaded:,} loaded, {counts.present:,} there already, "
        f"{counts.rejected:,} rejected in {seconds:.1f} s ({counts.read / seconds:,.0f} rows/s)"
    )
    if counts.loaded:
        yield f"sessions: {counts.new_sessions:,} made, {counts.sessions - counts.new_sessions:,} continued"
    if counts.months:
        yield f"months made: {', '.join(counts.months)}"
    if file.ignored:
        yield f"columns ignored: {', '.join(file.ignored)}"
    if file.notes.blank_lines:
        yield f"blank lines skipped: {file.notes.blank_lines:,}"
    if counts.identical:
        yield f"identical rows kept: {counts.identical:,} (--reject-duplicates rejects them)"
    if not counts.rejected and file.rejects.exists():
        yield f"note: {file.rejects} is of an earlier load"


def tell_rejects(load: Load) -> None:
    rules = load.broken_rules(RULES_SHOWN + 1)
    for rule, rows, line in rules[:RULES_SHOWN]:
        print(f"rejected {rows:,}: {rule} (first in line {line})", file=sys.stderr)
    if len(rules) > RULES_SHOWN:
        print("and other rules", file=sys.stderr)
    rejects = load.file.rejects
    try:
        load.write_rejects()
    except OSError as error:
        print(f"could not write {rejects} ({error.strerror}); see llm_db.load_rejects", file=sys.stderr)
    else:
        print(f"rejected rows: {rejects} and llm_db.load_rejects", file=sys.stderr)
