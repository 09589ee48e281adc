"""Whatever is killed, and whenever: nothing that was acknowledged is lost, nothing is there twice, every report is
exact, and the same job, simply run again, comes to its end. The figures of 50 kills each: docs/reliability.md."""

import csv
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import psycopg
import pytest
from psycopg import errors
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from cluster import Cluster, server_bin
from command import ROOT, environment, llm_db
from conftest import found_company, fresh_database
from kills import (
    Figures,
    Job,
    connected,
    copy_of,
    is_lost,
    its_backends,
    its_sessions,
    series,
    the_process,
    wait_for_nothing,
)
from rollup_model import assert_exact, make_model

sys.path.insert(0, str(ROOT / "scripts" / "bench"))

import upgrade

# The threads of the test run are not used by what is forked.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")

# Sessions that are over, over the days before yesterday, each with its requests of the same hour: a request of the next
# month would hold back the month of its session.
PAST = """
INSERT INTO llm.sessions (session_id, user_id, project_id, start_time, end_time, session_type, status)
SELECT llm.uuidv7(t.start_time), u.user_id, p.project_id, t.start_time, t.start_time + interval '2 h', 'production',
    'completed'
FROM (
    SELECT date_trunc('hour', now() - interval '1 day' - n * make_interval(days => %(days)s) / %(sessions)s)
    FROM generate_series(1, %(sessions)s) AS n
) AS t (start_time), llm.users AS u, llm.projects AS p;
INSERT INTO llm.session_logs (
    session_id, log_sequence, request_time, response_time, deployment_id, config_id, template_id, token_used
)
SELECT s.session_id, n, r.request_time, CASE WHEN n %% 4 > 0 THEN r.request_time + n * interval '77 ms' END,
    d.deployment_id, c.config_id, CASE WHEN n %% 3 > 0 THEN t.template_id END, n * 10
FROM llm.sessions AS s
CROSS JOIN generate_series(1, 9) AS n
CROSS JOIN LATERAL (SELECT s.start_time + n * interval '5 minutes') AS r (request_time)
CROSS JOIN llm.deployments AS d, llm.model_configs AS c, llm.prompt_templates AS t
WHERE s.end_time IS NOT NULL;
"""
# From here on the model answers from a copy of every row, which no job knows of.
COPY = """
CREATE TABLE model.all_logs AS SELECT * FROM model.stored_logs;
CREATE TABLE model.all_sessions AS SELECT * FROM model.stored_sessions;
CREATE OR REPLACE VIEW model.logs AS SELECT * FROM model.all_logs;
CREATE OR REPLACE VIEW model.sessions AS SELECT * FROM model.all_sessions;
"""
FAULTS = """
SELECT 'usage_count is not count(*)', count(*)
FROM llm.prompt_templates AS t
LEFT JOIN (SELECT l.template_id, count(*) FROM model.logs AS l GROUP BY l.template_id) AS u USING (template_id)
WHERE t.usage_count <> coalesce(u.count, 0)
UNION ALL
SELECT 'months of which only a part is there', count(*) FROM ops.months WHERE problem IS NOT NULL
UNION ALL
SELECT 'sessions without their month', count(*)
FROM llm.sessions_default AS s WHERE ops.month_exists((llm.uuidv7_time(s.session_id) AT TIME ZONE 'UTC')::date)
"""
SUMS = """
(SELECT count(*) FROM rollup.usage), (SELECT count(*) FROM rollup.hours), (SELECT count(*) FROM rollup.slowest),
(SELECT count(*) FROM rollup.sessions), (SELECT count(*) FROM rollup.activity), (SELECT count(*) FROM rollup.notes)
"""


@pytest.fixture
def kills(request: pytest.FixtureRequest) -> int:
    return request.config.getoption("kills") or 2


@pytest.fixture
def kills_of_runner(request: pytest.FixtureRequest) -> int:
    """What migrates takes seconds. tests/runner/test_atomic.py and test_script.py kill what is smaller, more often."""
    return request.config.getoption("kills") or 1


@pytest.fixture
def many_kills(request: pytest.FixtureRequest) -> int:
    """Of what is much like another: the full run only."""
    return request.config.getoption("kills") or pytest.skip("asked for with --kills")


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    chosen = request.config.getoption("seed")
    return random.randrange(10**6) if chosen is None else chosen


@pytest.fixture
def tell(record_property: Callable[[str, object], None]) -> Callable[[Figures], None]:
    """For the table at the end of the run, which stands in the page."""

    def tell(figures: Figures) -> None:
        record_property("kills", figures.line())
        assert f"\n| {figures.what} | " in (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")

    return tell


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A server to kill, with a migrated database. It is on a disk, and waits for it, as servers do."""
    with Cluster(server_bin(), parent=Path(tempfile.gettempdir())) as made:
        made.initdb()
        made.configure({"listen_addresses": "127.0.0.1", "unix_socket_directories": "", "jit": "off"})
        made.start()
        with made.connect() as admin:
            admin.execute("CREATE DATABASE migrated")
        ran("migrate", make_conninfo(made.dsn, dbname="migrated"))
        yield made


def ran(*arguments: str, ends_with: tuple[int, ...] = (0,)) -> str:
    """llm-db with the connection string behind the command."""
    command, dsn, *more = arguments
    done = llm_db(command, "--dsn", dsn, *more)
    if "which is at work" in done.stdout:
        raise errors.LockNotAvailable(done.stdout)
    assert done.returncode in ends_with, done.stdout + done.stderr
    return done.stdout


def name_of(dsn: str) -> str:
    return conninfo_to_dict(dsn)["dbname"]


def call(*statements: str) -> Callable[[str], None]:
    def run(dsn: str) -> None:
        with psycopg.connect(dsn, autocommit=True) as db:
            for statement in statements:
                db.execute(statement)

    return run


def faults(db: psycopg.Connection) -> list[tuple]:
    return [row for row in db.execute(FAULTS) if row[1]]


def holds(db: psycopg.Connection) -> None:
    """Also while a job is half done, and what is left of it at work: each question is asked in one snapshot."""
    assert_exact(db, "usage", "sessions")
    if faults(db):
        # Of a month that comes or goes at this moment the catalog shows half. What is wrong stays so.
        time.sleep(0.5)
        assert faults(db) == []


def ends(db: psycopg.Connection) -> None:
    holds(db)
    assert_exact(db, "hours", "slowest", "activity")
    assert db.execute("SELECT * FROM rollup.announcements").fetchall() == []


def last(server: str, db: psycopg.Connection) -> None:
    """Every report, and every object in its place."""
    assert_exact(db)
    ran("check", make_conninfo(server, dbname=db.info.dbname), "--scratch", server)


def progress(*columns: str) -> Callable[[psycopg.Connection], object]:
    return lambda db: db.execute(f"SELECT {', '.join(columns)}").fetchone()


def filled(db: psycopg.Connection, days: int, sessions: int) -> None:
    make_model(db)
    found_company(db)
    # The session that runs.
    db.execute("DELETE FROM llm.sessions")
    # A writer of this kind leaves notes, and counters to be folded.
    db.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    with db.transaction():
        for statement in PAST.split(";\n"):
            db.execute(statement, {"days": days, "sessions": sessions})
    db.isolation_level = None
    db.execute(COPY)


# Upkeep


def refresher(db: psycopg.Connection) -> Job:
    """Of sixty days three quarters are summed up, and all of these are noted."""
    filled(db, days=60, sessions=100)
    db.execute("CALL ops.refresh_rollups(now() - interval '15 days')")
    db.execute("UPDATE llm.session_logs SET token_used = token_used WHERE log_sequence = 1")
    return Job(
        name_and_close(db),
        call("CALL ops.refresh_rollups(batch_logs => 100)"),
        progress(SUMS, "(SELECT activity_before FROM rollup.state)"),
        holds,
        ends,
        assert_exact,
        busy=(errors.LockNotAvailable,),
    )


def name_and_close(db: psycopg.Connection) -> str:
    """Nobody may be connected to what is copied."""
    name = db.info.dbname
    db.close()
    return name


WAYS = {"its process": the_process, "its session, by pg_terminate_backend": its_sessions}


@pytest.mark.parametrize("killed", WAYS)
def test_the_refresher(db, server, killed, kills, seed, tell):
    tell(series(f"`CALL ops.refresh_rollups()`: {killed}", refresher(db), server, WAYS[killed], kills, seed))


def test_the_backend_of_the_refresher(cluster, kills, seed, tell):
    """The server cannot know what the dead one has left in memory, and begins anew."""
    with copy_of("migrated", cluster.dsn) as dsn:
        job = refresher(psycopg.connect(dsn, autocommit=True))
        tell(
            series("`CALL ops.refresh_rollups()`: its backend, by SIGKILL", job, cluster.dsn, its_backends, kills, seed)
        )


def test_maintain(db, server, kills, seed, tell):
    """There are rows in DEFAULT, open and noted time, counters to be folded, and months past their retention."""
    filled(db, days=200, sessions=60)
    db.execute("INSERT INTO llm.retention (what, keep_months) VALUES ('sessions', 3), ('audit', 12)")
    assert db.execute("SELECT count(*) > 0 FROM llm.prompt_template_uses WHERE slot < 0").fetchone()[0]
    db.execute("SELECT audit.create_month((now() - n * interval '1 month')::date) FROM generate_series(14, 16) AS n")
    job = Job(
        name_and_close(db),
        partial(ran, "maintain"),
        progress(
            SUMS,
            "(SELECT count(*) FROM llm.sessions_default)",
            "(SELECT array_agg(month ORDER BY month) FROM ops.months)",
            "(SELECT array_agg(month ORDER BY month) FROM audit.months)",
            "(SELECT count(*) FROM llm.prompt_template_uses WHERE slot < 0)",
        ),
        holds,
        maintained,
        partial(last, server),
        busy=(errors.LockNotAvailable,),
    )
    tell(series("`llm-db maintain`", job, server, the_process, kills, seed))


def maintained(db: psycopg.Connection) -> None:
    ends(db)
    assert db.execute("SELECT count(*) FROM llm.sessions_default").fetchone() == (0,)
    assert db.execute("SELECT count(*) FROM llm.session_logs_default").fetchone() == (0,)


def test_retention(db, server, kills, seed, tell):
    filled(db, days=240, sessions=80)
    db.execute("CALL llm.move_default_rows()")
    db.execute("CALL ops.refresh_rollups()")
    months = [month for (month,) in db.execute("SELECT month FROM ops.months_to_drop(3) ORDER BY month LIMIT 3")]
    single = [f"SELECT llm.drop_month('{month}')" for month in months]
    job = Job(
        name_and_close(db),
        call(*single, "CALL llm.drop_old_months(1)"),
        progress(SUMS, "(SELECT array_agg(month ORDER BY month) FROM ops.months)"),
        holds,
        ends,
        partial(last, server),
    )
    tell(series("`llm.drop_month()`, `llm.drop_old_months()`", job, server, the_process, kills, seed))


# The loader

ROWS, BAD = 1500, 20


def test_load(db, server, tmp_path, kills, seed, tell):
    make_model(db)
    found_company(db)
    [email] = db.execute("SELECT user_email FROM llm.users").fetchone()
    [deployment] = db.execute("SELECT server_name FROM llm.deployments").fetchone()
    began = datetime.now(UTC) - timedelta(days=70)
    lines = ["request_time,response_time,token_used,server_name,user_email,template_name"]
    for n in range(ROWS + BAD):
        at = began + timedelta(minutes=20 * n + n // 50 * 600)
        name = "nowhere" if n % (ROWS // BAD) == 0 and n // (ROWS // BAD) < BAD else deployment
        lines.append(f"{at.isoformat()},{(at + timedelta(seconds=2)).isoformat()},{n},{name},{email},AI연구팀 요약")
    text = "\n".join(lines) + "\n"

    def run(dsn: str) -> None:
        path = tmp_path / name_of(dsn) / "logs.csv"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
        ran("load", dsn, str(path), ends_with=(1,))

    def all_or_nothing(db: psycopg.Connection) -> None:
        holds(db)
        assert db.execute("SELECT count(*) FROM llm.session_logs").fetchone()[0] in (0, ROWS)

    def loaded(db: psycopg.Connection) -> None:
        ends(db)
        folder = tmp_path / db.info.dbname
        assert sorted(path.name for path in folder.iterdir()) == ["logs.csv", "logs.csv.rejects.csv"]
        with (folder / "logs.csv.rejects.csv").open(encoding="utf-8", newline="") as file:
            rejects = [int(row["line"]) for row in csv.DictReader(file)]
        assert rejects == [number for number, line in enumerate(lines, start=1) if "nowhere" in line]
        assert db.execute("SELECT sum(token_used), count(*) FROM llm.session_logs").fetchone() == (
            sum(n for n, line in enumerate(lines[1:]) if "nowhere" not in line),
            ROWS,
        )
        shutil.rmtree(folder)

    job = Job(
        name_and_close(db),
        run,
        progress(
            "(SELECT count(*) FROM llm.session_logs)",
            "(SELECT count(*) FROM llm.sessions)",
            "(SELECT count(*) > 0 FROM llm_db.loads)",
            "(SELECT array_agg(month ORDER BY month) FROM ops.months)",
        ),
        all_or_nothing,
        loaded,
        partial(last, server),
    )
    tell(series("`llm-db load`", job, server, the_process, kills, seed))


# Writers

# The rows of one transaction, by what it does.
SIZES = {"single": 1, "batch": 7, "append": 2}
LOG = """
INSERT INTO llm.session_logs (
    session_id, log_sequence, request_time, response_time, deployment_id, config_id, template_id, token_used,
    response_s3_path
)
SELECT %(session)s, %(sequence)s, now() - interval '1 s', now(), d.deployment_id, c.config_id, t.template_id, 7,
    %(path)s
FROM llm.deployments AS d, llm.model_configs AS c, llm.prompt_templates AS t
"""


@dataclass
class Writer:
    """A client that writes one transaction after the other, and says which ones were acknowledged. A path names the
    transaction its rows are of."""

    what: str
    sessions: list[uuid.UUID]

    def write(self, dsn: str, first: int, last: int, acknowledged: Callable[[str], None]) -> None:
        with psycopg.connect(dsn, autocommit=True) as db:
            for n in range(first, last):
                path = f"s3://killed/{self.what}/{n}"
                if self.what == "single":
                    # What was written before it was killed is there already.
                    db.execute(LOG + "ON CONFLICT DO NOTHING", self.row(0, n, path))
                else:
                    with db.transaction():
                        self.write_once(db, n, path)
                acknowledged(path)

    def write_once(self, db: psycopg.Connection, n: int, path: str) -> None:
        """What a killed one has sent may still be on its way to COMMIT. Who has the sessions knows how it ended."""
        mine = "SELECT FROM llm.sessions WHERE session_id = ANY(%s) ORDER BY session_id FOR UPDATE"
        db.execute(mine, [self.sessions])
        if db.execute("SELECT 1 FROM llm.session_logs WHERE response_s3_path = %s LIMIT 1", [path]).fetchone():
            return
        if self.what == "batch":
            rows = [self.row(0, SIZES["batch"] * n + k, path) for k in range(1, SIZES["batch"] + 1)]
            db.cursor().executemany(LOG, rows)
        else:
            # The database numbers them.
            db.cursor().executemany(LOG, [self.row(session, None, path) for session in range(2)])

    def row(self, session: int, sequence: int | None, path: str) -> dict[str, object]:
        return {"session": self.sessions[session], "sequence": sequence, "path": path}


def writers_of(db: psycopg.Connection) -> list[Writer]:
    """Each has two sessions that run."""
    new = (
        "INSERT INTO llm.sessions (user_id, session_type, status)"
        " SELECT user_id, 'production', 'running' FROM llm.users RETURNING session_id"
    )
    return [Writer(what, [db.execute(new).fetchone()[0] for _ in range(2)]) for what in SIZES]


def assert_whole(db: psycopg.Connection, acknowledged: set[str]) -> None:
    """Every transaction is there with all its rows, each once, or not at all; what was acknowledged is there."""
    query = (
        "SELECT response_s3_path, count(*) FROM llm.session_logs WHERE response_s3_path LIKE 's3://killed/%' GROUP BY 1"
    )
    rows = dict(db.execute(query).fetchall())
    assert {path: count for path, count in rows.items() if count != SIZES[path.split("/")[3]]} == {}
    assert acknowledged - rows.keys() == set()
    gaps = """
        SELECT l.session_id FROM llm.session_logs AS l WHERE l.response_s3_path LIKE 's3://killed/append/%'
        GROUP BY l.session_id HAVING max(l.log_sequence) <> count(*)
    """
    assert db.execute(gaps).fetchall() == []


TRANSACTIONS = 60


def test_a_writer(db, server, tmp_path, kills, seed, tell):
    make_model(db)
    found_company(db)
    writers = writers_of(db)

    def acknowledged(name: str) -> set[str]:
        path = tmp_path / name
        return set(path.read_text().split()) if path.exists() else set()

    def run(dsn: str) -> None:
        """Several sessions in one process. What was acknowledged is on a file before the next is begun."""
        file = os.open(tmp_path / name_of(dsn), os.O_CREAT | os.O_APPEND | os.O_WRONLY)

        def tell_of(path: str) -> None:
            os.write(file, f"{path}\n".encode())

        try:
            with ThreadPoolExecutor(len(writers)) as pool:
                for done in [pool.submit(writer.write, dsn, 1, TRANSACTIONS + 1, tell_of) for writer in writers]:
                    done.result()
        finally:
            os.close(file)

    def whole(db: psycopg.Connection) -> None:
        before = acknowledged(db.info.dbname)
        holds(db)
        assert_whole(db, before)

    def written(db: psycopg.Connection) -> None:
        whole(db)
        ends(db)
        assert len(acknowledged(db.info.dbname)) == TRANSACTIONS * len(SIZES)

    count = progress("(SELECT count(*) FROM llm.session_logs)")
    job = Job(name_and_close(db), run, count, whole, written, assert_exact)
    tell(series("a writer of three sessions", job, server, the_process, kills, seed))


# The server


def test_the_server(cluster, kills, seed, tell):
    """Writers, a refresher and upkeep are at work, month after month; then nothing is left but what is on the disk."""
    figures, rng = Figures("the server, with all its backends", seed), random.Random(seed)
    print(f"{figures.what}: seed {seed}")
    with copy_of("migrated", cluster.dsn) as dsn:
        with connected(dsn) as db:
            make_model(db)
            found_company(db)
            writers = writers_of(db)
        acknowledged: set[str] = set()
        begin = dict.fromkeys(SIZES, 1)
        for _ in range(kills):
            before = len(acknowledged)
            jobs = [partial(write_on, dsn, writer, begin, acknowledged) for writer in writers]
            jobs += [partial(repeat, dsn, statement) for statement in UPKEEP]
            with ThreadPoolExecutor(len(jobs)) as pool:
                running = [pool.submit(job) for job in jobs]
                time.sleep(rng.uniform(0.1, 1.5))
                cluster.kill()
            began = time.monotonic()
            cluster.start()
            assert [error for job in running if not is_lost(error := job.exception())] == []
            with connected(dsn) as db:
                figures.longest = max(figures.longest, time.monotonic() - began)
                holds(db)
                assert_whole(db, acknowledged)
                wait_for_nothing(db, began)
            figures.killed += 1
            figures.done["part" if len(acknowledged) > before else "nothing"] += 1
        with connected(dsn) as db:
            db.execute("CALL llm.maintain()")
            db.execute("CALL ops.refresh_rollups(clock_timestamp())")
            maintained(db)
            last(cluster.dsn, db)
    tell(figures)


# A session of any of forty months, and its request: DEFAULT has rows, and maintain has months to make.
OLD = """
WITH new AS (
    INSERT INTO llm.sessions (session_id, user_id, start_time, end_time, session_type, status)
    SELECT llm.uuidv7(m.start), u.user_id, m.start, m.start, 'test', 'completed'
    FROM llm.users AS u, (SELECT now() - ceil(random() * 40) * interval '1 month' AS start) AS m
    RETURNING session_id, start_time
)
INSERT INTO llm.session_logs (session_id, log_sequence, request_time, deployment_id, config_id)
SELECT n.session_id, 1, n.start_time, d.deployment_id, c.config_id
FROM new AS n, llm.deployments AS d, llm.model_configs AS c
"""
UPKEEP = (OLD, "CALL llm.maintain()", "CALL ops.refresh_rollups(clock_timestamp(), batch_logs => 50)")


def write_on(dsn: str, writer: Writer, begin: dict[str, int], acknowledged: set[str]) -> None:
    """It goes on with what was not acknowledged."""

    def tell_of(path: str) -> None:
        acknowledged.add(path)
        begin[writer.what] += 1

    writer.write(dsn, begin[writer.what], 10**9, tell_of)


def repeat(dsn: str, statement: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as db:
        while True:
            with suppress(errors.LockNotAvailable):
                db.execute(statement)


# The runner, and psql

LEDGER = """
SELECT
    (SELECT array_agg(m.migration_id || ' ' || m.state ORDER BY m.migration_id) FROM llm_db.migrations AS m),
    (SELECT array_agg(m.migration_id::text ORDER BY m.migration_id) FROM llm_db._yoyo_migration AS m),
    (SELECT array_agg(r.name || ' ' || r.sha256 ORDER BY r.name) FROM llm_db.repeatables AS r),
    (
        SELECT array_agg(o.name ORDER BY o.name)
        FROM (
            SELECT c.oid::regclass::text, c.relnamespace FROM pg_class AS c
            UNION ALL
            SELECT p.oid::regprocedure::text, p.pronamespace FROM pg_proc AS p
        ) AS o (name, namespace)
        INNER JOIN pg_namespace AS n ON o.namespace = n.oid
        WHERE n.nspname IN ('llm', 'rollup', 'reporting', 'ops', 'audit')
    )
"""


def ledger(db: psycopg.Connection) -> object:
    there = db.execute("SELECT to_regclass('llm_db.repeatables') IS NOT NULL").fetchone()[0]
    return db.execute(LEDGER).fetchone() if there else None


def in_order(db: psycopg.Connection) -> None:
    """Each migration is applied and marked, or neither. One of those outside a transaction may be begun."""
    if found := ledger(db):
        applied = [entry.split()[0] for entry in found[0] or [] if entry.endswith(" applied")]
        assert applied == (found[1] or [])


def migrated(server: str, db: psycopg.Connection) -> None:
    dsn = make_conninfo(server, dbname=db.info.dbname)
    ran("status", dsn, "--check")
    ran("check", dsn, "--scratch", server)


def with_rows(logs: int, sessions: int, db: psycopg.Connection) -> None:
    in_order(db)
    assert db.execute(upgrade.WRONG_COUNTS).fetchone() == (0,)
    found = db.execute("SELECT (SELECT count(*) FROM llm.session_logs), (SELECT count(*) FROM llm.sessions)").fetchone()
    assert found == (logs, sessions)


def at_work(server: str, db: psycopg.Connection) -> None:
    """It is as it should be, and works with the rows it had."""
    migrated(server, db)
    make_model(db)
    db.execute("CALL llm.maintain()")
    maintained(db)
    assert_exact(db)


@pytest.fixture(scope="module")
def release(server: str) -> Iterator[str]:
    """A database of release 0.1.0 with a company at work, by its name."""
    with fresh_database(server) as dsn:
        upgrade.prepare(dsn, 1000)
        yield dsn


def of_release(dsn: str, run: Callable[[str], None], server: str, **more: object) -> Job:
    with connected(dsn) as db:
        [logs, sessions] = db.execute(
            "SELECT (SELECT count(*) FROM llm.session_logs), (SELECT count(*) FROM llm.sessions)"
        ).fetchone()
    ends = partial(with_rows, logs, sessions)
    return Job(name_of(dsn), run, ledger, in_order, ends, partial(at_work, server), **more)


migrate = partial(ran, "migrate")


def rollback(dsn: str) -> None:
    ran("rollback", dsn, "--to", "0008", "--yes")


def test_migrate_of_a_new_database(server, empty_dsn, many_kills, seed, tell):
    job = Job(name_of(empty_dsn), migrate, ledger, in_order, in_order, partial(migrated, server))
    tell(series("`llm-db migrate`, a new database", job, server, the_process, many_kills, seed))


def test_migrate_of_a_release(server, release, kills_of_runner, seed, tell):
    """Files outside of a transaction are among them."""
    job = of_release(release, migrate, server)
    tell(series("`llm-db migrate`, from 0.1.0 with rows", job, server, the_process, kills_of_runner, seed))


def test_the_server_of_migrate(cluster, many_kills, seed, tell):
    def kill(process: int, dsn: str) -> None:
        cluster.kill()
        cluster.start()

    with copy_of("template0", cluster.dsn) as dsn:
        upgrade.prepare(dsn, 1000)
        job = of_release(dsn, migrate, cluster.dsn)
        tell(series("`llm-db migrate`, from 0.1.0 with rows: its server", job, cluster.dsn, kill, many_kills, seed))


def forth(server: str, db: psycopg.Connection) -> None:
    dsn = make_conninfo(server, dbname=db.info.dbname)
    migrate(dsn)
    ran("status", dsn, "--check")


def test_rollback(db, server, kills_of_runner, seed, tell):
    job = Job(name_and_close(db), rollback, ledger, in_order, in_order, partial(forth, server))
    tell(series("`llm-db rollback`, to 0.1.0", job, server, the_process, kills_of_runner, seed))


def test_the_script_for_psql(server, release, tmp_path, kills_of_runner, seed, tell):
    script = tmp_path / "upgrade.sql"
    script.write_text(llm_db("plan", "--script", "--from", "0008").stdout, encoding="utf-8")
    psql = [str(server_bin() / "psql"), "-X", "-q", f"--file={script}", "--dbname"]
    nowhere = [(os.POSIX_SPAWN_OPEN, n, os.devnull, os.O_WRONLY, 0) for n in (1, 2)]

    def run(dsn: str) -> None:
        subprocess.run([*psql, dsn], env=environment(), check=True, capture_output=True)

    def start(dsn: str) -> int:
        return os.posix_spawn(psql[0], [*psql, dsn], environment(), file_actions=nowhere)

    job = of_release(release, run, server, start=start)
    tell(
        series("`llm-db plan --script` in psql, from 0.1.0 with rows", job, server, the_process, kills_of_runner, seed)
    )
