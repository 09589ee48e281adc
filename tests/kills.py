"""Jobs that are killed at random moments of their time, and then simply run again.

A job runs in a process of its own, on a copy of a database that was made ready for it. It is killed, looked at, and run
again until it has done everything; a kill that came after its end is none, and is not counted.
"""

import os
import random
import signal
import sys
import time
import traceback
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

APPLICATION = "to be killed"
ITS_SESSIONS = f"FROM pg_stat_activity WHERE application_name = '{APPLICATION}' AND datname = current_database()"
# How long a job may need to go on, the end of what is left of the killed one included.
PATIENCE_SECONDS = 60

# What is left behind, of a job that is over. What only looks on (autovacuum) comes and goes.
LEFTOVERS = """
SELECT 'locks', count(*)
FROM pg_locks AS k INNER JOIN pg_stat_activity AS a USING (pid)
WHERE a.datname = current_database() AND a.backend_type = 'client backend' AND a.pid <> pg_backend_pid()
UNION ALL
SELECT 'prepared transactions', count(*) FROM pg_prepared_xacts WHERE database = current_database()
UNION ALL
SELECT 'temporary objects', count(*) FROM (
    SELECT relnamespace FROM pg_class UNION ALL SELECT pronamespace FROM pg_proc
) AS o (namespace) WHERE namespace::regnamespace::text ~ '^pg_temp'
"""

# Kills the process with this id, or its sessions in the database, or what they are sessions of.
Killing = Callable[[int, str], None]


@dataclass(frozen=True)
class Job:
    # The database that each try gets a copy of. Nobody may be connected to it.
    prepared: str
    # What a user would run, and run again. Raises where it fails.
    run: Callable[[str], None]
    # How far the job has come, the same for every run that has come as far.
    progress: Callable[[psycopg.Connection], object]
    # What must hold when it is cut off, at its end, and at the end after the last kill, as it takes longer to find out.
    holds: Callable[[psycopg.Connection], None]
    ends: Callable[[psycopg.Connection], None]
    last: Callable[[psycopg.Connection], None]
    # What a run is told while what is left of the killed one is still at work. Nothing was done then.
    busy: tuple[type[Exception], ...] = ()
    # The id of a process that does the same, where it is no Python.
    start: Callable[[str], int] | None = None

    def process(self, dsn: str) -> int:
        target = make_conninfo(dsn, application_name=APPLICATION)
        return self.start(target) if self.start else forked(self.run, target)


@dataclass
class Figures:
    """What became of one kind of kill: a line of the table."""

    what: str
    seed: int
    killed: int = 0
    missed: int = 0
    done: Counter = field(default_factory=Counter)
    longest: float = 0.0

    def line(self) -> str:
        done = " | ".join(str(self.done[part]) for part in ("nothing", "part", "everything"))
        return f"| {self.what} | {self.killed} | {done} | {self.longest:.1f} s | {self.seed} |"


HEAD = """\
| Killed | times, at work | having done nothing | a part | everything | at its end again after at most | seed |
|---|---|---|---|---|---|---|"""


def forked(run: Callable[[str], None], dsn: str) -> int:
    """The id of a process that does it. It is forked, as Python's start is not what is to be killed."""
    pid = os.fork()
    if pid == 0:
        exit_code = 1
        try:
            run(dsn)
            exit_code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(exit_code)
    return pid


def is_lost(error: BaseException | None) -> bool:
    """Whether it says that the server, or the session, is no longer there."""
    return isinstance(error, psycopg.OperationalError) and error.sqlstate in (None, "57P01", "57P02", "57P03")


def the_process(pid: int, dsn: str) -> None:
    os.kill(pid, signal.SIGKILL)


def its_sessions(pid: int, dsn: str) -> None:
    with connected(dsn) as db:
        db.execute(f"SELECT pg_terminate_backend(pid) {ITS_SESSIONS}")


def its_backends(pid: int, dsn: str) -> None:
    """SIGKILL. The server takes all other sessions with it, and recovers as after a crash."""
    with connected(dsn) as db:
        backends = [backend for (backend,) in db.execute(f"SELECT pid {ITS_SESSIONS}")]
        with suppress(ProcessLookupError):
            for backend in backends:
                os.kill(backend, signal.SIGKILL)
        # Until the server has noticed.
        with suppress(psycopg.OperationalError):
            db.execute("SELECT pg_sleep(%s)", [10 if backends else 0])


def series(what: str, job: Job, server: str, kill: Killing, kills: int, seed: int) -> Figures:
    """Moments are spread over the whole time of the job, its very end included."""
    figures, rng = Figures(what, seed), random.Random(seed)
    with copy_of(job.prepared, server) as dsn, connected(dsn) as db:
        before = job.progress(db)
        took = in_its_time(job, dsn)
        everything = job.progress(db)
        job.ends(db)
    print(f"{what}: seed {seed}, takes {took:.2f} s")
    for number in range(kills):
        share = 1.1 * (number + rng.random()) / kills
        while not killed(job, server, kill, took * share, before, everything, figures, number == kills - 1):
            # The machine has less to do than before.
            took *= 0.9
            figures.missed += 1
            assert figures.missed < kills + 20, "it is over too soon to be killed"
    return figures


def in_its_time(job: Job, dsn: str) -> float:
    process = job.process(dsn)
    wait_for_session(process, dsn)
    began = time.monotonic()
    assert os.waitpid(process, 0)[1] == 0
    return time.monotonic() - began


def killed(
    job: Job,
    server: str,
    kill: Killing,
    moment: float,
    before: object,
    everything: object,
    figures: Figures,
    is_last: bool,
) -> bool:
    """One kill, and the run after it. False if the job was over before."""
    with copy_of(job.prepared, server) as dsn:
        process = job.process(dsn)
        try:
            wait_for_session(process, dsn)
            time.sleep(moment)
        finally:
            began = time.monotonic()
            kill(process, dsn)
            status = os.waitpid(process, 0)[1]
        if status == 0:
            return False
        assert kill is not the_process or os.WIFSIGNALED(status), "it failed by itself"
        with connected(dsn) as db:
            job.holds(db)
            reached = job.progress(db)
        part = "everything" if reached == everything else "nothing" if reached == before else "part"
        run_again(job, dsn, began)
        figures.longest = max(figures.longest, time.monotonic() - began)
        with connected(dsn) as db:
            assert job.progress(db) == everything
            wait_for_nothing(db, began)
            job.ends(db)
            if is_last:
                job.last(db)
        figures.killed += 1
        figures.done[part] += 1
        return True


def run_again(job: Job, dsn: str, began: float) -> None:
    """As cron would: what is refused because the killed one's backend is still at work is tried again."""
    while True:
        try:
            return job.run(dsn)
        except job.busy:
            assert time.monotonic() < began + PATIENCE_SECONDS
            time.sleep(0.1)


def wait_for_session(process: int, dsn: str) -> None:
    """Or for its end, as a short one may come and go unseen."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    with connected(dsn) as db:
        while not db.execute(f"SELECT count(*) {ITS_SESSIONS}").fetchone()[0]:
            if os.waitid(os.P_PID, process, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                return
            assert time.monotonic() < deadline
            time.sleep(0.002)


def wait_for_nothing(db: psycopg.Connection, began: float) -> None:
    """What is left of a job goes with its backends, which may end a moment after its process."""
    while left := [row for row in db.execute(LEFTOVERS) if row[1]]:
        assert time.monotonic() < began + PATIENCE_SECONDS, left
        time.sleep(0.02)


@contextmanager
def connected(dsn: str) -> Iterator[psycopg.Connection]:
    """Waits for a server that recovers."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            connection = psycopg.connect(dsn, autocommit=True)
            break
        except psycopg.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)
    try:
        yield connection
    finally:
        connection.close()


@contextmanager
def copy_of(prepared: str, server: str) -> Iterator[str]:
    name = f"killed_{uuid.uuid4().hex}"
    with connected(server) as admin:
        admin.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(prepared)))
    try:
        yield make_conninfo(server, dbname=name)
    finally:
        with connected(server) as admin:
            admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
