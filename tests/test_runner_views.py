"""Repeatable views: made again when their file changes, never at the cost of somebody else's view."""

import uuid

import psycopg
import pytest
from psycopg import sql

from runner import checkout, execute, llm_db, value

MIGRATIONS = {
    "0001.first": """
        CREATE SCHEMA reporting;
        CREATE SCHEMA ops;
        CREATE TABLE public.sales (amount int, region text);
        -- DOWN --
        DROP TABLE public.sales;
        DROP SCHEMA ops;
        DROP SCHEMA reporting;
    """
}
BASE = "CREATE OR REPLACE VIEW reporting.base AS SELECT amount, region FROM public.sales;"
VIEWS = {
    "reporting/10_base": BASE,
    "ops/20_above": "CREATE OR REPLACE VIEW ops.above AS SELECT sum(amount) AS total FROM reporting.base;",
    "reporting/30_alone": "CREATE OR REPLACE VIEW reporting.alone AS SELECT 1 AS one;",
}


@pytest.fixture
def project(tmp_path, empty_dsn):
    root = checkout(tmp_path, MIGRATIONS, VIEWS)
    done = llm_db("migrate", "--dsn", empty_dsn, root=root)
    assert done.returncode == 0, done.stderr
    assert "views: 3 created, 0 unchanged" in done.stdout
    return root


def test_a_changed_view_is_made_again_with_what_is_built_on_it(project, empty_dsn):
    # A column fewer, and another type: what CREATE OR REPLACE cannot do.
    (project / "views/reporting/10_base.sql").write_text(
        "CREATE OR REPLACE VIEW reporting.base AS SELECT amount::numeric AS amount FROM public.sales;"
    )
    done = llm_db("migrate", "--dsn", empty_dsn, root=project)
    assert done.returncode == 0, done.stderr
    assert "views: 2 created, 1 unchanged" in done.stdout
    assert (
        value(
            empty_dsn, "SELECT string_agg(attname, ',') FROM pg_attribute WHERE attrelid = 'reporting.base'::regclass"
        )
        == "amount"
    )


def test_a_view_dropped_by_hand_comes_back(project, empty_dsn):
    execute(empty_dsn, "DROP VIEW reporting.alone")
    assert "views: 1 created" in llm_db("migrate", "--dsn", empty_dsn, root=project).stdout


def test_a_view_whose_file_is_gone_goes_too(project, empty_dsn):
    (project / "views/reporting/30_alone.sql").unlink()
    assert llm_db("migrate", "--dsn", empty_dsn, root=project).returncode == 0
    assert value(empty_dsn, "SELECT to_regclass('reporting.alone') IS NULL")
    assert value(empty_dsn, "SELECT count(*) FROM llm_db.views") == 2


def test_somebody_elses_view_on_ours_stops_the_change_and_is_named(project, empty_dsn):
    execute(empty_dsn, "CREATE VIEW public.mine AS SELECT region FROM reporting.base")
    (project / "views/reporting/10_base.sql").write_text(BASE + " -- changed")
    for command in (["migrate"], ["rollback", "--to", "none", "--yes"]):
        done = llm_db(*command, "--dsn", empty_dsn, root=project)
        assert done.returncode == 1
        assert "view public.mine depends on view reporting.base" in done.stderr
        assert value(empty_dsn, "SELECT count(*) FROM public.mine") == 0
        assert value(empty_dsn, "SELECT to_regclass('ops.above') IS NOT NULL")
    execute(empty_dsn, "DROP VIEW public.mine")
    assert llm_db("migrate", "--dsn", empty_dsn, root=project).returncode == 0


def test_a_view_that_fails_leaves_all_views_as_they_were(project, empty_dsn):
    (project / "views/reporting/10_base.sql").write_text(BASE + " -- changed")
    (project / "views/reporting/30_alone.sql").write_text("CREATE VIEW reporting.alone AS SELECT nowhere;")
    done = llm_db("migrate", "--dsn", empty_dsn, root=project)
    assert done.returncode == 1
    assert "views/reporting/30_alone.sql, line 1: 42703" in done.stderr
    assert value(empty_dsn, "SELECT one FROM reporting.alone") == 1


def test_a_file_must_create_the_view_it_is_named_after(project, empty_dsn):
    (project / "views/reporting/40_other.sql").write_text("CREATE VIEW reporting.another AS SELECT 1 AS one;")
    done = llm_db("migrate", "--dsn", empty_dsn, root=project)
    assert done.returncode == 2
    assert "does not create reporting.other" in done.stderr
    assert value(empty_dsn, "SELECT to_regclass('reporting.another') IS NULL")


def test_rollback_drops_the_views_and_the_next_migrate_makes_them_again(project, empty_dsn):
    done = llm_db("rollback", "--dsn", empty_dsn, "--to", "none", "--yes", root=project)
    assert done.returncode == 0, done.stderr
    assert "dropped 3 views" in done.stdout
    assert "views: 3 created" in llm_db("migrate", "--dsn", empty_dsn, root=project).stdout


@pytest.fixture
def role(empty_dsn):
    """A role of this test's own, with a name that must be quoted: roles are the server's."""
    name = f'Team "{uuid.uuid4().hex}'
    quoted = sql.Identifier(name).as_string()
    execute(empty_dsn, f"CREATE ROLE {quoted}")
    yield quoted
    execute(empty_dsn, f"DROP OWNED BY {quoted}; DROP ROLE {quoted}")


GRANTS = """
    SELECT array_agg(a.acl::text ORDER BY a.acl::text) FROM (
        SELECT unnest(relacl) AS acl FROM pg_class WHERE relnamespace::regnamespace::text IN ('reporting', 'ops')
        UNION ALL
        SELECT unnest(attacl) FROM pg_attribute WHERE attrelid IN ('reporting.base'::regclass, 'ops.above'::regclass)
    ) AS a
"""
OWNER = "SELECT relowner::regrole::text FROM pg_class WHERE oid = 'ops.above'::regclass"


def test_grants_and_owners_survive_a_view_that_is_made_again(project, empty_dsn, role):
    execute(
        empty_dsn,
        f"GRANT SELECT ON reporting.base TO {role} WITH GRANT OPTION; GRANT SELECT ON ops.above TO PUBLIC;"
        f"GRANT UPDATE (amount), INSERT (region) ON reporting.base TO {role}; ALTER VIEW ops.above OWNER TO {role}",
    )
    before = value(empty_dsn, GRANTS)
    assert len(before) >= 5
    (project / "views/reporting/10_base.sql").write_text(BASE + " -- changed")
    done = llm_db("migrate", "--dsn", empty_dsn, root=project)
    assert "views: 2 created" in done.stdout, done.stderr
    assert value(empty_dsn, GRANTS) == before
    assert value(empty_dsn, OWNER) == role


def test_a_grant_on_a_column_goes_with_the_column(project, empty_dsn, role):
    execute(empty_dsn, f"GRANT UPDATE (amount), INSERT (region) ON reporting.base TO {role}")
    (project / "views/reporting/10_base.sql").write_text(
        "CREATE VIEW reporting.base AS SELECT amount FROM public.sales;"
    )
    done = llm_db("migrate", "--dsn", empty_dsn, root=project)
    assert done.returncode == 0, done.stderr
    assert (
        value(
            empty_dsn,
            "SELECT count(*) FROM pg_attribute WHERE attrelid = 'reporting.base'::regclass AND attacl IS NOT NULL",
        )
        == 1
    )


def add(project, name: str, up: str, down: str) -> None:
    (project / "migrations" / f"{name}.sql").write_text(up)
    (project / "migrations" / f"{name}.rollback.sql").write_text(down)


def test_rollback_takes_only_the_views_that_need_what_goes(project, empty_dsn, role):
    """And what was given on the others stays, though they had to make way."""
    add(project, "0002.rate", "CREATE TABLE public.rates (rate int);", "DROP TABLE public.rates;")
    (project / "views/reporting/40_rates.sql").write_text(
        "CREATE VIEW reporting.rates AS SELECT rate FROM public.rates;"
    )
    top = "CREATE VIEW ops.top AS SELECT rate, amount FROM reporting.rates, reporting.base;"
    (project / "views/ops/50_top.sql").write_text(top)
    assert llm_db("migrate", "--dsn", empty_dsn, root=project).returncode == 0
    execute(empty_dsn, f"GRANT SELECT ON reporting.base TO {role}; ALTER VIEW ops.above OWNER TO {role}")
    before = value(empty_dsn, GRANTS)
    done = llm_db("rollback", "--dsn", empty_dsn, "--to", "0001", "--yes", root=project)
    assert done.returncode == 0, done.stderr
    assert "dropped 2 views: ops.top, reporting.rates; the end of a full migrate makes them again" in done.stdout
    assert value(empty_dsn, "SELECT array_agg(view_name ORDER BY view_name) FROM llm_db.views") == [
        "ops.above",
        "reporting.alone",
        "reporting.base",
    ]
    assert value(empty_dsn, GRANTS) == before
    assert value(empty_dsn, OWNER) == role
    assert "views: 2 created, 3 unchanged" in llm_db("migrate", "--dsn", empty_dsn, root=project).stdout


def test_rollback_of_what_no_view_needs_leaves_every_view_alone(project, empty_dsn):
    """Also where somebody else has built on ours."""
    add(project, "0002.more", "CREATE TABLE public.more (id int);", "DROP TABLE public.more;")
    assert llm_db("migrate", "--dsn", empty_dsn, root=project).returncode == 0
    execute(empty_dsn, "CREATE VIEW public.mine AS SELECT region FROM reporting.base")
    before = value(empty_dsn, "SELECT 'reporting.base'::regclass::oid::int")
    done = llm_db("rollback", "--dsn", empty_dsn, "--to", "0001", "--yes", root=project)
    assert done.returncode == 0, done.stderr
    assert "dropped" not in done.stdout
    assert value(empty_dsn, "SELECT 'reporting.base'::regclass::oid::int") == before


def change_region(project) -> str:
    """A migration that takes away what reporting.base shows, and base as it is from then on."""
    add(project, "0002.region", "ALTER TABLE public.sales DROP COLUMN region;", "SELECT 1;")
    return "CREATE VIEW reporting.base AS SELECT amount FROM public.sales;"


def test_a_migration_is_not_stopped_by_a_view_of_ours(project, empty_dsn, role):
    """And what was given on the view is there again, whether it comes back at once or at the end."""
    execute(
        empty_dsn,
        f"GRANT SELECT ON reporting.base TO {role} WITH GRANT OPTION; GRANT SELECT ON ops.above TO PUBLIC;"
        f"GRANT UPDATE (amount) ON reporting.base TO {role}; ALTER VIEW ops.above OWNER TO {role}",
    )
    before = value(empty_dsn, GRANTS)
    alone = value(empty_dsn, "SELECT 'reporting.alone'::regclass::oid::int")
    text = change_region(project)
    # Its new text needs the next migration too, so between the two there is no such view.
    add(project, "0003.total", "ALTER TABLE public.sales ADD COLUMN total int;", "SELECT 1;")
    (project / "views/reporting/10_base.sql").write_text(text.replace("amount", "amount, total"))
    done = llm_db("migrate", "--dsn", empty_dsn, root=project)
    assert done.returncode == 0, done.stderr
    assert "dropped 2 views: ops.above, reporting.base; the end of a full migrate makes them again" in done.stdout
    assert "views: 2 created, 1 unchanged" in done.stdout
    assert value(empty_dsn, GRANTS) == before
    assert value(empty_dsn, OWNER) == role
    assert value(empty_dsn, "SELECT 'reporting.alone'::regclass::oid::int") == alone
    assert value(empty_dsn, "SELECT count(*) FROM llm_db.view_grants") == 0


def test_a_view_that_fits_what_a_migration_leaves_is_never_missing(project, empty_dsn, role):
    execute(empty_dsn, f"GRANT SELECT ON reporting.base TO {role}")
    before = value(empty_dsn, GRANTS)
    (project / "views/reporting/10_base.sql").write_text(change_region(project))
    done = llm_db("migrate", "--to", "2", "--dsn", empty_dsn, root=project)
    assert done.returncode == 0, done.stderr
    assert "dropped" not in done.stdout
    assert value(empty_dsn, GRANTS) == before


@pytest.mark.parametrize("stop", ["at --to", "by a failure"])
def test_a_migrate_that_stops_before_the_end_names_the_views_that_are_gone(project, empty_dsn, role, stop):
    execute(empty_dsn, f"GRANT SELECT ON reporting.base TO {role}; GRANT SELECT ON ops.above TO {role}")
    before = value(empty_dsn, GRANTS)
    text = change_region(project).replace("amount", "amount, total")
    (project / "views/reporting/10_base.sql").write_text(text)
    add(project, "0003.total", "ALTER TABLE public.sales ADD COLUMN total int; SELECT nowhere;", "SELECT 1;")
    to = ["--to", "2"] if stop == "at --to" else []
    done = llm_db("migrate", *to, "--dsn", empty_dsn, root=project)
    assert done.returncode == (0 if to else 1)
    assert "dropped 2 views: ops.above, reporting.base; the end of a full migrate" in done.stdout
    assert value(empty_dsn, "SELECT to_regclass('reporting.base') IS NULL")
    # The role of one grant may be gone when the view comes back.
    gone = f"gone_{uuid.uuid4().hex}"
    execute(empty_dsn, f"INSERT INTO llm_db.view_grants VALUES ('reporting.base', NULL, '{gone}', 'SELECT', false)")
    add(project, "0003.total", "ALTER TABLE public.sales ADD COLUMN total int;", "SELECT 1;")
    done = llm_db("migrate", "--dsn", empty_dsn, root=project)
    assert done.returncode == 0, done.stderr
    assert value(empty_dsn, GRANTS) == before


@pytest.mark.parametrize(
    "change", ["DROP COLUMN region", "ALTER COLUMN region TYPE varchar(9)", "ALTER COLUMN amount TYPE bigint"]
)
def test_somebody_elses_view_on_ours_stops_a_migration_with_its_name(project, empty_dsn, change):
    execute(empty_dsn, "CREATE VIEW public.mine AS SELECT amount FROM reporting.base")
    add(project, "0002.change", f"ALTER TABLE public.sales {change};", "SELECT 1;")
    before = value(empty_dsn, "SELECT 'reporting.base'::regclass::oid::int")
    done = llm_db("migrate", "--dsn", empty_dsn, root=project)
    assert done.returncode == 1
    assert "view public.mine depends on view reporting.base" in done.stderr
    assert value(empty_dsn, "SELECT 'reporting.base'::regclass::oid::int") == before
    assert value(empty_dsn, "SELECT count(*) FROM llm_db.views") == 3
    assert value(empty_dsn, "SELECT count(*) FROM llm_db.view_grants") == 0
    execute(empty_dsn, "DROP VIEW public.mine")
    (project / "views/reporting/10_base.sql").write_text(
        "CREATE VIEW reporting.base AS SELECT amount FROM public.sales;"
    )
    assert llm_db("migrate", "--dsn", empty_dsn, root=project).returncode == 0


def test_somebody_elses_view_on_a_view_that_is_not_in_the_way_is_no_obstacle(project, empty_dsn):
    execute(empty_dsn, "CREATE VIEW public.mine AS SELECT one FROM reporting.alone")
    (project / "views/reporting/10_base.sql").write_text(change_region(project))
    assert llm_db("migrate", "--dsn", empty_dsn, root=project).returncode == 0
    assert llm_db("rollback", "--to", "1", "--yes", "--dsn", empty_dsn, root=project).returncode == 0
    assert value(empty_dsn, "SELECT one FROM public.mine") == 1


def test_grants_survive_a_rollback_and_the_migrate_after_it(project, empty_dsn, role):
    add(project, "0002.rate", "CREATE TABLE public.rates (rate int);", "DROP TABLE public.rates;")
    (project / "views/reporting/40_rates.sql").write_text(
        "CREATE VIEW reporting.rates AS SELECT rate FROM public.rates;"
    )
    assert llm_db("migrate", "--dsn", empty_dsn, root=project).returncode == 0
    execute(empty_dsn, f"GRANT SELECT ON reporting.rates TO {role}")
    before = value(empty_dsn, GRANTS)
    assert llm_db("rollback", "--to", "1", "--yes", "--dsn", empty_dsn, root=project).returncode == 0
    assert llm_db("migrate", "--dsn", empty_dsn, root=project).returncode == 0
    assert value(empty_dsn, GRANTS) == before


def test_what_was_given_on_a_view_is_kept_as_facts_and_never_run_as_sql(project, empty_dsn):
    """Who may write the ledger must not run statements as whoever migrates next."""
    keep = "INSERT INTO llm_db.view_grants VALUES ('reporting.base', NULL, {}, {}, false)"
    with pytest.raises(psycopg.errors.CheckViolation):
        execute(empty_dsn, sql.SQL(keep).format(None, "SELECT ON ops.above TO PUBLIC; --").as_string())
    name = f"x; DROP TABLE public.sales; -- {uuid.uuid4().hex}"
    role = sql.Identifier(name).as_string()
    execute(empty_dsn, f"CREATE ROLE {role}")
    try:
        execute(empty_dsn, sql.SQL(keep).format(name, "SELECT").as_string())
        (project / "views/reporting/10_base.sql").write_text(BASE + " -- changed")
        assert llm_db("migrate", "--dsn", empty_dsn, root=project).returncode == 0
        assert value(empty_dsn, "SELECT count(*) FROM public.sales") == 0
        assert value(empty_dsn, f"SELECT has_table_privilege('{name}', 'reporting.base', 'SELECT')")
    finally:
        execute(empty_dsn, f"DROP OWNED BY {role}; DROP ROLE {role}")
