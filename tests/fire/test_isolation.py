"""Writers of every isolation level beside each other and beside upkeep: what is refused is run again, as any program
does, and then everything is exact."""

import random
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import psycopg
from psycopg import IsolationLevel, errors
from sizes import size

from conftest import Company, found_company
from rollup_model import assert_exact, make_model

LEVELS = (IsolationLevel.READ_COMMITTED, IsolationLevel.REPEATABLE_READ, IsolationLevel.SERIALIZABLE)
EACH = size(2, 8)
SECONDS = size(3, 60)
LOG = (
    "INSERT INTO llm.session_logs (session_id, deployment_id, template_id, token_used, request_time)"
    " VALUES (%s, %s, %s, 2, now() - make_interval(secs => %s))"
)
# To be run again: 40001, 40P01, and the number that another one took, which an old snapshot could not see.
AGAIN = (errors.SerializationFailure, errors.DeadlockDetected, errors.UniqueViolation)
# A rule: the last member, or the manager of another department.
REFUSED = (errors.CheckViolation,)


class Writer:
    def __init__(self, dsn: str, company: Company, number: int, shared: list, departments: list[int]) -> None:
        self.level = LEVELS[number % 3]
        self.chance = random.Random(number)
        self.connection = psycopg.connect(dsn, options="-c statement_timeout=30s")
        self.connection.isolation_level = self.level
        self.company, self.shared, self.departments = company, shared, departments
        self.logs: Counter = Counter()
        self.ends: Counter = Counter()

    def run(self, ended: threading.Event) -> "Writer":
        with self.connection:
            while not ended.is_set():
                act = self.chance.choices([self.append, self.late, self.end, self.move, self.remove], [6, 2, 2, 2, 1])[
                    0
                ]
                while True:
                    try:
                        with self.connection.transaction():
                            done = act()
                        self.ends["done"] += 1
                        self.logs.update(done)
                        break
                    except AGAIN as error:
                        self.ends[f"again: {error.sqlstate}"] += 1
                        # What is tried again is another thing by then, and somebody else may be through.
                        time.sleep(self.chance.uniform(0, 0.02))
                    except REFUSED as error:
                        self.ends[f"refused: {error.diag.constraint_name}"] += 1
                        break
        return self

    def append(self) -> Counter:
        sessions = self.chance.sample(self.shared, self.chance.choice([1, 1, 2]))
        for session in sessions:
            self.connection.execute(LOG, [session, self.company.deployment_id, self.company.template_id, 0])
        return Counter(sessions)

    def late(self) -> Counter:
        session, seconds = self.chance.choice(self.shared), self.chance.choice([4000, 90_000])
        self.connection.execute(LOG, [session, self.company.deployment_id, self.company.template_id, seconds])
        return Counter([session])

    def end(self) -> Counter:
        self.connection.execute(
            "UPDATE llm.sessions SET end_time = greatest(start_time, now()), status = 'completed'"
            " WHERE session_id = %s",
            [self.chance.choice(self.shared)],
        )
        return Counter()

    def move(self) -> Counter:
        self.connection.execute(
            "UPDATE llm.users SET department_id = %s WHERE user_id = (SELECT user_id FROM llm.users"
            " ORDER BY random() LIMIT 1)",
            [self.chance.choice(self.departments)],
        )
        return Counter()

    def remove(self) -> Counter:
        """A correction: tokens that were not right."""
        self.connection.execute(
            "UPDATE llm.session_logs SET token_used = token_used + 1 WHERE session_id = %s AND log_sequence = 1",
            [self.chance.choice(self.shared)],
        )
        return Counter()


def keep_up(dsn: str, ended: threading.Event) -> int:
    calls = 0
    with psycopg.connect(dsn, autocommit=True) as connection:
        while not ended.is_set():
            connection.execute("CALL llm.maintain()")
            calls += 1
            ended.wait(0.05)
    return calls


def test_every_isolation_level_at_once(db: psycopg.Connection, dsn: str, company: Company) -> None:
    make_model(db)
    departments = [company.department_id, *(found_company(db, f"팀 {n}").department_id for n in range(2))]
    started = (
        "INSERT INTO llm.sessions (user_id, session_type, start_time) VALUES (%s, 'test', now() - interval '26 hours')"
    )
    shared = [
        db.execute(f"{started} RETURNING session_id", [user]).fetchone()[0]
        for (user,) in db.execute("SELECT user_id FROM llm.users").fetchall()
        for _ in range(2)
    ]
    ended = threading.Event()
    writers = [Writer(dsn, company, number, shared, departments) for number in range(3 * EACH)]
    with ThreadPoolExecutor(len(writers) + 1) as pool:
        upkeep = pool.submit(keep_up, dsn, ended)
        running = [pool.submit(writer.run, ended) for writer in writers]
        try:
            until = time.monotonic() + SECONDS
            while time.monotonic() < until:
                assert_exact(db, "usage", "sessions")
                time.sleep(0.2)
        finally:
            ended.set()
        written = sum((one.result().logs for one in running), Counter())
    for level in LEVELS:
        ends = sum((writer.ends for writer in writers if writer.level == level), Counter())
        print(f"{level.name}: {', '.join(f'{name} {many:,}' for name, many in sorted(ends.items()))}")
        assert ends["done"] > 0
    print(f"{written.total():,} logs, upkeep ran {upkeep.result()} times")
    rows = db.execute(
        "SELECT session_id, count(*), max(log_sequence) FROM llm.session_logs GROUP BY session_id"
    ).fetchall()
    assert {session: many for session, many, _ in rows} == written
    # A number that a transaction with several sessions took and gave back may stay free.
    free = sum(last - many for _, many, last in rows)
    again = sum(many for writer in writers for name, many in writer.ends.items() if name.startswith("again"))
    print(f"{free} numbers stayed free, of {again} transactions that were run again")
    assert free <= again
    used = "SELECT usage_count FROM llm.prompt_templates WHERE template_id = %s"
    assert db.execute(used, [company.template_id]).fetchone() == (written.total(),)
    alone = (
        "SELECT count(*) FROM llm.departments AS d"
        " WHERE NOT EXISTS (SELECT FROM llm.users AS u WHERE u.department_id = d.department_id)"
    )
    assert db.execute(alone).fetchone() == (0,)
    where = (
        "SELECT count(*) FROM llm.users AS u WHERE u.department_id <> (SELECT h.department_id"
        " FROM llm.user_departments AS h WHERE h.user_id = u.user_id ORDER BY h.since DESC LIMIT 1)"
    )
    assert db.execute(where).fetchone() == (0,)
    db.execute("CALL llm.maintain()")
    db.execute("CALL ops.refresh_rollups(clock_timestamp())")
    assert_exact(db)
