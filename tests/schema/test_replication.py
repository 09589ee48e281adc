"""A publication of all tables, which other people may make at any time, stops nothing of ours."""

import psycopg
import pytest

import citus
from command import llm_db
from conftest import Company

# A table names its rows by its primary key, by a unique index over NOT NULL columns that was chosen, or by all columns.
WITHOUT_IDENTITY = """
    SELECT c.oid::regclass::text
    FROM pg_catalog.pg_class AS c
    WHERE c.relkind IN ('r', 'p')
        AND c.relnamespace IN (
            SELECT oid FROM pg_catalog.pg_namespace
            WHERE nspname IN ('llm', 'rollup', 'reporting', 'ops', 'audit', 'llm_db')
        )
        AND NOT CASE c.relreplident
            WHEN 'f' THEN true
            WHEN 'd' THEN EXISTS (SELECT FROM pg_catalog.pg_index AS i WHERE i.indrelid = c.oid AND i.indisprimary)
            WHEN 'i' THEN EXISTS (SELECT FROM pg_catalog.pg_index AS i WHERE i.indrelid = c.oid AND i.indisreplident)
            ELSE false
        END
"""


def test_every_table_names_its_rows(db: psycopg.Connection) -> None:
    assert db.execute(WITHOUT_IDENTITY).fetchall() == []


def test_the_query_above_finds_a_table_that_does_not(db: psycopg.Connection) -> None:
    db.execute("CREATE TABLE ops.nameless (id bigint UNIQUE)")
    assert db.execute(WITHOUT_IDENTITY).fetchall() == [("ops.nameless",)]


def test_no_trigger_fires_where_changes_arrive(db: psycopg.Connection) -> None:
    """What it would count or note has arrived already."""
    assert db.execute("SELECT tgname FROM pg_trigger WHERE tgenabled IN ('A', 'R')").fetchall() == []


@pytest.fixture
def published(db: psycopg.Connection, company: Company) -> psycopg.Connection:
    """With a closed day of each kind, a noted one, and a month to drop. What the publication refuses does not depend on
    wal_level."""
    db.execute("CREATE PUBLICATION everything FOR ALL TABLES")
    db.execute(
        "INSERT INTO llm.sessions (session_id, user_id, start_time, end_time, session_type, status)"
        " VALUES (llm.uuidv7('2024-01-10Z'), %s, '2024-01-10Z', '2024-01-10 12:00Z', 'test', 'completed')",
        [company.user_id],
    )
    db.execute(
        "INSERT INTO llm.session_logs (session_id, request_time, response_time, deployment_id, template_id)"
        " SELECT session_id, start_time, end_time, %s, %s FROM llm.sessions WHERE end_time IS NOT NULL",
        [company.deployment_id, company.template_id],
    )
    # They lie in DEFAULT until now.
    db.execute("SELECT llm.create_month('2024-01-01')")
    db.execute("CALL ops.refresh_rollups('2024-06-01Z')")
    db.execute("UPDATE llm.session_logs SET token_used = 7")
    db.execute("UPDATE llm.sessions SET session_type = 'production'")
    return db


def test_a_publication_of_all_tables_stops_no_upkeep(published: psycopg.Connection) -> None:
    published.execute("CALL ops.refresh_rollups('2024-06-02Z')")
    assert published.execute("SELECT tokens FROM rollup.usage WHERE dimension = 'all'").fetchall() == [(7,)]
    published.execute("SELECT ops.restart_rollups()")
    published.execute("CALL ops.set_reporting_time_zone('UTC')")
    published.execute("CALL llm.move_default_rows()")
    assert published.execute("SELECT llm.drop_month('2024-01-01')").fetchone() == (True,)
    published.execute("SELECT llm.fold_template_uses()")
    assert published.execute("SELECT count(*) > 0 FROM rollup.usage WHERE month IS NULL").fetchone() == (True,)


@citus.not_rolled_back
def test_a_publication_of_all_tables_stops_no_migration(published: psycopg.Connection, dsn: str) -> None:
    """On the way down, grants on what goes are kept in the ledger, and given back on the way up."""
    published.execute("GRANT SELECT ON ops.rollups TO llm_analyst")
    published.execute("TRUNCATE llm.session_logs, llm.sessions")
    published.execute("SET audit.may_change = 'on'; TRUNCATE audit.changes")
    for command in (("rollback", "--to", "0011", "--yes"), ("migrate",)):
        done = llm_db(*command, "--dsn", dsn)
        assert done.returncode == 0, done.stderr
    assert published.execute("SELECT has_table_privilege('llm_analyst', 'ops.rollups', 'SELECT')").fetchone() == (True,)
