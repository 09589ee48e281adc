"""Reading a file of request logs: lines, records, and the mapping from its columns to ours.

Nothing here knows the database. A line that cannot be understood becomes a bad row, never an exception.
"""

import csv
import difflib
import io
import json
import re
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from pathlib import Path
from uuid import UUID

from llm_db.errors import Problem

LONGEST_LINE = 1024 * 1024
SHOWN_OF_HUGE_LINE = 1000
SHOWN_OF_VALUE = 200
FORMATS = {".csv": "csv", ".ndjson": "ndjson", ".jsonl": "ndjson"}
INTEGER = re.compile(r"([+-]?[0-9]{1,19})(?:\.0+)?", re.ASCII)
BIGINT = range(-(2**63), 2**63)
# PostgreSQL's text has no NUL: it is shown as \x00.
COPY_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r", "\0": "\\\\x00"})


class BadValue(Exception):
    """A value breaks a rule; the message is the rule."""


def integer(text: str) -> int:
    match = INTEGER.fullmatch(text)
    if not match:
        raise BadValue("not a whole number" if re.fullmatch(r"[+-]?[0-9]+\.[0-9]+", text) else "not a number")
    if (number := int(match[1])) not in BIGINT:
        raise BadValue("number out of range")
    return number


def sequence(text: str) -> int:
    if (number := integer(text)) >= 2**31:
        raise BadValue("number out of range")
    return number


def uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise BadValue("not a UUID") from None


def escaped(text: str) -> str:
    """For COPY's text format. Nearly every text passes as it is, and this is asked of every line."""
    return text if text.isprintable() and "\\" not in text else text.translate(COPY_ESCAPES)


def name(text: str) -> str:
    if "\0" in text:
        raise BadValue("has a NUL character")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise BadValue("has half a character (a lone surrogate)") from None
    return escaped(text)


def time(text: str, zone: tzinfo) -> datetime:
    """Digits past the microsecond are cut off, so that no request moves into the next hour."""
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        raise BadValue("not a time") from None
    if parsed.year < 1970:
        raise BadValue("before 1970, which a session_id (UUIDv7) cannot carry")
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=zone)


# What a file may give, and how a value of it is read.
TARGETS: dict[str, Callable[..., object]] = {
    "session_id": uuid,
    "log_sequence": sequence,
    "request_time": time,
    "response_time": time,
    "token_used": integer,
    "deployment_id": integer,
    "server_name": name,
    "model_name": name,
    "environment": name,
    "config_id": integer,
    "config_name": name,
    "template_id": integer,
    "template_name": name,
    "version": name,
    "request_prompt_s3_path": name,
    "response_s3_path": name,
    "user_id": integer,
    "user_email": name,
    "project_id": integer,
    "project_name": name,
    "session_type": name,
}


# A key, and the names that can stand for it.
ALTERNATIVES = [
    ({"deployment_id"}, {"server_name", "model_name", "environment"}),
    ({"config_id"}, {"config_name"}),
    ({"template_id"}, {"template_name", "version"}),
    ({"user_id"}, {"user_email"}),
    ({"project_id"}, {"project_name"}),
]


@dataclass(frozen=True)
class Source:
    """Where a target comes from: one column, several to be added, or a constant."""

    columns: tuple[str, ...] = ()
    constant: str | None = None


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


def file_format(path: Path, given: str | None) -> str:
    if given:
        return given
    if path.suffix.lower() not in FORMATS:
        raise Problem(f"{path} does not say by its name what it is.", "add --format csv or --format ndjson")
    return FORMATS[path.suffix.lower()]


def shown(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    text = text.encode("utf-8", "backslashreplace").decode("utf-8")
    return text if len(text) <= SHOWN_OF_VALUE else text[:SHOWN_OF_VALUE] + "…"


def parse_mapping(pairs: list[str], columns: list[str] | None) -> dict[str, Source]:
    """--map target=source. `columns` is the header, or None where the file has none (NDJSON)."""
    mapping: dict[str, Source] = {}
    for pair in pairs:
        target, equals, source = (part.strip() for part in pair.partition("="))
        if not equals or not source:
            raise Problem(f"--map {pair} is not target=source.", "for example --map request_time=TIMESTAMP")
        if target not in TARGETS:
            near = difflib.get_close_matches(target, TARGETS, 1)
            meant = f"did you mean {near[0]}? " if near else ""
            raise Problem(f"--map {pair}: there is no target {target}.", f"{meant}targets are {', '.join(TARGETS)}")
        if target in mapping:
            raise Problem(f"--map gives {target} twice.", "leave one of them out")
        mapping[target] = parse_source(target, source, columns)
    # Who maps user_email means it, also where the file has a user_id of some other system.
    settled: set[str] = set(mapping)
    for key, names in ALTERNATIVES:
        if names & mapping.keys():
            settled |= key
        elif key & mapping.keys():
            settled |= names
    for target in TARGETS:
        if target not in settled and (columns is None or target in columns):
            mapping[target] = Source((target,))
    return {target: source for target, source in mapping.items() if source.constant != ""}


def parse_source(target: str, source: str, columns: list[str] | None) -> Source:
    if columns is not None and source in columns:
        return Source((source,))
    if len(source) >= 2 and source[0] == source[-1] == "'":
        return Source(constant=source[1:-1].replace("''", "'"))
    if INTEGER.fullmatch(source):
        return Source(constant=source)
    parts = tuple(part.strip() for part in source.split("+"))
    if len(parts) > 1 and target != "token_used":
        raise Problem(f"--map {target}={source}: only token_used can be a sum.", "name one column")
    for part in parts:
        if columns is not None and part not in columns:
            raise Problem(
                f"--map {target}={source}: the file has no column {part}.",
                f"its first line names {', '.join(columns)}; a constant stands in single quotes: \"{target}='{part}'\"",
            )
    return Source(parts)


def refuse_incomplete(mapping: dict[str, Source]) -> None:
    """What no row could do without."""
    if "request_time" not in mapping:
        raise Problem(
            "No column gives request_time.",
            "is the first line a header? Name the column: --map request_time=COLUMN",
        )
    if not mapping.keys() & {"deployment_id", "server_name", "model_name"}:
        raise Problem(
            "No column gives the deployment.",
            "map deployment_id, server_name or model_name, for example --map \"server_name='ml-server-01'\"",
        )
    if not mapping.keys() & {"session_id", "user_id", "user_email"}:
        raise Problem(
            "No column gives the session or its user.",
            "map session_id, user_id or user_email, for example --map \"user_email='kim@example.com'\"",
        )
    if "log_sequence" in mapping and "session_id" not in mapping:
        raise Problem("log_sequence is given without session_id.", "map session_id too, or rename the column")


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
    if twice := sorted({item for item in names if names.count(item) > 1}):
        raise Problem(f"{path} names a column twice: {', '.join(twice)}.", "rename one of them in the first line")
    return names


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


def plain(value: object) -> str | None:
    """A value as trimmed text; None where there is none."""
    if value is None:
        return None
    if isinstance(value, str):
        return value.strip() or None
    if isinstance(value, bool | dict | list):
        raise BadValue("not a plain value")
    return str(value)


@dataclass(frozen=True)
class Staged:
    """One row for the staging table: the targets' values, or what is wrong with them."""

    values: tuple[str | None, ...]
    column: str = ""
    value: str = ""
    rule: str = ""


class Reader:
    """Turns a record's values into those of the targets, in the mapping's order."""

    def __init__(self, mapping: dict[str, Source], zone: tzinfo) -> None:
        self.steps = [(target, source, self.converter(target, zone)) for target, source in mapping.items()]
        self.nothing = (None,) * len(self.steps)
        self.constants: dict[str, str] = {}
        for target, source, convert in self.steps:
            if source.constant is not None:
                try:
                    self.constants[target] = str(convert(source.constant))
                except BadValue as error:
                    raise Problem(f"--map {target}={source.constant} is {error}.", "correct the constant") from None

    @staticmethod
    def converter(target: str, zone: tzinfo) -> Callable[[str], object]:
        convert = TARGETS[target]
        return (lambda text: time(text, zone).isoformat()) if convert is time else convert

    def stage(self, record: Record) -> Staged:
        if record.values is None:
            return Staged(self.nothing, rule=record.rule)
        staged: list[str | None] = []
        column, value = "", None
        try:
            for target, source, convert in self.steps:
                if source.constant is not None:
                    staged.append(self.constants[target])
                    continue
                if len(source.columns) > 1:
                    parts = []
                    for column in source.columns:
                        value = record.values.get(column)
                        parts.append(None if (text := plain(value)) is None else integer(text))
                    if None not in parts:
                        value = sum(parts)
                        if value not in BIGINT:
                            raise BadValue("number out of range")
                        staged.append(str(value))
                    elif any(part is not None for part in parts):
                        # Half a sum is neither the sum nor unknown.
                        column, value = source.columns[parts.index(None)], ""
                        raise BadValue("missing value")
                    else:
                        staged.append(None)
                    continue
                (column,) = source.columns
                value = record.values.get(column)
                text = plain(value)
                if text is None:
                    if target == "request_time":
                        value = ""
                        raise BadValue("missing value")
                    staged.append(None)
                else:
                    staged.append(str(convert(text)))
        except BadValue as error:
            return Staged(self.nothing, column, shown(value), str(error))
        return Staged(tuple(staged))
