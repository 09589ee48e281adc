"""`llm-db load FILE`: request logs from CSV or NDJSON into llm.session_logs.

Reading (load_source) finds what is wrong with a line by itself; the rows go by COPY into a temporary table; SQL
(load_sql) resolves names, tries every rule on all rows at once, and writes the good ones in one transaction.
"""

import argparse
import hashlib
import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import BinaryIO
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import psycopg
from psycopg import sql

from llm_db import load_source, load_sql
from llm_db.database import Connect
from llm_db.errors import DONE, SQL_FAILED, Problem, sql_problem
from llm_db.load_source import Notes, Reader, Record, Source, escaped

# "llm-load" in ASCII: loads take turns, or two of the same file would both find it new.
LOCK = 0x6C6C6D2D6C6F6164
POLL_SECONDS = 0.2
PROGRESS_SECONDS = 2.0
CHUNK = 1 << 20
RULES_SHOWN = 10


@dataclass
class Counts:
    read: int = 0
    loaded: int = 0
    present: int = 0
    rejected: int = 0
    new_sessions: int = 0
    sessions: int = 0
    identical: int = 0
    months: list[str] = field(default_factory=list)


class Progress:
    """Says on stderr how far we are, once that takes longer than a glance."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self.file, self.size = file, size
        self.started = self.said = time.monotonic()

    def rows(self, count: int) -> None:
        now = time.monotonic()
        if now - self.said >= PROGRESS_SECONDS:
            self.said = now
            percent = 100 * self.file.tell() // self.size
            print(f"read {count:,} rows ({percent}%), {count / (now - self.started):,.0f} rows/s", file=sys.stderr)

    def step(self, text: str) -> None:
        if time.monotonic() - self.started >= PROGRESS_SECONDS:
            print(text, file=sys.stderr)


def run(args: argparse.Namespace, connect: Connect) -> int:
    path: Path = args.file
    kind = load_source.file_format(path, args.format)
    zone = time_zone(args.time_zone)
    try:
        size = path.stat().st_size
        file = path.open("rb")
    except OSError as error:
        raise Problem(f"Cannot read {path}: {error.strerror}.", "check the path and its permissions") from None
    with file:
        head = file.read(4)
        refuse_other_formats(path, head)
        file.seek(3 if head.startswith(b"\xef\xbb\xbf") else 0)
        header = load_source.read_header(file, path) if kind == "csv" else None
        mapping = load_source.parse_mapping(args.map, header)
        if header is not None:
            load_source.refuse_incomplete(mapping)
        reader = Reader(mapping, zone)
        notes = Notes()
        records = (
            load_source.csv_records(file, header, notes)
            if header is not None
            else load_source.ndjson_records(file, notes)
        )
        with connect() as connection:
            try:
                return load(args, connection, path, mapping, reader, records, notes, Progress(file, size))
            except psycopg.Error as error:
                raise sql_problem(error, path) from error


def time_zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise Problem(f"There is no time zone {name}.", "for example --time-zone Asia/Seoul") from None


def refuse_other_formats(path: Path, head: bytes) -> None:
    if not head:
        raise Problem(f"{path} is empty.", "there is nothing to load; was it written to the end?")
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise Problem(f"{path} is UTF-16.", "save it as UTF-8")
    if head.startswith((b"\x1f\x8b", b"PK\x03\x04")):
        raise Problem(f"{path} is compressed, or a spreadsheet.", "unpack it, or save it as CSV in UTF-8")


def load(
    args: argparse.Namespace,
    connection: psycopg.Connection,
    path: Path,
    mapping: dict[str, Source],
    reader: Reader,
    records: Iterator[Record],
    notes: Notes,
    progress: Progress,
) -> int:
    started = time.perf_counter()
    for table in ("llm.session_logs", "llm_db.load_rejects"):
        if connection.execute("SELECT pg_catalog.to_regclass(%s) IS NULL", [table]).fetchone()[0]:
            raise Problem(f"This database has no {table}.", "run `llm-db migrate` first")
    digest, options = sha256(path), described(args, mapping)
    args.answer = {"file": str(path), "already_loaded": False}
    if already_loaded(connection, path, digest, options):
        args.answer["already_loaded"] = True
        return DONE

    connection.execute(load_sql.STAGING)
    counts = Counts(read=stage(connection, path, reader, records, progress))
    refuse_unseen(path, mapping, notes, counts)
    args.answer |= asdict(counts)
    if counts.read == 0:
        print(f"{path} has a header and no rows; nothing to load.")
        return DONE
    with turn(connection):
        # Another load of this file may have been at work until we got the turn.
        if already_loaded(connection, path, digest, options):
            args.answer["already_loaded"] = True
            return DONE
        progress.step("checking the rows")
        check(connection, args.reject_duplicates, counts)
        progress.step("comparing with what the database has")
        for statement in [*load_sql.PRESENT, *load_sql.GROUP]:
            connection.execute(statement)
        make_months(connection, counts)
        progress.step("writing")
        with connection.transaction():
            write(connection, path, digest, options, counts)
    args.answer |= asdict(counts)
    report(path, mapping, notes, counts, time.perf_counter() - started)
    tell_rejects(connection, path, counts)
    return SQL_FAILED if counts.rejected else DONE


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def described(args: argparse.Namespace, mapping: dict[str, Source]) -> str:
    sources = {
        target: source.constant if source.constant is not None else list(source.columns)
        for target, source in mapping.items()
    }
    return json.dumps(
        {"map": sources, "time_zone": args.time_zone, "reject_duplicates": args.reject_duplicates},
        ensure_ascii=False,
        sort_keys=True,
    )


def already_loaded(connection: psycopg.Connection, path: Path, digest: str, options: str) -> bool:
    """Only a load without rejects settles it: what was missing for a rejected row may be there now."""
    earlier = connection.execute(
        "SELECT load_id, loaded_at, rows_read FROM llm_db.loads "
        "WHERE sha256 = %s AND mapping = %s AND rows_rejected = 0 ORDER BY load_id DESC LIMIT 1",
        [digest, options],
    ).fetchone()
    if earlier is None:
        return False
    load_id, loaded_at, rows = earlier
    print(
        f"{path}: already loaded on {loaded_at:%Y-%m-%d %H:%M:%S %Z} ({rows:,} rows); nothing to do.\n"
        f"If its logs were deleted since: DELETE FROM llm_db.loads WHERE load_id = {load_id}, and load it again."
    )
    return True


def stage(
    connection: psycopg.Connection, path: Path, reader: Reader, records: Iterator[Record], progress: Progress
) -> int:
    """Every record of the file, good or bad, by COPY. Only one record is in memory at a time."""
    columns = ["line", "raw", "bad_column", "bad_value", "bad_rule", *(target for target, _, _ in reader.steps)]
    statement = sql.SQL("COPY pg_temp.load_rows ({}) FROM STDIN").format(
        sql.SQL(", ").join(map(sql.Identifier, columns))
    )
    count = 0
    nothing_wrong = "\\N\t\\N\t\\N"
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        rows: list[str] = []
        size = 0
        for record in records:
            count += 1
            staged = reader.stage(record)
            wrong = (
                "\t".join(escaped(text) for text in (staged.column, staged.value, staged.rule))
                if staged.rule
                else nothing_wrong
            )
            values = "\t".join("\\N" if value is None else value for value in staged.values)
            rows.append(f"{record.line}\t{escaped(record.raw)}\t{wrong}\t{values}\n")
            size += len(rows[-1])
            if size > CHUNK:
                copy.write("".join(rows).encode())
                rows, size = [], 0
                progress.rows(count)
        copy.write("".join(rows).encode())
    connection.execute("ANALYZE pg_temp.load_rows")
    return count


def refuse_unseen(path: Path, mapping: dict[str, Source], notes: Notes, counts: Counts) -> None:
    """In NDJSON a column is known only by having been there: one that never was is a slip of the pen in --map."""
    if not notes.columns:
        if counts.read == 0:
            raise Problem(f"{path} has only blank lines.", "there is nothing to load; was it written to the end?")
        return
    for target, source in mapping.items():
        missing = [column for column in source.columns if column not in notes.columns]
        if missing and source.columns != (target,):
            raise Problem(
                f"No line of {path} has {missing[0]}, which --map {target} names.",
                f"there are: {', '.join(list(notes.columns)[:30])}",
            )
    there = {
        target: source
        for target, source in mapping.items()
        if source.constant is not None or set(source.columns) & notes.columns.keys()
    }
    load_source.refuse_incomplete(there)


@contextmanager
def turn(connection: psycopg.Connection) -> Iterator[None]:
    """Polled: a session waiting in pg_advisory_lock would hold up CREATE INDEX CONCURRENTLY for as long."""
    waiting = False
    while not connection.execute("SELECT pg_catalog.pg_try_advisory_lock(%s)", [LOCK]).fetchone()[0]:
        if not waiting:
            print("Another load is at work on this database; waiting for it ...", file=sys.stderr)
        waiting = True
        time.sleep(POLL_SECONDS)
    try:
        yield
    finally:
        if not connection.closed:
            connection.execute("SELECT pg_catalog.pg_advisory_unlock(%s)", [LOCK])


def check(connection: psycopg.Connection, reject_duplicates: bool, counts: Counts) -> None:
    """Leaves the good rows in load_good and the others, each with the first rule it broke, in load_bad."""
    connection.execute(load_sql.UNREADABLE)
    for statement in [*load_sql.RESOLVE, *load_sql.REJECT]:
        connection.execute(statement)
    if constraints := connection.execute(load_sql.CHECKS).fetchall():
        connection.execute(check_constraints(constraints))
    connection.execute(load_sql.GOOD)
    connection.execute(load_sql.SESSIONS)
    for statement in load_sql.REJECT_GIVEN:
        connection.execute(statement)
    (counts.identical,) = connection.execute(load_sql.COUNT_IDENTICAL).fetchone()
    if reject_duplicates and counts.identical:
        connection.execute(load_sql.REJECT_IDENTICAL)
        connection.execute(load_sql.REJECT_GIVEN[-1])
        counts.identical = 0
    connection.execute("ANALYZE pg_temp.load_good")


def check_constraints(constraints: list[tuple[str, list[str], str]]) -> sql.Composed:
    """Tries the CHECKs of session_logs on all rows, in the words that the database itself has for them, so that no rule
    can be there in two versions."""
    tried = sql.SQL(", ").join(
        sql.SQL("(NOT ({}), {}, concat_ws(' + ', {}), {})").format(
            sql.SQL(expression),
            " + ".join(columns),
            sql.SQL(", ").join(sql.SQL("{}::text").format(sql.Identifier(column)) for column in columns),
            name,
        )
        for name, columns, expression in constraints
    )
    return sql.SQL(
        "INSERT INTO pg_temp.load_bad (line, column_name, value, rule) "
        "SELECT r.line, b.column_name, b.value, b.rule FROM pg_temp.load_rows AS r "
        "CROSS JOIN LATERAL (VALUES {}) AS b (broken, column_name, value, rule) "
        "WHERE b.broken AND r.bad_rule IS NULL ON CONFLICT (line) DO NOTHING"
    ).format(tried)


def make_months(connection: psycopg.Connection, counts: Counts) -> None:
    months = [month for (month,) in connection.execute(load_sql.MISSING_MONTHS)]
    try:
        for month in months:
            connection.execute("CALL llm.create_months(%s, %s)", [month, month])
            counts.months.append(f"{month:%Y-%m}")
    except psycopg.errors.InsufficientPrivilege:
        # Who may write logs need not own the tables; DEFAULT takes the rows of any month.
        print(
            f"note: this role may not make months ({months[0]:%Y-%m} to {months[-1]:%Y-%m}); their rows go to DEFAULT\n"
            "hint: ask the DBA to run CALL llm.move_default_rows()",
            file=sys.stderr,
        )


def write(connection: psycopg.Connection, path: Path, digest: str, options: str, counts: Counts) -> None:
    # Each statement has to see what the sessions' earlier writers committed, whatever the database's default is.
    connection.execute("SET TRANSACTION ISOLATION LEVEL READ COMMITTED")
    connection.execute(load_sql.LOCK_SESSIONS)
    counts.new_sessions = connection.execute(load_sql.NEW_SESSIONS).rowcount
    connection.execute(load_sql.WIDENED_SESSIONS)
    counts.loaded = connection.execute(load_sql.LOGS).rowcount
    counts.present, counts.sessions = connection.execute(
        "SELECT count(*) FILTER (WHERE is_present), count(DISTINCT session_id) FROM pg_temp.load_good"
    ).fetchone()
    (counts.rejected,) = connection.execute("SELECT count(*) FROM pg_temp.load_bad").fetchone()
    if counts.read != counts.loaded + counts.present + counts.rejected:
        raise Problem(
            f"{path}: {counts.read} rows were read, but {counts.loaded} loaded, {counts.present} found present and "
            f"{counts.rejected} rejected. Nothing was kept.",
            "please report this with the file, if you can",
            SQL_FAILED,
        )
    (load_id,) = connection.execute(
        "INSERT INTO llm_db.loads (file, sha256, mapping, rows_read, rows_loaded, rows_present, rows_rejected) "
        "VALUES (%s, %s, %s, %s, %s, %s, %s) RETURNING load_id",
        [path.name, digest, options, counts.read, counts.loaded, counts.present, counts.rejected],
    ).fetchone()
    connection.execute(load_sql.REJECTS, [load_id, path.name])


def report(path: Path, mapping: dict[str, Source], notes: Notes, counts: Counts, seconds: float) -> None:
    print(
        f"{path}: {counts.read:,} rows read, {counts.loaded:,} loaded, {counts.present:,} there already, "
        f"{counts.rejected:,} rejected in {seconds:.1f} s ({counts.read / seconds:,.0f} rows/s)"
    )
    if counts.loaded:
        print(f"sessions: {counts.new_sessions:,} made, {counts.sessions - counts.new_sessions:,} continued")
    if counts.months:
        print(f"months made: {', '.join(counts.months)}")
    used = {column for source in mapping.values() for column in source.columns}
    if ignored := [column for column in notes.columns if column not in used]:
        print(f"columns ignored: {', '.join(ignored)}")
    if notes.blank_lines:
        print(f"blank lines skipped: {notes.blank_lines:,}")
    if counts.identical:
        print(f"identical rows kept: {counts.identical:,} (--reject-duplicates rejects them)")


def tell_rejects(connection: psycopg.Connection, path: Path, counts: Counts) -> None:
    rejects = path.with_name(path.name + ".rejects.csv")
    if not counts.rejected:
        if rejects.exists():
            print(f"note: {rejects} is of an earlier load")
        return
    rules = connection.execute(
        "SELECT rule, count(*), min(line) FROM pg_temp.load_bad GROUP BY rule ORDER BY count(*) DESC, min(line)"
    ).fetchmany(RULES_SHOWN + 1)
    for rule, rows, line in rules[:RULES_SHOWN]:
        print(f"rejected {rows:,}: {rule} (first in line {line})", file=sys.stderr)
    if len(rules) > RULES_SHOWN:
        print("and other rules", file=sys.stderr)
    try:
        with rejects.open("wb") as file, connection.cursor() as cursor, cursor.copy(load_sql.REJECT_FILE) as copy:
            for block in copy:
                file.write(block)
    except OSError as error:
        print(f"could not write {rejects} ({error.strerror}); see llm_db.load_rejects", file=sys.stderr)
    else:
        print(f"rejected rows: {rejects} and llm_db.load_rejects", file=sys.stderr)
