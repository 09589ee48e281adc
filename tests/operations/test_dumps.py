"""What comes out of a dump is what went in, or is refused by name: by check, and by whatever would be wrong."""

import re
import subprocess
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from rehearsal import filled, goes_on, reports

from cluster import newer_bins, server_bin
from command import checkout, documented, llm_db, shell
from company import CLOSED_BEFORE, found
from conftest import fresh_database
from llm_db import catalog, check, files, repeatables
from llm_db.queries import query
from rollup_model import assert_exact, make_model

LOST = "rollup.state"


def run(program: Path | str, *arguments: str) -> None:
    done = subprocess.run([str(program), *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


# How it is dumped, how that is restored, and whether grants are gone.
FORMATS = {
    "custom": (["--format=custom"], [], False),
    "custom without owners": (["--format=custom"], ["--no-owner"], False),
    "custom without grants": (["--format=custom"], ["--no-privileges"], True),
    "directory": (["--format=directory", "--jobs=2"], ["--jobs=2"], False),
    "tar": (["--format=tar"], [], False),
    "plain": (["--format=plain"], None, False),
    "plain, rows by INSERT": (["--format=plain", "--inserts", "--load-via-partition-root"], None, False),
}


def restore(bin_folder: Path, dump: Path, arguments: list[str] | None, dsn: str) -> None:
    """With the programs of the server that it goes to."""
    if arguments is None:
        run(bin_folder / "psql", "-qX", "--set=ON_ERROR_STOP=1", f"--dbname={dsn}", f"--file={dump}")
    else:
        run(bin_folder / "pg_restore", "--exit-on-error", *arguments, f"--dbname={dsn}", str(dump))


@pytest.fixture
def owner(server: str) -> Iterator[str]:
    """A role that owns its databases and is no superuser."""
    name = f"owner_{uuid.uuid4().hex}"
    with psycopg.connect(server, autocommit=True) as admin:
        admin.execute(f"CREATE ROLE {name} LOGIN")
        yield name
        admin.execute(f"DROP ROLE {name}")


def test_a_restore_of_every_format_is_no_drift_on_any_version(
    db: psycopg.Connection, dsn: str, server: str, newer: Callable[[str], str], owner: str, tmp_path: Path
) -> None:
    filled(db, CLOSED_BEFORE["half closed"])
    told = reports(dsn)
    servers = {"same": (server_bin(), server)} | {name: (folder, newer(name)) for name, folder in newer_bins().items()}
    with ExitStack() as ending, ThreadPoolExecutor(2) as pool:
        for maintenance in [newer(name) for name in newer_bins()]:
            with psycopg.connect(maintenance, autocommit=True) as admin:
                for role in re.findall("CREATE ROLE .*;", documented("docs/backup.md", "roles of another cluster")):
                    admin.execute(role)
        dumps = {name: tmp_path / name for name in FORMATS}
        made = [
            pool.submit(run, server_bin() / "pg_dump", *FORMATS[name][0], f"--dbname={dsn}", f"--file={path}")
            for name, path in dumps.items()
        ]
        [one.result() for one in made]
        restored = {
            (name, version): ending.enter_context(fresh_database(servers[version][1]))
            for name in FORMATS
            for version in servers
            if version == "same" or name in ("custom", "plain")
        }
        owned = restored["custom without owners", "same"]
        with psycopg.connect(server, autocommit=True) as admin:
            admin.execute(f"ALTER DATABASE {conninfo_to_dict(owned)['dbname']} OWNER TO {owner}")
        made = [
            pool.submit(
                restore,
                servers[version][0],
                dumps[name],
                FORMATS[name][1],
                make_conninfo(to, user=owner) if to == owned else to,
            )
            for (name, version), to in restored.items()
        ]
        [one.result() for one in made]
        scratches = {
            version: ending.enter_context(check.built(files.migrations(), repeatables.files(), maintenance)).connection
            for version, (_, maintenance) in servers.items()
        }
        for (name, version), to in [(("nothing", "same"), dsn), *restored.items()]:
            for scratch, should in scratches.items():
                with psycopg.connect(to, autocommit=True) as connection:
                    differences = check.compared(should, connection, with_repeatables=True)
                gone = {one.kind for one in differences}
                wanted = {"grant"} if name in FORMATS and FORMATS[name][2] else set()
                assert gone == wanted, (name, version, scratch, [str(one) for one in differences])
            if version != "same" or name in ("custom", "plain, rows by INSERT"):
                # Some count days until now, and midnight may have come.
                assert (said := reports(to)) == told or said == reports(dsn), (name, version)
            if to != dsn and version == "same":
                goes_on(to)


# In each place, what PostgreSQL prints otherwise once it has read what it printed.
KNOWN = "name IN ('a', 'b')"
TABLE = f"""
CREATE SCHEMA llm; CREATE SCHEMA reporting; CREATE SCHEMA ops; CREATE SCHEMA rollup;
CREATE TABLE llm.users (
    name     varchar(9) CONSTRAINT users_name_is_known CHECK ({KNOWN}),
    is_known boolean DEFAULT ('c'::varchar IN ('a', 'b')),
    is_a     boolean GENERATED ALWAYS AS ({KNOWN}) STORED
);
CREATE INDEX users_known_idx ON llm.users (name) WHERE {KNOWN};
CREATE FUNCTION llm.nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
-- DOWN -- DROP TABLE llm.users;
"""
FILES = {
    "1_views/10_known": f"CREATE OR REPLACE VIEW reporting.known AS SELECT * FROM llm.users WHERE {KNOWN};",
    "1_views/20_known": "CREATE OR REPLACE FUNCTION llm.known(name varchar, again boolean DEFAULT"
    f" 'c'::varchar IN ('a', 'b')) RETURNS boolean LANGUAGE sql RETURN {KNOWN};",
    "3_triggers/10_users": "CREATE OR REPLACE TRIGGER known BEFORE INSERT ON llm.users FOR EACH ROW"
    f" WHEN (NEW.{KNOWN}) EXECUTE FUNCTION llm.nothing();",
}
PRINTED_OTHERWISE = {
    ("column", "default"),
    ("column", "generated"),
    ("constraint", "definition"),
    ("function", "arguments"),
    ("function", "body"),
    ("index", "definition"),
    ("trigger", "definition"),
    ("view", "definition"),
}


def texts(dsn: str) -> set[tuple[str, str, str, str | None]]:
    with psycopg.connect(dsn, options="-c search_path=pg_catalog") as connection:
        return {
            (kind, prop, name, text)
            for (kind, name), entry in catalog.read(connection).items()
            for prop, text in entry.properties.items()
        }


def test_what_is_printed_otherwise_after_a_restore_is_the_same_and_a_change_is_not(
    empty_dsn: str, new_dsn: str, server: str, tmp_path: Path
) -> None:
    root = checkout(tmp_path / "root", {"0001.users": TABLE}, FILES)
    assert llm_db("migrate", "--dsn", empty_dsn, root=root).returncode == 0
    run(server_bin() / "pg_dump", "--format=custom", f"--dbname={empty_dsn}", f"--file={tmp_path / 'dump'}")
    restore(server_bin(), tmp_path / "dump", [], new_dsn)
    assert {(kind, prop) for kind, prop, *_ in texts(empty_dsn) ^ texts(new_dsn)} == PRINTED_OTHERWISE
    done = llm_db("check", "--dsn", new_dsn, "--scratch", server, root=root)
    assert done.returncode == 0, done.stdout
    other = KNOWN.replace("b", "c")
    for path in [*root.rglob("migrations/0001.users.sql"), *root.rglob("views/*/*.sql")]:
        path.write_text(path.read_text().replace(KNOWN, other).replace("'c'::varchar IN ('a', 'b')", "NOT (1 = 2)"))
    should_be = {
        "column llm.users.is_a: generated",
        "column llm.users.is_known: default",
        "constraint llm.users.users_name_is_known: definition",
        "function llm.known(character varying,boolean): arguments",
        "function llm.known(character varying,boolean): body",
        "index llm.users_known_idx: definition",
        "trigger llm.users.known: definition",
        "view reporting.known: definition",
    }
    done = llm_db("check", "--dsn", new_dsn, "--scratch", server, root=root)
    assert {re.split(" is | differs", line)[0] for line in done.stdout.splitlines()[:-1]} == should_be, done.stdout


def with_rows(db: psycopg.Connection) -> dict[str, list[str]]:
    """The tables in which a new database has rows, with their keys."""
    keys = dict(db.execute(query("keys"), {"schemas": catalog.SCHEMAS}).fetchall())
    return {
        table: key for table, key in keys.items() if db.execute(f"SELECT EXISTS (SELECT FROM {table})").fetchone()[0]
    }


def delete(db: psycopg.Connection, table: str) -> None:
    """Without any trigger, of foreign keys neither: as a restore leaves it."""
    with db.transaction():
        db.execute("SET LOCAL session_replication_role = replica")
        db.execute(f"DELETE FROM {table}")


def compared(dsn: str, server: str) -> list[str]:
    with psycopg.connect(dsn, autocommit=True) as connection:
        return [str(one) for one in check.check(connection, server).differences]


def test_rows_that_a_new_database_has_are_missed_and_put_back(db: psycopg.Connection, dsn: str, server: str) -> None:
    tables = with_rows(db)
    assert LOST in tables
    assert len(tables) == 10
    lists = {table: set(db.execute(f"SELECT {', '.join(key)} FROM {table}")) for table, key in tables.items()}
    filled(db, CLOSED_BEFORE["closed"])
    make_model(db)
    for table in tables:
        delete(db, table)
    lines = compared(dsn, server)
    assert [line.split(":")[0] for line in lines if "lacks the rows" in line] == [f"table {table}" for table in tables]
    assert [line for line in lines if " model" not in line and "lacks the rows" not in line] == []
    done = llm_db("migrate", "--dsn", dsn)
    assert done.returncode == 0, done.stderr
    assert "warning: rollup.state had lost its row" in done.stderr
    assert {table: set(db.execute(f"SELECT {', '.join(key)} FROM {table}")) for table, key in tables.items()} == lists
    assert not any("lacks the rows" in line for line in compared(dsn, server))
    assert_exact(db)
    db.execute("CALL ops.refresh_rollups('2024-03-12 00:00Z')")
    assert_exact(db)


WRITES = {
    "log": "INSERT INTO llm.session_logs (session_id, request_time, deployment_id) VALUES (%s, '2024-03-11Z', 1)",
    "log of now": "INSERT INTO llm.session_logs (session_id, request_time, deployment_id) VALUES (%s, now(), 1)",
    "correction": "UPDATE llm.session_logs SET token_used = 5 WHERE session_id = %s",
    "deleted log": "DELETE FROM llm.session_logs WHERE session_id = %s",
    "session": "UPDATE llm.sessions SET session_type = 'test' WHERE session_id = %s",
    "preset": "UPDATE llm.model_configs SET max_tokens = 7 WHERE %s::uuid IS NOT NULL",
    "deployment": "UPDATE llm.deployments SET model_id = 2 WHERE deployment_id = 1 AND %s::uuid IS NOT NULL",
    "refresh": "CALL ops.refresh_rollups('2024-03-12Z', '1 s', CASE WHEN %s::uuid IS NOT NULL THEN 9 END)",
    "restart": "SELECT ops.restart_rollups() WHERE %s::uuid IS NOT NULL",
    "month": "SELECT ops.drop_month('2024-03-01', with_running => true) WHERE %s::uuid IS NOT NULL",
}


@pytest.mark.parametrize("close_before", CLOSED_BEFORE.values(), ids=CLOSED_BEFORE)
def test_without_its_state_nothing_answers_wrongly(db: psycopg.Connection, dsn: str, close_before: str | None) -> None:
    filled(db, close_before)
    told = reports(dsn)
    session = db.execute("SELECT session_id FROM llm.session_logs LIMIT 1").fetchone()[0]
    delete(db, LOST)
    said = reports(dsn)
    refused = {name for name, text in said.items() if LOST in str(text) and "llm-db migrate puts" in str(text)}
    assert {name: said[name] for name in said.keys() - refused} == {name: told[name] for name in told.keys() - refused}
    assert {"daily_usage", "daily_sessions", "active_users", "deployment_gpu_hours", "requests", "time_zone"} <= refused
    assert "ops.rollups" in refused
    for name, statement in WRITES.items():
        with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState) as error:
            db.execute(statement, [session])
        assert LOST in error.value.diag.message_primary, name
        assert "llm-db migrate" in error.value.diag.message_hint, name


SUMS = ", ".join(
    f"rollup.{name}"
    for name in (
        *("usage", "sessions", "hours", "slowest", "activity"),
        *("deployment_usage", "running", "costs", "user_costs", "priced_days"),
    )
)
# Which rows were not restored, and which reports notice.
PARTIAL = {
    "sums": (f"TRUNCATE {SUMS}", {"daily_usage", "daily_sessions", "hourly_usage_by_deployment"}),
    "sums of logs": ("TRUNCATE rollup.usage", {"daily_usage", "hourly_usage_by_deployment", "active_users"}),
    "sums of sessions": ("TRUNCATE rollup.sessions", {"daily_sessions"}),
    "state": (
        "UPDATE rollup.state SET closed_before = DEFAULT, noted_before = DEFAULT, activity_before = DEFAULT",
        {"daily_usage", "daily_sessions", "hourly_usage_by_deployment", "active_users"},
    ),
}


@pytest.mark.parametrize(("statement", "notice"), PARTIAL.values(), ids=PARTIAL)
def test_sums_that_do_not_belong_to_the_state_are_refused(
    db: psycopg.Connection, dsn: str, statement: str, notice: set[str]
) -> None:
    found(db, CLOSED_BEFORE["closed"])
    db.execute("SELECT llm.create_month('2024-03-01')")
    make_model(db)
    db.execute(statement)
    said = reports(dsn)
    assert {name for name in notice if "ops.restart_rollups()" not in str(said[name])} == set()
    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match=r"rollup\.state says"):
        db.execute("CALL ops.refresh_rollups('2024-03-13Z')")
    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState):
        db.execute("SELECT ops.drop_month('2024-03-01', true)")
    db.execute("SELECT ops.restart_rollups()")
    assert_exact(db)
    db.execute("CALL ops.refresh_rollups('2024-03-12 00:00Z')")
    assert_exact(db)


@pytest.fixture
def new_dsn(server: str) -> Iterator[str]:
    with fresh_database(server) as dsn:
        yield dsn


def follow(name: str, folder: Path, old: str, new: str) -> None:
    done = shell(documented("docs/backup.md", name), folder, OLD=old, NEW=new)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", ["restore", "restore of the rows"])
def test_a_restore_as_documented_is_the_same_database(
    db: psycopg.Connection, dsn: str, new_dsn: str, server: str, tmp_path: Path, name: str
) -> None:
    filled(db, CLOSED_BEFORE["half closed"])
    told = reports(dsn)
    uses = "SELECT template_id, usage_count FROM llm.prompt_templates ORDER BY 1"
    follow(name, tmp_path, dsn, new_dsn)
    assert compared(new_dsn, server) == []
    assert reports(new_dsn) == told
    with psycopg.connect(new_dsn, autocommit=True) as restored:
        assert restored.execute(uses).fetchall() == db.execute(uses).fetchall()
        # What was done to make a database for the rows is on record too.
        changes = "SELECT tableoid::regclass::text, c::text FROM audit.changes AS c"
        assert set(db.execute(changes)) <= set(restored.execute(changes))
        make_model(restored)
        restored.execute("CALL ops.refresh_rollups('2024-03-12 00:00Z')")
        assert_exact(restored)


def test_a_schema_restored_as_documented_is_a_new_database(
    db: psycopg.Connection, dsn: str, new_dsn: str, server: str, tmp_path: Path
) -> None:
    filled(db, CLOSED_BEFORE["half closed"])
    follow("restore of the schema", tmp_path, dsn, new_dsn)
    assert compared(new_dsn, server) == []
    with psycopg.connect(new_dsn, autocommit=True) as restored:
        make_model(restored)
        found(restored, CLOSED_BEFORE["half closed"])
        assert_exact(restored)


def test_a_schema_without_its_ledger_is_adopted_and_then_right(
    db: psycopg.Connection, dsn: str, new_dsn: str, server: str, tmp_path: Path
) -> None:
    run(server_bin() / "pg_dump", "--schema-only", "--format=custom", f"--dbname={dsn}", f"--file={tmp_path / 'dump'}")
    restore(server_bin(), tmp_path / "dump", [], new_dsn)
    newest = files.migrations()[-1].id
    done = llm_db("migrate", "--dsn", new_dsn)
    assert done.returncode == 1
    assert "adopt what is there: `llm-db baseline`" in done.stderr
    done = llm_db("baseline", "--to", newest, "--dsn", new_dsn, "--scratch", server)
    assert done.returncode == 0, done.stdout + done.stderr
    assert [line.split(":")[0] for line in done.stdout.splitlines() if "lacks the rows" in line] == [
        f"table {table}" for table in with_rows(db)
    ]
    assert llm_db("migrate", "--dsn", new_dsn).returncode == 0
    assert compared(new_dsn, server) == []


@pytest.mark.parametrize(
    ("arguments", "refreshed"),
    [([], False), (["--disable-triggers"], True)],
    ids=["with triggers", "without triggers, refreshed"],
)
def test_rows_restored_over_what_migrate_made_are_refused_or_right_after_a_restart(
    db: psycopg.Connection, dsn: str, new_dsn: str, tmp_path: Path, arguments: list[str], refreshed: bool
) -> None:
    """Not as documented: pg_restore says so, and goes on."""
    filled(db, CLOSED_BEFORE["closed"])
    run(server_bin() / "pg_dump", "--data-only", "--format=custom", f"--dbname={dsn}", f"--file={tmp_path / 'dump'}")
    assert llm_db("migrate", "--dsn", new_dsn).returncode == 0
    with psycopg.connect(new_dsn, autocommit=True) as restored:
        restored.execute("SELECT llm.create_month('2024-03-01')")
        if refreshed:
            restored.execute("CALL ops.refresh_rollups()")
        done = subprocess.run(
            [server_bin() / "pg_restore", "--data-only", *arguments, f"--dbname={new_dsn}", tmp_path / "dump"],
            capture_output=True,
            text=True,
        )
        assert done.returncode == 1
        assert 'violates unique constraint "state_pkey"' in done.stderr
        if not refreshed:
            assert "ops.restart_rollups()" in str(reports(new_dsn)["daily_usage"])
        make_model(restored)
        restored.execute("SELECT ops.restart_rollups()")
        assert_exact(restored)
        restored.execute("CALL ops.refresh_rollups('2024-03-12 00:00Z')")
        assert_exact(restored)
