"""`llm-db plan`: what it says of each file, and what `--locks` sees on a scratch copy."""

import json
import uuid
from collections.abc import Iterator

import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from command import checkout, execute, llm_db, value

TABLES = """
CREATE TABLE public.parents (id bigint PRIMARY KEY);
CREATE TABLE public.a (id int, note varchar(10), parent_id bigint);
CREATE TABLE public.other (id int);
-- DOWN --
"""


def planned(root, dsn: str, *arguments: str) -> list[dict]:
    done = llm_db("plan", "--locks", "--json", "--dsn", dsn, *arguments, root=root)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def migrated_to_tables(root, dsn: str) -> None:
    done = llm_db("migrate", "--dsn", dsn, "--to", "1", root=root)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("ALTER TABLE public.a ADD COLUMN b int DEFAULT 1", {"a": ("ACCESS EXCLUSIVE", False, False)}),
        ("ALTER TABLE public.a ADD COLUMN b float DEFAULT random()", {"a": ("ACCESS EXCLUSIVE", True, True)}),
        ("ALTER TABLE public.a ALTER id TYPE bigint", {"a": ("ACCESS EXCLUSIVE", True, True)}),
        ("ALTER TABLE public.a ALTER note TYPE varchar(20)", {"a": ("ACCESS EXCLUSIVE", False, False)}),
        ("ALTER TABLE public.a ADD CONSTRAINT c CHECK (id > 0)", {"a": ("ACCESS EXCLUSIVE", False, True)}),
        ("ALTER TABLE public.a ADD CONSTRAINT c CHECK (id > 0) NOT VALID", {"a": ("ACCESS EXCLUSIVE", False, False)}),
        ("ALTER TABLE public.a ALTER id SET NOT NULL", {"a": ("ACCESS EXCLUSIVE", False, True)}),
        ("CREATE INDEX a_idx ON public.a (id)", {"a": ("SHARE", False, True)}),
        (
            "ALTER TABLE public.a ADD FOREIGN KEY (parent_id) REFERENCES public.parents",
            {"a": ("SHARE ROW EXCLUSIVE", False, True), "parents": ("SHARE ROW EXCLUSIVE", False, False)},
        ),
        (
            "ALTER TABLE public.a ADD FOREIGN KEY (parent_id) REFERENCES public.parents NOT VALID",
            {"a": ("SHARE ROW EXCLUSIVE", False, False), "parents": ("SHARE ROW EXCLUSIVE", False, False)},
        ),
        ("LOCK TABLE public.a IN EXCLUSIVE MODE; SELECT id FROM public.a", {"a": ("EXCLUSIVE", False, True)}),
        ("DROP TABLE public.a", {"a": ("ACCESS EXCLUSIVE", False, False)}),
        ("CREATE TABLE public.b (id int)", {}),
    ],
)
def test_locks_tells_what_a_migration_does_to_tables_that_were_there(tmp_path, empty_dsn, statement, expected):
    root = checkout(tmp_path, {"0001.tables": TABLES, "0002.change": f"{statement};\n-- DOWN --"})
    migrated_to_tables(root, empty_dsn)
    (plan,) = planned(root, empty_dsn)
    assert plan["id"] == "0002.change"
    assert {
        touched["table"].removeprefix("public."): (touched["lock"], touched["rewrites"], touched["scans"])
        for touched in plan["locks"]
    } == expected


def test_locks_looks_at_each_file_by_itself_and_only_at_tables_of_the_target(tmp_path, empty_dsn):
    root = checkout(
        tmp_path,
        {
            "0001.tables": TABLES,
            "0002.new": "CREATE TABLE public.new (id int); ALTER TABLE public.a ALTER id TYPE bigint; -- DOWN --",
            "0003.index": "-- transactional: false\nCREATE INDEX CONCURRENTLY a_idx ON public.a (id);\n-- DOWN --",
            "0004.more": "ALTER TABLE public.new ADD b int; ALTER INDEX public.a_idx RENAME TO b_idx;"
            " CREATE INDEX other_idx ON public.other (id); -- DOWN --",
        },
    )
    migrated_to_tables(root, empty_dsn)
    done = llm_db("plan", "--locks", "--dsn", empty_dsn, root=root)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "-- 0002.new (in one transaction)",
        "--   public.a  ACCESS EXCLUSIVE  rewrites it",
        "-- 0003.index (NOT in a transaction)",
        "--   not examined: it takes its locks one after the other",
        "-- 0004.more (in one transaction)",
        "--   public.other  SHARE  scans it",
        "-- 3 migrations and 0 repeatables are pending, reference data comes with them",
    ]


def test_locks_drops_its_copy_and_writes_nothing_to_the_target(tmp_path, empty_dsn, server, role):
    root = checkout(tmp_path, {"0001.tables": TABLES, "0002.change": "ALTER TABLE public.a ADD b int; -- DOWN --"})
    migrated_to_tables(root, empty_dsn)
    execute(server, f'ALTER ROLE "{role}" CREATEDB')
    # A target that cannot be written to is examined like any other.
    name = conninfo_to_dict(empty_dsn)["dbname"]
    execute(server, f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
    (plan,) = planned(root, empty_dsn, "--scratch", make_conninfo(server, user=role))
    assert plan["locks"]
    assert owned_databases(server, role) == 0


def test_locks_drops_its_copy_also_when_a_file_fails(tmp_path, empty_dsn, server, role):
    root = checkout(tmp_path, {"0001.tables": TABLES, "0002.bad": "SELECT 1;\nSELECT nowhere; -- DOWN --"})
    migrated_to_tables(root, empty_dsn)
    execute(server, f'ALTER ROLE "{role}" CREATEDB')
    scratch = make_conninfo(server, user=role)
    done = llm_db("plan", "--locks", "--scratch", scratch, "--dsn", empty_dsn, root=root)
    assert done.returncode == 1
    assert "migrations/0002.bad.sql, line 2: 42703" in done.stderr
    assert owned_databases(server, role) == 0


def test_locks_without_createdb_says_what_to_do(tmp_path, empty_dsn, server, role):
    root = checkout(tmp_path, {"0001.tables": TABLES, "0002.change": "ALTER TABLE public.a ADD b int; -- DOWN --"})
    migrated_to_tables(root, empty_dsn)
    scratch = make_conninfo(server, user=role)
    done = llm_db("plan", "--locks", "--scratch", scratch, "--dsn", empty_dsn, root=root)
    assert done.returncode == 2
    assert "No scratch database can be made" in done.stderr
    assert "hint: name another server with --scratch DSN" in done.stderr


def test_locks_on_an_empty_database_has_nothing_to_lock_and_makes_no_copy(tmp_path, empty_dsn):
    root = checkout(tmp_path, {"0001.role": "CREATE ROLE made_by_a_plan; -- DOWN --"})
    assert planned(root, empty_dsn)[0]["locks"] == []
    assert value(empty_dsn, "SELECT count(*) FROM pg_roles WHERE rolname = 'made_by_a_plan'") == 0


def test_the_last_pending_file_is_rolled_back_roles_and_all(tmp_path, empty_dsn):
    root = checkout(tmp_path, {"0001.tables": TABLES, "0002.role": "CREATE ROLE made_by_a_plan; -- DOWN --"})
    migrated_to_tables(root, empty_dsn)
    assert planned(root, empty_dsn)[0]["locks"] == []
    assert value(empty_dsn, "SELECT count(*) FROM pg_roles WHERE rolname = 'made_by_a_plan'") == 0


def test_scratch_is_for_locks(empty_dsn):
    done = llm_db("plan", "--scratch", empty_dsn, "--dsn", empty_dsn)
    assert done.returncode == 2
    assert "hint: add --locks" in done.stderr


def test_plan_says_which_files_have_no_transaction(tmp_path, empty_dsn):
    index = "-- transactional: false\nCREATE INDEX CONCURRENTLY a_idx ON public.a (id);\n-- DOWN --"
    root = checkout(tmp_path, {"0001.tables": TABLES, "0002.index": index})
    done = llm_db("plan", "--dsn", empty_dsn, root=root)
    assert "-- 0001.tables (in one transaction)" in done.stdout
    assert "-- 0002.index (NOT in a transaction)" in done.stdout
    plan = json.loads(llm_db("plan", "--json", "--dsn", empty_dsn, root=root).stdout)
    assert [(one["kind"], one["id"], one["transactional"]) for one in plan] == [
        ("migration", "0001.tables", True),
        ("migration", "0002.index", False),
    ]
    assert "CREATE INDEX CONCURRENTLY" in plan[1]["sql"]
    assert "locks" not in plan[1]


@pytest.fixture
def role(server: str) -> Iterator[str]:
    """A role that may log in and nothing else."""
    name = f"llm_test_{uuid.uuid4().hex}"
    execute(server, f'CREATE ROLE "{name}" LOGIN')
    yield name
    execute(server, f'DROP ROLE "{name}"')


def owned_databases(server: str, role: str) -> object:
    return value(server, f"SELECT count(*) FROM pg_database WHERE pg_get_userbyid(datdba) = '{role}'")
