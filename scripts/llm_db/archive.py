"""One month of sessions and logs as a Parquet file, which others read, and `llm-db load` brings back.

All of it is one snapshot. The file gets its name once it lies on the disk and was read back: it has as many sessions
and logs as the tables have, and the sum of a hash of every row is the same on both sides.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from hashlib import md5
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import psycopg

from llm_db import __version__
from llm_db.database import scalar
from llm_db.errors import FULL, Exit, Problem, one_line, printable
from llm_db.load import parquet
from llm_db.load.run import Progress, partly
from llm_db.queries import query
from llm_db.repeatables import is_distributed

if TYPE_CHECKING:
    import pyarrow

# Of a row group, as CSV; about 100,000 rows. More than a group never lies in memory.
GROUP_BYTES = 32 << 20
BATCH = 10_000
# The columns that are no texts.
TIMES = ("session_start_time", "session_end_time", "request_time", "response_time")
NUMBERS = ("user_id", "project_id", "token_used", "deployment_id", "config_id", "template_id")
NULL = "\\N"


@dataclass(frozen=True)
class Contents:
    """What the database and the file must have alike. A row is a log, or a session without logs."""

    rows: int
    sessions: int
    logs: int
    # The sum of 56 bits of each row's MD5.
    checksum: int


def archive(connection: psycopg.Connection, month: date, path: Path, tell: Callable[[str], None]) -> dict[str, object]:
    """In a REPEATABLE READ transaction in which nothing was read yet. What is told of the file."""
    try:
        import pyarrow  # noqa: F401
    except ImportError:
        raise parquet.needed() from None
    span = found(connection, month)
    if is_distributed(connection):
        # Each connection to a worker has a snapshot of its own.
        connection.execute("SET LOCAL citus.max_adaptive_executor_pool_size = 1")
    with named_when_whole(path) as file:
        columns = [column.name for column in connection.execute(f"{query('archive_rows')} LIMIT 0", span).description]
        contents = of_database(connection, columns, span)
        progress = Progress(lambda rows: 100 * rows // contents.rows, tell)
        told = {
            parquet.MONTH: str(month),
            "llm_db.schema_version": newest_migration(connection),
            **{f"llm_db.{name}": str(value) for name, value in asdict(contents).items()},
            "llm_db.archived_at": f"{datetime.now(UTC):%Y-%m-%d %H:%M:%SZ}",
            "llm_db.version": __version__,
        }
        schema = pyarrow_schema(columns, told)
        write(file, schema, connection, span, progress)
        progress.step("reading it back")
        if (written := of_file(partly(path))) != contents:
            raise Problem(
                f"{path} is not what the database has: {written}, and not {contents}.",
                "nothing was kept; is the disk in order?",
                Exit.SQL_FAILED,
            )
        size = file.tell()
    return {
        "file": printable(str(path)),
        "month": f"{month:%Y-%m}",
        "sessions": contents.sessions,
        "logs": contents.logs,
        "bytes": size,
    }


def found(connection: psycopg.Connection, month: date) -> Mapping[str, str]:
    """The bounds of a month that is whole, which it stays until the transaction ends."""
    try:
        # Before the snapshot is taken: a month that is attached or detached after that would have no rows in it.
        connection.execute("LOCK TABLE ONLY llm.sessions, ONLY llm.session_logs IN ACCESS SHARE MODE")
    except (psycopg.errors.InvalidSchemaName, psycopg.errors.UndefinedTable):
        raise Problem("This database has no sessions and logs.", "run `llm-db migrate` first") from None
    low, high, tables, attached = connection.execute(query("archive_month"), {"month": month}).fetchone()
    if not tables:
        raise Problem(
            f"There is no month {month:%Y-%m}.",
            "`SELECT month FROM ops.months` lists them; CALL llm.move_default_rows() gives rows in DEFAULT their month",
        )
    if attached < 2:
        raise Problem(
            f"The month {month:%Y-%m} is not whole: of its two tables {attached} is attached.",
            f"SELECT ops.repair_month('{month}'); puts it together again",
        )
    return {"low": low, "high": high}


def newest_migration(connection: psycopg.Connection) -> str:
    """Who only loads does not read the ledger."""
    if not scalar(connection, "SELECT pg_catalog.has_table_privilege(to_regclass('llm_db.migrations'), 'SELECT')"):
        return "not known"
    return scalar(connection, "SELECT max(migration_id) FROM llm_db.migrations WHERE state = 'applied'")


@contextmanager
def named_when_whole(path: Path) -> Iterator[BinaryIO]:
    """A new file, which has another name until all of it is on the disk. What does not come to that, goes."""
    part = partly(path)
    try:
        file = part.open("xb")
    except FileExistsError:
        raise Problem(
            f"{part} is there: another llm-db is writing it, or was killed while it did.", "if so, remove it"
        ) from None
    except OSError as error:
        raise Problem(
            f"Cannot write {path}: {error.strerror}.", "name a file in a folder that is there and can be written to"
        ) from None
    try:
        with file:
            # Whoever writes it has the other name, so nobody makes it from here on.
            if path.exists():
                raise Problem(f"{path} is there already.", "name another file, or remove this one")
            yield file
        part.rename(path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        reason = error.strerror or one_line(str(error))
        hint = "make room, and run this again" if error.errno in FULL else "nothing was kept; run this again"
        raise Problem(f"Cannot write {path}: {reason}.", hint, Exit.SQL_FAILED) from error
    finally:
        part.unlink(missing_ok=True)


def pyarrow_schema(columns: list[str], told: dict[str, str]) -> "pyarrow.Schema":
    import pyarrow

    types = dict.fromkeys(columns, pyarrow.string())
    types |= dict.fromkeys(TIMES, pyarrow.timestamp("us", "UTC")) | dict.fromkeys(NUMBERS, pyarrow.int64())
    types |= {"log_sequence": pyarrow.int32()}
    return pyarrow.schema(types.items(), told)


def of_database(connection: psycopg.Connection, columns: list[str], span: Mapping[str, str]) -> Contents:
    """Sessions and logs are counted in the tables themselves, in which no join can lose one."""
    texts = ", ".join(
        f"to_char({name} AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US\"Z\"')" if name in TIMES else f"{name}::text"
        for name in columns
    )
    sessions, logs = (
        f"(SELECT count(*) AS rows FROM llm.{table} WHERE session_id >= %(low)s AND session_id < %(high)s)"
        for table in ("sessions", "session_logs")
    )
    hashed = f"md5(array_to_string(ARRAY[{texts}], '|', '{NULL}'))"
    return Contents(
        *connection.execute(
            "SELECT h.rows, s.rows, l.rows, h.checksum FROM ("
            f"SELECT count(*) AS rows, coalesce(sum(('x' || left({hashed}, 14))::bit(56)::bigint), 0) AS checksum"
            f" FROM ({query('archive_rows')}) AS r"
            f") AS h CROSS JOIN {sessions} AS s CROSS JOIN {logs} AS l",
            span,
        ).fetchone()
    )


def write(
    file: BinaryIO,
    schema: "pyarrow.Schema",
    connection: psycopg.Connection,
    span: Mapping[str, str],
    progress: Progress,
) -> None:
    from pyarrow.parquet import ParquetWriter, SortingColumn

    order = [("session_id", "ascending"), ("log_sequence", "ascending")]
    sorting = SortingColumn.from_ordering(schema, order, null_placement="at_end")
    statement = f"COPY ({query('archive_rows')} ORDER BY session_id, log_sequence) TO STDOUT (FORMAT csv)"
    with (
        ParquetWriter(file, schema, compression="zstd", sorting_columns=sorting) as writer,
        connection.cursor() as cursor,
        cursor.copy(statement, span) as rows,
    ):
        written = 0
        for group in groups(rows):
            table = parsed(group, schema)
            writer.write_table(table, row_group_size=len(table))
            written += len(table)
            progress.rows(written)
    file.flush()
    os.fsync(file.fileno())


def groups(rows: psycopg.Copy) -> Iterator[bytes]:
    """The server sends a row at a time, and so no group ends within one."""
    group = BytesIO()
    for row in rows:
        group.write(row)
        if group.tell() > GROUP_BYTES:
            yield group.getvalue()
            group = BytesIO()
    if group.tell():
        yield group.getvalue()


def parsed(group: bytes, schema: "pyarrow.Schema") -> "pyarrow.Table":
    """In CSV as PostgreSQL writes it, NULL is nothing and an empty text is quoted."""
    import pyarrow
    from pyarrow import csv

    try:
        return csv.read_csv(
            pyarrow.BufferReader(group),
            csv.ReadOptions(column_names=schema.names, block_size=len(group), use_threads=False),
            csv.ParseOptions(newlines_in_values=True),
            csv.ConvertOptions(
                column_types=schema, null_values=[""], strings_can_be_null=True, quoted_strings_can_be_null=False
            ),
        )
    except pyarrow.ArrowInvalid as error:
        raise Problem(
            f"A row has what a Parquet file cannot hold: {one_line(str(error))}.", "correct it, and run this again"
        ) from error


def of_file(path: Path) -> Contents:
    import pyarrow
    from pyarrow.compute import binary_join_element_wise
    from pyarrow.parquet import ParquetFile

    count = sessions = logs = checksum = 0
    last = None
    with ParquetFile(path) as file:
        for batch in file.iter_batches(BATCH, use_threads=False):
            texts = [column.cast(pyarrow.string()) for column in batch.columns]
            rows = binary_join_element_wise(*texts, "|", null_handling="replace", null_replacement=NULL)
            for session, row in zip(batch.column("session_id").to_pylist(), rows.to_pylist(), strict=True):
                sessions += session != last
                last = session
                checksum += int.from_bytes(md5(row.encode(), usedforsecurity=False).digest()[:7])
            count += len(batch)
            logs += len(batch) - batch.column("log_sequence").null_count
    return Contents(count, sessions, logs, checksum)
