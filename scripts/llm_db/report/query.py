"""Which rows of a reporting view, in which order. All is told by the names and types of its columns, so that a new view
needs no word here."""

import difflib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta

import psycopg
from psycopg import sql

from llm_db.database import scalar
from llm_db.errors import Problem, one_line
from llm_db.queries import query
from llm_db.report.words import DEFAULT, LANGUAGES, Words

# Numbers that say what a row is about, or where it stands; every other number is a measure.
NOT_MEASURED = re.compile(
    r"(.*_)?id|rank|ordinal(_position)?|log_sequence|weekday|hour_of_day|created_by|gpu_count|max_tokens|temperature|top_[pk]"
)
TIME_NAME = re.compile(r"(?!first_|last_)(.*_)?(day|week|month|hour|time)")
NULL = "NULL"
# The dictionary of 0.2.0 has one language, and who may read a report need not be allowed to read the dictionary.
KNOWS_WORDS = """
SELECT coalesce((
    SELECT has_column_privilege(attrelid, attnum, 'SELECT') FROM pg_catalog.pg_attribute
    WHERE attrelid = to_regclass('reporting.data_dictionary') AND attname = 'term_en'
), false)
"""


@dataclass(frozen=True)
class Column:
    name: str
    type: str
    is_number: bool
    term: str
    meaning: str

    @property
    def comment(self) -> str:
        return comment(self.term, self.meaning, self.name)

    @property
    def is_measure(self) -> bool:
        return self.is_number and not NOT_MEASURED.fullmatch(self.name)

    @property
    def is_time(self) -> bool:
        return self.type.startswith(("date", "timestamp"))


@dataclass(frozen=True)
class View:
    name: str
    term: str
    meaning: str
    columns: list[Column]
    language: str

    @property
    def comment(self) -> str:
        return comment(self.term, self.meaning, self.name)

    @property
    def words(self) -> Words:
        return LANGUAGES[self.language]

    def has(self, name: str) -> bool:
        return any(column.name == name for column in self.columns)

    @property
    def time(self) -> Column | None:
        """When a row was, or its period began: what --since and --until are about."""
        return next((column for column in self.columns if column.is_time and TIME_NAME.fullmatch(column.name)), None)

    @property
    def main(self) -> Column | None:
        """The measure that says which row is the largest: cost, else requests, else the first."""
        measures = {column.name: column for column in self.columns if column.is_measure}
        first = next(iter(measures.values()), None)
        return measures.get("allocated_cost") or measures.get("requests") or first


@dataclass(frozen=True)
class Question:
    view: View
    clauses: list[sql.Composable] = field(default_factory=list)
    # The same for a reader.
    told: list[str] = field(default_factory=list)
    top: int | None = None


def comment(term: str, meaning: str, name: str) -> str:
    return meaning if term == name else f"{term}: {meaning}"


def terms(connection: psycopg.Connection, language: str) -> dict[tuple[str, str | None], tuple[str, str]]:
    """What each report and each column of it is called, and what it means."""
    if not scalar(connection, KNOWS_WORDS):
        return {}
    rows = connection.execute(query("words"), {"language": language}).fetchall()
    return {(report, column): (term or column or report, meaning or "") for report, column, term, meaning in rows}


def names(connection: psycopg.Connection) -> list[str]:
    known = [name for (name,) in connection.execute(query("reports"))]
    if not known:
        raise Problem("This database has no reports yet.", "run `llm-db migrate` first")
    return known


def listing(connection: psycopg.Connection, language: str) -> dict[str, str]:
    said = terms(connection, language)
    return {name: comment(*said.get((name, None), (name, "")), name) for name in names(connection)}


def view(connection: psycopg.Connection, name: str, language: str = DEFAULT) -> View:
    known = names(connection)
    plain = name.removeprefix("reporting.")
    if plain not in known:
        raise Problem(f"There is no report {name}.", did_you_mean(plain, known) or "`llm-db report` lists them")
    said = terms(connection, language)
    rows = connection.execute(query("report_columns"), {"view": plain})
    columns = [Column(column, *row, *said.get((plain, column), (column, ""))) for column, *row in rows]
    return View(plain, *said.get((plain, None), (plain, "")), columns, language)


def for_people(asked: Question) -> Question:
    """What there is in two languages is read in one, and a code as its label, which stands where the code does."""
    view = asked.view
    named = {column.name: column for column in view.columns}
    [other] = LANGUAGES.keys() - {view.language}
    shown: dict[Column, None] = {}
    for column in view.columns:
        plain = column.name.removesuffix(f"_{other}")
        label = named.get(f"{plain}_{view.language}")
        if plain == column.name:
            shown[column if label is None or column.is_number else label] = None
        elif label is None and plain not in named:
            shown[column] = None
    return replace(asked, view=replace(view, columns=list(shown)))


def did_you_mean(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, known, n=3)
    return f"did you mean {' or '.join(close)}?" if close else ""


def question(
    connection: psycopg.Connection,
    name: str,
    *,
    language: str = DEFAULT,
    since: str | None = None,
    until: str | None = None,
    where: Sequence[str] = (),
    top: int | None = None,
) -> Question:
    asked = Question(view(connection, name, language), top=top)
    add_period(asked, connection, since, until)
    add_where(asked, connection, where)
    return asked


def add_period(asked: Question, connection: psycopg.Connection, since: str | None, until: str | None) -> None:
    if since is None and until is None:
        return
    time = asked.view.time
    if time is None:
        raise Problem(
            f"{asked.view.name} has no time to which --since and --until could apply.",
            "leave them out; the reports with a day, week, month, hour or time of their own take them",
        )
    # The column stands alone, so that PostgreSQL can carry the condition down to the rows of the tables.
    column = sql.Identifier(time.name)
    if since is not None:
        start = moment(connection, "--since", since)
        asked.clauses.append(sql.SQL("{} >= {}").format(column, start))
        asked.told.append(f"{time.name} >= {start}")
    if until is not None:
        end = moment(connection, "--until", until)
        whole_day = not isinstance(end, datetime)
        asked.clauses.append(sql.SQL("{} < {} + 1" if whole_day else "{} < {}").format(column, end))
        asked.told.append(f"{time.name} {'<=' if whole_day else '<'} {end}")


def moment(connection: psycopg.Connection, option: str, text: str) -> date | datetime:
    if days_ago := re.fullmatch(r"(\d{1,5})d", text):
        return scalar(connection, "SELECT current_date") - timedelta(days=int(days_ago[1]))
    for parse in (date.fromisoformat, datetime.fromisoformat):
        try:
            return parse(text)
        except ValueError:
            continue
    raise Problem(
        f"{option} {text} is neither a date nor a time.",
        "write 2026-01-31, 2026-01-31T09:00, or 30d for thirty days ago",
    )


def add_where(asked: Question, connection: psycopg.Connection, conditions: Sequence[str]) -> None:
    columns = {column.name: column for column in asked.view.columns}
    either: dict[str, list[sql.Composable]] = {}
    for condition in conditions:
        name, equals, value = condition.partition("=")
        if not equals:
            raise Problem(f"--where {condition} has no equals sign.", "write --where column=value")
        if name not in columns:
            raise Problem(
                f"{asked.view.name} has no column {name}.",
                did_you_mean(name, columns) or f"it has {', '.join(columns)}",
            )
        clause = sql.SQL("{} IS NULL").format(sql.Identifier(name))
        if value != NULL:
            # As PostgreSQL writes the type, quoted where it must be.
            cast = sql.SQL("CAST({} AS {})").format(value, sql.SQL(columns[name].type))
            refuse_misfit(connection, columns[name], cast, value)
            clause = sql.SQL("{} = {}").format(sql.Identifier(name), cast)
        either.setdefault(name, []).append(clause)
        asked.told.append(condition)
    asked.clauses.extend(sql.SQL("({})").format(sql.SQL(" OR ").join(clauses)) for clauses in either.values())


def refuse_misfit(connection: psycopg.Connection, column: Column, cast: sql.Composed, value: str) -> None:
    """Apart from the query, whose error could be about any of its values."""
    try:
        connection.execute(sql.SQL("SELECT {}").format(cast))
    except (psycopg.DataError, psycopg.IntegrityError) as error:
        raise Problem(
            f"--where {column.name}={value}: the column is {column.type}, which this is not.",
            one_line(error.diag.message_primary or str(error)),
        ) from None


def select(asked: Question, limit: int | None = None, ordered: bool = True) -> sql.Composed:
    """The newest rows first, and of one time the largest; with --top the largest first."""
    columns = sql.SQL(", ").join(sql.Identifier(column.name) for column in asked.view.columns)
    selected = sql.SQL("SELECT {} FROM reporting.{}").format(columns, sql.Identifier(asked.view.name))
    if asked.clauses:
        selected += sql.SQL(" WHERE ") + sql.SQL(" AND ").join(asked.clauses)
    keys = [key.name for key in (asked.view.time, asked.view.main) if key]
    if asked.top:
        keys.reverse()
    if keys and (ordered or asked.top):
        order = (sql.SQL("{} DESC NULLS LAST").format(sql.Identifier(key)) for key in keys)
        selected += sql.SQL(" ORDER BY ") + sql.SQL(", ").join(order)
    limits = [number for number in (limit, asked.top) if number]
    return selected + sql.SQL(" LIMIT {}").format(min(limits)) if limits else selected
