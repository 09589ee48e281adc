"""Reports are exact at any moment: whatever is written, in whatever order, with transactions open and refreshes cut off
midway, they say what the rows say. Random, but a seed tells its story again."""

import random
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from psycopg import errors, sql

import citus
from conftest import found_company
from rollup_model import COSTS, QUESTIONS, assert_exact, drop_month, make_model

# Few days, so that they are written, closed, touched and closed again; the months before are there to be dropped.
DAYS = (0, 0, 0, -1, -1, -2, -8, -31, -32, -62, 1)
ZONES = ("Asia/Seoul", "Asia/Kathmandu", "America/New_York", "Australia/Lord_Howe", "UTC")
ISOLATIONS = ("READ COMMITTED", "READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE")
# What may happen to somebody who writes beside others, and ends a transaction.
REFUSALS = (errors.IntegrityError, errors.LockNotAvailable, errors.SerializationFailure, errors.DeadlockDetected)
CUT_OFF = (errors.QueryCanceled, errors.AdminShutdown, psycopg.OperationalError)

Write = Callable[[psycopg.Connection, random.Random], object]


def moment(rng: random.Random) -> datetime:
    at = datetime.now(UTC) + timedelta(days=rng.choice(DAYS), seconds=rng.choice([0, 0, rng.uniform(-40000, 40000)]))
    if rng.random() < 0.2:
        return at.replace(minute=rng.choice([0, 15, 30, 45]), second=0, microsecond=0)
    return at


def some(db: psycopg.Connection, rng: random.Random, count: int, columns: str, table: str) -> list:
    """Some rows of a table, the same for the same seed as far as time allows."""
    rows = db.execute(f"SELECT {columns} FROM llm.{table} ORDER BY {columns}").fetchall()
    return rng.sample(rows, min(count, len(rows)))


def one(db: psycopg.Connection, rng: random.Random, columns: str, table: str) -> object:
    return some(db, rng, 1, columns, table)[0][0]


def maybe_one(db: psycopg.Connection, rng: random.Random, columns: str, table: str) -> object:
    return one(db, rng, columns, table) if rng.random() < 0.7 else None


def end_of(start: datetime, rng: random.Random) -> datetime:
    return start + timedelta(hours=rng.choice([0, 0.1, 2, 30]))


# What writers write


def add_session(db: psycopg.Connection, rng: random.Random) -> None:
    start = moment(rng)
    end = end_of(start, rng) if rng.random() < 0.7 else None
    # A session is stored by its key's time, which is its start_time unless a program does otherwise.
    stored = moment(rng) if rng.random() < 0.1 else start
    db.execute(
        "INSERT INTO llm.sessions (session_id, user_id, project_id, start_time, end_time, session_type, status)"
        " VALUES (llm.uuidv7(%s), %s, %s, %s, %s, %s, %s)",
        [
            stored,
            one(db, rng, "user_id", "users"),
            maybe_one(db, rng, "project_id", "projects"),
            start,
            end,
            rng.choice(["production", "test"]),
            rng.choice(["completed", "error"]) if end else "running",
        ],
    )


def new_logs(db: psycopg.Connection, rng: random.Random) -> Iterator[list]:
    for session, start in some(db, rng, 2, "session_id, start_time", "sessions"):
        for _ in range(rng.choice([1, 1, 2, 5])):
            request = rng.choice([moment(rng), start + timedelta(minutes=rng.uniform(0, 200)), datetime.now(UTC)])
            latency = timedelta(milliseconds=rng.choice([0, 0.001, 7, rng.paretovariate(0.7) * 100, 3_600_000]))
            yield [
                session,
                None,
                request,
                request + latency if rng.random() < 0.8 else None,
                one(db, rng, "deployment_id", "deployments"),
                maybe_one(db, rng, "config_id", "model_configs"),
                maybe_one(db, rng, "template_id", "prompt_templates_base"),
                rng.choice([None, 0, 10, 100, 10000]),
            ]


LOG_COLUMNS = "session_id, log_sequence, request_time, response_time, deployment_id, config_id, template_id, token_used"


def add_logs(db: psycopg.Connection, rng: random.Random) -> None:
    rows = list(new_logs(db, rng))
    if rng.random() < 0.5:
        # Numbered by the writer, who so does not wait for others of the same session.
        for row in rows:
            row[1] = rng.randrange(1000, 10**9)
    for row in rows:
        db.execute(f"INSERT INTO llm.session_logs ({LOG_COLUMNS}) VALUES (%s, %s, %s, %s, %s, %s, %s, %s)", row)


def copy_logs(db: psycopg.Connection, rng: random.Random) -> None:
    rows = list(new_logs(db, rng)) + list(new_logs(db, rng))
    with db.cursor() as cursor, cursor.copy(f"COPY llm.session_logs ({LOG_COLUMNS}) FROM STDIN") as copy:
        for row in rows:
            copy.write_row([row[0], rng.randrange(1000, 10**9), *row[2:]])


def correct_logs(db: psycopg.Connection, rng: random.Random) -> None:
    columns = "session_id, log_sequence, request_time"
    for session, sequence, request in some(db, rng, rng.choice([1, 3]), columns, "session_logs"):
        column, new = rng.choice(
            [
                ("request_time", request - rng.randrange(4) * timedelta(hours=20)),
                ("response_time", request + timedelta(seconds=rng.randrange(4))),
                ("response_time", None),
                ("token_used", rng.randrange(4) * 1000),
                ("deployment_id", one(db, rng, "deployment_id", "deployments")),
                ("config_id", maybe_one(db, rng, "config_id", "model_configs")),
                ("template_id", maybe_one(db, rng, "template_id", "prompt_templates_base")),
            ]
        )
        db.execute(
            f"UPDATE llm.session_logs SET {column} = %s WHERE (session_id, log_sequence) = (%s, %s)",
            [new, session, sequence],
        )


def hand_logs_over(db: psycopg.Connection, rng: random.Random) -> None:
    for session, sequence in some(db, rng, 2, "session_id, log_sequence", "session_logs"):
        db.execute(
            "UPDATE llm.session_logs SET (session_id, log_sequence) = (%s, %s)"
            " WHERE (session_id, log_sequence) = (%s, %s)",
            [one(db, rng, "session_id", "sessions"), rng.randrange(1000, 10**9), session, sequence],
        )


def delete_logs(db: psycopg.Connection, rng: random.Random) -> None:
    for key in some(db, rng, rng.choice([1, 4]), "session_id, log_sequence", "session_logs"):
        db.execute("DELETE FROM llm.session_logs WHERE (session_id, log_sequence) = (%s, %s)", key)


def delete_session(db: psycopg.Connection, rng: random.Random) -> None:
    for key in some(db, rng, 1, "session_id", "sessions"):
        db.execute("DELETE FROM llm.sessions WHERE session_id = %s", key)


def change_session(db: psycopg.Connection, rng: random.Random) -> None:
    for session, start in some(db, rng, rng.choice([1, 2]), "session_id, start_time", "sessions"):
        changed = rng.choice(
            [
                {"end_time": end_of(start, rng), "status": rng.choice(["completed", "error", "aborted"])},
                {"end_time": end_of(start, rng), "status": rng.choice(["completed", "error", "aborted"])},
                {"end_time": None, "status": "running"},
                {"project_id": maybe_one(db, rng, "project_id", "projects")},
                {"user_id": one(db, rng, "user_id", "users")},
                {"start_time": start - timedelta(hours=rng.choice([1, 30]))},
            ]
        )
        db.execute(
            sql.SQL("UPDATE llm.sessions SET ({}) = ROW ({}) WHERE session_id = {}").format(
                sql.SQL(", ").join(map(sql.Identifier, changed)), sql.SQL(", ").join(changed.values()), session
            )
        )


def move_user(db: psycopg.Connection, rng: random.Random) -> None:
    db.execute(
        "UPDATE llm.users SET department_id = %s WHERE user_id = %s",
        [one(db, rng, "department_id", "departments"), one(db, rng, "user_id", "users")],
    )


def correct_history(db: psycopg.Connection, rng: random.Random) -> None:
    department = one(db, rng, "department_id", "departments")
    for user, since in some(db, rng, 1, "user_id, since::text", "user_departments"):
        query, *values = rng.choice(
            [
                ("INSERT INTO llm.user_departments VALUES (%s, %s, %s)", user, moment(rng), department),
                ("UPDATE llm.user_departments SET department_id = %s WHERE (user_id, since) = (%s, %s)",
                 department, user, since),
                ("UPDATE llm.user_departments SET since = %s WHERE (user_id, since) = (%s, %s)",
                 moment(rng), user, since),
                ("DELETE FROM llm.user_departments WHERE (user_id, since) = (%s, %s)", user, since),
            ]
        )  # fmt: skip
        db.execute(query, values)


def change_deployment(db: psycopg.Connection, rng: random.Random) -> None:
    for _ in range(rng.choice([1, 1, 3])):
        column, new = deployed(db, rng)
        db.execute(
            f"UPDATE llm.deployments SET {column} = %s WHERE deployment_id = %s",
            [new, one(db, rng, "deployment_id", "deployments")],
        )


def deployed(db: psycopg.Connection, rng: random.Random) -> tuple[str, object]:
    return rng.choice(
        [
            ("model_id", one(db, rng, "model_id", "models")),
            ("gpu_count", rng.choice([0, 1, 8])),
            ("gpu_count", rng.choice([0, 1, 8])),
            ("status", rng.choice(["active", "inactive", "maintenance"])),
            ("status", rng.choice(["active", "active", "inactive"])),
            ("environment", rng.choice(["production", "test"])),
        ]
    )


def correct_deployment(db: psycopg.Connection, rng: random.Random) -> None:
    column, new = deployed(db, rng)
    for deployment, since in some(db, rng, 1, "deployment_id, since::text", "deployment_history"):
        query, *values = rng.choice(
            [
                ("INSERT INTO llm.deployment_history SELECT deployment_id, %s, model_id, 3, environment, 'active'"
                 " FROM llm.deployment_history WHERE (deployment_id, since) = (%s, %s)",
                 moment(rng), deployment, since),
                (f"UPDATE llm.deployment_history SET {column} = %s WHERE (deployment_id, since) = (%s, %s)",
                 new, deployment, since),
                ("UPDATE llm.deployment_history SET since = %s WHERE (deployment_id, since) = (%s, %s)",
                 moment(rng), deployment, since),
                ("DELETE FROM llm.deployment_history WHERE (deployment_id, since) = (%s, %s)", deployment, since),
            ]
        )  # fmt: skip
        db.execute(query, values)


def change_rates(db: psycopg.Connection, rng: random.Random) -> None:
    if rng.random() < 0.7:
        db.execute(
            "INSERT INTO llm.gpu_rates (deployment_id, since, price_per_hour) VALUES (%s, %s, %s)",
            [maybe_one(db, rng, "deployment_id", "deployments"), rng.choice(["-infinity", moment(rng)]), price(rng)],
        )
    for rate, since in some(db, rng, 1, "rate_id, since::text", "gpu_rates"):
        query, *values = rng.choice(
            [
                ("UPDATE llm.gpu_rates SET price_per_hour = %s WHERE rate_id = %s", price(rng), rate),
                ("UPDATE llm.gpu_rates SET since = %s WHERE rate_id = %s", moment(rng), rate),
                ("DELETE FROM llm.gpu_rates WHERE (rate_id, since) = (%s, %s)", rate, since),
            ]
        )
        db.execute(query, values)


def price(rng: random.Random) -> object:
    return rng.choice([None, 0, 3, "0.3333333333", 4321.5, 10**9, round(rng.uniform(0, 100), 10)])


def change_cost_settings(db: psycopg.Connection, rng: random.Random) -> None:
    db.execute(
        "UPDATE llm.cost_settings SET (apportioned_by, idle_is_spread) = (%s, %s)",
        [rng.choice(["tokens", "busy time"]), rng.random() < 0.5],
    )


def change_config(db: psycopg.Connection, rng: random.Random) -> None:
    db.execute(
        "UPDATE llm.model_configs SET max_tokens = %s WHERE config_id = %s",
        [rng.choice([None, 10, 1000]), one(db, rng, "config_id", "model_configs")],
    )


# Corrections that touch all closed time are rare: until the next refresh, reports read the rows and cannot be wrong.
WRITES: dict[Write, float] = {
    add_session: 6,
    add_logs: 14,
    copy_logs: 2,
    correct_logs: 5,
    hand_logs_over: 2,
    delete_logs: 3,
    delete_session: 1,
    change_session: 6,
    move_user: 0.5,
    correct_history: 0.4,
    change_deployment: 1,
    correct_deployment: 0.4,
    change_rates: 1,
    change_cost_settings: 0.5,
    change_config: 0.2,
}
REFUSED_ENDS = REFUSALS
ENDS = ["COMMIT", "COMMIT", "COMMIT", "COMMIT", "ROLLBACK", "PREPARE"]
if citus.DSN:
    # Of logs the session, and so the shard, stays the same, and nobody prepares what Citus prepares itself.
    del WRITES[hand_logs_over]
    ENDS.remove("PREPARE")
    # As which a worker's serialization failure arrives.
    REFUSED_ENDS = (*REFUSALS, errors.InternalError_)


class Story:
    """Writers with transactions of their own, refreshes in the background, and what has happened so far."""

    def __init__(self, db: psycopg.Connection, dsn: str, seed: int) -> None:
        self.db, self.dsn, self.rng = db, dsn, random.Random(seed)
        self.told: list[str] = []
        self.writers = [self.connect() for _ in range(4)]
        self.checker = self.connect()
        # Whoever holds the lock of the rollups halts a refresh between two of its transactions.
        self.halter = self.connect()
        self.prepared: list[str] = []
        self.progress = 0.0
        self.refreshes: dict[threading.Thread, int] = {}
        self.surprises: list[Exception] = []

    def connect(self, options: str = "") -> psycopg.Connection:
        return psycopg.connect(self.dsn, autocommit=True, options=f"-c statement_timeout=30s -c jit=off {options}")

    def tell(self, *words: object) -> None:
        self.told.append(" ".join(map(str, words)))

    def open_writers(self) -> list[psycopg.Connection]:
        return [writer for writer in self.writers if in_transaction(writer)]

    def write(self) -> None:
        writer = self.rng.choice(self.writers)
        number = self.writers.index(writer)
        if not in_transaction(writer):
            isolation = self.rng.choice(ISOLATIONS)
            writer.execute(f"BEGIN ISOLATION LEVEL {isolation}")
            # A worker, where the locks of logs are, hears of what is set in a transaction only.
            writer.execute("SET LOCAL citus.propagate_set_commands = 'local'")
            writer.execute("SET LOCAL lock_timeout = '100ms'")
            self.tell(number, "begins", isolation)
            if self.rng.random() < 0.4:
                # Nobody waits for a reader: what it writes later, it writes with an old snapshot.
                writer.execute("SELECT FROM rollup.state")
                return
        for write in self.rng.choices(list(WRITES), list(WRITES.values()), k=self.rng.choice([1, 1, 2, 4])):
            taken_back = self.rng.random() < 0.2
            self.tell(number, write.__name__, "and takes it back" if taken_back else "")
            try:
                if taken_back:
                    writer.execute("SAVEPOINT before")
                write(writer, self.rng)
                if taken_back:
                    writer.execute("ROLLBACK TO before")
            except REFUSALS as refusal:
                self.tell(number, "is refused:", type(refusal).__name__)
                writer.execute("ROLLBACK")
                return
        if self.rng.random() < 0.5:
            self.end(writer)

    def end(self, writer: psycopg.Connection) -> None:
        how = self.rng.choice(ENDS)
        self.tell(self.writers.index(writer), how)
        name = uuid.uuid4().hex
        try:
            writer.execute(f"PREPARE TRANSACTION '{name}'" if how == "PREPARE" else how)
        except REFUSED_ENDS as refusal:
            self.tell("refused:", type(refusal).__name__)
            if in_transaction(writer):
                writer.execute("ROLLBACK")
        else:
            if how == "PREPARE":
                self.prepared.append(name)

    def end_some(self) -> None:
        if writers := self.open_writers():
            self.end(self.rng.choice(writers))

    def end_prepared(self) -> None:
        if self.prepared:
            how = self.rng.choice(["COMMIT", "COMMIT", "ROLLBACK"])
            self.tell(how, "PREPARED")
            self.db.execute(f"{how} PREPARED '{self.prepared.pop(0)}'")

    def closing(self) -> datetime:
        """Day by day, so that there always is time that is closed for some and open for those with an old snapshot."""
        day = sorted(DAYS)[int(self.progress * len(DAYS))]
        now = datetime.now(UTC)
        return min(now, now + timedelta(days=day, seconds=self.rng.uniform(-40000, 40000)))

    def refresh(self) -> None:
        self.refreshes = {thread: pid for thread, pid in self.refreshes.items() if thread.is_alive()}
        if in_transaction(self.halter):
            self.halt()
        if len(self.refreshes) < 2:
            close_before = self.closing()
            patience, batch = self.rng.choice(["0 s", "30 s", "30 s"]), self.rng.choice([1, 3, 50, 100000])
            self.tell("refresh", close_before, patience, batch)
            self.call(f"CALL ops.refresh_rollups('{close_before}', '{patience}', {batch})")

    def call(self, procedure: str) -> threading.Thread:
        connection = self.connect()

        def run() -> None:
            try:
                connection.execute(procedure)
            except CUT_OFF:
                pass
            except Exception as error:
                self.surprises.append(error)
            finally:
                connection.close()

        thread = threading.Thread(target=run, daemon=True)
        self.refreshes[thread] = connection.info.backend_pid
        thread.start()
        return thread

    def halt(self) -> None:
        if in_transaction(self.halter):
            self.halter.execute("COMMIT")
        else:
            self.tell("halt")
            self.halter.execute("BEGIN")
            self.halter.execute("SELECT rollup.lock_state(true)")

    def cut_off(self) -> None:
        for pid in self.refreshes.values():
            how = self.rng.choice(["pg_cancel_backend", "pg_terminate_backend"])
            self.tell(how)
            self.db.execute(f"SELECT {how}(%s::integer)", [pid])

    def be_quiet(self) -> None:
        """Ends what is under way."""
        for writer in self.open_writers():
            self.end(writer)
        while self.prepared:
            self.end_prepared()
        if in_transaction(self.halter):
            self.halt()
        for thread in self.refreshes:
            thread.join()

    def maintain(self) -> None:
        self.be_quiet()
        match self.rng.choice(["drop", "drop", "drop", "zone", "truncate", "create"]):
            case "drop":
                month = moment(self.rng).date().replace(day=1).isoformat()
                if self.rng.random() < 0.7:
                    self.db.execute("CALL ops.refresh_rollups(%s)", [self.closing()])
                try:
                    self.tell("drop", month, drop_month(self.db, month))
                except errors.ObjectNotInPrerequisiteState:
                    self.tell("drop", month, "is refused")
            case "zone":
                zone = self.rng.choice(ZONES)
                self.tell(zone)
                self.call(f"CALL ops.set_reporting_time_zone('{zone}')")
            case "truncate" if self.rng.random() < 0.3:
                self.tell("truncate")
                self.db.execute("TRUNCATE llm.sessions CASCADE")
            case _:
                self.tell("create months")
                make_months(self.db)

    def check(self, *questions: str) -> None:
        """In one snapshot of somebody who reads, or of somebody who has written."""
        assert not self.surprises, self.surprises
        writers = self.open_writers()
        if writers and self.rng.random() < 0.3:
            writer = self.rng.choice(writers)
            try:
                assert_exact(writer, *questions)
            except REFUSALS:
                writer.execute("ROLLBACK")
            return
        self.checker.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        assert_exact(self.checker, *questions)
        self.checker.execute("COMMIT")

    def go_on(self, steps: int) -> None:
        acts = [self.write, self.end_some, self.end_prepared, self.refresh, self.halt, self.cut_off, self.maintain]
        for step, act in enumerate(self.rng.choices(acts, [60, 20, 8, 18, 8, 3, 3], k=steps)):
            act()
            self.progress = step / steps
            if step % 3 == 0:
                self.check(*self.rng.sample([*QUESTIONS, self.rng.choice(list(COSTS))], 3))
        self.be_quiet()
        self.check(*QUESTIONS, *list(COSTS)[::2])
        self.db.execute("CALL ops.refresh_rollups(clock_timestamp())")
        self.check(*QUESTIONS, *list(COSTS)[1::2])
        # So it was the rollups that answered.
        assert self.db.execute("SELECT count(*) FROM rollup.notes").fetchone() == (0,)
        assert self.db.execute("""
            SELECT count(*) FROM rollup.deployment_usage AS u, rollup.state AS s
            WHERE u.day < (s.closed_before AT TIME ZONE s.time_zone)::date
                AND u.day NOT IN (SELECT p.day FROM rollup.priced_days AS p)
        """).fetchone() == (0,)


def in_transaction(connection: psycopg.Connection) -> bool:
    return connection.info.transaction_status != psycopg.pq.TransactionStatus.IDLE


def make_months(db: psycopg.Connection) -> None:
    db.execute("CALL llm.create_months((now() - interval '3 months')::date, (now() + interval '1 month')::date)")


@contextmanager
def story(db: psycopg.Connection, dsn: str, seed: int) -> Iterator[Story]:
    db.execute("SET statement_timeout = '30s'")
    make_months(db)
    for name in ("AI연구팀", "개발1팀"):
        company = found_company(db, name)
        db.execute(
            "INSERT INTO llm.users (user_name, user_email, role, department_id)"
            " SELECT 'user ' || n, gen_random_uuid() || '@example.com', 'developer', %s FROM generate_series(1, 2) n",
            [company.department_id],
        )
    db.execute("UPDATE llm.deployment_history SET since = now() - interval '70 days' WHERE since > '-infinity'")
    db.execute("INSERT INTO llm.gpu_rates (since, price_per_hour) VALUES ('-infinity', 2.34567)")
    make_model(db)
    told = Story(db, dsn, seed)
    for _ in range(6):
        add_session(db, told.rng)
        add_logs(db, told.rng)
    try:
        yield told
    except BaseException as error:
        error.add_note("\n".join([f"seed {seed}:", *told.told]))
        raise
    finally:
        # A transaction that is left prepared would keep the database from being dropped.
        for name in told.prepared:
            with suppress(psycopg.Error):
                db.execute(f"ROLLBACK PREPARED '{name}'")
        for connection in [*told.writers, told.checker, told.halter]:
            connection.close()


@pytest.mark.parametrize("seed", range(6))
def test_reports_say_what_the_rows_say(db: psycopg.Connection, dsn: str, seed: int) -> None:
    with story(db, dsn, seed) as told:
        told.go_on(120)
