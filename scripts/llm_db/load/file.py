"""A file of request logs, opened: what it is, what its columns are for us, and its records one after the other."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from llm_db.errors import Problem
from llm_db.load.mapping import Reader, Source, parse_mapping, refuse_incomplete
from llm_db.load.records import Notes, Record, csv_records, ndjson_records, read_header

FORMATS = {".csv": "csv", ".ndjson": "ndjson", ".jsonl": "ndjson"}


@dataclass(frozen=True)
class LogFile:
    path: Path
    mapping: dict[str, Source]
    reader: Reader
    records: Iterator[Record]
    notes: Notes
    # How much of it is read.
    percent: Callable[[], int]

    @cached_property
    def sha256(self) -> str:
        with self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    @property
    def rejects(self) -> Path:
        return self.path.with_name(self.path.name + ".rejects.csv")

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
                    f"there are: {', '.join(list(seen)[:30])}",
                )
        refuse_incomplete(
            {
                target: source
                for target, source in self.mapping.items()
                if source.constant is not None or seen.keys() & source.columns
            }
        )


@contextmanager
def opened(path: Path, given_format: str | None, pairs: Sequence[str], zone: str) -> Iterator[LogFile]:
    """Whatever can be said against it before a row is read is said here."""
    kind = file_format(path, given_format)
    of_times = time_zone(zone)
    try:
        size = path.stat().st_size
        file = path.open("rb")
    except OSError as error:
        raise Problem(f"Cannot read {path}: {error.strerror}.", "check the path and its permissions") from None
    with file:
        head = file.read(4)
        refuse_other_formats(path, head)
        file.seek(3 if head.startswith(b"\xef\xbb\xbf") else 0)
        notes = Notes()
        if kind == "csv":
            header = read_header(file, path)
            mapping, records = parse_mapping(pairs, header), csv_records(file, header, notes)
            refuse_incomplete(mapping)
        else:
            mapping, records = parse_mapping(pairs, None), ndjson_records(file, notes)
        yield LogFile(
            path, mapping, Reader(mapping, of_times), records, notes, percent=lambda: 100 * file.tell() // size
        )


def file_format(path: Path, given: str | None) -> str:
    if given:
        return given
    if path.suffix.lower() not in FORMATS:
        raise Problem(f"{path} does not say by its name what it is.", "add --format csv or --format ndjson")
    return FORMATS[path.suffix.lower()]


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
