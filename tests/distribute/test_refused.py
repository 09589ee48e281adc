"""What `llm-db distribute` refuses, there and back: each reason appears where it holds, and is gone by its way out."""

import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from test_distribute import make_logs

import citus
from citus import needs_a_cluster
from llm_db import database, distribute, migrate, sql_text

pytestmark = needs_a_cluster

EITHER = {
    "the month 2027-09 is not whole": "SELECT llm.create_month('2027-09-01');"
    " ALTER TABLE llm.session_logs DETACH PARTITION llm.session_logs_2027_09",
    "the constraint sessions_mine of llm.sessions is not validated": "ALTER TABLE llm.sessions ADD CONSTRAINT"
    " sessions_mine CHECK (user_id > 0) NOT VALID",
    "the subscription mine writes to sessions or logs": "CREATE SUBSCRIPTION mine CONNECTION 'dbname=none'"
    " PUBLICATION p WITH (connect = false, slot_name = NONE); INSERT INTO pg_subscription_rel"
    " SELECT oid, 'llm.sessions'::regclass, 'r', NULL FROM pg_subscription WHERE subname = 'mine'",
    "the logical slot {slot} reads": "SELECT pg_create_logical_replication_slot('{slot}', 'pgoutput')",
    "row-level security is on for llm.session_logs": "ALTER TABLE llm.session_logs ENABLE ROW LEVEL SECURITY",
    "the policy mine on llm.sessions": "CREATE POLICY mine ON llm.sessions USING (true)",
    "the view public.mine is built on": "CREATE VIEW public.mine AS SELECT count(*) FROM llm.session_logs",
    "the materialized view public.kept": "CREATE MATERIALIZED VIEW public.kept AS SELECT session_id FROM llm.sessions",
    "the trigger mine on llm.sessions is built on": "CREATE FUNCTION public.mine() RETURNS trigger LANGUAGE plpgsql AS"
    " $$BEGIN RETURN NEW; END$$; CREATE TRIGGER mine BEFORE INSERT ON llm.sessions FOR EACH ROW"
    " EXECUTE FUNCTION public.mine()",
    "the function public.of_row(llm.sessions)": "CREATE FUNCTION public.of_row(llm.sessions) RETURNS bigint"
    " LANGUAGE sql RETURN 1",
    "this database is not up to date": "UPDATE llm_db.repeatables SET sha256 = '' WHERE name = '1_llm/10_uuidv7_time'",
}
ONE_NODE = {
    "the table constraint mine on public.my_notes": "CREATE TABLE public.my_notes (session_id uuid"
    " CONSTRAINT mine REFERENCES llm.sessions)",
    "the publication mine sends sessions or logs": "CREATE PUBLICATION mine FOR TABLE llm.sessions"
    " WITH (publish_via_partition_root)",
    "a transaction is prepared: mine": "BEGIN; SELECT count(*) FROM llm.users; PREPARE TRANSACTION 'mine'",
    "the coordinator is to have shards": "SELECT citus_set_node_property(nodename, nodeport, 'shouldhaveshards', true)"
    " FROM pg_dist_node WHERE groupid = 0",
    "32000 shards of": "ALTER DATABASE {database} SET citus.shard_count = 32000",
    "each shard is to be on 2 workers": "ALTER DATABASE {database} SET citus.shard_replication_factor = 2",
}


@pytest.fixture(scope="module")
def plain() -> Iterator[str]:
    """A migrated database on a cluster's coordinator that was never distributed."""
    with citus.cluster_database() as dsn:
        with database.connect(database.Target(dsn, "the tests")) as connection:
            migrate.migrate(connection, tell=lambda _: None)
        citus.add_nodes(dsn)
        yield dsn


@pytest.fixture(scope="module")
def there(template: str) -> Iterator[str]:
    with citus.cluster_database(template) as dsn:
        yield dsn


def reasons(dsn: str, undo: bool) -> dict[str, str]:
    with database.opened(database.Target(dsn, "the tests")) as connection:
        return dict(distribute.plan(connection, undo).reasons)


def cure(dsn: str, way_out: str) -> None:
    """Does what it says, as it stands there."""
    if "llm-db migrate" in way_out:
        with database.connect(database.Target(dsn, "the tests")) as connection:
            migrate.migrate(connection, tell=lambda _: None)
        return
    found = re.search(r"((?:SELECT|ALTER|DROP|ROLLBACK) .*?)(?:;|$)", way_out)
    execute(dsn, found[1])


def execute(dsn: str, statements: str) -> None:
    with closing(psycopg.connect(dsn, autocommit=True)) as db:
        db.execute("SET allow_system_table_mods = on")
        for statement in sql_text.pieces(statements):
            db.execute(statement)


@pytest.mark.parametrize(("reason", "make", "undo"), [
    *((reason, make, undo) for reason, make in EITHER.items() for undo in (False, True)),
    *((reason, make, False) for reason, make in ONE_NODE.items()),
])  # fmt: skip
def test_each_reason_is_gone_by_its_way_out(reason: str, make: str, undo: bool, request: pytest.FixtureRequest) -> None:
    dsn = request.getfixturevalue("there" if undo else "plain")
    name = conninfo_to_dict(dsn)["dbname"]
    reason, make = (text.replace("{slot}", f"s_{name}").replace("{database}", name) for text in (reason, make))
    assert reasons(dsn, undo) == {}
    execute(dsn, make)
    found = reasons(dsn, undo)
    assert [why for why in found if why.startswith(reason)], found
    # What is built on something in turn has a reason of its own.
    for _ in range(3):
        for way_out in reasons(dsn, undo).values():
            cure(dsn, way_out)
    assert reasons(dsn, undo) == {}


def test_a_session_at_work_is_ended_by_its_way_out(plain: str) -> None:
    with psycopg.connect(plain) as other:
        other.execute("SELECT 1")
        [(reason, way_out)] = reasons(plain, undo=False).items()
        assert reason.startswith(f"another session is at work: pid {other.info.backend_pid}")
        cure(plain, way_out)
        assert reasons(plain, undo=False) == {}
        with pytest.raises(psycopg.errors.AdminShutdown):
            other.execute("SELECT 1")


def test_who_is_no_superuser_is_told(plain: str) -> None:
    role = f"owner_{conninfo_to_dict(plain)['dbname']}"
    with closing(psycopg.connect(plain, autocommit=True)) as db:
        db.execute(f"CREATE ROLE {role} LOGIN IN ROLE pg_read_all_data")
        try:
            found = reasons(make_conninfo(plain, user=role), undo=False)
            assert list(found) == ["you are not a superuser, who may make triggers on distributed tables"]
        finally:
            db.execute(f"DROP ROLE {role}")


def test_a_cluster_without_workers_or_coordinator_is_told() -> None:
    with citus.cluster_database() as dsn:
        with database.connect(database.Target(dsn, "the tests")) as connection:
            migrate.migrate(connection, tell=lambda _: None)
        lacking = "the extension citus, 13.0 or later, is not in this database"
        assert list(reasons(dsn, undo=False)) == [lacking]
        # A server of today takes this for a mistake.
        execute(dsn, f"ALTER DATABASE {conninfo_to_dict(dsn)['dbname']} SET citus.enable_version_checks = off")
        execute(dsn, "CREATE EXTENSION citus VERSION '12.1-1'")
        way_out = reasons(dsn, undo=False)[lacking]
        assert way_out.startswith("it is 12.1-1: ")
        cure(dsn, way_out)
        assert list(reasons(dsn, undo=False)) == [
            "no worker is in the cluster", "the coordinator is not in its own metadata"
        ]  # fmt: skip


@pytest.mark.parametrize("undo", [False, True])
def test_ctrl_c_leaves_it_as_it_was(undo: bool, template: str, plain: str) -> None:
    make: Callable = partial(citus.cluster_database, template) if undo else partial(citus.cluster_database, plain)
    with make() as dsn:
        with closing(psycopg.connect(dsn, autocommit=True)) as db:
            make_logs(db, days=2)
        process = subprocess.Popen(
            [sys.executable, "-m", "llm_db", "distribute", *(["--undo"] if undo else []), "--dsn", dsn],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        # In the middle: when it says what it does.
        for line in process.stdout:
            if "proving foreign keys" in line:
                break
        process.send_signal(signal.SIGINT)
        said, problem = process.communicate(timeout=60)
        assert process.returncode != 0, said
        where = "workers" if undo else "coordinator"
        assert f"Interrupted: sessions and logs lie on the {where} as before; nothing was changed." in problem
        assert reasons(dsn, undo) == {}
