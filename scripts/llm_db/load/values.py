"""How a value of a file is read: a grammar for each type that takes no more than PostgreSQL 15 to 18 do, so that what
passes here fails nowhere later. It is ASCII: no digits of other alphabets, nothing that depends on a setting."""

import re
from datetime import UTC, datetime, tzinfo

INTEGER = re.compile(r"([+-]?[0-9]{1,19})(?:\.0+)?")
FRACTION = re.compile(r"[+-]?[0-9]+\.[0-9]+")
INT = range(-(2**31), 2**31)
BIGINT = range(-(2**63), 2**63)
UUID = re.compile(r"[0-9a-fA-F]{8}(-?)(?:[0-9a-fA-F]{4}\1){3}[0-9a-fA-F]{12}")
# ISO 8601, with its signs or without. An offset is what PostgreSQL takes: less than 16 hours.
DAY = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
FRACTION_OF_SECOND = r"(?:[.,][0-9]+)?"
OFFSET = r"(?:Z|[+-](?:0[0-9]|1[0-5])(?::?[0-5][0-9])?)?"
TIME = re.compile(
    rf"{DAY}|(?:{DAY}[T ][0-9]{{2}}:[0-9]{{2}}(?::[0-9]{{2}}{FRACTION_OF_SECOND})?"
    rf"|[0-9]{{8}}T[0-9]{{6}}{FRACTION_OF_SECOND}){OFFSET}"
)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# PostgreSQL's text has no NUL: it is shown as \x00.
COPY_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r", "\0": "\\\\x00"})


class BadValue(Exception):
    """A value breaks a rule; the message is the rule."""


def integer(text: str, within: range = BIGINT) -> int:
    match = INTEGER.fullmatch(text)
    if not match:
        raise BadValue("not a whole number" if FRACTION.fullmatch(text) else "not a number")
    if (number := int(match[1])) not in within:
        raise BadValue("number out of range")
    return number


def sequence(text: str) -> int:
    return integer(text, INT)


def uuid(text: str) -> str:
    if not UUID.fullmatch(text):
        raise BadValue("not a UUID")
    return text


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


def time(text: str, zone: tzinfo) -> str:
    """Digits past the microsecond are cut off, so that no request moves into the next hour."""
    if not TIME.fullmatch(text):
        raise BadValue("not a time")
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        raise BadValue("not a time") from None
    if not parsed.tzinfo:
        parsed = parsed.replace(tzinfo=zone)
    if parsed < EPOCH:
        raise BadValue("before 1970, which a session_id (UUIDv7) cannot carry")
    return parsed.isoformat()
