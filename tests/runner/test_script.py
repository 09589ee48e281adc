"""`llm-db plan --script`: what psql alone makes of a database is what a migrate makes of it, wherever it begins and
whatever stops it; any other state is refused and left alone."""

import random
import re
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryFile

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from test_history import RELEASE, old_release

from cluster import newer_bins, server_bin
from command import ROOT, checkout, documented, environment, execute, llm_db, llm_db_process, shell, value
from conftest import fresh_database
from llm_db import catalog, files
from llm_db.queries import query
from llm_db.turn import LOCK

IDS = [migration.id for migration in files.migrations()]

# All that a migrate writes down, but for the times.
LEDGER = """
SELECT jsonb_build_object(
    'marks', (
        SELECT jsonb_agg(to_jsonb(m) - 'applied_at_utc' ORDER BY m.migration_id) FROM llm_db._yoyo_migration AS m
    ),
    'log', (
        SELECT jsonb_agg(to_jsonb(l) - 'id' - 'created_at_utc' ORDER BY l.migration_id, l.operation)
        FROM llm_db._yoyo_log AS l
    ),
    'version', (SELECT jsonb_agg(v.version) FROM llm_db._yoyo_version AS v),
    'migrations', (
        SELECT jsonb_agg(
            to_jsonb(m) - 'applied_at' || jsonb_build_object('duration_ms', m.duration_ms IS NULL)
            ORDER BY m.migration_id
        )
        FROM llm_db.migrations AS m
    ),
    'repeatables', (SELECT jsonb_agg(to_jsonb(r) - 'made_at' ORDER BY r.name) FROM llm_db.repeatables AS r),
    'grants', (SELECT jsonb_agg(to_jsonb(g)) FROM llm_db.grants AS g),
    'views', (SELECT jsonb_agg(to_jsonb(v)) FROM llm_db.views AS v)
)
"""
OWNERS = """
SELECT oid::regclass::text, relowner::regrole::text FROM pg_class WHERE relnamespace::regnamespace::text = ANY (%s)
UNION ALL
SELECT oid::regprocedure::text, proowner::regrole::text FROM pg_proc WHERE pronamespace::regnamespace::text = ANY (%s)
ORDER BY 1
"""


def state(dsn: str) -> tuple:
    """Everything there is: catalogs, grants, owners, reference data and the ledger."""
    schemas = [*catalog.SCHEMAS, "llm_db", "public"]
    with psycopg.connect(dsn, autocommit=True, options="-c search_path=pg_catalog") as connection:
        rows = connection.execute(query("catalog"), {"schemas": schemas}).fetchall()
        faults = connection.execute(query("faults"), {"schemas": schemas}).fetchall()
        owners = connection.execute(OWNERS, [schemas, schemas]).fetchall()
        kept = connection.execute(LEDGER).fetchone() if value(dsn, "SELECT to_regclass('llm_db.grants')") else None
    return sorted(map(str, rows)), sorted(faults), owners, kept


def script(*arguments: str, root: Path = ROOT) -> str:
    done = llm_db("plan", "--script", *arguments, root=root)
    assert done.returncode == 0, done.stderr
    return done.stdout


def psql(
    dsn: str, text: str, *options: str, bin_folder: Path | None = None, without: tuple[str, ...] = (), **variables: str
) -> subprocess.CompletedProcess[str]:
    """As a DBA runs it, without a start-up file; from standard input, so that nothing need be readable to others."""
    program = (bin_folder or server_bin()) / "psql"
    kept = {name: text for name, text in environment(**variables).items() if name not in without}
    command = [program, "-X", *options, "--file=-", "--dbname", dsn]
    return subprocess.run(command, input=text, env=kept, capture_output=True, encoding="utf-8", timeout=120)


def applied(dsn: str, text: str, *options: str, **more: object) -> str:
    done = psql(dsn, text, *options, **more)
    assert done.returncode == 0, done.stderr
    return done.stderr


def quick(text: str, retries: int = 1, lock_timeout_ms: int = 50, wait_seconds: int = 1) -> str:
    """With less patience than is usual."""
    for name, number in (("retries", retries), ("lock_timeout_ms", lock_timeout_ms), ("wait_seconds", wait_seconds)):
        text, changed = re.subn(rf"(?m)^\\set {name} \d+$", rf"\\set {name} {number}", text)
        assert changed == 1
    return text


@contextmanager
def copy_of(dsn: str, server: str) -> Iterator[str]:
    with fresh_database(server) as copied:
        name, source = (sql.Identifier(conninfo_to_dict(one)["dbname"]) for one in (copied, dsn))
        with psycopg.connect(server, autocommit=True) as admin:
            admin.execute(sql.SQL("DROP DATABASE {}").format(name))
            admin.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(name, source))
        yield copied


# From every version to every later one

BASE = "CREATE OR REPLACE VIEW reporting.base AS SELECT amount, region FROM llm.sales;"
ABOVE = "CREATE OR REPLACE VIEW ops.above AS SELECT sum(amount) AS total FROM reporting.base;"
NOTE = """
CREATE OR REPLACE FUNCTION ops.note() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO llm.written VALUES (TG_NAME);
    RETURN NULL;
END
$$;
"""
TRIGGER = "CREATE OR REPLACE TRIGGER noted AFTER INSERT ON llm.sales FOR EACH ROW EXECUTE FUNCTION ops.note();"
RATE = "CREATE OR REPLACE FUNCTION ops.rated(n int) RETURNS int LANGUAGE sql IMMUTABLE RETURN n * 2;"
# What each version has more than the one before it: migrations, and files of views/. None takes a file away.
VERSIONS: list[tuple[dict[str, str], dict[str, str | None]]] = [
    (
        {
            "0001.first": """
                CREATE SCHEMA llm; CREATE SCHEMA reporting; CREATE SCHEMA ops;
                CREATE TABLE llm.sales (amount int, region text);
                CREATE TABLE llm.written (what text);
                CREATE FUNCTION ops.twice(n int) RETURNS int LANGUAGE sql RETURN n + n;
                CREATE PROCEDURE ops.describe(name text, VARIADIC sources text []) LANGUAGE plpgsql AS $$
                BEGIN
                    EXECUTE format('COMMENT ON COLUMN %s.total IS %L', name, (
                        SELECT string_agg(col_description(a.attrelid, a.attnum), ', ')
                        FROM pg_attribute AS a WHERE a.attrelid = ANY (sources::regclass [])
                    ));
                END
                $$;
                -- DOWN --
            """
        },
        {
            "1_base/10_base": BASE,
            "1_base/20_rate": RATE,
            "1_base/30_note": NOTE,
            "1_base/40_twice": "CREATE OR REPLACE FUNCTION ops.twice(n int) RETURNS int LANGUAGE sql RETURN n * 2;",
            "1_base/50_kind": "CREATE OR REPLACE FUNCTION ops.kind(n int) RETURNS int LANGUAGE sql RETURN n;",
            "2_views/20_above": ABOVE,
            "2_views/30_rates": "CREATE OR REPLACE VIEW reporting.rates AS SELECT ops.rated(2) AS rate;",
            "2_views/40_alone": "CREATE OR REPLACE VIEW reporting.alone AS SELECT 1 AS one;",
            "5_triggers/10_sales": TRIGGER,
        },
    ),
    # A column less, with what is built on it; another signature, which inherits; a file that goes, and one that comes.
    (
        {},
        {
            "1_base/10_base": "CREATE OR REPLACE VIEW reporting.base AS SELECT amount FROM llm.sales;\n"
            "COMMENT ON COLUMN reporting.base.amount IS 'What was paid';",
            "1_base/20_rate": "CREATE OR REPLACE FUNCTION ops.rated(n bigint, by int DEFAULT 2) RETURNS bigint"
            " LANGUAGE sql IMMUTABLE RETURN n * by;",
            "2_views/20_above": ABOVE + "\nCALL ops.describe('ops.above', 'reporting.base');",
            "2_views/40_alone": None,
            "2_views/50_other": "CREATE OR REPLACE VIEW reporting.other AS SELECT 2 AS two;",
        },
    ),
    # Views stand in the way of a type, and a trigger in that of a column; a trigger moves; a function is a procedure
    # now; an index is built outside a transaction.
    (
        {
            "0002.types": "ALTER TABLE llm.sales ALTER amount TYPE bigint, ADD paid boolean;-- DOWN --",
            "0003.index": "-- transactional: false\n"
            "CREATE INDEX CONCURRENTLY sales_idx ON llm.sales (amount);-- DOWN --",
        },
        {
            "1_base/50_kind": "CREATE OR REPLACE PROCEDURE ops.kind(n int) LANGUAGE sql AS 'SELECT 1';",
            "5_triggers/10_sales": "DROP TRIGGER IF EXISTS checked ON llm.sales;\n"
            "CREATE CONSTRAINT TRIGGER checked AFTER INSERT ON llm.sales DEFERRABLE INITIALLY DEFERRED"
            " FOR EACH ROW EXECUTE FUNCTION ops.note();",
            "5_triggers/20_sales": TRIGGER.replace("INSERT ON", "INSERT OR UPDATE OF paid ON"),
        },
    ),
    # A column goes, and one has another name: what is in the way of the first fits only after the second.
    (
        {
            "0004.column": "ALTER TABLE llm.sales DROP COLUMN region; DROP TABLE llm.written; -- DOWN --",
            "0005.away": "-- transactional: false\nDROP INDEX CONCURRENTLY llm.sales_idx; -- DOWN --",
            "0006.more": "ALTER TABLE llm.sales RENAME amount TO price;"
            " ALTER TABLE llm.sales DROP COLUMN paid; -- DOWN --",
        },
        {
            "1_base/10_base": "CREATE OR REPLACE VIEW reporting.base AS SELECT price, price AS amount FROM llm.sales;\n"
            "COMMENT ON COLUMN reporting.base.amount IS 'The same';",
            "1_base/30_note": "CREATE OR REPLACE FUNCTION ops.note() RETURNS trigger LANGUAGE plpgsql AS"
            " 'BEGIN RETURN NULL; END';",
            "5_triggers/20_sales": TRIGGER,
        },
    ),
]


@pytest.fixture(scope="module")
def versions(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A checkout of each."""
    roots, migrations, views = [], {}, {}
    for number, (more, changed) in enumerate(VERSIONS, start=1):
        migrations |= more
        views = {name: text for name, text in (views | changed).items() if text is not None}
        roots.append(checkout(tmp_path_factory.mktemp(f"version{number}"), migrations, views))
    return roots


@pytest.fixture(scope="module")
def at_versions(versions: list[Path], server: str) -> Iterator[list[str]]:
    """A database before any of them, and one at each, with what people gave and made there."""
    role = f'Team "{uuid.uuid4().hex}'
    quoted = sql.Identifier(role).as_string()
    execute(server, f"CREATE ROLE {quoted}")
    given = f"""
        GRANT SELECT ON reporting.base TO {quoted}; GRANT SELECT (total) ON ops.above TO {quoted} WITH GRANT OPTION;
        GRANT EXECUTE ON FUNCTION ops.rated(int) TO {quoted}; REVOKE EXECUTE ON FUNCTION ops.rated(int) FROM PUBLIC;
        ALTER VIEW reporting.rates OWNER TO {quoted}; GRANT SELECT ON ops.above TO PUBLIC;
        CREATE VIEW public.theirs AS SELECT one FROM (SELECT 1 AS one) AS o;
    """
    made: list[str] = []
    opened: list = []
    try:
        for number in range(len(versions) + 1):
            opened.append(copy_of(made[-1], server) if made else fresh_database(server))
            made.append(opened[-1].__enter__())
            if number:
                done = llm_db("migrate", "--dsn", made[-1], root=versions[number - 1])
                assert done.returncode == 0, done.stderr
            if number == 1:
                execute(made[-1], given)
        yield made
    finally:
        for one in reversed(opened):
            one.__exit__(None, None, None)
        execute(server, f"DROP ROLE {quoted}")


@pytest.mark.parametrize(
    ("begins", "ends"), [(i, j) for i in range(len(VERSIONS)) for j in range(i + 1, len(VERSIONS) + 1)]
)
def test_a_script_ends_where_a_migrate_does_between_any_two_versions(versions, at_versions, server, begins, ends):
    root, dsn = versions[ends - 1], at_versions[begins]
    last = max((name for more, _ in VERSIONS[:begins] for name in more), default="none")
    by_name, by_state = script("--from", last, root=root), script("--dsn", dsn, root=root)
    with copy_of(dsn, server) as migrated, copy_of(dsn, server) as scripted:
        done = llm_db("migrate", "--dsn", migrated, root=root)
        assert done.returncode == 0, done.stderr
        expected = state(migrated)
        applied(scripted, by_name)
        assert state(scripted) == expected
        # Of a database that is at the end of a script, there is nothing left to do, for any script that ends there.
        for again in (by_name, by_state):
            assert "There was nothing to do" in applied(scripted, again)
        assert state(scripted) == expected
        assert llm_db("status", "--check", "--dsn", scripted, root=root).returncode == 0
        assert script("--dsn", scripted, root=root) == "-- nothing is pending\n"
    with copy_of(dsn, server) as scripted:
        applied(scripted, by_state)
        assert state(scripted) == expected


@cache
def ours(begins: str) -> str:
    return script("--from", begins)


@pytest.fixture(scope="module")
def newest(server: str) -> Iterator[tuple]:
    """What a migrate makes of an empty database."""
    with fresh_database(server) as dsn:
        assert llm_db("migrate", "--dsn", dsn).returncode == 0
        yield state(dsn)


def test_from_an_empty_database(empty_dsn, newest, server):
    applied(empty_dsn, ours("none"))
    assert state(empty_dsn) == newest
    assert llm_db("status", "--check", "--dsn", empty_dsn).returncode == 0
    done = llm_db("check", "--strict", "--dsn", empty_dsn, "--scratch", server)
    assert done.returncode == 0, done.stdout
    assert "There was nothing to do" in applied(empty_dsn, ours("none"))


# Other tests begin at 0008 and 0013. Here: one of the indexes of each partition is there, and only repeatables are not.
@pytest.mark.parametrize("begins", [IDS[13], IDS[-1]])
def test_from_a_version_between(empty_dsn, newest, begins):
    assert llm_db("migrate", "--dsn", empty_dsn, "--to", begins).returncode == 0
    applied(empty_dsn, ours(begins))
    assert state(empty_dsn) == newest


@pytest.mark.skipif(not RELEASE, reason="this checkout has no history that goes back to release 0.1.0")
def test_from_release_0_1_0_with_its_rows(tmp_path, empty_dsn, newest, server):
    counts = "SELECT sum(requests)::text || ' ' || sum(tokens) FROM reporting.daily_usage"
    done = llm_db_process("demo", "--logs", "300", "--dsn", empty_dsn, root=old_release(tmp_path))
    assert done.returncode == 0, done.stderr
    before = value(empty_dsn, counts)
    with copy_of(empty_dsn, server) as migrated:
        assert llm_db("migrate", "--dsn", migrated).returncode == 0
        expected = state(migrated)
    # yoyo made its tables itself then.
    assert [row for row in expected[0] if "._yoyo" in row] == [row for row in newest[0] if "._yoyo" in row] != []
    applied(empty_dsn, ours("0008"))
    assert state(empty_dsn) == expected
    assert value(empty_dsn, counts) == before


# Exactly the files

NASTY = r"""
CREATE SCHEMA llm;
CREATE FUNCTION llm.nasty(given int [] DEFAULT '{1,2,3}') RETURNS text LANGUAGE plpgsql AS $nasty$
DECLARE
    "name" text := ':name :''name'' :"name" \name \q \gexec {1} %s %(name)s $1 $$ $llm_db$ $llm_db1$';
BEGIN
    RETURN "name" || E'\t\\\x41' || given[1:2]::text || '한국어	tab' || (SELECT max(n) FROM unnest(given) AS n);
END
$nasty$;
COMMENT ON FUNCTION llm.nasty(int []) IS E'it''s \\ :name \n "x" -- no /* comment */ \\gset';
CREATE TABLE llm.nasty (a text DEFAULT '\', "B :name" int [] DEFAULT (ARRAY[1, 2, 3])[1:2]);
INSERT INTO llm.nasty (a) VALUES ('\'), (':name'), (E'\\'), ($$:'name' \! touch /tmp/x$$), (U&'\AC00');
/* :name ' unbalanced */ -- and :"name" here '
-- DOWN --
"""
NASTY_VIEW = r"""
CREATE OR REPLACE VIEW reporting.nasty AS
SELECT ':name' || a AS "a :name", '\' AS b FROM llm.nasty WHERE a <> ':''name''';
COMMENT ON VIEW reporting.nasty IS '\set name :name $llm_db';
-- $llm_db"""
HOSTILE = {
    "PGOPTIONS": "-c standard_conforming_strings=off -c backslash_quote=off -c search_path=public,pg_catalog"
    " -c default_transaction_read_only=on -c default_transaction_isolation=serializable -c DateStyle=German"
    " -c check_function_bodies=off -c quote_all_identifiers=on -c escape_string_warning=off -c lc_messages=C"
    " -c default_transaction_deferrable=on -c exit_on_error=on -c client_min_messages=error -c array_nulls=off"
    " -c transform_null_equals=on -c bytea_output=escape -c row_security=off -c IntervalStyle=sql_standard",
    "PGCLIENTENCODING": "EUC_KR",
    "PGTZ": "Asia/Seoul",
    "LC_ALL": "C",
}
START_UP = r"""
\set ON_ERROR_STOP off
\set ON_ERROR_ROLLBACK on
\set AUTOCOMMIT off
\set FETCH_COUNT 1
\set SINGLELINE on
\set name evil
\set llm_db_pid 1
\set QUIET off
\pset format html
\pset null nothing
\timing on
"""


def test_psql_sends_the_files_byte_for_byte_whatever_it_is_told(tmp_path, empty_dsn, server):
    first = {"0001.first": NASTY.replace("CREATE SCHEMA llm;", "CREATE SCHEMA llm; CREATE SCHEMA reporting;", 1)}
    root = checkout(tmp_path / "checkout", first, {"1_views/10_nasty": NASTY_VIEW})
    look = """
        SELECT jsonb_build_array(
            (SELECT prosrc FROM pg_proc WHERE proname = 'nasty'), (SELECT jsonb_agg(to_jsonb(n)) FROM llm.nasty AS n),
            obj_description('llm.nasty(int [])'::regprocedure), obj_description('reporting.nasty'::regclass),
            pg_get_viewdef('reporting.nasty'::regclass), llm.nasty(),
            (SELECT jsonb_agg(pg_get_expr(adbin, adrelid)) FROM pg_attrdef WHERE adrelid = 'llm.nasty'::regclass)
        )
    """
    with fresh_database(server) as migrated:
        done = llm_db("migrate", "--dsn", migrated, root=root)
        assert done.returncode == 0, done.stderr
        expected, seen = state(migrated), value(migrated, look)
    text = script("--from", "none", root=root)
    with fresh_database(server) as plain:
        applied(plain, text)
        assert (state(plain), value(plain, look)) == (expected, seen)
    start_up = tmp_path / "psqlrc"
    start_up.write_text(START_UP)
    upgrade = tmp_path / "upgrade.sql"
    upgrade.write_text(text, encoding="utf-8")
    command = [server_bin() / "psql", "--set", "name=evil", "-f", upgrade, "-d", empty_dsn]
    done = subprocess.run(command, env=environment(PSQLRC=str(start_up), **HOSTILE), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (state(empty_dsn), value(empty_dsn, look)) == (expected, seen)


def test_psql_of_another_version(versions, server):
    """A DBA's psql is seldom that of the server."""
    on_the_path = shutil.which("psql")
    folders = [*newer_bins().values(), *([Path(on_the_path).parent] if on_the_path else [])]
    if not folders:
        pytest.skip("there is no other psql than the server's")
    for folder in folders:
        with fresh_database(server) as dsn:
            applied(dsn, script("--from", "none", root=versions[3]), bin_folder=folder)
            assert llm_db("status", "--check", "--dsn", dsn, root=versions[3]).returncode == 0


def test_it_is_written_in_utf_8_in_every_locale():
    command = [sys.executable, "-m", "llm_db", "plan", "--script", "--from", "none"]
    variables = environment(PYTHONIOENCODING="euc-kr")
    assert subprocess.run(command, env=variables, capture_output=True, check=True).stdout.decode() == ours("none")


# Stopped, and run again

PAUSES = {
    # An index takes only what says that it is immutable.
    "0001.first": "CREATE SCHEMA llm; CREATE SCHEMA ops; CREATE SCHEMA reporting; CREATE TABLE llm.things (id int);"
    " INSERT INTO llm.things SELECT generate_series(1, 100);"
    " CREATE FUNCTION llm.slowly(n int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS"
    " 'BEGIN PERFORM pg_catalog.pg_sleep(0.0003); RETURN n; END'; -- DOWN --",
    "0002.more": "CREATE TABLE llm.more (id int); SELECT pg_sleep(0.03); INSERT INTO llm.more VALUES (1); -- DOWN --",
    "0003.index": "-- transactional: false\n"
    "CREATE INDEX CONCURRENTLY things_idx ON llm.things (llm.slowly(id)); -- DOWN --",
    "0004.last": "INSERT INTO llm.more VALUES (2); SELECT pg_sleep(0.02); INSERT INTO llm.more VALUES (3); -- DOWN --",
}
PAUSING = {
    "1_views/10_more": "CREATE OR REPLACE VIEW reporting.more AS SELECT id FROM llm.more;",
    "1_views/20_note": "CREATE OR REPLACE FUNCTION ops.note() RETURNS trigger LANGUAGE plpgsql"
    " AS 'BEGIN RETURN NULL; END';",
    "5_triggers/10_more": "CREATE OR REPLACE TRIGGER noted AFTER INSERT ON llm.more"
    " FOR EACH ROW EXECUTE FUNCTION ops.note();",
}


@pytest.fixture(scope="module")
def pausing(tmp_path_factory) -> Path:
    return checkout(tmp_path_factory.mktemp("pausing"), PAUSES, PAUSING)


KILLS = 6
TO_BE_KILLED = "FROM pg_stat_activity WHERE application_name = 'to be killed'"


def start(dsn: str, text: str) -> subprocess.Popen[str]:
    command = [server_bin() / "psql", "-X", "--file=-", "--dbname", dsn]
    with TemporaryFile("w+", encoding="utf-8") as file:
        file.write(text)
        file.seek(0)
        return subprocess.Popen(command, env=environment(), stdin=file, stderr=subprocess.PIPE, encoding="utf-8")


def wait_until(dsn: str, query: str) -> None:
    deadline = time.monotonic() + 20
    while not value(dsn, query):
        assert time.monotonic() < deadline, query
        time.sleep(0.01)


@pytest.mark.parametrize("killed", ["psql", "its backend"])
def test_killed_at_random_moments_and_run_again_the_end_is_the_same(pausing, server, killed):
    text = script("--from", "none", root=pausing)
    rows = "SELECT jsonb_agg(id ORDER BY id) FROM llm.more"
    with fresh_database(server) as dsn:
        began = time.monotonic()
        applied(dsn, text)
        took = time.monotonic() - began
        expected = state(dsn)
    moments = random.Random(killed)
    cut_short = 0
    for number in range(KILLS):
        with fresh_database(server) as dsn:
            running = start(make_conninfo(dsn, application_name="to be killed"), text)
            # Evenly over its time, so that each part of it is met.
            time.sleep(took * (number + moments.random()) / KILLS)
            if killed == "psql":
                running.send_signal(signal.SIGKILL)
            else:
                execute(dsn, f"SELECT pg_terminate_backend(pid) {TO_BE_KILLED}")
            running.communicate()
            assert running.returncode in (0, -signal.SIGKILL if killed == "psql" else 2)
            cut_short += running.returncode != 0
            wait_until(dsn, f"SELECT count(*) = 0 {TO_BE_KILLED}")
            # Either goes on where the other one was stopped.
            if number % 2:
                assert llm_db("migrate", "--dsn", dsn, root=pausing).returncode == 0
            else:
                applied(dsn, text)
            assert state(dsn) == expected
            assert value(dsn, rows) == [1, 2, 3]
    assert cut_short > KILLS / 2


def test_an_index_of_each_partition_that_was_cut_off_is_built_again(empty_dsn, newest):
    """One is INVALID, one is valid and not attached, one is attached, and the others are not there."""
    assert llm_db("migrate", "--dsn", empty_dsn, "--to", IDS[12]).returncode == 0
    done = files.migrations()[13]
    leaves = "SELECT jsonb_agg(relid::regclass ORDER BY relid) FROM pg_partition_tree('llm.session_logs') WHERE isleaf"
    names = [name.removeprefix("llm.") for name in value(empty_dsn, leaves)][:3]
    for name in names:
        execute(empty_dsn, f"CREATE INDEX {name}_request_time_idx ON llm.{name} (request_time)")
    execute(
        empty_dsn,
        f"""
        ALTER INDEX llm.session_logs_request_time_idx ATTACH PARTITION llm.{names[2]}_request_time_idx;
        UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'llm.{names[0]}_request_time_idx'::regclass;
        INSERT INTO llm_db.migrations (migration_id, state, up_sha256, down_sha256)
        VALUES ('{done.id}', 'started', '{done.sums["up_sha256"]}', '{done.sums["down_sha256"]}');
        """,
    )
    applied(empty_dsn, ours(IDS[12]))
    assert state(empty_dsn)[0] == newest[0]
    assert state(empty_dsn)[1] == []


def test_what_stopped_it_is_told_and_it_goes_on_from_there(tmp_path, empty_dsn):
    root = checkout(
        tmp_path,
        {
            "0001.first": "CREATE SCHEMA llm; CREATE TABLE llm.things (id int);-- DOWN --",
            "0002.check": "CREATE TABLE llm.half (id int);"
            " ALTER TABLE llm.things ADD CONSTRAINT small CHECK (id < 5);-- DOWN --",
            "0003.unique": "-- transactional: false\n"
            "CREATE UNIQUE INDEX CONCURRENTLY things_idx ON llm.things (id);-- DOWN --",
        },
    )
    text = script("--from", "none", root=root)
    assert llm_db("migrate", "--dsn", empty_dsn, "--to", "1", root=root).returncode == 0
    execute(empty_dsn, "INSERT INTO llm.things VALUES (1), (1), (9)")
    done = psql(empty_dsn, text)
    assert done.returncode == 3
    assert 'ERROR:  migrations/0002.check.sql: check constraint "small" of relation' in done.stderr
    assert "run the script again" in done.stderr
    assert value(empty_dsn, "SELECT to_regclass('llm.half') IS NULL")
    execute(empty_dsn, "DELETE FROM llm.things WHERE id = 9")
    done = psql(empty_dsn, text)
    assert (done.returncode, "could not create unique index" in done.stderr) == (3, True)
    assert llm_db("status", "--dsn", empty_dsn, root=root).stdout.count("half-done") == 1
    execute(empty_dsn, "DELETE FROM llm.things WHERE ctid = (SELECT max(ctid) FROM llm.things)")
    applied(empty_dsn, text)
    assert value(empty_dsn, "SELECT indisvalid FROM pg_index WHERE indexrelid = 'llm.things_idx'::regclass")


def test_a_statement_timeout_counts_for_a_step(tmp_path, empty_dsn):
    steps = "CREATE SCHEMA llm; SELECT pg_sleep(0.7); SELECT pg_sleep(0.7); -- DOWN --"
    text = script("--from", "none", root=checkout(tmp_path, {"0001.first": steps}))
    done = psql(empty_dsn, text, PGOPTIONS="-c statement_timeout=1s")
    assert (done.returncode, "canceling statement due to statement timeout" in done.stderr) == (3, True)
    assert value(empty_dsn, "SELECT to_regnamespace('llm') IS NULL")
    applied(empty_dsn, text)


def test_what_somebody_else_built_on_ours_stops_it_and_is_named(versions, at_versions, server):
    with copy_of(at_versions[1], server) as dsn:
        execute(dsn, "CREATE VIEW public.mine AS SELECT * FROM reporting.base")
        before = state(dsn)
        done = psql(dsn, script("--from", "0001", root=versions[1]))
        assert done.returncode == 3
        assert "Something that is not ours is built on ours" in done.stderr
        assert "view mine depends on view reporting.base" in done.stderr.replace("public.", "")
        assert state(dsn) == before
        execute(dsn, "DROP VIEW public.mine")
        applied(dsn, script("--from", "0001", root=versions[1]))


def test_a_lock_that_is_never_free_ends_it_with_nothing_of_the_file_kept(versions, at_versions, server):
    root = versions[2]
    text = script("--from", "0001", root=root)
    with copy_of(at_versions[1], server) as dsn:
        before = state(dsn)
        with psycopg.connect(dsn) as other:
            other.execute("SELECT FROM llm.sales")
            done = psql(dsn, quick(text))
        assert done.returncode == 3
        assert "canceling statement due to lock timeout (2 tries)" in done.stderr
        assert "trying again in" in done.stderr
        assert state(dsn) == before
        with psycopg.connect(dsn) as other:
            other.execute("SELECT FROM llm.sales")
            running = start(dsn, quick(text, retries=50))
            while "trying again in" not in (line := running.stderr.readline()):
                assert line, "it ended"
            other.rollback()
            told = running.stderr.read()
        assert running.wait() == 0, told
        assert llm_db("status", "--check", "--dsn", dsn, root=root).returncode == 0


# Beside others


def test_two_scripts_at_once_and_a_migrate_take_turns(pausing, server):
    text = script("--from", "none", root=pausing)
    with fresh_database(server) as dsn:
        applied(dsn, text)
        expected = state(dsn)
    for others in (1, 0):
        with fresh_database(server) as dsn:
            running = [start(dsn, text) for _ in range(1 + others)]
            if not others:
                assert llm_db("migrate", "--dsn", dsn, root=pausing).returncode == 0
            for one in running:
                told = one.stderr.read()
                assert one.wait() == 0, told
            assert state(dsn) == expected


def test_who_is_at_work_is_told_and_not_waited_for_for_ever(pausing, empty_dsn, server):
    text = quick(script("--from", "none", root=pausing))
    with psycopg.connect(empty_dsn, autocommit=True, application_name="the night shift") as other:
        other.execute("SELECT pg_advisory_lock(%s)", [LOCK])
        done = psql(empty_dsn, text)
        assert done.returncode == 3
        assert "Another llm-db, or script, is still at work on this database after 1 s: pid" in done.stderr
        assert "the night shift" in done.stderr
        assert value(empty_dsn, "SELECT to_regnamespace('llm_db') IS NULL")
        other.execute("SELECT pg_advisory_unlock_all()")
        applied(empty_dsn, text)
        with other.transaction():
            other.execute("LOCK TABLE llm_db.turn IN SHARE UPDATE EXCLUSIVE MODE")
            done = psql(empty_dsn, text)
    assert (done.returncode, "the night shift" in done.stderr) == (3, True)


def test_who_may_not_migrate_cannot_keep_a_script_away(pausing, empty_dsn):
    role = f"stranger_{uuid.uuid4().hex}"
    execute(empty_dsn, f"CREATE ROLE {role} LOGIN")
    try:
        with psycopg.connect(make_conninfo(empty_dsn, user=role), autocommit=True) as stranger:
            stranger.execute("SELECT pg_advisory_lock(%s)", [LOCK])
            assert "Not waited for" in applied(empty_dsn, script("--from", "none", root=pausing))
    finally:
        execute(empty_dsn, f"DROP ROLE {role}")


# What is refused, before anything is changed


EDIT = "UPDATE llm_db.migrations SET up_sha256 = 'x' WHERE migration_id = '0001.first'"
FORGET = """
DELETE FROM llm_db._yoyo_migration WHERE migration_id = '0002.types';
DELETE FROM llm_db.migrations WHERE migration_id = '0002.types';
"""
UNDOING = "UPDATE llm_db.migrations SET state = 'undoing' WHERE migration_id = '0003.index'"


@pytest.mark.parametrize(
    ("begins", "at", "change", "options", "told"),
    [
        ("0003", 1, "", (), "0002.types is not applied, and this script goes on from later ones."),
        ("0001", 0, "", (), "0001.first is not applied, and this script goes on from later ones."),
        ("none", 4, "", (), "0004.column is applied, and this script does not know it."),
        ("0001", 1, EDIT, (), "0001.first was applied from other files than this script knows."),
        ("0001", 3, EDIT, (), "0001.first was applied from other files than this script knows."),
        ("0001", 3, FORGET, (), "0002.types is late: a migration after it is applied."),
        ("0001", 3, UNDOING, (), "0003.index began outside a transaction and was not seen to end."),
        ("0001", 1, "", ("--single-transaction",), "A transaction is open"),
        ("0001", 1, "", ("--command", "BEGIN"), "A transaction is open"),
        ("0001", 1, "", ("--set", "VERSION_NUM=140012"), "This psql is older than 15."),
    ],
)
def test_another_state_is_refused_and_left_alone(versions, at_versions, server, begins, at, change, options, told):
    text = script("--from", begins, root=versions[2])
    with copy_of(at_versions[at], server) as dsn:
        if change:
            execute(dsn, change)
        before = state(dsn)
        done = psql(dsn, text, *options)
        assert done.returncode == 3, done.stderr
        assert f"ERROR:  {told}" in done.stderr
        assert "HINT:" in done.stderr
        assert state(dsn) == before


@pytest.mark.parametrize(("at", "told"), [(1, "does not own what is there."), (0, "lacks rights.")])
def test_who_is_not_the_owner_is_refused(versions, at_versions, server, at, told):
    role = f"another_{uuid.uuid4().hex}"
    execute(server, f"CREATE ROLE {role} LOGIN")
    try:
        with copy_of(at_versions[at], server) as dsn:
            before = state(dsn)
            last = "0001" if at else "none"
            done = psql(make_conninfo(dsn, user=role), script("--from", last, root=versions[2]))
            assert done.returncode == 3
            assert f"ERROR:  {role} {told}" in done.stderr
            assert state(dsn) == before
    finally:
        execute(server, f"DROP ROLE {role}")


def test_a_database_in_another_encoding_is_refused(server, versions):
    name = f"latin_{uuid.uuid4().hex}"
    execute(server, f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'")
    try:
        done = psql(make_conninfo(server, dbname=name), script("--from", "none", root=versions[0]))
        assert (done.returncode, "is not encoded in UTF8" in done.stderr) == (3, True)
    finally:
        execute(server, f"DROP DATABASE {name}")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--from", "0001"), "--from is for --script."),
        (("--script", "--from", "none", "--dsn", "host=nowhere"), "the script asks no database"),
        (("--script", "--from", "9999"), "There is no migration 9999."),
        (("--script", "--from", "none", "--json"), "--script writes a file for psql"),
        (("--script", "--from", "none", "--locks"), "--script writes a file for psql"),
        (("--script", "--from", "none", "--scratch", "host=nowhere"), "--script writes a file for psql"),
    ],
)
def test_wrong_options_are_usage_errors(arguments, told):
    done = llm_db("plan", *arguments)
    assert (done.returncode, told in done.stderr) == (2, True)


def test_a_history_that_is_not_in_order_gets_no_script(versions, at_versions, server):
    with copy_of(at_versions[2], server) as dsn:
        execute(dsn, EDIT)
        done = llm_db("plan", "--script", "--dsn", dsn, root=versions[2])
        assert (done.returncode, "0001.first has been edited" in done.stderr) == (5, True)


# The session, and the page


def test_it_leaves_nothing_in_the_session(versions, empty_dsn):
    """Read in by somebody at work, who then goes on."""
    look = """
        SELECT concat_ws(' ', current_setting('DateStyle'), current_setting('search_path'),
            current_setting('client_encoding'),
            (SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'advisory'),
            (SELECT count(*) FROM pg_class WHERE relpersistence = 't'),
            (SELECT count(*) FROM pg_proc WHERE proname LIKE 'llm\\_db%'));
    """
    text = f"{look}\n{script('--from', 'none', root=versions[3])}\n{look}"
    done = psql(empty_dsn, text, "-At", PGOPTIONS="-c DateStyle=German")
    assert done.returncode == 0, done.stderr
    before, after = (line for line in done.stdout.splitlines() if line.startswith("German"))
    assert before == after


def test_a_role_owns_what_is_made_where_the_session_acts_as_it(versions, server):
    role = f"owner_{uuid.uuid4().hex}"
    execute(server, f"CREATE ROLE {role} CREATEROLE")
    try:
        with fresh_database(server) as dsn:
            execute(dsn, f"GRANT CREATE ON DATABASE {conninfo_to_dict(dsn)['dbname']} TO {role}")
            text = script("--from", "none", root=versions[3])
            applied(dsn, text, PGOPTIONS=f"-c role={role}")
            owners = "SELECT jsonb_agg(DISTINCT relowner::regrole) FROM pg_class WHERE relnamespace::regnamespace::text"
            assert value(dsn, f"{owners} IN ('llm', 'llm_db', 'reporting', 'ops')") == [role]
            assert value(dsn, "SELECT jsonb_agg(DISTINCT applied_by) FROM llm_db.migrations") == ["postgres"]
    finally:
        execute(server, f"DROP ROLE {role}")


def test_the_page_is_followed_word_for_word(empty_dsn, tmp_path):
    assert llm_db("migrate", "--to", "0008", "--dsn", empty_dsn).returncode == 0
    done = shell(documented("docs/psql-script.md", "script"), tmp_path, DATABASE_URL=empty_dsn)
    assert done.returncode == 0, done.stderr
    assert "There was nothing to do" in done.stderr
