"""One file on its way into the database. The SQL is in the files beside this one, numbered in the order they run; of
those that cluster/ has too, the one there is run on a cluster, and the others of cluster/ besides.
"""

import errno
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from importlib.resources import files
from itertools import count
from pathlib import Path

import psycopg
from psycopg import sql

from llm_db.backend import Conduct
from llm_db.database import scalar
from llm_db.errors import LOCKED, Exit, Problem, one_line, sql_problem
from llm_db.load.file import LogFile
from llm_db.load.waiting import Waiting
from llm_db.repeatables import is_distributed

SQL = files(__package__)
CHUNK = 1 << 20
PROGRESS_SECONDS = 2.0
DROP_BAD = "DELETE FROM pg_temp.load_good AS g USING pg_temp.load_bad AS b WHERE b.line = g.line"
# Others changed what the rows were checked against. It is no different the third time where the rule is one that load
# does not know, such as a trigger of the user's own. What a worker of a cluster refuses may come as an internal error.
CHANGED = (psycopg.errors.IntegrityError, psycopg.errors.NumericValueOutOfRange, psycopg.errors.InternalError_)
CHECKS = 3
# A month with more new rows is filled beside the others.
FEW_ROWS = 2_000
# What others did at the same moment, and what will pass.
PASSING = (
    psycopg.errors.LockNotAvailable,
    psycopg.errors.DeadlockDetected,
    psycopg.errors.SerializationFailure,
    *CHANGED,
)
# What people do not come back for within this time is not kept: raw lines hold whatever was in the file, prompts too.
FORGET = "DELETE FROM llm_db.load_rejects WHERE loaded_at < pg_catalog.now() - interval '30 days'"
# What is told of single lines, in a file beside the file that was loaded.
REJECTS, PRESENT = "rejects", "present"
TABLES = {REJECTS: "pg_temp.load_bad", PRESENT: "pg_temp.load_listed"}


class Progress:
    """Says on stderr how far we are, once that takes longer than a glance."""

    def __init__(self, percent: Callable[[int], int], tell: Callable[[str], None]) -> None:
        self.percent, self.note = percent, tell
        self.started = self.said = time.monotonic()

    def rows(self, count: int) -> None:
        now = time.monotonic()
        if now - self.said >= PROGRESS_SECONDS:
            self.said = now
            self.note(f"read {count:,} rows ({self.percent(count)}%), {count / (now - self.started):,.0f} rows/s")

    def step(self, text: str) -> None:
        if time.monotonic() - self.started >= PROGRESS_SECONDS:
            self.note(text)


@dataclass(frozen=True)
class Counts:
    read: int = 0
    loaded: int = 0
    present: int = 0
    # Of these, how many no key and no earlier load of the file tells to be there.
    listed: int = 0
    rejected: int = 0
    new_sessions: int = 0
    sessions: int = 0
    identical: int = 0
    months: tuple[str, ...] = ()
    # How many of these were filled beside the others.
    filled: int = 0


@dataclass(frozen=True)
class Earlier:
    """The load that brought this very file, whole."""

    load_id: int
    loaded_at: datetime
    rows: int
    listed: int


@dataclass
class Load:
    connection: psycopg.Connection
    file: LogFile
    # What the result depends on besides the file, as JSON.
    options: str
    reject_duplicates: bool
    others_are_new: bool
    any_month: bool
    conduct: Conduct
    progress: Progress
    # Known as far as the load has come; `loaded` and `rejected` when they are committed.
    counts: Counts | None = None
    earlier: Earlier | None = None
    on_cluster: bool = False

    def run(self) -> None:
        for needed in ("class('llm_db.load_rejects')", "proc('llm.return_month')"):
            if scalar(self.connection, f"SELECT pg_catalog.to_reg{needed} IS NULL"):
                raise Problem("This database does not have what this llm-db needs.", "run `llm-db migrate` first")
        self.on_cluster = is_distributed(self.connection)
        known, sha256 = self.known_part()
        if self.is_loaded(sha256):
            self.list_again()
            return
        read = self.stage(known)
        self.file.refuse_unseen(read)
        self.counts = Counts(read)
        if not read:
            return
        waiting = Waiting(self.connection, self.on_cluster, self.progress.note)
        give_up_at = time.monotonic() + self.conduct.wait
        lists = {self.file.list_beside(table) for table in TABLES}
        try:
            for turn in count(1):
                try:
                    self.check()
                    # Where others were in the way of that, rows are inserted as ever.
                    months, beside = self.make_months(waiting, may_fill=turn == 1)
                    with self.connection.transaction():
                        counts = Counts(read, months=months, filled=len(beside))
                        self.counts = self.write(counts, beside, sha256, waiting)
                    break
                except PASSING as error:
                    self.pause(error, turn, give_up_at, waiting)
            for path in lists:
                if partly(path).is_file():
                    partly(path).replace(path)
        finally:
            for path in lists:
                if partly(path).is_file():
                    partly(path).unlink()

    def pause(self, error: psycopg.Error, turn: int, give_up_at: float, waiting: Waiting) -> None:
        """Everything is undone, and the next load may have its turn; then all again."""
        problem = sql_problem(error, self.file.path)
        if isinstance(error, CHANGED) and turn > CHECKS:
            raise problem from error
        if time.monotonic() > give_up_at:
            raise Problem(
                f"{problem.message} ({turn} tries).",
                f"nothing was loaded; run this again when {waiting.whom or 'the other session'} is done, or give it "
                "longer with --wait",
                LOCKED,
            ) from error
        time.sleep(random.uniform(0.05, 0.2))

    def execute(self, *names: str, parameters: Mapping[str, object] | None = None) -> psycopg.Cursor:
        for name in names:
            path = SQL / "cluster" / f"{name}.sql"
            if not self.on_cluster or not path.is_file():
                path = SQL / f"{name}.sql"
            cursor = self.connection.execute(path.read_text(encoding="utf-8"), parameters)
        return cursor

    def fetch(self, name: str) -> None:
        if self.on_cluster:
            self.execute(name)

    def known_part(self) -> tuple[tuple[int | None, int], str]:
        """Of earlier loads with the same options the one that has read most of this file, or all: it, and how many rows
        it has read. A file that has grown since begins with what the load read. And the whole file's sum."""
        earlier = self.connection.execute(
            "SELECT load_id, coalesce(bytes, %(size)s) AS size, sha256, rows_read FROM llm_db.loads "
            "WHERE mapping = %(mapping)s AND coalesce(bytes, %(size)s) <= %(size)s ORDER BY size DESC, load_id DESC",
            {"size": self.file.size, "mapping": self.options},
        ).fetchall()
        sums = self.file.digests(size for _, size, _, _ in earlier)
        found = ((load_id, rows) for load_id, size, sha256, rows in earlier if sums.get(size) == sha256)
        return next(found, (None, 0)), sums[self.file.size]

    def is_loaded(self, sha256: str) -> bool:
        """Only a load without rejects settles it: what was missing for a rejected row may be there now. Of listed rows
        there is nothing to find out, but --new decides. A month that was loaded may have been dropped again."""
        if self.not_returned():
            return False
        found = self.connection.execute(
            "SELECT load_id, loaded_at, rows_read, rows_listed FROM llm_db.loads WHERE sha256 = %s AND mapping = %s "
            "AND rows_rejected = 0 AND (rows_listed = 0 OR NOT %s) ORDER BY load_id DESC LIMIT 1",
            [sha256, self.options, self.others_are_new],
        ).fetchone()
        self.earlier = Earlier(*found) if found else None
        return found is not None

    def stage(self, known: tuple[int | None, int]) -> int:
        """Every record of the file, good or bad, by COPY. No more than a chunk of rows is in memory."""
        self.execute("10_staging", "11_stored")
        columns = sql.SQL(", ").join(map(sql.Identifier, self.file.reader.columns))
        statement = sql.SQL("COPY pg_temp.load_rows ({}) FROM STDIN").format(columns)
        load_id, known_rows = known
        number = size = last_known = 0
        rows: list[str] = []
        with self.connection.cursor() as cursor, cursor.copy(statement) as copy:
            for number, record in enumerate(self.file.records, start=1):
                rows.append(self.file.reader.row(record))
                size += len(rows[-1])
                if number == known_rows:
                    last_known = record.line
                if size > CHUNK:
                    copy.write("".join(rows).encode())
                    rows, size = [], 0
                    self.progress.rows(number)
            copy.write("".join(rows).encode())
        self.connection.execute("ANALYZE pg_temp.load_rows")
        self.connection.execute(
            "INSERT INTO pg_temp.load_known (load_id, last_line, others_are_new) VALUES (%s, %s, %s)",
            [load_id, last_known, self.others_are_new],
        )
        return number

    def check(self) -> None:
        """Leaves each row that breaks a rule, with the first one it broke, in load_bad."""
        self.progress.step("checking the rows")
        self.connection.execute("TRUNCATE pg_temp.load_bad, pg_temp.load_found, pg_temp.load_keys, pg_temp.load_beside")
        self.fetch("19_fetch_named")
        self.execute("20_resolve", "30_reject")
        self.try_checks("load_rows")
        if not self.any_month:
            self.execute("32_unusual_months")

    def try_checks(self, source: str) -> None:
        if tried := dict(self.execute("31_checks").fetchall()).get(source):
            self.connection.execute(tried)

    def make_months(self, waiting: Waiting, may_fill: bool) -> tuple[tuple[str, ...], list[date]]:
        """The months that the load makes, and which of these it fills beside the others, in its transaction."""
        made: list[date] = []
        missing = self.execute("33_missing_months", parameters={"few_rows": FEW_ROWS}).fetchall()
        beside = [month for month, is_worth_it in missing if is_worth_it and may_fill and not self.on_cluster]
        if beside:
            beside = [month for (month,) in self.execute("34_may_fill", parameters={"months": beside})]
        months = [month for month, _ in missing if month not in beside]
        patience = f"SET statement_timeout = {round(self.conduct.lock_timeout * 1000)}"
        before = scalar(self.connection, "SELECT pg_catalog.current_setting('statement_timeout')")
        try:
            self.connection.execute(patience)
            for month in months:
                with waiting.told():
                    self.connection.execute("SELECT llm.create_month(%s)", [month])
                made.append(month)
        except psycopg.Error as error:
            # Not the owner's role, a lock, half a month, rows of before that break a rule: DEFAULT takes any row.
            if self.connection.closed:
                raise
            reason = one_line(error.diag.message_primary or "")
            self.progress.note(
                f"note: months are not made ({months[len(made)]:%Y-%m} to {months[-1]:%Y-%m}); their rows go to "
                f"DEFAULT: {reason}\nhint: ask the DBA to run CALL llm.move_default_rows()"
            )
        self.connection.execute("SELECT pg_catalog.set_config('statement_timeout', %s, false)", [before])
        return tuple(f"{month:%Y-%m}" for month in sorted([*made, *beside])), beside

    def write(self, counts: Counts, beside: list[date], sha256: str, waiting: Waiting) -> Counts | None:
        """In one transaction, and in the loaders' turn: two loads of a file would both find it new. None where another
        load of it was at work until we got the turn."""
        # Each statement has to see what the sessions' earlier writers committed, whatever the database's default is.
        self.connection.execute("SET TRANSACTION ISOLATION LEVEL READ COMMITTED")
        if self.on_cluster:
            # How long a lock is waited for is to be known to the workers.
            self.connection.execute("SET LOCAL citus.propagate_set_commands = 'local'")
        self.take_turn(waiting)
        if self.is_loaded(sha256):
            return None
        # From here on no refresh runs.
        returns = self.not_returned()
        self.progress.step("comparing with what the database has")
        identical = self.compare()
        self.progress.step("writing" + (f"; {len(beside)} new months are filled beside the others" if beside else ""))
        made, loaded = self.insert(beside, waiting)
        [(present, sessions, without_logs)] = self.connection.execute(
            "SELECT count(*) FILTER (WHERE is_present), count(DISTINCT session_id) FILTER (WHERE NOT is_present), "
            "count(*) FILTER (WHERE NOT is_present AND request_time IS NULL) FROM pg_temp.load_good"
        )
        loaded += without_logs
        rejected, listed = (scalar(self.connection, f"SELECT count(*) FROM {table}") for table in TABLES.values())
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
            "INSERT INTO llm_db.loads (file, sha256, bytes, mapping, "
            "rows_read, rows_loaded, rows_present, rows_listed, rows_rejected) "
            "VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s) RETURNING load_id",
            [self.file.name, sha256, self.file.size, self.options, counts.read, loaded, present, listed, rejected],
        )
        self.connection.execute(FORGET)
        for table, lines in ((REJECTS, rejected), (PRESENT, listed)):
            if lines:
                self.connection.execute(
                    "INSERT INTO llm_db.load_rejects (load_id, line, file, column_name, value, rule, raw) "
                    f"SELECT %s, b.line, %s, b.column_name, b.value, b.rule, r.raw FROM {TABLES[table]} AS b "
                    "INNER JOIN pg_temp.load_rows AS r ON b.line = r.line",
                    [load_id, self.file.name],
                )
                self.write_list(
                    table,
                    f"SELECT b.line, b.column_name, b.value, b.rule, r.raw FROM {TABLES[table]} AS b "
                    "INNER JOIN pg_temp.load_rows AS r ON b.line = r.line",
                )
        # The last thing: from here on writers wait for our commit.
        if beside:
            self.progress.step("attaching the new months")
            with waiting.told():
                self.connection.execute("SELECT llm.attach_months()")
        if returns and (lacking := self.not_returned()):
            rules = self.broken_rules(REJECTS, 1)
            why = f"; {rejected:,} rows are rejected, the first in line {rules[0][2]}: {rules[0][0]}" if rules else ""
            raise Problem(
                f"The month of {path} does not come back whole: {lacking}{why}. Nothing was loaded.",
                "reports count the month as it was when it was dropped, and would count what is loaded once more",
                Exit.SQL_FAILED,
            )
        return replace(
            counts, loaded=loaded, present=present, listed=listed, rejected=rejected, new_sessions=made,
            sessions=sessions, identical=identical,
        )  # fmt: skip

    def not_returned(self) -> str | None:
        """Of an archive whose month was dropped: what is lacking before it counts as it did."""
        if self.file.archive_of is None:
            return None
        return scalar(self.connection, "SELECT llm.return_month(%s::date)", [self.file.archive_of])

    def insert(self, beside: list[date], waiting: Waiting) -> tuple[int, int]:
        """How many sessions are new, and how many logs."""
        if beside:
            self.connection.execute("INSERT INTO pg_temp.load_beside (month) SELECT unnest(%s)", [beside])
            with waiting.told():
                self.connection.execute("SELECT llm.begin_months(%s)", [beside])
        self.execute("55_new_sessions")
        made = loaded = 0
        if beside:
            made, loaded = (self.execute(name).rowcount for name in ("56_sessions_beside", "57_logs_beside"))
        # All rows are sorted once more only where some are left.
        if scalar(self.connection, "SELECT EXISTS (SELECT FROM pg_temp.load_not_beside WHERE NOT is_present)"):
            with waiting.told():
                self.execute("60_sessions")
            made += self.execute("61_new_sessions").rowcount
            loaded += self.execute("62_logs").rowcount
        return made, loaded

    def take_turn(self, waiting: Waiting) -> None:
        """The lock of a table that only who loads may write to; no other login can take it, and keep it."""
        try:
            self.lock_timeout(max(self.conduct.wait, 0.001))
            with waiting.told():
                self.connection.execute("LOCK TABLE llm_db.load_rejects IN SHARE ROW EXCLUSIVE MODE")
        except psycopg.errors.LockNotAvailable as error:
            raise Problem(
                f"Another load is still at work on this database after {self.conduct.wait:g} s"
                f"{f': {waiting.whom}' if waiting.whom else ''}.",
                "run this again when it is done, or give it longer with --wait",
                LOCKED,
            ) from error
        self.lock_timeout(self.conduct.lock_timeout)

    def lock_timeout(self, seconds: float) -> None:
        self.connection.execute(f"SET LOCAL lock_timeout = {round(seconds * 1000)}")

    def compare(self) -> int:
        """Leaves the good rows in load_good, and of these what is taken for another log or row in load_listed. How many
        of them are identical to one before them."""
        self.fetch("19_fetch_named")
        self.execute("40_good")
        self.fetch("42_fetch_logs")
        self.execute("41_reject_given")
        self.connection.execute(DROP_BAD)
        if self.reject_duplicates:
            self.connection.execute(
                "INSERT INTO pg_temp.load_bad (line, rule) "
                "SELECT line, 'duplicate of line ' || first_line FROM pg_temp.load_identical"
            )
            self.connection.execute(DROP_BAD)
        self.connection.execute("ANALYZE pg_temp.load_good")
        self.execute("50_present", "51_group")
        self.fetch("51_fetch_grouped")
        self.execute("52_grouped_sessions", "53_states", "54_numbers")
        self.try_checks("load_session_rows")
        self.connection.execute(DROP_BAD)
        return scalar(self.connection, "SELECT count(*) FROM pg_temp.load_identical")

    def broken_rules(self, table: str, limit: int) -> list[tuple[str, int, int]]:
        """Each with how many rows broke it and in which line the first is, the most broken first."""
        return self.connection.execute(
            f"SELECT rule, count(*), min(line) FROM {TABLES[table]} GROUP BY rule ORDER BY count(*) DESC, min(line)"
        ).fetchmany(limit)

    def list_again(self) -> None:
        """A load that is killed once it has committed does not come to giving its list the name."""
        path = self.file.list_beside(PRESENT)
        kept = f"SELECT * FROM llm_db.load_rejects WHERE load_id = {self.earlier.load_id}"
        if self.earlier.listed and not path.exists() and scalar(self.connection, f"SELECT EXISTS ({kept})"):
            self.write_list(PRESENT, kept)
            partly(path).replace(path)

    def write_list(self, table: str, rows: str) -> None:
        """Before anything is committed, so that no row is loaded or left out without being told."""
        path = self.file.list_beside(table)
        query = (
            'COPY (SELECT line, column_name AS "column", value, rule, raw '
            f"FROM ({rows}) AS l ORDER BY line) TO STDOUT (FORMAT csv, HEADER)"
        )
        try:
            if path.is_dir():
                raise IsADirectoryError(errno.EISDIR, "a folder has this name")
            with partly(path).open("wb") as file, self.connection.cursor().copy(query) as copy:
                for block in copy:
                    file.write(block)
        except OSError as error:
            raise Problem(
                f"Cannot write {path}: {error.strerror}. Nothing was loaded.",
                "rows that are not loaded are listed there; make the folder writable, or run "
                "`llm-db load - --format ...` with the file as its input in another folder",
            ) from error


def partly(path: Path) -> Path:
    return path.with_name(path.name + ".part")
