"""The command itself: opens the file, has it loaded, and tells what came of it."""

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING

import psycopg

from llm_db.backend import Conduct
from llm_db.database import Connect
from llm_db.errors import Exit, Problem, printable, sql_problem
from llm_db.load.file import LogFile, few, opened
from llm_db.load.run import PRESENT, REJECTS, Load, Progress

if TYPE_CHECKING:
    from llm_db.cli import Output

RULES_SHOWN = 10
DECIDE = "if these are other requests, the same command with --new loads them"


def run(options: argparse.Namespace, connect: Connect, output: "Output", conduct: Conduct) -> Exit:
    with opened(options.file, options.format, options.map, options.time_zone) as file, connect() as connection:
        load = Load(
            connection,
            file,
            described(options, file),
            options.reject_duplicates,
            options.new,
            options.any_month,
            conduct,
            Progress(file.percent, output.warn),
        )
        started = time.perf_counter()
        try:
            load.run()
        except psycopg.Error as error:
            raise sql_problem(error, file.path) from error
        except OSError as error:
            raise Problem(f"Cannot read {file.path}: {error.strerror}.", "nothing of it was loaded") from error
        finally:
            output.document = {"file": printable(str(file.path)), "already_loaded": load.earlier is not None}
            if load.counts:
                # Where the rows are that are not loaded.
                lists = {
                    f"{table}_file": printable(str(file.list_beside(table)))
                    for table, lines in ((REJECTS, load.counts.rejected), (PRESENT, load.counts.listed))
                    if lines
                }
                output.document |= asdict(load.counts) | lists
        for line in told(load, time.perf_counter() - started):
            output.say(line)
        if load.earlier and load.earlier.listed:
            output.warn(f"{load.earlier.listed:,} of these rows were taken for logs that were there; {DECIDE}")
            return Exit.SQL_FAILED
        if load.counts is None or not load.counts.rejected + load.counts.listed:
            return Exit.DONE
        if load.counts.rejected:
            tell_lines(load, REJECTS, "rejected", output)
        if load.counts.listed:
            tell_lines(load, PRESENT, "not loaded", output)
            output.warn(DECIDE)
        return Exit.SQL_FAILED


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
        filled = f" ({counts.filled} of them filled beside the others, and attached)" if counts.filled else ""
        yield f"months made: {', '.join(counts.months)}{filled}"
    if file.ignored:
        yield f"columns ignored: {few(file.ignored)}"
    if file.notes.blank_lines:
        yield f"blank lines skipped: {file.notes.blank_lines:,}"
    if counts.identical:
        yield f"identical rows kept: {counts.identical:,} (--reject-duplicates rejects them)"
    for table, lines in ((REJECTS, counts.rejected), (PRESENT, counts.listed)):
        if not lines and file.list_beside(table).exists():
            yield f"note: {file.list_beside(table)} is of an earlier load"


def tell_lines(load: Load, table: str, what: str, output: "Output") -> None:
    rules = load.broken_rules(table, RULES_SHOWN + 1)
    for rule, rows, line in rules[:RULES_SHOWN]:
        output.warn(f"{what} {rows:,}: {rule} (first in line {line})")
    if len(rules) > RULES_SHOWN:
        output.warn("and other rules")
    output.warn(f"{what} rows: {load.file.list_beside(table)} and llm_db.load_rejects")
