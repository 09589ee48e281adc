"""One file on its way into the database. The SQL is in the files beside this one, numbered in the order they run."""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from importlib.resources import files

import psycopg
from psycopg import sql

from llm_db.database import advisory_turn, scalar
from llm_db.errors import Exit, Problem
from llm_db.load.file import LogFile

# "llm-load" in ASCII: loads take turns, or two of the same file would both find it new.
LOCK = 0x6C6C6D2D6C6F6164
CHUNK = 1 << 20
PROGRESS_SECONDS = 2.0
DROP_BAD = "DELETE FROM pg_temp.load_good AS g USING pg_temp.load_bad AS b WHERE b.line = g.line"


class Progress:
    """Says on stderr how far we are, once that takes longer than a glance."""

    def __init__(self, percent: Callable[[], int]) -> None:
        self.percent = percent
        self.started = self.said = time.monotonic()

    def rows(self, count: int) -> None:
        now = time.monotonic()
        if now - self.said >= PROGRESS_SECONDS:
            self.said = now
            self.note(f"read {count:,} rows ({self.percent()}%), {count / (now - self.started):,.0f} rows/s")

    def step(self, text: str) -> None:
        if time.monotonic() - self.started >= PROGRESS_SECONDS:
            self.note(text)

    def note(self, text: str) -> None:
        print(text, file=sys.stderr)


@dataclass(frozen=True)
class Counts:
    read: int = 0
    loaded: int = 0
    present: int = 0
    rejected: int = 0
    new_sessions: int = 0
    sessions: int = 0
    identical: int = 0
    months: tuple[str, ...] = ()


@dataclass(frozen=True)
class Earlier:
    """The load that brought this very file, whole."""

    load_id: int
    loaded_at: datetime
    rows: int


@dataclass
class Load:
    connection: psycopg.Connection
    file: LogFile
    # What the result depends on besides the file, as JSON.
    options: str
    reject_duplicates: bool
    progress: Progress
    # Known as far as the load has come; `loaded` and `rejected` when they are committed.
    counts: Counts | None = None
    earlier: Earlier | None = None

    def run(self) -> None:
        for table in ("llm.session_logs", "llm_db.load_rejects"):
            if scalar(self.connection, "SELECT pg_catalog.to_regclass(%s) IS NULL", [table]):
                raise Problem(f"This database has no {table}.", "run `llm-db migrate` first")
        if self.is_loaded():
            return
        read = self.stage()
        self.file.refuse_unseen(read)
        self.counts = Counts(read)
        if not read:
            return
        with advisory_turn(self.connection, LOCK, self.tell_waiting):
            # Another load of this file may have been at work until we got the turn.
            if self.is_loaded():
                return
            self.progress.step("checking the rows")
            identical = self.check()
            self.progress.step("comparing with what the database has")
            self.execute("50_present", "51_group")
            months = self.make_months()
            self.progress.step("writing")
            with self.connection.transaction():
                counts = self.write(Counts(read, identical=identical, months=months))
        self.counts = counts

    def tell_waiting(self, seconds: float) -> None:
        if not seconds:
            self.progress.note("Another load is at work on this database; waiting for it ...")

    def execute(self, *names: str) -> psycopg.Cursor:
        for name in names:
            cursor = self.connection.execute(text(name))
        return cursor

    def is_loaded(self) -> bool:
        """Only a load without rejects settles it: what was missing for a rejected row may be there now."""
        found = self.connection.execute(
            "SELECT load_id, loaded_at, rows_read FROM llm_db.loads "
            "WHERE sha256 = %s AND mapping = %s AND rows_rejected = 0 ORDER BY load_id DESC LIMIT 1",
            [self.file.sha256, self.options],
        ).fetchone()
        self.earlier = Earlier(*found) if found else None
        return found is not None

    def stage(self) -> int:
        """Every record of the file, good or bad, by COPY. No more than a chunk of rows is in memory."""
        try:
            self.execute("10_staging")
        except psycopg.errors.InsufficientPrivilege as error:
            info = self.connection.info
            raise Problem(
                f"The role {info.user} may not make temporary tables, in which a file is checked before it is loaded.",
                f'GRANT TEMPORARY ON DATABASE "{info.dbname}" TO "{info.user}"',
            ) from error
        columns = sql.SQL(", ").join(map(sql.Identifier, self.file.reader.columns))
        statement = sql.SQL("COPY pg_temp.load_rows ({}) FROM STDIN").format(columns)
        count = size = 0
        rows: list[str] = []
        with self.connection.cursor() as cursor, cursor.copy(statement) as copy:
            for count, record in enumerate(self.file.records, start=1):
                rows.append(self.file.reader.row(record))
                size += len(rows[-1])
                if size > CHUNK:
                    copy.write("".join(rows).encode())
                    rows, size = [], 0
                    self.progress.rows(count)
            copy.write("".join(rows).encode())
        self.connection.execute("ANALYZE pg_temp.load_rows")
        return count

    def check(self) -> int:
        """Leaves the good rows in load_good and the others, each with the first rule it broke, in load_bad. How many of
        the good ones are identical to one before them."""
        self.execute("20_resolve", "30_reject")
        if tried := scalar(self.connection, text("31_checks")):
            self.connection.execute(tried)
        self.execute("40_good", "41_reject_given")
        self.connection.execute(DROP_BAD)
        if self.reject_duplicates:
            self.connection.execute(
                "INSERT INTO pg_temp.load_bad (line, rule) "
                "SELECT line, 'duplicate of line ' || first_line FROM pg_temp.load_identical"
            )
            self.connection.execute(DROP_BAD)
        self.connection.execute("ANALYZE pg_temp.load_good")
        return scalar(self.connection, "SELECT count(*) FROM pg_temp.load_identical")

    def make_months(self) -> tuple[str, ...]:
        months = [month for (month,) in self.execute("52_missing_months")]
        made: list[str] = []
        try:
            for month in months:
                self.connection.execute("CALL llm.create_months(%s, %s)", [month, month])
                made.append(f"{month:%Y-%m}")
        except psycopg.errors.InsufficientPrivilege:
            # Who may write logs need not own the tables; DEFAULT takes the rows of any month.
            self.progress.note(
                f"note: this role may not make months ({months[0]:%Y-%m} to {months[-1]:%Y-%m}); their rows go to "
                "DEFAULT\nhint: ask the DBA to run CALL llm.move_default_rows()"
            )
        return tuple(made)

    def write(self, counts: Counts) -> Counts:
        # Each statement has to see what the sessions' earlier writers committed, whatever the database's default is.
        self.connection.execute("SET TRANSACTION ISOLATION LEVEL READ COMMITTED")
        self.execute("60_sessions")
        made, loaded = self.execute("61_new_sessions").rowcount, self.execute("62_logs").rowcount
        [(present, sessions)] = self.connection.execute(
            "SELECT count(*) FILTER (WHERE is_present), count(DISTINCT session_id) FROM pg_temp.load_good"
        )
        rejected = scalar(self.connection, "SELECT count(*) FROM pg_temp.load_bad")
        path = self.file.path
        if counts.read != loaded + present + rejected:
            raise Problem(
                f"{path}: {counts.read} rows were read, but {loaded} loaded, {present} found present and "
                f"{rejected} rejected. Nothing was kept.",
                "please report this with the file, if you can",
                Exit.SQL_FAILED,
            )
        load_id = scalar(
            self.connection,
            "INSERT INTO llm_db.loads (file, sha256, mapping, rows_read, rows_loaded, rows_present, rows_rejected) "
            "VALUES (%s, %s, %s, %s, %s, %s, %s) RETURNING load_id",
            [path.name, self.file.sha256, self.options, counts.read, loaded, present, rejected],
        )
        self.connection.execute(
            "INSERT INTO llm_db.load_rejects (load_id, line, file, column_name, value, rule, raw) "
            "SELECT %s, line, %s, column_name, value, rule, raw FROM pg_temp.load_rejects",
            [load_id, path.name],
        )
        return replace(counts, loaded=loaded, present=present, rejected=rejected, new_sessions=made, sessions=sessions)

    def broken_rules(self, limit: int) -> list[tuple[str, int, int]]:
        """Each with how many rows broke it and in which line the first is, the most broken first."""
        return self.connection.execute(
            "SELECT rule, count(*), min(line) FROM pg_temp.load_bad GROUP BY rule ORDER BY count(*) DESC, min(line)"
        ).fetchmany(limit)

    def write_rejects(self) -> None:
        query = (
            'COPY (SELECT line, column_name AS "column", value, rule, raw FROM pg_temp.load_rejects ORDER BY line) '
            "TO STDOUT (FORMAT csv, HEADER)"
        )
        with self.file.rejects.open("wb") as file, self.connection.cursor().copy(query) as copy:
            for block in copy:
                file.write(block)


def text(name: str) -> str:
    return files(__package__).joinpath(f"{name}.sql").read_text(encoding="utf-8")
