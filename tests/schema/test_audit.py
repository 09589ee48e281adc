"""The audit: every change of what people change, by whom, and nobody rewrites it."""

import re
import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import psycopg
import pytest
from psycopg import sql

import citus
from command import llm_db
from conftest import Company

# Requests have their own records, and counters are the requests'.
NOT_AUDITED = {"append_turn", "prompt_template_uses", "session_logs", "sessions"}
TABLES = """
    SELECT c.relname FROM pg_catalog.pg_class AS c
    WHERE c.relnamespace = 'llm'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
"""
WRITE = "INSERT INTO audit.changes (changed_at, table_name, row_key, operation) VALUES (%s, 'x', '{}', 'DROP')"
CHANGES = "SELECT operation, table_name, row_key, old_values, new_values FROM audit.changes ORDER BY change_id"

Changes = Callable[[], list[tuple]]


@pytest.fixture
def changes(db: psycopg.Connection) -> Changes:
    """What was written since the last time one asked."""
    seen = 0

    def read() -> list[tuple]:
        nonlocal seen
        found = db.execute(CHANGES).fetchall()
        new, seen = found[seen:], len(found)
        return new

    return read


def audited(db: psycopg.Connection) -> list[str]:
    return sorted({name for (name,) in db.execute(TABLES)} - NOT_AUDITED)


def test_every_table_that_people_change_is_audited(db: psycopg.Connection) -> None:
    watched = db.execute("""
        SELECT c.relname, array_agg(t.tgname::text ORDER BY t.tgname) FROM pg_catalog.pg_trigger AS t
        INNER JOIN pg_catalog.pg_class AS c ON t.tgrelid = c.oid
        WHERE t.tgfoid = 'audit.record'::regproc GROUP BY c.relname
    """).fetchall()
    assert sorted(name for name, _ in watched) == audited(db)
    assert all(
        triggers == [f"{name}_changes_are_audited", f"{name}_truncation_is_audited"] for name, triggers in watched
    )


# Every table and every way to change it. Each statement is a transaction.
ALL_CHANGES = """
UPDATE llm.users SET user_name = '박개발', last_login = '2026-01-01 09:00+09';
UPDATE llm.departments SET department_name = department_name || '!', department_id = department_id;
INSERT INTO llm.users (user_name, user_email, role, department_id)
    SELECT n::text, n || '@x', 'admin', (SELECT min(department_id) FROM llm.departments)
    FROM generate_series(1, 3) AS n;
INSERT INTO llm.users SELECT * FROM llm.users ON CONFLICT (user_id) DO UPDATE SET is_active = false;
MERGE INTO llm.users AS u USING (VALUES ('1@x'), ('9@x')) AS g (e) ON u.user_email = g.e
    WHEN MATCHED THEN DELETE
    WHEN NOT MATCHED THEN INSERT (user_name, user_email, role, department_id)
        VALUES ('9', g.e, 'admin', (SELECT min(department_id) FROM llm.departments));
INSERT INTO llm.user_departments SELECT user_id, '2020-01-01Z', department_id FROM llm.users;
UPDATE llm.user_departments SET since = since + interval '1 day' WHERE since > '-infinity';
DELETE FROM llm.users WHERE user_email = '2@x';
UPDATE llm.projects SET description = 'what "it" is \\ for', created_at = 'infinity';
UPDATE llm.prompt_templates SET variables = ARRAY['{a}', '{b}'], description = NULL;
INSERT INTO llm.prompt_templates (template_name, prompt_s3_path, task_category, created_by)
    SELECT 'x', 's3://abc/d', 'coding', min(user_id) FROM llm.users;
DELETE FROM llm.prompt_templates WHERE template_name = 'x';
INSERT INTO llm.models (model_name, model_type) VALUES ('a', 'chat'), ('b', 'chat');
UPDATE llm.models SET model_id = -model_id WHERE model_name IN ('a', 'b');
UPDATE llm.model_configs SET temperature = 0.71, top_p = NULL;
UPDATE llm.deployments SET status = 'maintenance', gpu_count = 0;
UPDATE llm.datasets SET s3_path = 's3://datasets/two';
UPDATE llm.roles SET label_en = 'Boss' WHERE code = 'admin';
UPDATE llm.session_types SET code = code || '_2' WHERE code = 'test';
INSERT INTO llm.environments VALUES ('moon', '달', 'Moon');
UPDATE llm.deployment_statuses SET label_ko = label_en;
UPDATE llm.learning_types SET label_ko = label_en;
UPDATE llm.model_types SET label_ko = label_en;
UPDATE llm.session_statuses SET label_ko = label_en;
UPDATE llm.task_categories SET label_ko = label_en;
TRUNCATE llm.session_logs, llm.sessions, llm.projects;
TRUNCATE llm.user_departments;
INSERT INTO llm.retention VALUES ('audit', 60);
INSERT INTO llm.department_logins SELECT 1, 'dave', min(department_id) FROM llm.departments;
"""

KEYS = """
    SELECT array_agg(a.attname::text ORDER BY a.attnum)
    FROM pg_catalog.pg_index AS i
    INNER JOIN pg_catalog.pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = ANY(i.indkey)
    WHERE i.indrelid = %s::regclass AND i.indisprimary
"""


def state(db: psycopg.Connection, keys: dict[str, list[str]]) -> dict[tuple[str, ...], dict]:
    """The rows by table and key, as the audit would write them."""
    return {
        (table, *(str(row[column]) for column in columns)): row
        for table, columns in keys.items()
        for (row,) in db.execute(f"SELECT to_jsonb(t) FROM {table} AS t")
    }


def test_the_audit_tells_everything_that_happened(db: psycopg.Connection, company: Company, changes: Changes) -> None:
    """The rows before a statement and what is told of it give the rows after it."""
    db.execute("SET timezone = 'UTC'")
    keys = {f"llm.{table}": db.execute(KEYS, [f"llm.{table}"]).fetchone()[0] for table in audited(db)}
    changes()
    happened = set()
    for statement in filter(str.strip, ALL_CHANGES.split(";\n")):
        rows = state(db, keys)
        db.execute(statement)
        after, told = state(db, keys), changes()
        assert told, statement
        for operation, table, key, old, new in told:
            happened.add((table, operation))
            address = (table, *key)
            match operation:
                case "TRUNCATE":
                    assert (key, old, new) == ([], None, None)
                    rows = {one: row for one, row in rows.items() if one[0] != table}
                case "INSERT":
                    assert (address in rows, old) == (False, None)
                    rows[address] = new
                case "DELETE":
                    assert (rows.pop(address), new) == (old, None)
                case "UPDATE":
                    assert old.keys() == new.keys()
                    assert all(old[column] != new[column] for column in old)
                    row = rows.pop(address, None)
                    if row is None:
                        # Under the key that it has now; the other columns are as they were under the old one.
                        assert set(keys[table]) & new.keys()
                        assert new.items() <= after[address].items()
                        rows[address] = after[address]
                        continue
                    assert old.items() <= row.items()
                    if not set(keys[table]) & new.keys():
                        rows[address] = row | new
        assert rows == after, statement
    assert {table for table, _ in happened} == keys.keys()
    assert {operation for _, operation in happened} == {"INSERT", "UPDATE", "DELETE", "TRUNCATE"}


def test_an_update_that_changes_nothing_leaves_no_row(
    db: psycopg.Connection, company: Company, changes: Changes
) -> None:
    changes()
    db.execute("UPDATE llm.users SET user_name = user_name, last_login = NULL")
    db.execute("UPDATE llm.model_configs SET temperature = 0.70")
    with pytest.raises(psycopg.errors.UniqueViolation):
        db.execute("INSERT INTO llm.models (model_name, model_type) SELECT model_name, 'code' FROM llm.models")
    with db.transaction(force_rollback=True):
        db.execute("DELETE FROM llm.prompt_templates")
    assert changes() == []


def test_a_request_leaves_no_row(db: psycopg.Connection, company: Company, changes: Changes) -> None:
    changes()
    log = "INSERT INTO llm.session_logs (session_id, deployment_id, template_id) VALUES (%s, %s, %s)"
    db.execute(log, [company.session_id, company.deployment_id, company.template_id])
    db.execute("UPDATE llm.sessions SET end_time = now(), status = 'completed'")
    db.execute("CALL ops.refresh_rollups()")
    assert db.execute("SELECT usage_count FROM llm.prompt_templates").fetchone() == (1,)
    assert changes() == []


@contextmanager
def acting_as(db: psycopg.Connection, grants: str) -> Iterator[str]:
    """A role of its own, as which the session acts."""
    name = f"role_{uuid.uuid4().hex}"
    role = sql.Identifier(name)
    db.execute(sql.SQL("CREATE ROLE {} LOGIN").format(role))
    db.execute(sql.SQL(grants).format(role))
    db.execute(sql.SQL("SET ROLE {}").format(role))
    try:
        yield name
    finally:
        db.execute("RESET ROLE")
        db.execute(sql.SQL("DROP OWNED BY {0}; DROP ROLE {0}").format(role))


CHANGES_USERS = "GRANT USAGE ON SCHEMA llm TO {0}; GRANT SELECT, UPDATE ON llm.users, llm.prompt_templates TO {0}"
WHO = "SELECT table_name, login_name, role_name, actor FROM audit.changes ORDER BY change_id DESC LIMIT 1"


def test_who_it_was(db: psycopg.Connection, company: Company) -> None:
    with acting_as(db, CHANGES_USERS) as role:
        db.execute("SET llm.actor = 'jung@example.com'")
        db.execute("UPDATE llm.users SET is_active = false")
    assert db.execute(WHO).fetchone() == ("llm.users", "postgres", role, "jung@example.com")
    with acting_as(db, CHANGES_USERS) as role:
        db.execute("SET llm.actor = ''")
        # Through a view, whose owner is who writes to the table beneath.
        db.execute("UPDATE llm.prompt_templates SET description = 'x'")
    assert db.execute(WHO).fetchone() == ("llm.prompt_templates_base", "postgres", role, None)
    db.execute("UPDATE llm.users SET is_active = true")
    assert db.execute(WHO).fetchone() == ("llm.users", "postgres", "postgres", None)


def test_changes_of_one_transaction_belong_together(db: psycopg.Connection, company: Company) -> None:
    with db.transaction():
        transaction = db.execute("SELECT pg_current_xact_id()::text::bigint").fetchone()[0]
        db.execute("UPDATE llm.users SET is_active = false; UPDATE llm.models SET model_type = 'code'")
    query = "SELECT table_name FROM audit.changes WHERE transaction_id = %s ORDER BY change_id"
    assert [name for (name,) in db.execute(query, [transaction])] == ["llm.users", "llm.models"]


def test_a_renamed_table_and_key_are_written_down_by_their_new_names(
    db: psycopg.Connection, company: Company, changes: Changes
) -> None:
    changes()
    db.execute("ALTER TABLE llm.models RENAME COLUMN model_id TO id; ALTER TABLE llm.models RENAME TO engines")
    db.execute("UPDATE llm.engines SET model_type = 'code'")
    ((_, table, key, _, new),) = changes()
    assert (table, key, new) == ("llm.engines", [str(company.model_id)], {"model_type": "code"})


def test_a_replica_and_a_restore_write_nothing_themselves(
    db: psycopg.Connection, company: Company, changes: Changes
) -> None:
    """What comes with the rows of audit.changes is not written a second time; and these can be written."""
    changes()
    with db.transaction():
        db.execute("SET LOCAL session_replication_role = replica")
        db.execute("UPDATE llm.users SET is_active = false")
        db.execute("INSERT INTO audit.changes (table_name, row_key, operation) VALUES ('llm.users', '{}', 'TRUNCATE')")
        db.execute("UPDATE audit.changes SET actor = 'x' WHERE operation = 'TRUNCATE'")
    assert len(changes()) == 1


# Nobody rewrites it.


def relations(db: psycopg.Connection) -> list[str]:
    return [
        name
        for (name,) in db.execute("""
            SELECT oid::regclass::text FROM pg_catalog.pg_class
            WHERE relnamespace = 'audit'::regnamespace AND relkind IN ('r', 'p')
        """)
    ]


def test_the_owner_is_refused_too(db: psycopg.Connection, company: Company) -> None:
    db.execute("SELECT audit.create_months(0)")
    db.execute("UPDATE llm.users SET is_active = false")
    db.execute(WRITE, ["epoch"])
    before = db.execute(CHANGES).fetchall()
    assert len(relations(db)) == 3
    for table in relations(db):
        for statement in ("UPDATE {} SET actor = 'nobody'", "DELETE FROM {}", "TRUNCATE {}"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege, match=r"audit\.changes is refused"):
                db.execute(statement.format(table))
    assert db.execute(CHANGES).fetchall() == before


ROLES = ("llm_analyst", "llm_people_reader", "llm_app", "llm_loader", "llm_operator", "llm_auditor", "llm_manager")


def privileges(db: psycopg.Connection, role: str) -> set[tuple[str, str]]:
    return set(
        db.execute(
            """
            SELECT c.oid::regclass::text, p.privilege
            FROM pg_catalog.pg_class AS c
            CROSS JOIN unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER'])
                AS p (privilege)
            WHERE c.relnamespace = 'audit'::regnamespace AND c.relkind IN ('r', 'p', 'v')
                AND has_table_privilege(%s, c.oid, p.privilege)
            """,
            [role],
        )
    )


def test_auditors_read_and_nobody_writes(db: psycopg.Connection) -> None:
    db.execute("SELECT audit.create_months()")
    read = {("audit.changes", "SELECT"), ("audit.months", "SELECT")}
    given = {role: privileges(db, role) for role in ROLES}
    assert given == {role: read if role == "llm_auditor" else set() for role in ROLES}


def test_default_privileges_let_nobody_in(server: str, empty_dsn: str) -> None:
    name = f"eager_{uuid.uuid4().hex}"
    with psycopg.connect(empty_dsn, autocommit=True) as db:
        db.execute(f"CREATE ROLE {name}")
        db.execute(f"ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO {name}, PUBLIC")
        assert llm_db("migrate", "--dsn", empty_dsn).returncode == 0
        db.execute("SELECT audit.create_months()")
        assert {what for what in privileges(db, name) if what[0] != "audit.months"} == set()
        db.execute(f"DROP OWNED BY {name}; DROP ROLE {name}")


def test_an_auditor_reads_the_history_of_a_row_and_of_a_day(db: psycopg.Connection, company: Company) -> None:
    user = str(company.user_id)
    db.execute("SET timezone = 'UTC'")
    db.execute("UPDATE llm.users SET is_active = false")
    db.execute("UPDATE llm.models SET model_type = 'code'")
    db.execute("SELECT audit.create_months(0)")
    db.execute("UPDATE llm.users SET is_active = true")
    db.execute("DELETE FROM llm.sessions")
    db.execute("TRUNCATE llm.users CASCADE")
    # 16:00 in UTC is the next day in Seoul.
    db.execute(
        "INSERT INTO audit.changes (changed_at, table_name, row_key, operation)"
        " VALUES ('2020-01-01 16:00Z', 'one', '{}', 'DROP'), ('2020-01-02 15:00Z', 'other', '{}', 'DROP')"
    )
    with acting_as(db, "GRANT llm_auditor TO {0}"):
        history = db.execute("SELECT operation, new_values -> 'is_active' FROM audit.history('llm.users', %s)", [user])
        assert history.fetchall() == [("INSERT", True), ("UPDATE", False), ("UPDATE", True), ("TRUNCATE", None)]
        two = db.execute("SELECT operation FROM audit.history('llm.user_departments', %s, '-infinity')", [user])
        assert two.fetchall() == [("INSERT",), ("TRUNCATE",)]
        day = db.execute("SELECT table_name FROM audit.changes_by_day('2020-01-02')")
        assert day.fetchall() == [("one",)]
        assert db.execute("SELECT month IS NULL FROM audit.months").fetchall() == [(False,), (True,)]
        for statement in ("DELETE FROM audit.changes", "SELECT audit.drop_old_months(12)", "SELECT FROM llm.users"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                db.execute(statement)


def test_a_month_is_not_read_where_a_day_is_asked_for(db: psycopg.Connection) -> None:
    db.execute("SELECT audit.create_month(make_date(2024, n, 1)) FROM generate_series(1, 12) AS n")
    plan = "\n".join(
        line
        for (line,) in db.execute(
            "EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF) SELECT FROM audit.changes AS c"
            " WHERE c.changed_at >= rollup.day_start('2024-05-05', reporting.time_zone())"
            " AND c.changed_at < rollup.day_start('2024-05-06', reporting.time_zone())"
        )
    )
    assert "changes_2024_05" in plan
    assert "changes_2024_06" not in plan


# Months.


def stored(db: psycopg.Connection) -> dict[str, int]:
    return dict(db.execute("SELECT tableoid::regclass::text, count(*) FROM audit.changes GROUP BY 1").fetchall())


def test_months_are_made_ahead_and_take_their_rows_out_of_default(db: psycopg.Connection, company: Company) -> None:
    before = db.execute(CHANGES).fetchall()
    assert stored(db) == {"audit.changes_default": len(before)}
    assert db.execute("SELECT audit.create_months()").fetchone() == (4,)
    assert db.execute("SELECT audit.create_months()").fetchone() == (0,)
    month = db.execute("SELECT to_char(now() AT TIME ZONE 'UTC', 'YYYY_MM')").fetchone()[0]
    assert stored(db) == {f"audit.changes_{month}": len(before)}
    assert db.execute(CHANGES).fetchall() == before
    for ahead in (-1, 13, None):
        with pytest.raises(psycopg.errors.InvalidParameterValue):
            db.execute("SELECT audit.create_months(%s)", [ahead])


@pytest.mark.parametrize("clock", ["1970-01-01", "0001-01-01 BC", "9999-12-31", "infinity", "-infinity"])
def test_no_change_fails_for_its_time(db: psycopg.Connection, clock: str) -> None:
    db.execute("SELECT audit.create_months()")
    db.execute(WRITE, [clock])
    assert stored(db) == {"audit.changes_default": 1}


def test_a_change_of_months_gives_way_to_who_writes(db: psycopg.Connection, dsn: str, company: Company) -> None:
    with psycopg.connect(dsn) as writer:
        writer.execute("UPDATE llm.users SET is_active = false")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            db.execute("SELECT audit.create_months()")
    assert db.execute("SHOW lock_timeout").fetchone() == ("0",)
    assert db.execute("SELECT audit.create_months()").fetchone() == (4,)


def test_who_reads_while_months_change_misses_no_row(db: psycopg.Connection, dsn: str, company: Company) -> None:
    """A reader that waited at DEFAULT would know no other partition."""
    count = "SELECT count(*) FROM audit.changes"
    before = db.execute(count).fetchone()
    with psycopg.connect(dsn, autocommit=True) as reader, ThreadPoolExecutor(1) as pool:
        with psycopg.connect(dsn) as changing:
            changing.execute("SELECT audit.create_months()")
            told = pool.submit(reader.execute, count)
            while not db.execute(
                "SELECT FROM pg_locks WHERE NOT granted AND pid = %s", [reader.info.backend_pid]
            ).rowcount:
                assert not told.done()
        assert told.result().fetchone() == before


def test_who_writes_while_months_change_never_fails(db: psycopg.Connection, dsn: str, company: Company) -> None:
    stop, failed, written = threading.Event(), [], [0, 0]

    def write(number: int) -> None:
        with psycopg.connect(dsn, autocommit=True) as writer:
            writer.execute("INSERT INTO llm.models (model_name, model_type) VALUES (%s, 'chat')", [f"m{number}"])
            while not stop.is_set():
                try:
                    writer.execute(
                        "UPDATE llm.models SET model_type = CASE model_type WHEN 'chat' THEN 'code' ELSE 'chat' END"
                        " WHERE model_name = %s",
                        [f"m{number}"],
                    )
                    written[number] += 1
                except psycopg.Error as error:
                    failed.append(error)
                    return

    writers = [threading.Thread(target=write, args=[number]) for number in range(2)]
    [one.start() for one in writers]
    made = 0
    try:
        for _ in range(15):
            try:
                # Rows are being written into the very month that is made here.
                with db.transaction(force_rollback=True):
                    made += db.execute("SELECT audit.create_months(1)").fetchone()[0]
            except psycopg.errors.LockNotAvailable:
                continue
        made += db.execute("SELECT audit.create_months(1)").fetchone()[0]
    finally:
        stop.set()
        [one.join() for one in writers]
    assert failed == []
    assert made >= 2
    updates = db.execute("SELECT count(*) FROM audit.changes WHERE table_name = 'llm.models' AND operation = 'UPDATE'")
    assert updates.fetchone() == (sum(written),)


def test_old_months_go_and_that_is_written_down(db: psycopg.Connection, company: Company) -> None:
    db.execute("SELECT audit.create_month((now() - make_interval(months => n))::date) FROM generate_series(0, 15) AS n")
    db.execute(
        "INSERT INTO audit.changes (changed_at, table_name, row_key, operation)"
        " SELECT now() - make_interval(months => n), 'x', '{}', 'TRUNCATE' FROM generate_series(0, 15) AS n"
    )
    db.execute(WRITE, ["epoch"])
    for keep in (None, 0, 11):
        with pytest.raises(psycopg.errors.InvalidParameterValue):
            db.execute("SELECT audit.drop_old_months(%s)", [keep])
    # By a rule that is the owner's, an operator drops them, and in no other way.
    db.execute("INSERT INTO llm.retention VALUES ('audit', 13)")
    with acting_as(db, "GRANT llm_operator TO {0}"):
        for statement in ("SELECT audit.drop_old_months(13)", "UPDATE llm.retention SET keep_months = 12"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                db.execute(statement)
        db.execute("CALL llm.maintain()")
    assert db.execute("SELECT audit.drop_old_months(13)").fetchone() == (0,)
    assert db.execute("SELECT count(*) FROM audit.changes WHERE operation = 'TRUNCATE'").fetchone() == (14,)
    told = db.execute("SELECT table_name, new_values FROM audit.changes WHERE operation = 'DROP' ORDER BY change_id")
    names = [table for table, rows in told.fetchall() if rows == {"rows": 1}]
    assert len(names) == 3
    assert names[-1] == "audit.changes_default"


@citus.not_rolled_back
def test_a_rollback_refuses_while_anything_is_on_record(db: psycopg.Connection, dsn: str, company: Company) -> None:
    rollback = ("rollback", "--to", "0029", "--yes", "--dsn", dsn)
    done = llm_db(*rollback)
    assert done.returncode == 1
    assert "audit.changes would lose rows" in done.stderr
    hint = re.search(r"SET audit.may_change = 'on'; TRUNCATE audit.changes;", done.stderr)
    db.execute(hint[0])
    done = llm_db(*rollback)
    assert done.returncode == 0, done.stderr
    # Whoever writes does not miss it, and it comes back.
    db.execute("UPDATE llm.users SET is_active = false")
    assert llm_db("migrate", "--dsn", dsn).returncode == 0
    db.execute("UPDATE llm.users SET is_active = true")
    assert db.execute("SELECT new_values FROM audit.changes").fetchall() == [({"is_active": True},)]
