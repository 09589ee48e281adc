"""What is wrong with the files of migrations/ and views/, found before any of them runs."""

import re
from collections.abc import Callable, Collection, Generator, Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from functools import partial
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

from yoyo.migrations import parse_metadata_from_sql_comments

from llm_db import files, ledger, repeatables, sql_root
from llm_db.catalog import SCHEMAS
from llm_db.errors import CHECK_FAILED, Problem
from llm_db.files import parent_table, relative
from llm_db.sql_text import Script, Statement, read

HEADER = re.compile(r"--\s*(?P<name>[\w-]+)\s*([:=]?)\s*(.*?)\s*")
HEADERS = ("depends", "transactional", "each-partition-of")
REPEATABLE_NAME = re.compile(r"\d_[a-z0-9_]+/\d\d_[a-z0-9_]+\.sql")
REPLACEABLE = {"view", "function", "procedure", "aggregate"}
TRANSACTION = {"abort", "begin", "commit", "end", "release", "rollback", "savepoint"}
TRANSACTION_PAIRS = {("start", "transaction"), ("prepare", "transaction")}


REPEAT = (
    "write CREATE OR REPLACE VIEW, FUNCTION, PROCEDURE, AGGREGATE or, in the triggers' folder, TRIGGER; COMMENT, GRANT,"
    " REVOKE; what holds rows belongs into a migration"
)


@dataclass(frozen=True)
class Finding:
    file: str
    line: int
    what: str
    hint: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.what}, {self.hint}"


# Of one file: offset, what, and what to do.
Found = Callable[[int, str, str], Finding]


def finding(path: Path, text: str, offset: int, what: str, hint: str) -> Finding:
    return Finding(str(relative(path)), text.count("\n", 0, offset) + 1, what, hint)


def file_findings(path: Path) -> Iterator[Finding]:
    """The rules that need nothing but the file of a migration or a rollback."""
    text = yield from readable(path)
    if text is None:
        return
    script = read(text)
    found = partial(finding, path, text)
    is_rollback = path.name.endswith(".rollback.sql")
    values = yield from header_findings(found, script, is_rollback)
    if (yield from alien_findings(found, script)):
        return
    if not is_rollback and values["each-partition-of"]:
        yield from each_findings(found, values, script.statements)
    elif not is_transactional(path, text) and len(script.statements) > 1:
        yield found(
            script.statements[1].offset,
            "a second statement in a file without a transaction",
            "give each statement a migration of its own, so that a crash between them is told apart",
        )


def readable(path: Path) -> Generator[Finding, None, str | None]:
    """Whether the file can be sent as it is. Returns its text."""
    data = path.read_bytes()
    try:
        text = data.decode("utf-8").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        text = data[: error.start].decode("utf-8")
        yield finding(path, text, len(text), f"not UTF-8 (byte {error.start})", "save it as UTF-8")
        return None
    if text.startswith("\ufeff"):
        yield finding(path, text, 0, "begins with a byte order mark", "save it as UTF-8 without BOM")
        return None
    if "\0" in text:
        # It would end what is sent to the server, and the rest of the file would silently not run.
        yield finding(path, text, text.index("\0"), "a NUL character", "take it out")
        return None
    return text


def header_findings(found: Found, script: Script, is_rollback: bool) -> Generator[Finding, None, dict[str, str]]:
    """Returns what the headers say."""
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
    return values


def alien_findings(found: Found, script: Script) -> Generator[Finding, None, bool]:
    """What does not belong into a file that is sent to the server in a transaction. Returns whether reading it on makes
    no sense."""
    for statement in script.statements:
        words = statement.words
        if words[0] in TRANSACTION or tuple(words[:2]) in TRANSACTION_PAIRS:
            yield found(
                statement.offset,
                f"{words[0].upper()}: the file begins or ends a transaction of its own",
                "take it out; each file is run in a transaction already",
            )
        if words[0] == "copy" and ("from", "stdin") in pairwise(words):
            yield found(statement.offset, "COPY FROM stdin has no stdin here", "write INSERT ... VALUES")
            # What follows is its data and not SQL.
            return True
    for offset in script.backslashes[:1]:
        yield found(offset, "a psql command (backslash)", "take it out; only the server's own SQL runs here")
    return False


def each_findings(found: Found, values: dict[str, str], statements: list[Statement]) -> Iterator[Finding]:
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


def repeatable_findings(path: Path, name: str, known: Collection[str]) -> Iterator[Finding]:
    """The rules for a file of views/."""
    if not REPEATABLE_NAME.fullmatch(name):
        yield Finding(str(relative(path)), 1, "is not named like a repeatable", "name it N_layer/NN_name.sql")
    text = yield from readable(path)
    if text is None:
        return
    script = read(text)
    found = partial(finding, path, text)
    if (yield from alien_findings(found, script)):
        return
    for offset, comment in script.comments:
        header = HEADER.fullmatch(comment)
        if header and header[2] and get_close_matches(header["name"].lower(), ["needs"], cutoff=0.8):
            yield from needs_findings(found, script, offset, comment, known)
    makes_triggers = name.partition("/")[0].endswith("triggers")
    for statement in script.statements:
        if not may_be_repeated(statement.words, makes_triggers):
            what = " ".join(filter(None, statement.words[:3])).upper()
            yield found(statement.offset, f"{what}: not a statement for a file that is run again and again", REPEAT)


def needs_findings(
    found: Found, script: Script, offset: int, comment: str, known: Collection[str]
) -> Iterator[Finding]:
    needs = repeatables.NEEDS.fullmatch(comment)
    if not needs:
        yield found(offset, f"`{comment}` is not a header that llm-db knows", "write `-- needs: ID ...`")
    elif script.body is not None and offset > script.body:
        yield found(offset, f"`{comment}` comes after other text", "move it to the top of the file")
    elif missing := [one for one in needs[1].split() if one not in known]:
        yield found(
            offset, f"needs {missing[0]}, which is not there", "name a migration in full, as `llm-db status` does"
        )
    elif not needs[1].strip():
        yield found(offset, "`-- needs:` names no migration", "name one or take the line out")


def may_be_repeated(words: list[str], makes_triggers: bool) -> bool:
    match words:
        case ["create", "or", "replace", "trigger", *_]:
            return makes_triggers
        case ["create", "or", "replace", kind, *_]:
            return kind in REPLACEABLE
        case ["comment" | "grant" | "revoke", *_]:
            return True
        case ["call" | "select", schema, *_]:
            return schema in SCHEMAS
        # A constraint trigger cannot be replaced; and a trigger's table may need rows from before it.
        case ["drop", "trigger", "if", "exists", *_] | ["create", "constraint", "trigger", *_] | ["insert", *_]:
            return makes_triggers
    return False


def parser_findings(path: Path) -> Iterator[Finding]:
    """The rule that needs PostgreSQL's own parser, which the dev extra brings."""
    from pglast import split
    from pglast.parser import ParseError

    text = path.read_text(encoding="utf-8")
    try:
        split(text)
    except ParseError as error:
        message, offset = error.args
        yield finding(path, text, offset, message, "correct the statement")


def released_findings(folder: Path) -> Iterator[Finding]:
    """What was released has run on databases that nobody here knows: it stays as it is, to the letter. The list is as
    sha256sum writes it."""
    released = folder / "RELEASED"
    for line in released.read_text(encoding="utf-8").splitlines() if released.exists() else []:
        sha256, _, name = line.partition("  ")
        path = folder / name
        if not path.exists() or ledger.sha256(path) != sha256:
            hint = "put it back as it was, and correct it with a new migration"
            yield Finding(str(relative(path)), 1, "is not what was released", hint)


def findings(with_parser: bool = False) -> list[Finding]:
    folder, views = sql_root() / "migrations", sql_root() / "views"
    paths = sorted(folder.glob("*.sql"))
    known = {path.name.removesuffix(".sql") for path in paths}
    checked = {path: list(file_findings(path)) for path in paths}
    for path in sorted(views.rglob("*.sql")):
        checked[path] = list(repeatable_findings(path, path.relative_to(views).as_posix(), known))
    # yoyo would take it for a migration.
    found = [Finding(str(relative(path)), 1, "is not SQL", "write it as NNNN.slug.sql") for path in folder.glob("*.py")]
    found += released_findings(folder)
    for path, in_file in checked.items():
        found += in_file or (list(parser_findings(path)) if with_parser else [])
    try:
        files.migrations()
    except Problem as problem:
        # The order cannot be read from a file that cannot be read itself, which is told above.
        if not any(one.what.startswith("not UTF-8") for one in found):
            found.append(Finding(str(relative(folder)), 1, problem.message.rstrip("."), problem.hint))
    return found


def has_parser() -> bool:
    return find_spec("pglast") is not None


def refuse() -> None:
    """Before anything runs. Without the parser: what runs in production must not depend on the dev extra."""
    if found := findings():
        first, more = found[0], f" (and {len(found) - 1} more; see `llm-db lint`)" if len(found) > 1 else ""
        raise Problem(f"{first.file}:{first.line}: {first.what}{more}.", first.hint, CHECK_FAILED)
