"""Reading a file of request logs: lines and records. A line that cannot be understood becomes a record with the rule
that it breaks, never an exception."""

import csv
import io
import json
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from llm_db.errors import Problem

LONGEST_LINE = 1024 * 1024
SHOWN_OF_HUGE_LINE = 1000
# What a field may be is what a line may be; csv's own limit is 128 KiB, also in columns that nobody asks for.
csv.field_size_limit(LONGEST_LINE)


@dataclass
class Record:
    line: int
    raw: str
    values: dict[str, object] | None = None
    rule: str = ""


@dataclass
class Notes:
    """What reading found besides records."""

    blank_lines: int = 0
    columns: dict[str, None] = field(default_factory=dict)


def physical_lines(file: io.BufferedReader) -> Iterator[tuple[int, int, bytes]]:
    """(number, length, bytes) of each line. A huge line is cut, so that it never lies in memory whole."""
    number = 0
    while line := file.readline(LONGEST_LINE + 1):
        number += 1
        length, kept = len(line), line
        if length > LONGEST_LINE:
            kept = line[:SHOWN_OF_HUGE_LINE]
            while not line.endswith(b"\n") and (line := file.readline(LONGEST_LINE)):
                length += len(line)
        yield number, length, kept.rstrip(b"\r\n")


def decode(line: bytes) -> tuple[str, str]:
    """The text, and the rule it breaks, if any."""
    try:
        return line.decode("utf-8"), ""
    except UnicodeDecodeError as error:
        rule = f"not UTF-8: byte 0x{line[error.start]:02x} at position {error.start + 1} of the line"
        return line.decode("utf-8", "backslashreplace"), rule


def huge(number: int, length: int, line: bytes) -> Record:
    return Record(number, decode(line)[0] + "…", rule=f"longer than 1 MB ({length:,} bytes)")


def read_header(file: io.BufferedReader, path: Path) -> list[str]:
    """The names in the first line of a CSV file, past a byte order mark."""
    _, length, line = next(physical_lines(file), (0, 0, b""))
    text, undecodable = decode(line)
    if undecodable:
        raise Problem(f"The first line of {path} is {undecodable}.", "save the file as UTF-8")
    if length > LONGEST_LINE:
        raise Problem(f"The first line of {path} is longer than 1 MB.", "is it a CSV file with a header?")
    try:
        names = [item.strip() for item in next(csv.reader([text], strict=True), [])]
    except csv.Error as error:
        raise Problem(f"The first line of {path} is not CSV: {error}.", "is it a CSV file with a header?") from None
    if not any(names):
        raise Problem(f"The first line of {path} is blank.", "the first line must name the columns")
    refuse_twice(names, path)
    return names


def refuse_twice(names: list[str], path: Path) -> None:
    if twice := sorted({item for item in names if names.count(item) > 1}):
        raise Problem(f"{path} names a column twice: {', '.join(twice)}.", "rename one of them")


def csv_records(file: io.BufferedReader, names: list[str], notes: Notes) -> Iterator[Record]:
    """One record per line, or per run of lines that a quoted field spans. A quote that is never closed costs its own
    line only: reading goes on with the line after it."""
    notes.columns.update(dict.fromkeys(names))
    source = physical_lines(file)
    again: deque[tuple[int, int, bytes]] = deque()

    def following() -> tuple[int, int, bytes] | None:
        return again.popleft() if again else next(source, None)

    while (item := following()) is not None:
        number, length, line = item
        number += 1  # the header was line 1
        if length > LONGEST_LINE:
            yield huge(number, length, line)
            continue
        if not line:
            notes.blank_lines += 1
            continue
        if line.count(b'"') % 2:
            taken, size = [], length
            while size <= LONGEST_LINE and (item := following()) is not None:
                taken.append(item)
                size += item[1]
                if item[2].count(b'"') % 2:
                    break
            if size > LONGEST_LINE or item is None:
                again.extendleft(reversed(taken))
                yield Record(number, decode(line)[0], rule="a quote is not closed within 1 MB")
                continue
            line = b"\n".join([line, *(more for _, _, more in taken)])
        text, rule = decode(line)
        if rule:
            yield Record(number, text, rule=rule)
            continue
        fields = text.split(",")
        if '"' in text:
            try:
                fields = next(csv.reader(io.StringIO(text, newline=""), strict=True))
            except csv.Error as error:
                yield Record(number, text, rule=f"not CSV: {error}")
                continue
        if len(fields) != len(names):
            yield Record(number, text, rule=f"{len(fields)} fields where the header has {len(names)}")
            continue
        yield Record(number, text, dict(zip(names, fields, strict=True)))


def refuse_constant(text: str) -> None:
    raise ValueError(f"{text} is not JSON")


def unique_keys(pairs: list[tuple[str, object]]) -> dict[str, object]:
    values = dict(pairs)
    if len(values) != len(pairs):
        raise ValueError("a key is there twice")
    return values


def ndjson_records(file: io.BufferedReader, notes: Notes) -> Iterator[Record]:
    read = json.JSONDecoder(parse_constant=refuse_constant, parse_float=str, object_pairs_hook=unique_keys).decode
    for number, length, line in physical_lines(file):
        if length > LONGEST_LINE:
            yield huge(number, length, line)
            continue
        if not line.strip():
            notes.blank_lines += 1
            continue
        text, rule = decode(line)
        if rule:
            yield Record(number, text, rule=rule)
            continue
        try:
            values = read(text)
        except json.JSONDecodeError as error:
            yield Record(number, text, rule=f"not JSON: {error.msg} at character {error.pos + 1}")
        except (ValueError, RecursionError) as error:
            reason = "nested too deeply" if isinstance(error, RecursionError) else str(error)
            yield Record(number, text, rule=f"not JSON: {reason}")
        else:
            if isinstance(values, dict):
                if len(notes.columns) < LONGEST_LINE:
                    notes.columns.update(dict.fromkeys(values))
                yield Record(number, text, values)
            else:
                yield Record(number, text, rule="not a JSON object")
