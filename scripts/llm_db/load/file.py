"""A file of request logs, opened: what it is, what its columns are for us, and its records one after the other."""

import hashlib
import os
import shutil
import stat
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from llm_db.errors import Problem, printable
from llm_db.load import parquet
from llm_db.load.mapping import Reader, Source, parse_mapping, refuse_incomplete
from llm_db.load.records import Notes, Record, csv_records, ndjson_records, read_header

FORMATS = {".csv": "csv", ".ndjson": "ndjson", ".jsonl": "ndjson", ".parquet": "parquet"}
STDIN = Path("-")
CHUNK = 1 << 20


@dataclass(frozen=True)
class LogFile:
    path: Path
    mapping: dict[str, Source]
    reader: Reader
    records: Iterator[Record]
    notes: Notes
    file: BinaryIO
    size: int
    # Where what is told of its lines is written: beside it, or for a pipe in the current folder.
    beside: Path
    # Of Parquet: how many rows it has, and the first day of the month that it is the archive of.
    rows: int | None = None
    archive_of: str | None = None

    @property
    def name(self) -> str:
        """As the database keeps it. A name need not be UTF-8."""
        return printable(self.beside.name)

    def percent(self, read: int) -> int:
        return 100 * read // self.rows if self.rows else min(100 * self.file.tell() // self.size, 100)

    def digests(self, sizes: Iterable[int]) -> dict[int, str]:
        """SHA-256 of its first bytes, for each of these sizes that it has, and of all of them."""
        found: dict[int, str] = {}
        digest, at = hashlib.sha256(), 0
        for size in sorted({*sizes, self.size}):
            while at < size and (block := os.pread(self.file.fileno(), min(size - at, CHUNK), at)):
                digest.update(block)
                at += len(block)
            if at == size:
                found[size] = digest.hexdigest()
        return found

    def list_beside(self, what: str) -> Path:
        return self.beside.with_name(f"{self.beside.name}.{what}.csv")

    @property
    def ignored(self) -> list[str]:
        used = {column for source in self.mapping.values() for column in source.columns}
        return [column for column in self.notes.columns if column not in used]

    def refuse_unseen(self, read: int) -> None:
        """In NDJSON a column is known only by having been there: one that never was is a slip of the pen in --map."""
        seen = self.notes.columns
        if not seen:
            if read == 0:
                raise Problem(
                    f"{self.path} has only blank lines.", "there is nothing to load; was it written to the end?"
                )
            return
        for target, source in self.mapping.items():
            missing = [column for column in source.columns if column not in seen]
            if missing and source.columns != (target,):
                raise Problem(
                    f"No line of {self.path} has {missing[0]}, which --map {target} names.",
                    f"there are: {few(list(seen))}",
                )
        refuse_incomplete(
            {
                target: source
                for target, source in self.mapping.items()
                if source.constant is not None or seen.keys() & source.columns
            }
        )


def few(names: Sequence[str], most: int = 10) -> str:
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


@contextmanager
def opened(path: Path, given_format: str | None, pairs: Sequence[str], zone: str) -> Iterator[LogFile]:
    """Whatever can be said against it before a row is read is said here."""
    of_times = time_zone(zone)
    with ExitStack() as closing:
        try:
            file, is_pipe = seekable(path, closing)
            size = os.fstat(file.fileno()).st_size
            head = file.read(4)
        except OSError as error:
            raise Problem(f"Cannot read {path}: {error.strerror}.", "check the path and its permissions") from None
        refuse_other_formats(path, head)
        kind = given_format or ("parquet" if head == parquet.MAGIC else format_by_name(path))
        file.seek(3 if head.startswith(b"\xef\xbb\xbf") else 0)
        notes = Notes()
        rows = archive_of = None
        if kind == "parquet":
            source = parquet.opened(file, path)
            header = parquet.columns(source, path)
            rows, archive_of = source.metadata.num_rows, parquet.archive_of(source)
            mapping = parse_mapping(pairs, header)
            refuse_incomplete(mapping)
            notes.columns.update(dict.fromkeys(header))
            used = [column for column in header if any(column in given.columns for given in mapping.values())]
            records = parquet.records(source, used, path)
        elif kind == "csv":
            header = read_header(file, path)
            mapping, records = parse_mapping(pairs, header), csv_records(file, header, notes)
            refuse_incomplete(mapping)
        else:
            mapping, records = parse_mapping(pairs, None), ndjson_records(file, notes)
        beside = Path("pipe") if is_pipe else path
        reader = Reader(mapping, of_times, trimmed=kind != "parquet")
        yield LogFile(path, mapping, reader, records, notes, file, size, beside, rows, archive_of)


def seekable(path: Path, closing: ExitStack) -> tuple[BinaryIO, bool]:
    """The file, and whether it was a pipe: one is written to a temporary file first, since it is read twice."""
    stream = open(0, "rb", closefd=False) if path == STDIN else path.open("rb")  # noqa: SIM115
    closing.push(stream)
    if path != STDIN and stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
        return stream, False
    spool = tempfile.TemporaryFile()  # noqa: SIM115
    closing.push(spool)
    shutil.copyfileobj(stream, spool, CHUNK)
    spool.seek(0)
    return spool, True


def format_by_name(path: Path) -> str:
    if path.suffix.lower() not in FORMATS:
        raise Problem(f"{path} does not say by its name what it is.", "add --format csv, ndjson or parquet")
    return FORMATS[path.suffix.lower()]


def time_zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise Problem(f"There is no time zone {name}.", "for example --time-zone Asia/Seoul") from None


def refuse_other_formats(path: Path, head: bytes) -> None:
    if not head:
        raise Problem(f"{path} is empty.", "there is nothing to load; was it written to the end?")
    if head.startswith((b"\x1f\x8b", b"PK\x03\x04")):
        raise Problem(f"{path} is compressed, or a spreadsheet.", "unpack it, or save it as CSV in UTF-8")
    if head.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in head:
        raise Problem(f"{path} is UTF-16, or no text.", "save it as UTF-8")
