"""Reads SQL by PostgreSQL's own lexical rules: where its statements begin, its `--` comments and stray backslashes.

Not sqlparse, which yoyo brings: it takes 'C:\\' for an open string, ends a nested comment too early and reads `1 # 2`
as a comment. Not PostgreSQL's parser, which is made for one version of the grammar: production must not need it.
"""

import re
from dataclasses import dataclass, field
from functools import cache
from itertools import pairwise

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


# A file is read by several rules and, where a program makes many migrations, many times.
@cache
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


def pieces(text: str) -> list[str]:
    """The statements of a file, each with what stands between it and the next one."""
    offsets = [statement.offset for statement in read(text).statements]
    return [text[start:end] for start, end in pairwise([*offsets, len(text)])]
