"""What is promised while others work: log_sequence without gaps, usage_count exact and never waiting, months that
change under running writers."""

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from uuid import UUID

import psycopg
import pytest
from psycopg import IsolationLevel, errors

import citus
from conftest import Company

LOG = "INSERT INTO llm.session_logs (session_id, deployment_id, template_id) VALUES (%s, %s, %s)"
MONTHS = "SELECT relname FROM pg_catalog.pg_class WHERE relname ~ '^(sessions|session_logs)_[0-9]+_[0-9]+$'"


def connect(dsn: str, isolation: IsolationLevel = IsolationLevel.READ_COMMITTED) -> psycopg.Connection:
    """A session whose transactions begin by themselves. It fails rather than hangs."""
    connection = psycopg.connect(dsn, options="-c statement_timeout=60s")
    connection.isolation_level = isolation
    return connection


def together(count: int, work: Callable[[int], object]) -> list:
    """Runs work(0) ... work(count - 1) at the same moment; the first error is raised."""
    ready = threading.Barrier(count, timeout=30)

    def run(number: int) -> object:
        ready.wait()
        return work(number)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(count)))


def value(db: psycopg.Connection, query: str, *parameters: object) -> object:
    return db.execute(query, parameters).fetchone()[0]


def make_templates(db: psycopg.Connection, company: Company, count: int) -> list[int]:
    rows = db.execute(
        "INSERT INTO llm.prompt_templates (template_name, prompt_s3_path, task_category, created_by)"
        " SELECT 'template ' || n, 's3://prompts/' || n, 'coding', %s FROM generate_series(1, %s) AS n"
        " RETURNING template_id",
        [company.user_id, count],
    )
    return [template for (template,) in rows]


def make_session(db: psycopg.Connection, company: Company, began: str = "now") -> UUID:
    return value(
        db,
        "INSERT INTO llm.sessions (session_id, user_id, session_type, start_time)"
        " VALUES (llm.uuidv7(%s), %s, 'test', %s) RETURNING session_id",
        began,
        company.user_id,
        began,
    )


def end_sessions(db: psycopg.Connection) -> None:
    """With their requests made as they began: retention leaves alone what is young, or not over."""
    db.execute("UPDATE llm.session_logs SET request_time = llm.uuidv7_time(session_id)")
    db.execute("UPDATE llm.sessions SET end_time = start_time, status = 'completed'")


def counts(db: psycopg.Connection) -> dict[int, int]:
    return dict(
        db.execute("SELECT template_id, usage_count FROM llm.prompt_templates WHERE usage_count <> 0").fetchall()
    )


def sequences(db: psycopg.Connection, session: UUID) -> list[int]:
    rows = db.execute("SELECT log_sequence FROM llm.session_logs WHERE session_id = %s ORDER BY 1", [session])
    return [number for (number,) in rows]


# log_sequence


def test_threads_append_to_one_session(db: psycopg.Connection, dsn: str, company: Company) -> None:
    def append(_: int) -> None:
        with connect(dsn) as connection:
            for _ in range(10):
                connection.execute(LOG, [company.session_id, company.deployment_id, None])
                connection.commit()

    together(16, append)
    assert sequences(db, company.session_id) == list(range(1, 161))


def test_one_statement_numbers_all_its_rows(db: psycopg.Connection, company: Company) -> None:
    other = make_session(db, company, "2024-05-05")
    db.execute(
        "INSERT INTO llm.session_logs (session_id, deployment_id)"
        " SELECT session_id, %s FROM unnest(%s::uuid[]) AS session_id, generate_series(1, 3)",
        [company.deployment_id, [company.session_id, other]],
    )
    with db.cursor().copy("COPY llm.session_logs (session_id, deployment_id) FROM STDIN") as copy:
        for session in [company.session_id, other] * 3:
            copy.write_row((session, company.deployment_id))
    assert sequences(db, company.session_id) == sequences(db, other) == [1, 2, 3, 4, 5, 6]


def test_given_sequence_is_taken_as_given(db: psycopg.Connection, company: Company) -> None:
    query = "INSERT INTO llm.session_logs (session_id, deployment_id, log_sequence) VALUES (%s, %s, %s)"
    for number in (7, 3):
        db.execute(query, [company.session_id, company.deployment_id, number])
    db.execute(LOG, [company.session_id, company.deployment_id, None])
    assert sequences(db, company.session_id) == [3, 7, 8]


DEADLOCKS = "SELECT deadlocks FROM pg_catalog.pg_stat_database WHERE datname = current_database()"
APPEND = "INSERT INTO llm.session_logs (session_id, deployment_id) "


def append_select(writer: psycopg.Connection, sessions: list[UUID], deployment: int) -> None:
    writer.execute(APPEND + "SELECT s, %s FROM unnest(%s::uuid[]) AS s", [deployment, sessions])


def append_values(writer: psycopg.Connection, sessions: list[UUID], deployment: int) -> None:
    rows = [field for session in sessions for field in (session, deployment)]
    writer.execute(APPEND + "VALUES " + ", ".join(["(%s, %s)"] * len(sessions)), rows)


def append_copy(writer: psycopg.Connection, sessions: list[UUID], deployment: int) -> None:
    with writer.cursor().copy("COPY llm.session_logs (session_id, deployment_id) FROM STDIN") as copy:
        for session in sessions:
            copy.write_row((session, deployment))


def append_one_by_one(writer: psycopg.Connection, sessions: list[UUID], deployment: int) -> None:
    for session in sessions:
        append_values(writer, [session], deployment)


def append_and_correct(writer: psycopg.Connection, sessions: list[UUID], deployment: int) -> None:
    """What goes wrong within a transaction, and is taken back to a savepoint, is as if it had not been."""
    with writer.transaction(force_rollback=True):
        append_select(writer, sessions[::-1], deployment)
    append_select(writer, sessions, deployment)


WAYS = [append_select, append_values, append_copy, append_one_by_one, append_and_correct]


@citus.deadlock_of_orders
@pytest.mark.parametrize("ways", [[way] for way in WAYS] + [WAYS], ids=lambda ways: f"{len(ways)}_{ways[0].__name__}")
def test_appends_to_many_sessions_never_deadlock(
    db: psycopg.Connection, dsn: str, company: Company, ways: list[Callable]
) -> None:
    """In any order, and beside writers that append to one session only."""
    sessions = [make_session(db, company) for _ in range(8)]
    writers, transactions = 6, 25

    def append(number: int) -> Counter[UUID]:
        chance = random.Random(number)
        appended: Counter[UUID] = Counter()
        with connect(dsn) as writer:
            for _ in range(transactions):
                chosen = [chance.choice(sessions) for _ in range(chance.choice([1, 5, 12]))]
                chance.choice(ways)(writer, chosen, company.deployment_id)
                writer.commit()
                appended.update(chosen)
        return appended

    appended = sum(together(writers, append), Counter())
    assert value(db, DEADLOCKS) == 0
    for session in sessions:
        given = sequences(db, session)
        assert len(given) == appended[session]
        # A number that was taken back while others counted on it stays free.
        assert append_and_correct in ways or given == list(range(1, appended[session] + 1))


@citus.deadlock_of_orders
def test_opposite_orders_get_the_numbers_they_would_have_waited_for(
    db: psycopg.Connection, dsn: str, company: Company
) -> None:
    """Step by step: each has locked one session, and wants the other's."""
    one, other = (make_session(db, company) for _ in range(2))
    with connect(dsn) as first, connect(dsn) as second, ThreadPoolExecutor(2) as pool:
        append_values(first, [one, one], company.deployment_id)
        append_values(second, [other, other, other], company.deployment_id)
        # The second has the turn, and waits for the first, which is not in its way until it queues for the turn.
        has_turn = pool.submit(append_values, second, [one], company.deployment_id)
        while not value(db, "SELECT count(*) FROM pg_locks WHERE relation = 'llm.append_turn'::regclass AND granted"):
            time.sleep(0.01)
        queues = pool.submit(append_values, first, [other, other], company.deployment_id)
        has_turn.result()
        append_values(second, [other], company.deployment_id)
        second.commit()
        queues.result()
        first.commit()
    assert sequences(db, one) == [1, 2, 3]
    assert sequences(db, other) == [1, 2, 3, 4, 5, 6]


@pytest.mark.one_node("lock_timeout of a session does not reach the workers")
def test_who_waits_for_a_session_keeps_to_lock_timeout(db: psycopg.Connection, dsn: str, company: Company) -> None:
    other = make_session(db, company)
    with connect(dsn) as holder, connect(dsn) as writer:
        append_values(holder, [other], company.deployment_id)
        writer.execute("SET lock_timeout = '300ms'")
        writer.commit()
        with pytest.raises(errors.LockNotAvailable):
            append_values(writer, [company.session_id, other], company.deployment_id)
        writer.rollback()
        assert value(writer, "SHOW lock_timeout") == "300ms"
        holder.commit()
        append_values(writer, [company.session_id, other], company.deployment_id)
        assert value(writer, "SHOW lock_timeout") == "300ms"
        writer.commit()
    assert sequences(db, other) == [1, 2]


@pytest.mark.parametrize("setting", ["several", "garbage", "00000000-0000-0000-0000-000000000000", "own"])
def test_what_a_writer_says_it_has_locked_is_not_believed(
    db: psycopg.Connection, company: Company, setting: str
) -> None:
    other = make_session(db, company)
    said = str(company.session_id) if setting == "own" else setting
    db.execute("SELECT set_config('llm.locked_sessions', %s, false)", [said])
    append_values(db, [company.session_id, other, company.session_id], company.deployment_id)
    assert (sequences(db, company.session_id), sequences(db, other)) == ([1, 2], [1])


def test_a_session_that_does_not_exist_is_refused_as_such(db: psycopg.Connection, company: Company) -> None:
    unknown = value(db, "SELECT llm.uuidv7()")
    for sessions in ([unknown], [company.session_id, unknown]):
        with pytest.raises(errors.ForeignKeyViolation):
            append_values(db, sessions, company.deployment_id)


def test_no_number_after_the_last(db: psycopg.Connection, company: Company) -> None:
    query = "INSERT INTO llm.session_logs (session_id, deployment_id, log_sequence) VALUES (%s, %s, 2147483647)"
    other = make_session(db, company)
    db.execute(query, [company.session_id, company.deployment_id])
    for sessions in ([company.session_id], [other, company.session_id]):
        with pytest.raises(
            errors.CheckViolation, match=f"session {company.session_id} has no log_sequence left"
        ) as error:
            append_values(db, sessions, company.deployment_id)
        assert error.value.diag.constraint_name == (None if citus.DSN else "session_logs_have_a_sequence")
    append_values(db, [other], company.deployment_id)


# usage_count, one writer


def insert_one(db: psycopg.Connection, company: Company, templates: list[int]) -> None:
    for template in templates:
        db.execute(LOG, [company.session_id, company.deployment_id, template])


def insert_rows(db: psycopg.Connection, company: Company, templates: list[int]) -> None:
    places = ", ".join(["(%s, %s, %s)"] * len(templates))
    rows = [field for template in templates for field in (company.session_id, company.deployment_id, template)]
    db.execute(f"INSERT INTO llm.session_logs (session_id, deployment_id, template_id) VALUES {places}", rows)


def insert_select(db: psycopg.Connection, company: Company, templates: list[int]) -> None:
    db.execute(
        "INSERT INTO llm.session_logs (session_id, deployment_id, template_id)"
        " SELECT %s, %s, template_id FROM unnest(%s::bigint[]) AS template_id",
        [company.session_id, company.deployment_id, templates],
    )


def copy_in(db: psycopg.Connection, company: Company, templates: list[int]) -> None:
    with db.cursor().copy("COPY llm.session_logs (session_id, deployment_id, template_id) FROM STDIN") as copy:
        for template in templates:
            copy.write_row((company.session_id, company.deployment_id, template))


@pytest.mark.parametrize("write", [insert_one, insert_rows, insert_select, copy_in])
@pytest.mark.parametrize("isolation", list(IsolationLevel)[1:])
def test_usage_is_exact_before_and_after_commit(
    db: psycopg.Connection, dsn: str, company: Company, isolation: IsolationLevel, write: Callable
) -> None:
    a, b = make_templates(db, company, 2)
    with connect(dsn, isolation) as writer:
        for times in (1, 2):
            write(writer, company, [a, None, b, a])
            assert counts(writer) == {a: 2 * times, b: times}
        assert counts(db) == {}
        writer.commit()
        assert counts(db) == {a: 4, b: 2}
        write(writer, company, [b])
        writer.rollback()
        assert counts(db) == {a: 4, b: 2}
        with writer.transaction():
            write(writer, company, [a])
            with writer.transaction(force_rollback=True):
                write(writer, company, [a, b])
                assert counts(writer) == {a: 6, b: 3}
            assert counts(writer) == {a: 5, b: 2}
            write(writer, company, [b])
    assert counts(db) == {a: 5, b: 3}


def test_usage_follows_a_corrected_template(db: psycopg.Connection, company: Company) -> None:
    a, b = make_templates(db, company, 2)
    insert_rows(db, company, [a, a, a, None])
    correct = "UPDATE llm.session_logs SET template_id = %s WHERE log_sequence = %s"
    db.execute(correct, [b, 1])
    assert counts(db) == {a: 2, b: 1}
    db.execute(correct, [None, 1])
    assert counts(db) == {a: 2}
    db.execute(correct, [b, 4])
    assert counts(db) == {a: 2, b: 1}
    db.execute("UPDATE llm.session_logs SET template_id = %s", [b])
    assert counts(db) == {b: 4}
    db.execute("UPDATE llm.session_logs SET token_used = 5")
    assert counts(db) == {b: 4}
    # Into another month: for PostgreSQL a delete and an insert, for the count neither.
    db.execute("UPDATE llm.session_logs SET session_id = %s", [make_session(db, company, "2024-05-05")])
    assert counts(db) == {b: 4}
    with db.transaction(force_rollback=True):
        db.execute("UPDATE llm.session_logs SET template_id = %s", [a])
        assert counts(db) == {a: 4}
    assert counts(db) == {b: 4}


def test_usage_with_on_conflict(db: psycopg.Connection, company: Company) -> None:
    a, b = make_templates(db, company, 2)
    query = (
        "INSERT INTO llm.session_logs (session_id, deployment_id, log_sequence, template_id)"
        " SELECT %s, %s, n, %s FROM generate_series(1, %s) AS n ON CONFLICT (session_id, log_sequence) DO "
    )
    db.execute(query + "NOTHING", [company.session_id, company.deployment_id, a, 2])
    db.execute(query + "NOTHING", [company.session_id, company.deployment_id, b, 3])
    assert counts(db) == {a: 2, b: 1}
    replace = "UPDATE SET template_id = excluded.template_id"
    db.execute(query + replace, [company.session_id, company.deployment_id, b, 5])
    assert counts(db) == {b: 5}


@pytest.mark.one_node("Citus knows no MERGE with what is not IMMUTABLE")
def test_usage_with_merge_into_logs(db: psycopg.Connection, company: Company) -> None:
    a, b = make_templates(db, company, 2)
    insert_rows(db, company, [a, a, a])
    db.execute(
        """
        MERGE INTO llm.session_logs AS l
        USING generate_series(2, 5) AS n ON l.session_id = %(session)s AND l.log_sequence = n
        WHEN MATCHED AND n = 3 THEN DELETE
        WHEN MATCHED THEN UPDATE SET template_id = %(template)s
        WHEN NOT MATCHED THEN
            INSERT (session_id, deployment_id, log_sequence, template_id)
            VALUES (%(session)s, %(deployment)s, n, %(template)s)
        """,
        {"session": company.session_id, "deployment": company.deployment_id, "template": b},
    )
    assert counts(db) == {a: 2, b: 3}


def test_usage_outlives_the_logs(db: psycopg.Connection, company: Company) -> None:
    (a,) = make_templates(db, company, 1)
    for began in ("now", "2020-02-29", "2021-12-31"):
        session = make_session(db, company, began)
        for _ in range(2):
            db.execute(LOG, [session, company.deployment_id, a])
    assert counts(db) == {a: 6}
    db.execute("CALL llm.move_default_rows()")
    assert counts(db) == {a: 6}
    end_sessions(db)
    db.execute("CALL ops.refresh_rollups(clock_timestamp())")
    db.execute("CALL llm.drop_old_months(1)")
    assert value(db, "SELECT count(*) FROM llm.session_logs") == 2
    assert counts(db) == {a: 6}
    db.execute("DELETE FROM llm.session_logs WHERE log_sequence = 1")
    db.execute("DELETE FROM llm.sessions")
    assert value(db, "SELECT count(*) FROM llm.session_logs") == 0
    assert counts(db) == {a: 6}


# usage_count, many writers


@contextmanager
def watching_for_waiters(dsn: str) -> Iterator[list[str]]:
    """Samples who waits for a counter's row, or for the transaction that holds one."""
    waits: list[str] = []
    done = threading.Event()
    query = """
        SELECT locktype || ' ' || coalesce(relation::regclass::text, '') FROM pg_catalog.pg_locks
        WHERE NOT granted AND locktype IN ('tuple', 'transactionid', 'advisory')
            AND pid IN (SELECT pid FROM pg_catalog.pg_stat_activity WHERE datname = current_database())
    """

    def watch() -> None:
        with psycopg.connect(dsn, autocommit=True) as connection:
            while not done.wait(0.002):
                waits.extend(wait for (wait,) in connection.execute(query))

    with ThreadPoolExecutor(1) as pool:
        watcher = pool.submit(watch)
        try:
            yield waits
        finally:
            done.set()
            watcher.result()


@pytest.mark.parametrize("attempt", range(3))
def test_opposite_orders_neither_wait_nor_deadlock(
    db: psycopg.Connection, dsn: str, company: Company, attempt: int
) -> None:
    writers, transactions = 32, 4
    templates = make_templates(db, company, 6)
    sessions = [make_session(db, company) for _ in range(writers)]

    def write(number: int) -> None:
        order = templates if number % 2 else templates[::-1]
        with connect(dsn) as connection:
            for _ in range(transactions):
                for template in order:
                    connection.execute(LOG, [sessions[number], company.deployment_id, template])
                connection.commit()

    with watching_for_waiters(dsn) as waits:
        together(writers, write)
    assert waits == []
    assert counts(db) == dict.fromkeys(templates, writers * transactions)
    assert value(db, DEADLOCKS) == 0


@pytest.mark.parametrize("second", list(IsolationLevel)[1:])
@pytest.mark.parametrize("first", list(IsolationLevel)[1:])
def test_nobody_waits_for_an_open_transaction(
    db: psycopg.Connection, dsn: str, company: Company, first: IsolationLevel, second: IsolationLevel
) -> None:
    (a,) = make_templates(db, company, 1)
    sessions = [make_session(db, company) for _ in range(2)]
    with connect(dsn, first) as holder, connect(dsn, second) as writer:
        holder.execute(LOG, [sessions[0], company.deployment_id, a])
        writer.execute("SET LOCAL lock_timeout = '50ms'")
        writer.execute(LOG, [sessions[1], company.deployment_id, a])
        writer.commit()
        assert counts(db) == {a: 1}
        # A correction does not wait either, nor does folding, nor an edit of the template itself.
        writer.execute("SET LOCAL lock_timeout = '50ms'")
        writer.execute("UPDATE llm.session_logs SET template_id = NULL WHERE session_id = %s", [sessions[1]])
        writer.execute("SELECT llm.fold_template_uses()")
        writer.execute("UPDATE llm.prompt_templates SET description = 'edited'")
        writer.commit()
        assert counts(db) == {}
        try:
            holder.commit()
        except errors.SerializationFailure:
            # Two SERIALIZABLE transactions may be told to retry, as anywhere; then the use is not counted either.
            assert first == second == IsolationLevel.SERIALIZABLE
            return
    assert counts(db) == {a: 1}


@pytest.mark.one_node("Citus prepares transactions itself")
def test_prepared_transaction_keeps_its_slot(db: psycopg.Connection, dsn: str, company: Company) -> None:
    (a,) = make_templates(db, company, 1)
    sessions = [make_session(db, company) for _ in range(2)]
    gid = f"usage {dsn}"
    with connect(dsn) as holder:
        holder.tpc_begin(gid)
        holder.execute(LOG, [sessions[0], company.deployment_id, a])
        holder.tpc_prepare()
        try:
            # Others go on while the prepared transaction is undecided.
            db.execute("SET lock_timeout = '50ms'")
            db.execute(LOG, [sessions[1], company.deployment_id, a])
            assert counts(db) == {a: 1}
        finally:
            # Left undecided, it would keep its locks, and its database from being dropped.
            holder.tpc_commit()
    db.execute(LOG, [sessions[1], company.deployment_id, a])
    assert counts(db) == {a: 3}


def test_folding_while_snapshots_write(db: psycopg.Connection, dsn: str, company: Company) -> None:
    a, b = make_templates(db, company, 2)
    sessions = [make_session(db, company) for _ in range(8)]
    stop = threading.Event()

    def fold() -> None:
        with psycopg.connect(dsn, autocommit=True) as connection:
            while not stop.is_set():
                connection.execute("SELECT llm.fold_template_uses()")

    def write(number: int) -> None:
        with connect(dsn, list(IsolationLevel)[1 + number % 3]) as connection:
            for _ in range(10):
                while not use_both(connection, sessions[number]):
                    connection.rollback()

    def use_both(connection: psycopg.Connection, session: UUID) -> bool:
        """False where a SERIALIZABLE transaction is told to retry."""
        try:
            for template in (a, b):
                connection.execute(LOG, [session, company.deployment_id, template])
            connection.commit()
        except errors.SerializationFailure:
            assert connection.isolation_level == IsolationLevel.SERIALIZABLE
            return False
        return True

    with ThreadPoolExecutor(2) as pool:
        folders = [pool.submit(fold) for _ in range(2)]
        try:
            together(8, write)
        finally:
            stop.set()
        for folder in folders:
            folder.result()
    assert counts(db) == {a: 80, b: 80}
    db.execute("SELECT llm.fold_template_uses()")
    assert value(db, "SELECT count(*) FROM llm.prompt_template_uses WHERE slot < 0") == 0
    assert value(db, "SELECT llm.fold_template_uses()") == 0
    assert counts(db) == {a: 80, b: 80}


# llm.prompt_templates as a view


def test_templates_are_written_through_the_view(db: psycopg.Connection, company: Company) -> None:
    add = (
        "INSERT INTO llm.prompt_templates (template_name, prompt_s3_path, task_category, version, created_by)"
        " VALUES ('번역', 's3://prompts/t', 'translation', %s, %s)"
    )
    returning = " RETURNING template_id, usage_count, version"
    template, uses, version = db.execute(add + returning, ["1.0", company.user_id]).fetchone()
    assert (uses, version) == (0, "1.0")
    upsert = " ON CONFLICT (template_name, version) DO UPDATE SET description = excluded.template_name || '!'"
    same = db.execute(add + upsert + returning, ["1.0", company.user_id]).fetchone()
    assert same == (template, 0, "1.0")
    assert db.execute(add + " ON CONFLICT DO NOTHING" + returning, ["1.0", company.user_id]).fetchall() == []
    insert_rows(db, company, [template, template])
    row = db.execute(
        "UPDATE llm.prompt_templates SET version = '1.1' WHERE template_id = %s RETURNING usage_count, description",
        [template],
    ).fetchone()
    assert row == (2, "번역!")
    other = value(db, add + " RETURNING template_id", "3.0", company.user_id)
    delete = "DELETE FROM llm.prompt_templates WHERE template_id = %s RETURNING usage_count"
    assert value(db, delete, other) == 0
    with pytest.raises(errors.ForeignKeyViolation):
        db.execute(delete, [template])


def test_templates_are_merged_through_the_view(db: psycopg.Connection, company: Company) -> None:
    if db.info.server_version < 170000:
        pytest.skip("PostgreSQL merges into views from version 17")
    (a,) = make_templates(db, company, 1)
    insert_rows(db, company, [a])
    db.execute(
        """
        MERGE INTO llm.prompt_templates AS t
        USING (VALUES ('template 1', 'first'), ('template 2', 'second')) AS s (name, description)
            ON t.template_name = s.name
        WHEN MATCHED THEN UPDATE SET description = s.description
        WHEN NOT MATCHED THEN
            INSERT (template_name, prompt_s3_path, task_category, description, created_by)
            VALUES (s.name, 's3://prompts/x', 'coding', s.description, %s)
        """,
        [company.user_id],
    )
    query = "SELECT description, usage_count FROM llm.prompt_templates WHERE template_name LIKE 'template%' ORDER BY 1"
    assert db.execute(query).fetchall() == [("first", 1), ("second", 0)]


# Months


def in_default(db: psycopg.Connection) -> int:
    return value(
        db, "SELECT (SELECT count(*) FROM llm.sessions_default) + (SELECT count(*) FROM llm.session_logs_default)"
    )


def foreign_keys_hold(db: psycopg.Connection, company: Company) -> None:
    assert value(db, "SELECT count(*) FROM pg_catalog.pg_constraint WHERE NOT convalidated") == 0
    keys = """
        SELECT count(DISTINCT c.conrelid) FROM pg_catalog.pg_constraint AS c
        INNER JOIN pg_catalog.pg_inherits AS i ON c.conrelid = i.inhrelid
        WHERE c.contype = 'f' AND i.inhparent = %s::regclass
            AND coalesce(pg_partition_root(c.confrelid), c.confrelid) = %s::regclass
    """
    partitions = "SELECT count(*) FROM pg_catalog.pg_inherits WHERE inhparent = %s::regclass"
    assert value(db, keys, "llm.session_logs", "llm.sessions") == value(db, partitions, "llm.session_logs")
    users = "cluster.users" if citus.DSN else "llm.users"
    assert value(db, keys, "llm.sessions", users) == value(db, partitions, "llm.sessions")
    months = "SELECT DISTINCT llm.uuidv7_time(session_id)::text FROM llm.sessions"
    for (began,) in [*db.execute(months).fetchall(), ("now",)]:
        with pytest.raises(errors.ForeignKeyViolation):
            db.execute(
                "INSERT INTO llm.session_logs (session_id, deployment_id) VALUES (llm.uuidv7(%s), %s)",
                [began, company.deployment_id],
            )
    with db.transaction(force_rollback=True):
        db.execute("DELETE FROM llm.sessions")
        assert value(db, "SELECT count(*) FROM llm.session_logs") == 0


# Who opens a session and logs locks sessions first, who logs and ends the session locks them last.
@pytest.mark.parametrize("locks_sessions", ["first", "last"])
def test_default_rows_move_while_writers_write(
    db: psycopg.Connection, dsn: str, company: Company, locks_sessions: str
) -> None:
    months = ["2023-11-30 23:59:59.999Z", "2023-12-01 00:00:00Z", "2023-12-31 12:00Z", "2024-01-15 09:00Z", "now"]
    (template,) = make_templates(db, company, 1)
    stop = threading.Event()

    def write(number: int) -> int:
        written = 0
        chance = random.Random(number)
        with connect(dsn) as connection:
            while not stop.is_set():
                session = make_session(connection, company, chance.choice(months))
                if locks_sessions == "last":
                    connection.commit()
                for _ in range(3):
                    connection.execute(LOG, [session, company.deployment_id, template])
                connection.execute("UPDATE llm.sessions SET project_id = NULL WHERE session_id = %s", [session])
                connection.commit()
                written += 1
        return written

    with ThreadPoolExecutor(8) as pool:
        writers = [pool.submit(write, number) for number in range(8)]
        try:
            time.sleep(0.5)
            db.execute("CALL llm.move_default_rows()")
            time.sleep(0.2)
            db.execute("CALL llm.create_months('2022-01-01', '2022-03-31')")
            db.execute("CALL llm.drop_old_months(1000)")
            db.execute("SELECT llm.drop_month('2022-01-01')")
        finally:
            stop.set()
        sessions = sum(writer.result() for writer in writers)
    assert in_default(db) == 0
    assert value(db, "SELECT count(*) FROM llm.sessions") == sessions + 1
    assert value(db, "SELECT count(*) FROM llm.session_logs") == 3 * sessions
    assert counts(db) == {template: 3 * sessions}
    assert value(db, DEADLOCKS) == 0
    for table in ("sessions", "session_logs"):
        misplaced = (
            f"SELECT count(*) FROM llm.{table}"
            f" WHERE NOT starts_with(tableoid::regclass::text, 'llm.{table}_' || to_char("
            "llm.uuidv7_time(session_id) AT TIME ZONE 'UTC', 'YYYY_MM'))"
        )
        assert value(db, misplaced) == 0
    foreign_keys_hold(db, company)


def test_months_are_made_by_several_at_once(db: psycopg.Connection, dsn: str, company: Company) -> None:
    make_session(db, company, "2024-03-10")

    def create(_: int) -> None:
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute("CALL llm.create_months('2024-01-15', '2024-04-01')")

    before = len(db.execute(MONTHS).fetchall())
    together(4, create)
    assert len(db.execute(MONTHS).fetchall()) == before + 8
    assert in_default(db) == 0


def test_month_is_made_once(db: psycopg.Connection, company: Company) -> None:
    assert value(db, "SELECT llm.create_month('2024-02-29')") is True
    assert value(db, "SELECT llm.create_month('2024-02-01')") is False
    assert value(db, "SELECT llm.create_month(now()::date)") is False, "migrating makes this month and the next three"
    db.execute("CALL llm.create_months()")
    assert value(db, "SELECT llm.drop_month('2024-02-10')") is True
    assert value(db, "SELECT llm.drop_month('2024-02-10')") is False


def test_the_last_month_of_year_9999_can_leave_default(db: psycopg.Connection, company: Company) -> None:
    """One session far in the future must not stop all upkeep; anything later is refused by its CHECK."""
    db.execute(
        "INSERT INTO llm.sessions (session_id, user_id, session_type)"
        " VALUES (llm.uuidv7('9999-12-31 23:59:59.999+00'), %s, 'test')",
        [company.user_id],
    )
    make_session(db, company, "2020-01-01")
    end_sessions(db)
    db.execute("CALL ops.refresh_rollups()")
    db.execute("CALL llm.drop_old_months(12)")
    assert value(db, "SELECT count(*) FROM llm.sessions") == 2  # the company's own and the far one
    assert value(db, "SELECT count(*) FROM llm.sessions_9999_12") == 1


@pytest.mark.parametrize("month", ["1969-12-31", "10000-01-01", "infinity", "-infinity", None])
def test_a_month_that_no_session_id_can_carry_is_refused(db: psycopg.Connection, month: str | None) -> None:
    with pytest.raises(errors.InvalidParameterValue, match="there can be no month"):
        db.execute("SELECT llm.create_month(%s::date)", [month])


def test_old_months_are_dropped_with_their_logs(db: psycopg.Connection, company: Company) -> None:
    keep = 2
    began = [
        value(
            db, "SELECT (date_trunc('month', now() AT TIME ZONE 'UTC') - make_interval(months => %s))::text || 'Z'", n
        )
        for n in range(keep + 3)
    ]
    for time_ in began:
        db.execute(LOG, [make_session(db, company, time_), company.deployment_id, None])
    end_sessions(db)
    with pytest.raises(errors.ObjectNotInPrerequisiteState, match="is not rolled up"):
        db.execute("CALL llm.drop_old_months(%s)", [keep])
    assert value(db, "SELECT count(*) FROM llm.session_logs") == len(began)
    db.execute("CALL ops.refresh_rollups()")
    for _ in range(2):
        db.execute("CALL llm.drop_old_months(%s)", [keep])
        assert value(db, "SELECT count(*) FROM llm.session_logs") == keep + 1
        assert value(db, "SELECT count(*) FROM llm.sessions") == keep + 2  # and the company's own
        assert value(db, "SELECT min(start_time)::timestamptz = %s FROM llm.sessions", began[keep]) is True
    foreign_keys_hold(db, company)


@pytest.mark.parametrize("keep", [0, -1, None])
def test_retention_of_nothing_is_refused(db: psycopg.Connection, keep: int | None) -> None:
    with pytest.raises(errors.InvalidParameterValue):
        db.execute("CALL llm.drop_old_months(%s)", [keep])


@pytest.mark.parametrize(("first", "last"), [("2024-02-01", "2024-01-01"), (None, "2024-01-01"), ("2024-01-01", None)])
def test_months_backwards_are_refused(db: psycopg.Connection, first: str | None, last: str | None) -> None:
    with pytest.raises(errors.InvalidParameterValue):
        db.execute("CALL llm.create_months(%s, %s)", [first, last])


@pytest.mark.parametrize("read", ["llm.sessions", "llm.sessions_2019_01", "llm.session_logs_2019_01"])
@pytest.mark.parametrize(
    "change", ["CALL llm.create_months('2018-01-01', '2018-01-01')", "CALL llm.drop_old_months(12)"]
)
def test_long_reader_holds_up_the_change_and_no_writer(
    db: psycopg.Connection, dsn: str, company: Company, change: str, read: str
) -> None:
    db.execute("SELECT llm.create_month('2019-01-01')")
    with ThreadPoolExecutor(1) as pool, connect(dsn) as reader:
        reader.execute(f"SELECT count(*) FROM {read}")
        months = pool.submit(change_months, dsn, change)
        # Writers are let through between the tries, and the reader may go on to any other table.
        with connect(dsn) as writer:
            for _ in range(5):
                writer.execute("SET LOCAL statement_timeout = '2s'")
                make_session(writer, company)
                writer.commit()
                time.sleep(0.1)
        reader.execute("SET LOCAL statement_timeout = '2s'")
        reader.execute("SELECT count(*) FROM llm.users")
        reader.commit()
        months.result(timeout=30)
    old = "SELECT count(*) FROM pg_catalog.pg_class WHERE relname ~ '_(2018|2019)_01$' AND relkind = 'r'"
    assert value(db, old) == (4 if "create" in change else 0)


def change_months(dsn: str, change: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(change)
