"""From a record's values to our columns: what --map says. Nothing here knows the database."""

import difflib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import tzinfo
from functools import partial

from llm_db.errors import Problem
from llm_db.load.records import Record
from llm_db.load.values import BIGINT, INTEGER, BadValue, escaped, integer, name, sequence, time, uuid

SHOWN_OF_VALUE = 200
COPY_NULL = "\\N"
NOTHING_WRONG = "\t".join([COPY_NULL] * 3)


class BadCell(Exception):
    """A value of a known column breaks a rule; the message is the rule."""

    def __init__(self, column: str, value: object, rule: str) -> None:
        super().__init__(rule)
        self.column = column
        self.value = value


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
    "session_start_time": time,
    "session_end_time": time,
    "session_status": name,
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


def parse_mapping(pairs: list[str], columns: list[str] | None) -> dict[str, Source]:
    """--map target=source. `columns` is the header, or None where the file has none (NDJSON)."""
    mapping: dict[str, Source] = {}
    for pair in pairs:
        try:
            pair.encode()
        except UnicodeEncodeError:
            raise Problem(f"--map {pair} is not UTF-8.", "type it on a terminal that uses UTF-8") from None
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
    settled = set(mapping)
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
    if "session_id" not in mapping:
        for target in ("log_sequence", "session_start_time", "session_end_time", "session_status"):
            if target in mapping:
                raise Problem(f"{target} is given without session_id.", "map session_id too, or rename the column")


class Reader:
    """Turns records into rows for COPY, in the mapping's order."""

    def __init__(self, mapping: dict[str, Source], zone: tzinfo, trimmed: bool = True) -> None:
        self.columns = ("line", "raw", "bad_column", "bad_value", "bad_rule", *mapping)
        # A row that tells when a session began may be a session without logs.
        required = mapping.keys() & {"request_time"} if "session_start_time" not in mapping else ()
        self.cells = [
            cell_reader(target, source, zone, target in required, trimmed) for target, source in mapping.items()
        ]
        self.nothing = [COPY_NULL] * len(mapping)

    def row(self, record: Record) -> str:
        rule, column, value = record.rule, COPY_NULL, ""
        cells = self.nothing
        if record.values is not None:
            try:
                cells = [read(record.values) for read in self.cells]
            except BadCell as bad:
                rule, column, value = str(bad), escaped(bad.column), escaped(shown(bad.value))
        wrong = f"{column}\t{value}\t{escaped(rule)}" if rule else NOTHING_WRONG
        return "\t".join([str(record.line), escaped(record.raw), wrong, *cells]) + "\n"


def cell_reader(
    target: str, source: Source, zone: tzinfo, required: bool, trimmed: bool
) -> Callable[[Mapping[str, object]], str]:
    convert = partial(time, zone=zone) if TARGETS[target] is time else TARGETS[target]
    if source.constant is not None:
        try:
            constant = str(convert(source.constant))
        except BadValue as bad:
            raise Problem(f"--map {target}={source.constant} is {bad}.", "correct the constant") from None
        return lambda values: constant
    if len(source.columns) > 1:
        return partial(total, source.columns)
    return partial(cell, source.columns[0], convert, required, trimmed)


def cell(
    column: str, convert: Callable[[str], object], required: bool, trimmed: bool, values: Mapping[str, object]
) -> str:
    value = values.get(column)
    try:
        text = plain(value, trimmed)
        if text is not None:
            return str(convert(text))
    except BadValue as bad:
        raise BadCell(column, value, str(bad)) from None
    if required:
        raise BadCell(column, "", "missing value")
    return COPY_NULL


def total(columns: tuple[str, ...], values: Mapping[str, object]) -> str:
    """Half a sum is neither the sum nor unknown."""
    parts = [cell(column, integer, False, True, values) for column in columns]
    missing = [column for column, part in zip(columns, parts, strict=True) if part == COPY_NULL]
    if len(missing) == len(columns):
        return COPY_NULL
    if missing:
        raise BadCell(missing[0], "", "missing value")
    added = sum(map(int, parts))
    if added not in BIGINT:
        raise BadCell(columns[-1], added, "number out of range")
    return str(added)


def plain(value: object, trimmed: bool) -> str | None:
    """A value as text, None where there is none. A format with types has no blanks that are not meant."""
    if value is None:
        return None
    if isinstance(value, str):
        return (value.strip() if trimmed else value) or None
    if isinstance(value, bool | dict | list):
        raise BadValue("not a plain value")
    return str(value)


def shown(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    text = text.encode("utf-8", "backslashreplace").decode("utf-8")
    return text if len(text) <= SHOWN_OF_VALUE else text[:SHOWN_OF_VALUE] + "…"
