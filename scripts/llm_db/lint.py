"""What is wrong with the migration files, found before any of them runs.

The rules read a file with a lexer of PostgreSQL's own rules: sqlparse takes 'C:\\' for an open string, ends a nested
comment too early and reads `1 # 2` as a comment, so it would refuse good files and pass bad ones.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import partial
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import sqlparse
from yoyo.migrations import parse_metadata_from_sql_comments

from llm_db import sql_root
from llm_db.errors import CHECK_FAILED, Problem
from llm_db.migrations import migration_files, parent_table, shown

TOKEN = re.compile(
    r"""
    (?P<space>\s+)
  | (?P<comment>--[^\n]*)
  | (?P<block>/\*)
  | [eE]'(?:[^'\\]|\\.|'')*'(?:\s*\n\s*'(?:[^'\\]|\\.|'')*')*
  | '(?:[^']|'')*'
  | "(?:[^"]|"")*"
  | \$(?P<tag>[^\W\d]\w*|)\$.*?\$(?P=tag)\$
  | (?P<word>[^\W\d][\w$]*)
  | (?P<sign>.)
    """,
    re.VERBOSE | re.DOTALL,
)
BLOCK_EDGE = re.compile(r"/\*|\*/")
HEADER = re.compile(r"--\s*(?P<name>[\w-]+)\s*([:=]?)\s*(.*?)\s*")
HEADERS = ("depends", "transactional", "each-partition-of")
TRANSACTION = {"abort", "begin", "commit", "end", "release", "rollback", "savepoint"}
TRANSACTION_PAIRS = {("start", "transaction"), ("prepare", "transaction")}


@dataclass(frozen=True)
class Finding:
    file: str
    line: int
    what: str
    hint: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.what}, {self.hint}"


def finding(path: Path, text: str, offset: int, what: str, hint: str) -> Finding:
    return Finding(str(shown(path)), text.count("\n", 0, offset) + 1, what, hint)


@dataclass
class Statement:
    offset: int
    words: list[str] = field(default_factory=list)


@dataclass
class Script:
    """A file as PostgreSQL would read it: its statements, `--` comments and stray backslashes, by offset."""

    statements: list[Statement] = field(default_factory=list)
    comments: list[tuple[int, str]] = field(default_factory=list)
    backslashes: list[int] = field(default_factory=list)
    # Where the first thing stands that is not a `--` comment: yoyo looks for its headers above it only.
    body: int | None = None


def read(text: str) -> Script:
    script, offset, current = Script(), 0, None
    parentheses = bodies = 0
    while offset < len(text):
        token = TOKEN.match(text, offset)
        start, offset = offset, token.end()
        if token["space"]:
            continue
        if token["comment"]:
            script.comments.append((start, token["comment"]))
            continue
        if script.body is None:
            script.body = start
        if token["block"]:
            offset = end_of_block(text, offset)
            continue
        sign, word = token["sign"], (token["word"] or "").lower()
        if sign == "\\":
            script.backslashes.append(start)
        parentheses += (sign == "(") - (sign == ")")
        if sign == ";" and parentheses <= 0 and not bodies:
            current, parentheses = None, 0
            continue
        if current is None:
            current = Statement(start)
            script.statements.append(current)
        # BEGIN ATOMIC ... END is a function's body: its semicolons end no statement of the file.
        if bodies:
            bodies += (word == "case") - (word == "end")
        elif word == "atomic" and current.words[-1:] == ["begin"]:
            bodies = 1
        current.words.append(word)
    return script


def end_of_block(text: str, offset: int) -> int:
    depth = 1
    while depth and (edge := BLOCK_EDGE.search(text, offset)):
        depth += 1 if edge[0] == "/*" else -1
        offset = edge.end()
    return len(text) if depth else offset


def file_findings(path: Path) -> Iterator[Finding]:
    """The rules that need nothing but the file."""
    data = path.read_bytes()
    try:
        text = data.decode("utf-8").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        text = data[: error.start].decode("utf-8")
        yield finding(path, text, len(text), f"not UTF-8 (byte {error.start})", "save it as UTF-8")
        return
    found = partial(finding, path, text)
    if text.startswith("\ufeff"):
        yield found(0, "begins with a byte order mark", "save it as UTF-8 without BOM")
        return
    if "\0" in text:
        # It would end what is sent to the server, and the rest of the file would silently not run.
        yield found(text.index("\0"), "a NUL character", "take it out")
        return
    script = read(text)
    is_rollback = path.name.endswith(".rollback.sql")
    values = dict.fromkeys(HEADERS, "")
    for offset, comment in script.comments:
        header = HEADER.fullmatch(comment)
        if not header or not get_close_matches(header["name"].lower(), HEADERS, cutoff=0.8):
            continue
        name, sign, value = header.groups()
        # Without a sign it is prose that begins with such a word, unless the value gives it away.
        if not sign and value.lower() not in ("true", "false"):
            continue
        values[name] = f"{values.get(name, '')} {value}".strip()
        if name not in HEADERS or sign != ":":
            hint = "write `-- depends: ID ...`, `-- transactional: false` or `-- each-partition-of: SCHEMA.TABLE`"
            yield found(offset, f"`{comment}` is not a header that llm-db knows", hint)
        elif is_rollback:
            yield found(offset, f"`{comment}` is ignored in a rollback", "put it into the migration's own file")
        elif script.body is not None and offset > script.body:
            yield found(offset, f"`{comment}` comes after other text and is ignored", "move it to the top of the file")
        elif name == "depends" and not value:
            yield found(offset, "`-- depends:` names no migration", "name one or take the line out")
        elif name == "transactional" and values[name].lower() not in ("true", "false"):
            what = f"`-- transactional: {values[name]}` is neither true nor false"
            yield found(offset, what, "write it once, with one of them")
    for statement in script.statements:
        words = statement.words
        if words[0] in TRANSACTION or tuple(words[:2]) in TRANSACTION_PAIRS:
            yield found(
                statement.offset,
                f"{words[0].upper()}: the file begins or ends a transaction of its own",
                "take it out; each migration is one transaction already",
            )
        if words[0] == "copy" and ("from", "stdin") in pairwise(words):
            yield found(statement.offset, "COPY FROM stdin has no stdin here", "write INSERT ... VALUES")
            # What follows is its data and not SQL.
            return
    for offset in script.backslashes[:1]:
        yield found(offset, "a psql command (backslash)", "take it out; only the server's own SQL runs here")
    if not is_rollback and values["each-partition-of"]:
        yield from each_findings(found, values, script.statements)
    elif not is_transactional(path, text) and len(script.statements) > 1:
        yield found(
            script.statements[1].offset,
            "a second statement in a file without a transaction",
            "give each statement a migration of its own, so that a crash between them is told apart",
        )


def each_findings(
    found: Callable[[int, str, str], Finding], values: dict[str, str], statements: list[Statement]
) -> Iterator[Finding]:
    """A file that is run for each partition is the one kind whose crash is told apart partition by partition."""
    parent = values["each-partition-of"]
    if values["transactional"].lower() != "false":
        yield found(0, "`-- each-partition-of:` in a transaction", "add `-- transactional: false`")
    elif not re.fullmatch(r"[a-z_]\w*\.[a-z_]\w*", parent):
        yield found(0, f"`-- each-partition-of: {parent}` names no table", "name one table with its schema")
    elif [shape(statement) for statement in statements] != ["create", "attach"]:
        what = "not the two statements that are run for each partition"
        yield found(0, what, "write CREATE INDEX CONCURRENTLY, then ALTER INDEX ... ATTACH PARTITION")
    else:
        each = parent.split(".")[1] + "_each"
        for statement in statements:
            if not any(each in word for word in statement.words):
                yield found(statement.offset, f"{each} is not in this statement", "write it for the partition's name")


def shape(statement: Statement) -> str:
    words = statement.words
    if words[0] == "create" and "concurrently" in words[2:4]:
        return "create"
    return "attach" if words[:2] == ["alter", "index"] and ("attach", "partition") in pairwise(words) else "other"


def is_transactional(path: Path, text: str) -> bool:
    """As the migration's own file says it, for its rollback too; what was made for each partition goes at once."""
    up = path.with_name(path.name.replace(".rollback.sql", ".sql"))
    if up != path and up.exists():
        text = up.read_text(encoding="utf-8", errors="replace")
        if parent_table(text):
            return True
    return parse_metadata_from_sql_comments(text)[0].get("transactional", "").strip().lower() != "false"


def parser_findings(path: Path) -> Iterator[Finding]:
    """The rules that need PostgreSQL's own parser, which the dev extra brings."""
    from pglast import split
    from pglast.parser import ParseError

    text = path.read_text(encoding="utf-8")
    found = partial(finding, path, text)
    try:
        split(text)
    except ParseError as error:
        message, offset = error.args
        yield found(offset, message, "correct the statement")
        return
    offset = 0
    for piece in sqlparse.split(text):
        offset = text.index(piece, offset)
        try:
            same = len(split(piece)) <= 1
        except ParseError:
            same = False
        if not same:
            yield found(
                offset,
                "yoyo's splitter (sqlparse) cuts this statement differently from PostgreSQL",
                "write it so that both agree: no nested comments, no backslash before a quote, `AS $$` with spaces",
            )
            return
        offset += len(piece)


def findings(with_parser: bool = False) -> list[Finding]:
    folder = sql_root() / "migrations"
    found: list[Finding] = []
    # yoyo would take it for a migration.
    found += [Finding(str(shown(path)), 1, "is not SQL", "write it as NNNN.slug.sql") for path in folder.glob("*.py")]
    for path in sorted(folder.glob("*.sql")):
        in_file = list(file_findings(path))
        found += in_file or (list(parser_findings(path)) if with_parser else [])
    try:
        migration_files()
    except Problem as problem:
        # The order cannot be read from a file that cannot be read itself, which is told above.
        if not any(one.what.startswith("not UTF-8") for one in found):
            found.append(Finding(str(shown(folder)), 1, problem.message.rstrip("."), problem.hint))
    return found


def has_parser() -> bool:
    return find_spec("pglast") is not None


def refuse() -> None:
    """Before anything runs. Without the parser: what runs in production must not depend on the dev extra."""
    if found := findings():
        first, more = found[0], f" (and {len(found) - 1} more; see `llm-db lint`)" if len(found) > 1 else ""
        raise Problem(f"{first.file}:{first.line}: {first.what}{more}.", first.hint, CHECK_FAILED)
