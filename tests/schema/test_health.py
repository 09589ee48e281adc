"""ops.health: a healthy database has no row, and each check has a cause that makes it appear. Then what is to be done
is done, and the row is gone. A check without a cause fails here."""

import re
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

import citus
from command import ROOT, documented, drop_role, llm_db, shell
from conftest import found_company, fresh_database
from llm_db import distribute

HEALTH = "SELECT name, level, object, detail, what_to_do FROM ops.health"


@pytest.fixture(scope="module")
def healthy_template(server: str, template: str) -> Iterator[str]:
    with fresh_database(server, template) as dsn:
        with psycopg.connect(dsn, autocommit=True) as db:
            company = found_company(db)
            db.execute(
                "INSERT INTO llm.session_logs (session_id, request_time, deployment_id, template_id)"
                " VALUES (%s, now() - interval '2 days', %s, %s)",
                [company.session_id, company.deployment_id, company.template_id],
            )
            db.execute("CALL llm.maintain()")
        yield dsn


@pytest.fixture
def healthy(server: str, healthy_template: str) -> Iterator[psycopg.Connection]:
    """A session on a database of this test's own, in which all is well."""
    with fresh_database(server, healthy_template) as dsn, closing(psycopg.connect(dsn, autocommit=True)) as connection:
        yield connection


def dsn_of(db: psycopg.Connection, **others: str) -> str:
    info = db.info
    return make_conninfo(host=info.host, port=info.port, user=info.user, **{"dbname": info.dbname, **others})


def found(db: psycopg.Connection, name: str) -> list[tuple[str, str, str, str]]:
    """Level, object, detail and what to do of this check's rows."""
    return [row for check, *row in db.execute(HEALTH) if check == name]


# The causes. Where nobody can wait as long, or write as much, as it takes, the threshold is another one in this test's
# database.


def unsummed(db: psycopg.Connection, ago: str) -> None:
    db.execute("UPDATE rollup.state SET closed_before = now() - interval '2 days'")
    db.execute("UPDATE llm.session_logs SET request_time = now() - %s::interval", [ago])


def month(db: psycopg.Connection, ahead: int, form: str = "YYYY_MM") -> str:
    query = "SELECT to_char((now() AT TIME ZONE 'UTC')::date + make_interval(months => %s), %s)"
    return db.execute(query, [ahead, form]).fetchone()[0]


def other_threshold(db: psycopg.Connection, check: str, old: str, new: str) -> None:
    definition = db.execute("SELECT pg_get_functiondef(%s::regproc)", [f"ops.check_{check}"]).fetchone()[0]
    assert old in definition, definition
    db.execute(definition.replace(old, new))


def no_month(db: psycopg.Connection, ahead: int) -> None:
    assert db.execute("SELECT llm.drop_month(%s)", [month(db, ahead, "YYYY-MM-01")]).fetchone() == (True,)


def growth(db: psycopg.Connection) -> None:
    other_threshold(db, "growth", "'100 GB'", "'1 kB'")
    for ahead in (-3, -2, -1):
        db.execute("SELECT llm.create_month(%s::date)", [month(db, ahead, "YYYY-MM-01")])
    db.execute(
        "INSERT INTO llm.sessions (session_id, user_id, session_type)"
        " SELECT llm.uuidv7(%s::timestamptz), user_id, 'test' FROM llm.users, generate_series(1, 2000)",
        [month(db, -1, "YYYY-MM-02")],
    )


def changed_rows(db: psycopg.Connection, check: str) -> None:
    """Of a table of ours that autovacuum does not come to in between."""
    other_threshold(db, check, "100000", "10")
    db.execute("CREATE TABLE ops.busy WITH (autovacuum_enabled = off) AS SELECT generate_series(1, 100) AS n")
    db.execute("UPDATE ops.busy SET n = n + 1")
    db.execute("SELECT pg_stat_force_next_flush()")
    db.execute("SELECT 1")


@contextmanager
def another_transaction(db: psycopg.Connection) -> Iterator[None]:
    other_threshold(db, "long_transaction", "'01:00:00'", "'00:00:00'")
    with psycopg.connect(dsn_of(db)) as other:
        other.execute("SELECT FROM llm.users")
        try:
            yield
        finally:
            other.close()


@contextmanager
def prepared_transaction(db: psycopg.Connection) -> Iterator[None]:
    other_threshold(db, "prepared_transaction", "'00:05:00'", "'00:00:00'")
    name = f"it's {uuid.uuid4().hex}"
    db.execute("BEGIN")
    db.execute("UPDATE llm.users SET last_login = now()")
    db.execute(f"PREPARE TRANSACTION '{name.replace(chr(39), chr(39) * 2)}'")
    try:
        yield
    finally:
        for (left,) in db.execute("SELECT gid FROM pg_prepared_xacts WHERE gid = %s", [name]).fetchall():
            db.execute(f"ROLLBACK PREPARED '{left.replace(chr(39), chr(39) * 2)}'")


@contextmanager
def left_behind(db: psycopg.Connection) -> Iterator[None]:
    """What Citus prepared on a worker, whose coordinator then knew no more of it."""
    other_threshold(db, "prepared_transaction", "'00:05:00'", "'00:00:00'")
    with psycopg.connect(citus.databases(dsn_of(db))[1], autocommit=True) as worker:
        worker.execute("BEGIN; PREPARE TRANSACTION 'citus_0_1_1_1'")
        yield
        assert worker.execute("SELECT count(*) FROM pg_prepared_xacts WHERE gid = 'citus_0_1_1_1'").fetchone() == (0,)


@contextmanager
def silent_node(db: psycopg.Connection) -> Iterator[None]:
    worker = make_conninfo(citus.databases(dsn_of(db))[1], dbname="postgres")
    with psycopg.connect(worker, autocommit=True) as other:
        other.execute(f"ALTER DATABASE {db.info.dbname} ALLOW_CONNECTIONS false")
        yield
        other.execute(f"ALTER DATABASE {db.info.dbname} ALLOW_CONNECTIONS true")
    assert found(db, "silent_node") == []


@contextmanager
def replication_slot(db: psycopg.Connection) -> Iterator[None]:
    other_threshold(db, "replication_slot", "'1 GB'", "'-1 kB'")
    name = f"slot_{uuid.uuid4().hex}"
    db.execute("SELECT pg_create_physical_replication_slot(%s, true)", [name])
    try:
        yield
    finally:
        db.execute("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = %s", [name])


@contextmanager
def owner_without_rights(db: psycopg.Connection) -> Iterator[None]:
    role = f"owner_{uuid.uuid4().hex}"
    db.execute(f"CREATE ROLE {role}; GRANT USAGE, CREATE ON SCHEMA ops TO {role}")
    db.execute(f"ALTER FUNCTION ops.run_checks() OWNER TO {role}")
    db.execute(f"ALTER FUNCTION ops.check_unseen_sessions() OWNER TO {role}")
    try:
        yield
    finally:
        drop_role(dsn_of(db), role)


def lose_settings(db: psycopg.Connection) -> None:
    for name in distribute.SETTINGS:
        db.execute(f"ALTER DATABASE {db.info.dbname} RESET citus.{name}")


Cause = str | Callable[[psycopg.Connection], object]

# Each check by its name, with its level.
CAUSES: dict[str, tuple[str, Cause]] = {
    "autovacuum_off": ("error", "ALTER TABLE llm.users SET (autovacuum_enabled = off, fillfactor = 50)"),
    "broken_month": ("error", lambda db: db.execute(
        f"ALTER TABLE llm.session_logs DETACH PARTITION llm.session_logs_{month(db, 1)}"
    )),
    "budgets": ("warning", "INSERT INTO llm.gpu_rates (since, price_per_hour) VALUES ('-infinity', 1000);"
        " UPDATE llm.deployment_history SET since = now() - interval '1 minute' WHERE since > '-infinity';"
        " INSERT INTO llm.session_logs (session_id, request_time, deployment_id)"
        " SELECT session_id, now(), deployment_id FROM llm.sessions, llm.deployments;"
        " INSERT INTO llm.budgets (department_id, since, amount)"
        " SELECT department_id, date_trunc('month', now() AT TIME ZONE 'Asia/Seoul')::date, 0 FROM llm.departments"),
    "dead_rows": ("warning", lambda db: changed_rows(db, "dead_rows")),
    "disabled_trigger": ("error", "ALTER TABLE llm.session_logs DISABLE TRIGGER session_logs_uses_are_counted"),
    "duplicate_index": ("warning", "CREATE INDEX \"Twice\" ON llm.users (department_id)"),
    "growth": ("warning", growth),
    "invalid_index": ("warning", "CREATE INDEX users_active_idx ON llm.users (is_active);"
        " UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'llm.users_active_idx'::regclass"),
    "key_behind": ("error", "INSERT INTO llm.models (model_id, model_name, model_type) VALUES (1000, 'own', 'chat')"),
    "key_near_end": ("error", "CREATE TABLE ops.narrow (id smallserial); SELECT setval('ops.narrow_id_seq', 30000)"),
    "late_retention": ("warning", "INSERT INTO llm.retention VALUES ('sessions', 12);"
        " SELECT llm.create_month('2024-01-01')"),
    "late_refresh": ("error", lambda db: unsummed(db, "25 hours")),
    "long_transaction": ("warning", another_transaction),
    "lost_state": ("error", "DELETE FROM rollup.state"),
    "many_counters": ("warning", "INSERT INTO llm.prompt_template_uses (template_id, slot, uses)"
        " SELECT template_id, -n, 1 FROM llm.prompt_templates, generate_series(1, 10001) AS n"),
    "many_notes": ("warning", "INSERT INTO rollup.notes (entity, from_time, until_time)"
        " SELECT 'logs', now() - interval '2 days', now() - interval '1 day' FROM generate_series(1, 100001)"),
    "missing_rate": ("warning", "INSERT INTO llm.gpu_rates (since, price_per_hour)"
        " VALUES ('2020-01-01', 1), (now(), NULL)"),
    "missing_trigger": ("error", "DROP TRIGGER users_move_is_kept ON llm.users"),
    "months_ahead": ("error", lambda db: no_month(db, 1)),
    "multixact_age": ("warning", lambda db: other_threshold(db, "multixact_age", "1.5", "-1")),
    "multixact_members": ("warning", "CREATE OR REPLACE FUNCTION ops.multixact_members() RETURNS bigint LANGUAGE sql"
        " RETURN 2147483649"),
    "old_statistics": ("warning", lambda db: changed_rows(db, "old_statistics")),
    "prepared_transaction": ("warning", prepared_transaction),
    "replication_slot": ("warning", replication_slot),
    "roles": ("warning", "REVOKE SELECT ON ops.health FROM llm_operator"),
    "rows_in_default": ("warning", "INSERT INTO llm.sessions (session_id, user_id, session_type)"
        " SELECT llm.uuidv7('2021-01-01Z'), user_id, 'test' FROM llm.users"),
    "unfit_sums": ("error", "UPDATE rollup.state SET closed_before = DEFAULT"),
    "unindexed_foreign_key": ("warning", "DROP INDEX llm.session_logs_deployment_id_idx"),
    "unseen_sessions": ("warning", owner_without_rights),
    "unused_index": ("warning", lambda db: (
        other_threshold(db, "unused_index", "'100 MB'", "'0 kB'"),
        other_threshold(db, "unused_index", "'30 days'", "'00:00:00'"),
        db.execute("CREATE INDEX users_last_login_idx ON llm.users (last_login)"),
    )),
    "unvalidated_constraint": ("warning", "ALTER TABLE llm.users ADD CONSTRAINT users_ever CHECK (true) NOT VALID"),
    "wrong_clock": ("error", "UPDATE rollup.state SET closed_before = now() + interval '1 hour'"),
    "xid_age": ("warning", lambda db: other_threshold(db, "xid_age", "1.5", "-1")),
}  # fmt: skip
# Of a cluster only.
if citus.DSN:
    CAUSES |= {
        "lost_settings": ("error", lose_settings),
        "silent_node": ("error", silent_node),
        "uneven_shards": ("warning", "SELECT citus_move_shard_placement(s.shardid, s.nodename, s.nodeport, n.nodename,"
            " n.nodeport, 'block_writes') FROM (SELECT * FROM citus_shards WHERE table_name = 'llm.sessions'::regclass"
            " ORDER BY shardid LIMIT 1) AS s, pg_dist_node AS n WHERE n.groupid > 0 AND n.nodeport <> s.nodeport"),
    }  # fmt: skip
# What these say stays: the threshold is wrong here, and not the database.
INCURABLE = {"growth", "multixact_age", "multixact_members", "silent_node", "xid_age"}


@contextmanager
def caused(db: psycopg.Connection, cause: Cause) -> Iterator[None]:
    with ExitStack() as ending:
        if isinstance(cause, str):
            db.execute(cause)
        elif hasattr(made := cause(db), "__exit__"):
            ending.enter_context(made)
        yield


def carry_out(db: psycopg.Connection, what_to_do: str) -> None:
    """As psql does it: statement by statement."""
    if what_to_do.startswith("llm-db "):
        done = llm_db(*what_to_do.split()[1:], "--dsn", dsn_of(db))
        assert done.returncode == 0, done.stderr
        return
    for statement in re.sub(r"--.*", "", what_to_do).split(";"):
        if statement.strip():
            db.execute(statement)


def test_every_check_has_a_cause(healthy: psycopg.Connection) -> None:
    query = "SELECT substr(proname, 7) FROM pg_proc WHERE pronamespace = 'ops'::regnamespace AND proname ~ '^check_'"
    assert {name for (name,) in healthy.execute(query)} == set(CAUSES)


def test_a_healthy_database_has_no_row(healthy: psycopg.Connection) -> None:
    assert healthy.execute(HEALTH).fetchall() == []


@pytest.mark.parametrize("name", CAUSES)
def test_a_cause_shows_and_what_is_to_be_done_helps(healthy: psycopg.Connection, name: str) -> None:
    level, cause = CAUSES[name]
    with caused(healthy, cause):
        rows = found(healthy, name)
        assert rows, healthy.execute(HEALTH).fetchall()
        for level_told, subject, detail, what_to_do in rows:
            assert level_told == level
            assert all((subject, detail, what_to_do)), rows
        for *_, what_to_do in to_do_here(healthy, rows):
            carry_out(healthy, what_to_do)
        if name not in INCURABLE:
            assert to_do_here(healthy, found(healthy, name)) == []


def to_do_here(db: psycopg.Connection, rows: list[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """What is wrong with another database is to be put right there: other tests may be at work in theirs."""
    return [row for row in rows if "-- in database" not in row[3] or db.info.dbname in row[3]]


# The other level of those that have two, and other ways to the same.
ALSO: list[tuple[str, str, Cause]] = [
    pytest.param("prepared_transaction", "warning", left_behind, marks=citus.needs_a_cluster),
    ("autovacuum_off", "error", "SET track_counts = off"),
    ("disabled_trigger", "error", "ALTER TABLE llm.users DISABLE TRIGGER ALL"),
    ("invalid_index", "error", "CREATE UNIQUE INDEX users_last_login_key ON llm.users (last_login);"
        " UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'llm.users_last_login_key'::regclass"),
    ("invalid_index", "warning", "CREATE INDEX logs_idx ON ONLY llm.session_logs (token_used)"),
    ("invalid_index", "warning", "CREATE INDEX users_idx_ccnew ON llm.users (is_active);"
        " UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'llm.users_idx_ccnew'::regclass"),
    ("key_near_end", "error", "CREATE TABLE ops.narrow (id integer); CREATE SEQUENCE ops.ids OWNED BY ops.narrow.id;"
        " SELECT setval('ops.ids', 2000000000)"),
    ("late_refresh", "warning", lambda db: unsummed(db, "61 minutes")),
    ("late_refresh", "error", "SELECT ops.restart_rollups()"),
    ("late_retention", "warning", "INSERT INTO llm.retention VALUES ('audit', 12);"
        " SELECT audit.create_month('2024-01-01')"),
    ("months_ahead", "error", lambda db: db.execute(f"DROP TABLE audit.changes_{month(db, 1)}")),
    ("months_ahead", "warning", lambda db: no_month(db, 2)),
    ("rows_in_default", "warning", "INSERT INTO audit.changes (changed_at, table_name, row_key, operation)"
        " VALUES ('2024-01-01Z', 'llm.users', '{}', 'TRUNCATE')"),
    ("unfit_sums", "error", "DELETE FROM rollup.usage"),
    ("unindexed_foreign_key", "warning", "CREATE TABLE ops.narrow (id integer PRIMARY KEY, a integer, \"B\" bigint"
        " REFERENCES llm.users)"),
]  # fmt: skip
INCURABLE_ALSO: list[tuple[str, str, Cause]] = [
    ("multixact_age", "error", lambda db: other_threshold(db, "multixact_age", "1600000000", "-1")),
    ("multixact_members", "error", "CREATE OR REPLACE FUNCTION ops.multixact_members() RETURNS bigint LANGUAGE sql"
        " RETURN 3221225473"),
    ("xid_age", "error", lambda db: other_threshold(db, "xid_age", "1600000000", "-1")),
]  # fmt: skip


@pytest.mark.parametrize(("name", "level", "cause"), [*ALSO, *INCURABLE_ALSO])
def test_another_cause_shows_too(healthy: psycopg.Connection, name: str, level: str, cause: Cause) -> None:
    with caused(healthy, cause):
        rows = found(healthy, name)
        assert {told for told, *_ in rows} == {level}
        if (name, level, cause) not in INCURABLE_ALSO and "ALTER SYSTEM" not in rows[0][3]:
            for *_, what_to_do in rows:
                carry_out(healthy, what_to_do)
            assert found(healthy, name) == []


# As far as it may go.
NOT_YET: list[tuple[str, Cause]] = [
    ("late_retention", "INSERT INTO llm.retention VALUES ('sessions', 12), ('audit', 12);"
        " SELECT llm.create_month(((now() AT TIME ZONE 'UTC') - interval '12 months')::date)"),
    ("key_near_end", "CREATE TABLE ops.narrow (id smallserial); SELECT setval('ops.narrow_id_seq', 24575)"),
    ("late_refresh", lambda db: unsummed(db, "59 minutes")),
    ("late_refresh", "UPDATE rollup.state SET closed_before = now() - interval '25 hours'"),
    ("many_counters", CAUSES["many_counters"][1].replace("10001", "10000")),
    ("many_notes", CAUSES["many_notes"][1].replace("100001", "100000")),
    ("multixact_members", CAUSES["multixact_members"][1].replace("2147483649", "2147483648")),
    ("duplicate_index", "CREATE INDEX ON llm.users (department_id DESC); CREATE INDEX ON llm.users (role)"
        " WHERE is_active; CREATE INDEX ON llm.users USING hash (department_id)"),
    ("unused_index", "CREATE INDEX users_last_login_idx ON llm.users (last_login)"),
    ("unindexed_foreign_key", "CREATE TABLE ops.narrow (id integer PRIMARY KEY, b bigint REFERENCES llm.users);"
        " CREATE INDEX ON ops.narrow (b) WHERE b IS NOT NULL"),
]  # fmt: skip


def test_a_new_database_is_healthy(db: psycopg.Connection) -> None:
    assert db.execute(HEALTH).fetchall() == []


@pytest.mark.parametrize(("name", "cause"), NOT_YET)
def test_what_is_not_so_yet_does_not_show(healthy: psycopg.Connection, name: str, cause: Cause) -> None:
    with caused(healthy, cause):
        assert found(healthy, name) == []


def test_what_belongs_to_others_is_not_looked_at(healthy: psycopg.Connection) -> None:
    healthy.execute(
        "CREATE TABLE public.others (id smallserial PRIMARY KEY, a bigint REFERENCES llm.users);"
        "CREATE INDEX ON public.others (id); CREATE INDEX ON public.others (id);"
        "ALTER TABLE public.others SET (autovacuum_enabled = off);"
        "ALTER TABLE public.others DISABLE TRIGGER ALL;"
        "INSERT INTO public.others VALUES (32767)"
    )
    assert healthy.execute(HEALTH).fetchall() == []


# No check stops another one.

BROKEN = """
CREATE FUNCTION ops.check_broken() RETURNS TABLE (level text, object text, detail text, what_to_do text)
LANGUAGE plpgsql AS $$ BEGIN
    RAISE division_by_zero USING HINT = 'SELECT 1;';
END $$
"""


def test_a_check_that_fails_is_a_row_of_its_own(healthy: psycopg.Connection) -> None:
    healthy.execute(BROKEN)
    healthy.execute("DELETE FROM rollup.state")
    assert found(healthy, "broken") == [
        ["error", "ops.check_broken()", "this check failed: division_by_zero", "SELECT 1;"]
    ]
    assert found(healthy, "lost_state")


def test_a_check_that_would_wait_for_a_lock_says_so(healthy: psycopg.Connection) -> None:
    with psycopg.connect(dsn_of(healthy)) as other:
        other.execute("LOCK TABLE llm.prompt_template_uses IN ACCESS EXCLUSIVE MODE")
        rows = healthy.execute(HEALTH).fetchall()
    assert [(name, level) for name, level, *_ in rows] == [("growth", "warning"), ("many_counters", "warning")]
    assert all("lock timeout" in detail for *_, detail, _ in rows)


def test_a_strangers_check_is_not_run(healthy: psycopg.Connection) -> None:
    """It would be run with the owner's rights."""
    role = f"stranger_{uuid.uuid4().hex}"
    healthy.execute(f"CREATE ROLE {role} LOGIN")
    healthy.execute(f"GRANT CREATE, USAGE ON SCHEMA ops TO {role}")
    healthy.execute(f"SET ROLE {role}")
    healthy.execute(BROKEN)
    healthy.execute("RESET ROLE")
    try:
        assert healthy.execute(HEALTH).fetchall() == []
    finally:
        healthy.execute(f"DROP OWNED BY {role} CASCADE; DROP ROLE {role}")


# The numbers.


def test_sizes_are_those_of_the_months_and_go_on_in_a_line(healthy: psycopg.Connection) -> None:
    growth(healthy)
    sizes = dict(
        healthy.execute(
            f"SELECT relname, {citus.SIZE} FROM pg_class WHERE relkind = 'r' AND relname ~ '^sessions_(2|def)'"
        ).fetchall()
    )
    query = (
        "SELECT bytes, full_months, mean_month_bytes, next_12_months_bytes FROM ops.sizes"
        " WHERE table_name = 'llm.sessions'"
    )
    total, months, mean, forecast = healthy.execute(query).fetchone()
    full = [sizes[f"sessions_{month(healthy, ahead)}"] for ahead in (-3, -2, -1)]
    assert (total, months, mean) == (sum(sizes.values()), 3, round(sum(full) / 3))
    slope = (full[2] - full[0]) / 2
    assert forecast == pytest.approx(sum(mean + slope * (2 + n) for n in range(1, 13)), rel=1e-6)
    plain = "SELECT full_months, mean_month_bytes, next_12_months_bytes FROM ops.sizes WHERE table_name = 'llm.users'"
    assert healthy.execute(plain).fetchone() == (0, None, None)


@pytest.mark.one_node("a server that is older than the test has had multixacts of other sizes")
def test_members_of_multixacts_are_about_as_many_as_there_are(healthy: psycopg.Connection) -> None:
    """Six at a time lock one row, and the sixth gives up and comes again, each time a multixact of six."""
    with ExitStack() as ending:
        for _ in range(5):
            other = ending.enter_context(psycopg.connect(dsn_of(healthy)))
            other.execute("SELECT FROM llm.users FOR KEY SHARE")
        healthy.execute("""
            DO $$ BEGIN FOR n IN 1..20000 LOOP
                BEGIN
                    PERFORM FROM llm.users FOR KEY SHARE;
                    RAISE division_by_zero;
                EXCEPTION WHEN division_by_zero THEN NULL;
                END;
            END LOOP; END $$
        """)
    healthy.execute("CHECKPOINT")
    healthy.execute("SELECT pg_stat_force_next_flush()")
    query = "SELECT ops.multixact_members(), next_multi_offset::text::bigint FROM pg_control_checkpoint()"
    about, exactly = healthy.execute(query).fetchone()
    assert exactly > 100000
    assert about == pytest.approx(exactly, rel=0.3)


# The page.


def test_the_page_says_of_each_check_what_its_comment_says(healthy: psycopg.Connection) -> None:
    query = """
        SELECT string_agg(format('| `%s` | %s |', substr(proname, 7), obj_description(oid, 'pg_proc')), chr(10)
            ORDER BY proname)
        FROM pg_proc WHERE pronamespace = 'ops'::regnamespace AND proname ~ '^check_'
    """
    listed = healthy.execute(query).fetchone()[0]
    shown = []
    for page in ("health.md", "distribute.md")[: 2 if citus.DSN else 1]:
        text = (ROOT / "docs" / page).read_text(encoding="utf-8")
        head, _, *rows = text.split("<!-- checks: begin -->\n")[1].split("\n<!-- checks: end -->")[0].split("\n")
        assert head == "| Check | Finds |"
        assert rows == sorted(rows)
        shown += rows
    assert sorted(shown) == sorted(listed.split("\n"))


def test_the_page_for_prometheus(healthy: psycopg.Connection, tmp_path: Path) -> None:
    commands = documented("docs/health.md", "prometheus")

    def lines() -> list[str]:
        done = shell(commands, tmp_path, DATABASE_URL=dsn_of(healthy), FOLDER=str(tmp_path))
        assert done.returncode == 0, done.stderr
        return (tmp_path / "llm_db.prom").read_text().splitlines()

    assert lines() == [
        "# HELP llm_db_health_findings How many rows ops.health has.",
        "# TYPE llm_db_health_findings gauge",
        'llm_db_health_findings{level="error"} 0',
        'llm_db_health_findings{level="warning"} 0',
        "# HELP llm_db_health_finding A row of ops.health, by what it is about.",
        "# TYPE llm_db_health_finding gauge",
    ]
    healthy.execute(r"""CREATE INDEX "a\b"" c" ON llm.users (department_id)""")
    healthy.execute("DELETE FROM rollup.state; DROP TRIGGER users_move_is_kept ON llm.users")
    healthy.execute("DROP TRIGGER users_department_is_kept ON llm.users")
    shown = [line for line in lines() if not line.startswith("#")]
    assert shown == [
        'llm_db_health_findings{level="error"} 3',
        'llm_db_health_findings{level="warning"} 1',
        'llm_db_health_finding{name="duplicate_index",level="warning",object="llm.\\"a\\\\b\\"\\" c\\""} 1',
        'llm_db_health_finding{name="lost_state",level="error",object="rollup.state"} 1',
        'llm_db_health_finding{name="missing_trigger",level="error",object="llm.users"} 2',
    ]
    # Prometheus takes no series twice.
    assert len({line.rpartition(" ")[0] for line in shown}) == len(shown)


def test_the_page_for_nagios(healthy: psycopg.Connection, tmp_path: Path) -> None:
    commands = documented("docs/health.md", "nagios")

    def check(dsn: str) -> tuple[int, str]:
        done = shell(commands, tmp_path, DATABASE_URL=dsn)
        return done.returncode, done.stdout

    assert check(dsn_of(healthy)) == (0, "OK: 0 errors, 0 warnings|errors=0 warnings=0\n")
    healthy.execute("CREATE INDEX twice_idx ON llm.users (department_id)")
    assert check(dsn_of(healthy)) == (1, "WARNING: 0 errors, 1 warnings: duplicate_index|errors=0 warnings=1\n")
    healthy.execute("DELETE FROM rollup.state")
    assert check(dsn_of(healthy)) == (
        2,
        "CRITICAL: 1 errors, 1 warnings: duplicate_index, lost_state|errors=1 warnings=1\n",
    )
    assert check(dsn_of(healthy, dbname="nowhere")) == (3, "UNKNOWN: ops.health cannot be read\n")
