"""What is repeatable: made again when its file changes, with what is built on it and what people gave on it, and never
at the cost of what somebody else built on ours."""

import json
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from command import ROOT, checkout, environment, execute, llm_db, value
from conftest import fresh_database
from llm_db import files, repeatables

MIGRATIONS = {
    "0001.first": """
        CREATE SCHEMA llm;
        CREATE SCHEMA reporting;
        CREATE SCHEMA ops;
        CREATE TABLE llm.sales (amount int, region text);
        CREATE TABLE llm.written (what text);
        -- DOWN --
        DROP TABLE llm.written;
        DROP TABLE llm.sales;
        DROP SCHEMA ops;
        DROP SCHEMA reporting;
        DROP SCHEMA llm;
    """
}
BASE = "CREATE OR REPLACE VIEW reporting.base AS SELECT amount, region FROM llm.sales;"
RATE = """
CREATE OR REPLACE FUNCTION ops.rated(n int) RETURNS int LANGUAGE sql IMMUTABLE RETURN n * 2;
CREATE OR REPLACE FUNCTION ops.other(n int) RETURNS int LANGUAGE sql IMMUTABLE RETURN n;
"""
RATES = "CREATE OR REPLACE VIEW reporting.rates AS SELECT ops.rated(2) AS rate;"
NOTE = """
CREATE OR REPLACE FUNCTION ops.note() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO llm.written VALUES (TG_NAME);
    RETURN NULL;
END
$$;
"""
TRIGGERS = """
CREATE OR REPLACE TRIGGER noted AFTER INSERT ON llm.sales FOR EACH ROW EXECUTE FUNCTION ops.note();
DROP TRIGGER IF EXISTS checked ON llm.sales;
CREATE CONSTRAINT TRIGGER checked AFTER INSERT ON llm.sales DEFERRABLE INITIALLY DEFERRED
FOR EACH ROW EXECUTE FUNCTION ops.note();
"""
FILES = {
    "1_base/10_base": BASE,
    "1_base/20_rate": RATE,
    "1_base/30_note": NOTE,
    "2_views/20_above": "CREATE OR REPLACE VIEW ops.above AS SELECT sum(amount) AS total FROM reporting.base;",
    "2_views/30_alone": "CREATE OR REPLACE VIEW reporting.alone AS SELECT 1 AS one;",
    "2_views/40_rates": RATES,
    "5_triggers/10_sales": TRIGGERS,
}


@pytest.fixture
def project(tmp_path: Path, empty_dsn: str) -> Path:
    root = checkout(tmp_path, MIGRATIONS, FILES)
    assert made(root, empty_dsn) == list(FILES)
    return root


def put(root: Path, name: str, text: str) -> None:
    path = root / "views" / f"{name}.sql"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")


def add(root: Path, name: str, up: str, down: str = "SELECT 1;") -> None:
    (root / "migrations" / f"{name}.sql").write_text(up)
    (root / "migrations" / f"{name}.rollback.sql").write_text(down)


def made(root: Path, dsn: str, *arguments: str) -> list[str]:
    """Which files a migrate ran."""
    done = llm_db("migrate", "--json", "--dsn", dsn, *arguments, root=root)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["repeatables"]["made"]


def refused(root: Path, dsn: str, *command: str) -> str:
    done = llm_db(*(command or ["migrate"]), "--dsn", dsn, root=root)
    assert done.returncode == 1, done.stdout + done.stderr
    return done.stderr


def recorded(dsn: str) -> list[str]:
    return value(dsn, "SELECT array_agg(name ORDER BY name) FROM llm_db.repeatables")


def oid(dsn: str, name: str, kind: str = "regclass") -> object:
    return value(dsn, f"SELECT '{name}'::{kind}::oid::int")


@pytest.fixture
def role(empty_dsn: str) -> Iterator[str]:
    """A role of this test's own, with a name that must be quoted: roles are the server's."""
    name = f'Team "{uuid.uuid4().hex}'
    quoted = sql.Identifier(name).as_string()
    execute(empty_dsn, f"CREATE ROLE {quoted}")
    yield quoted
    execute(empty_dsn, f"DROP OWNED BY {quoted}; DROP ROLE {quoted}")


GRANTS = """
    SELECT array_agg(a.acl ORDER BY a.acl) FROM (
        SELECT relname || ' ' || unnest(relacl)::text AS acl
        FROM pg_class
        WHERE relnamespace::regnamespace::text IN ('reporting', 'ops')
        UNION ALL
        SELECT attname || ' ' || unnest(attacl)::text
        FROM pg_attribute
        WHERE attrelid IN (SELECT oid FROM pg_class WHERE relnamespace::regnamespace::text IN ('reporting', 'ops'))
        UNION ALL
        SELECT proname || ' ' || unnest(proacl)::text FROM pg_proc WHERE pronamespace = 'ops'::regnamespace
    ) AS a
"""
OWNER = "SELECT relowner::regrole::text FROM pg_class WHERE oid = 'ops.above'::regclass"
NARROW = "CREATE OR REPLACE VIEW reporting.base AS SELECT amount::numeric AS amount FROM llm.sales;"


# What changes its text, and not its shape


def test_a_body_changes_and_nothing_that_is_built_on_it_is_touched(project, empty_dsn, role):
    execute(empty_dsn, f"GRANT EXECUTE ON FUNCTION ops.rated(int) TO {role}; GRANT SELECT ON reporting.base TO {role}")
    views, routine, grants = (
        [oid(empty_dsn, name) for name in ("reporting.rates", "reporting.base", "ops.above")],
        oid(empty_dsn, "ops.rated(int)", "regprocedure"),
        value(empty_dsn, GRANTS),
    )
    put(project, "1_base/20_rate", RATE.replace("n * 2", "n * 3"))
    put(project, "1_base/10_base", BASE.replace("region FROM", "upper(region) AS region FROM"))
    execute(empty_dsn, "CREATE VIEW public.mine AS SELECT rate, region FROM reporting.rates, reporting.base")
    assert made(project, empty_dsn) == ["1_base/10_base", "1_base/20_rate"]
    assert value(empty_dsn, "SELECT rate FROM reporting.rates") == 6
    assert [oid(empty_dsn, name) for name in ("reporting.rates", "reporting.base", "ops.above")] == views
    assert oid(empty_dsn, "ops.rated(int)", "regprocedure") == routine
    assert value(empty_dsn, GRANTS) == grants


def test_a_trigger_changes(project, empty_dsn):
    put(project, "5_triggers/10_sales", TRIGGERS.replace("AFTER INSERT", "AFTER INSERT OR UPDATE"))
    assert made(project, empty_dsn) == ["5_triggers/10_sales"]
    execute(empty_dsn, "INSERT INTO llm.sales VALUES (1, 'a'); UPDATE llm.sales SET amount = 2")
    assert value(empty_dsn, "SELECT array_agg(what ORDER BY what) FROM llm.written") == ["checked"] * 2 + ["noted"] * 2


def test_nothing_is_done_where_nothing_changed(project, empty_dsn):
    before = value(empty_dsn, "SELECT array_agg(made_at ORDER BY name) FROM llm_db.repeatables")
    assert made(project, empty_dsn) == []
    assert value(empty_dsn, "SELECT array_agg(made_at ORDER BY name) FROM llm_db.repeatables") == before


def test_every_description_is_followed():
    for file in repeatables.files():
        assert bool(file.described_by) == ("CALL ops.describe(" in file.path.read_text(encoding="utf-8")), file.name


def test_a_view_follows_what_its_sources_columns_are_called(tmp_path, empty_dsn):
    """Of a table that a migration describes anew, and of a view in another file, and so on down the line."""
    first, second = (f"COMMENT ON COLUMN llm.sales.amount IS '{words}'" for words in ("sold", "sold, in won"))
    described = "CALL ops.describe('reporting.{}', '{}'); COMMENT ON VIEW reporting.{} IS 'x'; "
    views = {
        "0_tools/10_describe": (ROOT / "views/0_tools/10_describe.sql").read_text(encoding="utf-8"),
        "3_reporting/10_direct": "CREATE OR REPLACE VIEW reporting.direct AS SELECT amount FROM llm.sales;\n"
        + described.format("direct", "llm.sales", "direct"),
        "3_reporting/20_onward": "CREATE OR REPLACE VIEW reporting.onward AS SELECT amount FROM reporting.direct;\n"
        + described.format("onward", "reporting.direct", "onward"),
    }
    migrations = {"0001.first": f"{MIGRATIONS['0001.first'].replace('-- DOWN --', first + '; -- DOWN --')}"}
    old = checkout(tmp_path / "old", migrations, views)
    new = checkout(tmp_path / "new", migrations | {"0002.second": f"{second}; -- DOWN -- {first}"}, views)

    def called() -> list[str]:
        views = "ARRAY['reporting.direct', 'reporting.onward']::regclass[]"
        return value(empty_dsn, f"SELECT array_agg(col_description(v, 1)) FROM unnest({views}) AS v")

    assert llm_db("migrate", "--dsn", empty_dsn, root=old).returncode == 0
    assert called() == ["sold", "sold"]
    done = llm_db("migrate", "--dsn", empty_dsn, root=new)
    assert done.returncode == 0, done.stderr
    assert called() == ["sold, in won", "sold, in won"]
    execute(empty_dsn, "COMMENT ON COLUMN llm.sales.amount IS 'by hand'")
    assert llm_db("status", "--check", "--dsn", empty_dsn, root=new).returncode == 3
    assert llm_db("migrate", "--dsn", empty_dsn, root=new).returncode == 0
    assert llm_db("status", "--check", "--dsn", empty_dsn, root=new).returncode == 0


@pytest.mark.parametrize(
    ("gone", "file"),
    [
        ("VIEW reporting.alone", "2_views/30_alone"),
        ("FUNCTION ops.other(int)", "1_base/20_rate"),
        ("TRIGGER checked ON llm.sales", "5_triggers/10_sales"),
    ],
)
def test_what_was_dropped_by_hand_comes_back(project, empty_dsn, gone, file):
    execute(empty_dsn, f"DROP {gone}")
    assert made(project, empty_dsn) == [file]
    assert made(project, empty_dsn) == []


# What changes its shape


def test_a_view_without_a_column_is_made_again_with_what_is_built_on_it(project, empty_dsn):
    alone = oid(empty_dsn, "reporting.alone")
    put(project, "1_base/10_base", NARROW)
    assert made(project, empty_dsn) == ["1_base/10_base", "2_views/20_above"]
    columns = "SELECT string_agg(attname, ',') FROM pg_attribute WHERE attrelid = 'reporting.base'::regclass"
    assert value(empty_dsn, columns) == "amount"
    assert value(empty_dsn, "SELECT total FROM ops.above") is None
    assert oid(empty_dsn, "reporting.alone") == alone


SIGNATURES = {
    "another result": "CREATE OR REPLACE FUNCTION ops.rated(n int) RETURNS bigint LANGUAGE sql IMMUTABLE RETURN n * 3;",
    "a parameter's name": "CREATE OR REPLACE FUNCTION ops.rated(m int) RETURNS int LANGUAGE sql IMMUTABLE"
    " RETURN m * 3;",
    "another argument": "CREATE OR REPLACE FUNCTION ops.rated(n bigint) RETURNS int LANGUAGE sql IMMUTABLE"
    " RETURN n * 3;",
    "one argument more": "CREATE OR REPLACE FUNCTION ops.rated(n int, by int DEFAULT 3) RETURNS int LANGUAGE sql"
    " IMMUTABLE RETURN n * by;",
    "an aggregate": "CREATE OR REPLACE FUNCTION ops.last(a int, b int) RETURNS int LANGUAGE sql IMMUTABLE RETURN b * 3;"
    "CREATE OR REPLACE AGGREGATE ops.rated(int) (sfunc = ops.last, stype = int);",
}


@pytest.mark.parametrize("change", SIGNATURES)
def test_another_signature_remakes_what_is_built_on_it_and_gives_back_what_was_given(project, empty_dsn, role, change):
    execute(
        empty_dsn,
        f"REVOKE ALL ON FUNCTION ops.rated(int) FROM PUBLIC; GRANT EXECUTE ON FUNCTION ops.rated(int) TO {role} WITH"
        f" GRANT OPTION; GRANT SELECT ON reporting.rates TO {role}; ALTER FUNCTION ops.other(int) OWNER TO {role}",
    )
    before = value(empty_dsn, GRANTS)
    assert any(acl.startswith("rated") for acl in before)
    put(project, "1_base/20_rate", f"{SIGNATURES[change]}\n{RATE.splitlines()[2]}")
    assert made(project, empty_dsn) == ["1_base/20_rate", "2_views/40_rates"]
    assert value(empty_dsn, "SELECT rate FROM reporting.rates") == 6
    assert value(empty_dsn, "SELECT count(*) FROM pg_proc WHERE proname = 'rated'") == 1
    assert value(empty_dsn, GRANTS) == before
    assert value(empty_dsn, "SELECT proowner::regrole::text FROM pg_proc WHERE proname = 'other'") == role
    assert value(empty_dsn, "SELECT count(*) FROM llm_db.grants") == 0
    assert made(project, empty_dsn) == []


def test_a_call_that_would_be_ambiguous_beside_the_old_overload(project, empty_dsn):
    two = "CREATE OR REPLACE FUNCTION ops.rated(n int, by {} DEFAULT {}) RETURNS int LANGUAGE sql IMMUTABLE RETURN n;"
    put(project, "1_base/20_rate", two.format("int", "1"))
    put(project, "2_views/40_rates", RATES)
    assert made(project, empty_dsn) == ["1_base/20_rate", "2_views/40_rates"]
    put(project, "1_base/20_rate", two.format("text", "'x'"))
    put(project, "2_views/40_rates", RATES + " -- changed")
    assert made(project, empty_dsn) == ["1_base/20_rate", "2_views/40_rates"]
    assert value(empty_dsn, "SELECT count(*) FROM pg_proc WHERE proname IN ('rated', 'other')") == 1


def test_a_trigger_function_of_another_kind_takes_its_triggers_along(project, empty_dsn):
    procedure = "CREATE OR REPLACE PROCEDURE ops.note() LANGUAGE sql AS 'SELECT 1';"
    put(project, "1_base/30_note", procedure + NOTE.replace("ops.note", "ops.noted"))
    assert "5_triggers/10_sales.sql: 42883" in refused(project, empty_dsn)
    assert value(empty_dsn, "SELECT count(*) FROM pg_trigger WHERE tgrelid = 'llm.sales'::regclass") == 2
    put(project, "5_triggers/10_sales", TRIGGERS.replace("ops.note", "ops.noted"))
    assert made(project, empty_dsn) == ["1_base/30_note", "5_triggers/10_sales"]
    execute(empty_dsn, "INSERT INTO llm.sales VALUES (1, 'a')")
    assert value(empty_dsn, "SELECT count(*) FROM llm.written") == 2


def test_a_function_becomes_a_procedure(project, empty_dsn):
    put(project, "1_base/20_rate", RATE.splitlines()[1])
    put(project, "1_base/40_other", "CREATE OR REPLACE PROCEDURE ops.other(n int) LANGUAGE sql AS 'SELECT n';")
    assert made(project, empty_dsn) == ["1_base/20_rate", "1_base/40_other"]
    assert value(empty_dsn, "SELECT prokind::text FROM pg_proc WHERE proname = 'other'") == "p"


def test_a_trigger_becomes_a_constraint_trigger_and_back(project, empty_dsn):
    plain = "CREATE OR REPLACE TRIGGER {} AFTER INSERT ON llm.sales FOR EACH ROW EXECUTE FUNCTION ops.note();"
    put(project, "5_triggers/10_sales", plain.format("noted") + plain.format("checked"))
    assert made(project, empty_dsn) == ["5_triggers/10_sales"]
    assert value(empty_dsn, "SELECT count(*) FROM pg_trigger WHERE tgname = 'checked' AND tgconstraint = 0") == 1
    put(project, "5_triggers/10_sales", TRIGGERS)
    assert made(project, empty_dsn) == ["5_triggers/10_sales"]


# What is taken out


def test_a_file_is_taken_out_and_what_it_made_goes_too(project, empty_dsn):
    for name in ("2_views/30_alone", "2_views/40_rates", "1_base/20_rate", "5_triggers/10_sales"):
        (project / "views" / f"{name}.sql").unlink()
    assert made(project, empty_dsn) == []
    assert value(empty_dsn, "SELECT to_regclass('reporting.alone') IS NULL AND to_regproc('ops.rated') IS NULL")
    assert value(empty_dsn, "SELECT count(*) FROM pg_trigger WHERE tgrelid = 'llm.sales'::regclass") == 0
    assert recorded(empty_dsn) == ["1_base/10_base", "1_base/30_note", "2_views/20_above"]


@pytest.mark.parametrize(
    ("file", "text", "gone"),
    [
        ("1_base/20_rate", RATE.splitlines()[1], "SELECT to_regproc('ops.other') IS NULL"),
        (
            "5_triggers/10_sales",
            TRIGGERS.splitlines()[1],
            "SELECT count(*) = 1 FROM pg_trigger WHERE tgrelid = 'llm.sales'::regclass",
        ),
    ],
)
def test_what_a_file_does_not_make_any_more_goes(project, empty_dsn, file, text, gone):
    put(project, file, text)
    assert made(project, empty_dsn) == [file]
    assert value(empty_dsn, gone)


@pytest.mark.parametrize("to", ["1_base/01_moved", "2_views/99_moved"])
def test_what_moves_to_another_file_stays_what_it_is(project, empty_dsn, role, to):
    execute(empty_dsn, f"GRANT EXECUTE ON FUNCTION ops.other(int) TO {role}; GRANT SELECT ON reporting.base TO {role}")
    execute(empty_dsn, "CREATE VIEW public.mine AS SELECT ops.other(1), amount FROM reporting.base")
    before, grants = oid(empty_dsn, "ops.other(int)", "regprocedure"), value(empty_dsn, GRANTS)
    put(project, "1_base/20_rate", RATE.splitlines()[1])
    put(project, to, RATE.splitlines()[2])
    (project / "views/1_base/10_base.sql").rename(project / "views/1_base/11_base.sql")
    assert made(project, empty_dsn) == sorted(["1_base/20_rate", "1_base/11_base", to])
    assert oid(empty_dsn, "ops.other(int)", "regprocedure") == before
    assert value(empty_dsn, GRANTS) == grants
    assert made(project, empty_dsn) == []


def test_a_trigger_that_moves_to_another_file_is_never_missing(project, empty_dsn):
    one, two = TRIGGERS.splitlines()[1], "\n".join(TRIGGERS.splitlines()[2:])
    (project / "views/5_triggers/10_sales.sql").unlink()
    put(project, "5_triggers/11_sales", one)
    put(project, "5_triggers/12_sales", two)
    before = value(empty_dsn, "SELECT oid::int FROM pg_trigger WHERE tgname = 'noted'")
    assert made(project, empty_dsn) == ["5_triggers/11_sales", "5_triggers/12_sales"]
    assert value(empty_dsn, "SELECT oid::int FROM pg_trigger WHERE tgname = 'noted'") == before
    put(project, "5_triggers/11_sales", one.replace("noted", "anew"))
    put(project, "5_triggers/12_sales", two + one)
    assert made(project, empty_dsn) == ["5_triggers/11_sales", "5_triggers/12_sales"]
    assert value(empty_dsn, "SELECT oid::int FROM pg_trigger WHERE tgname = 'noted'") == before
    assert value(empty_dsn, "SELECT count(*) FROM pg_trigger WHERE tgrelid = 'llm.sales'::regclass") == 3


# What is refused


def test_what_somebody_else_built_on_ours_stops_the_change_and_is_named(project, empty_dsn):
    execute(empty_dsn, "CREATE VIEW public.mine AS SELECT region FROM reporting.base")
    put(project, "1_base/10_base", NARROW)
    for command in (["migrate"], ["rollback", "--to", "none", "--yes"]):
        assert "view public.mine depends on view reporting.base" in refused(project, empty_dsn, *command)
        assert value(empty_dsn, "SELECT count(*) FROM public.mine") == 0
        assert value(empty_dsn, "SELECT to_regclass('ops.above') IS NOT NULL")


@pytest.mark.parametrize("change", ["another result", "another argument"])
def test_so_does_a_function_or_an_index_of_theirs(project, empty_dsn, change):
    execute(
        empty_dsn,
        "CREATE FUNCTION public.mine() RETURNS int LANGUAGE sql RETURN ops.rated(1);"
        "CREATE INDEX mine_idx ON llm.sales (ops.rated(amount))",
    )
    before = oid(empty_dsn, "reporting.rates")
    put(project, "1_base/20_rate", SIGNATURES[change])
    error = refused(project, empty_dsn)
    assert "function mine() depends on function ops.rated(integer)" in error.replace("public.", "")
    assert "index llm.mine_idx depends on function ops.rated(integer)" in error
    assert "hint: nothing was changed" in error
    assert value(empty_dsn, "SELECT mine() = 2 AND ops.other(1) = 1")
    assert oid(empty_dsn, "reporting.rates") == before
    assert value(empty_dsn, "SELECT count(*) FROM llm_db.grants") == 0


def test_a_file_that_fails_leaves_all_as_it_was(project, empty_dsn):
    put(project, "1_base/10_base", NARROW)
    put(project, "2_views/30_alone", "CREATE OR REPLACE VIEW reporting.alone AS\nSELECT nowhere;")
    assert "views/2_views/30_alone.sql, line 2: 42703" in refused(project, empty_dsn)
    assert value(empty_dsn, "SELECT one FROM reporting.alone") == 1
    assert value(empty_dsn, "SELECT count(region) FROM reporting.base") == 0


def test_a_file_must_make_something_in_a_schema_of_ours(project, empty_dsn):
    put(project, "2_views/50_elsewhere", "CREATE OR REPLACE VIEW public.another AS SELECT 1 AS one;")
    done = llm_db("migrate", "--dsn", empty_dsn, root=project)
    assert done.returncode == 2
    assert "views/2_views/50_elsewhere.sql makes no view, routine or trigger in a schema of ours" in done.stderr
    assert value(empty_dsn, "SELECT to_regclass('public.another') IS NULL")


def test_two_files_do_not_make_the_same(project, empty_dsn):
    put(project, "2_views/50_again", "CREATE OR REPLACE VIEW reporting.alone AS SELECT 2 AS one;")
    done = llm_db("migrate", "--dsn", empty_dsn, root=project)
    assert done.returncode == 2
    assert "2_views/30_alone.sql and views/2_views/50_again.sql both make the view reporting.alone" in done.stderr
    assert value(empty_dsn, "SELECT one FROM reporting.alone") == 1


# What people gave


def test_grants_and_owners_survive_a_view_that_is_made_again(project, empty_dsn, role):
    execute(
        empty_dsn,
        f"GRANT SELECT ON reporting.base TO {role} WITH GRANT OPTION; GRANT SELECT ON ops.above TO PUBLIC;"
        f"GRANT UPDATE (amount) ON reporting.base TO {role}; ALTER VIEW ops.above OWNER TO {role}",
    )
    before = value(empty_dsn, GRANTS)
    assert len(before) >= 5
    put(project, "1_base/10_base", NARROW)
    assert made(project, empty_dsn) == ["1_base/10_base", "2_views/20_above"]
    assert value(empty_dsn, GRANTS) == before
    assert value(empty_dsn, OWNER) == role


def test_a_grant_on_a_column_goes_with_the_column(project, empty_dsn, role):
    execute(empty_dsn, f"GRANT UPDATE (amount), INSERT (region) ON reporting.base TO {role}")
    put(project, "1_base/10_base", NARROW)
    assert made(project, empty_dsn)
    query = "SELECT count(*) FROM pg_attribute WHERE attrelid = 'reporting.base'::regclass AND attacl IS NOT NULL"
    assert value(empty_dsn, query) == 1


def test_a_file_that_says_who_may_call_its_routine_is_right(project, empty_dsn):
    execute(empty_dsn, "REVOKE ALL ON FUNCTION ops.rated(int) FROM PUBLIC")
    put(project, "1_base/20_rate", SIGNATURES["another result"] + "GRANT EXECUTE ON FUNCTION ops.rated(int) TO PUBLIC;")
    assert made(project, empty_dsn)
    execute(empty_dsn, f"CREATE ROLE nobody_{(name := uuid.uuid4().hex)}")
    try:
        assert value(empty_dsn, f"SELECT has_function_privilege('nobody_{name}', 'ops.rated(int)', 'EXECUTE')")
    finally:
        execute(empty_dsn, f"DROP ROLE nobody_{name}")


def test_what_was_given_is_kept_as_facts_and_never_run_as_sql(project, empty_dsn):
    """Who may write the ledger must not run statements as whoever migrates next."""
    keep = "INSERT INTO llm_db.grants VALUES ({}, NULL, {}, {}, false)"
    with pytest.raises(psycopg.errors.CheckViolation):
        statement = sql.SQL(keep).format("view reporting.base", None, "SELECT ON ops.above TO PUBLIC; --")
        execute(empty_dsn, statement.as_string())
    evil = "view reporting.base; DROP TABLE llm.sales; --"
    execute(empty_dsn, sql.SQL(keep).format(evil, None, "SELECT").as_string())
    adding = sql.SQL("UPDATE llm_db.repeatables SET objects = objects || {}::text").format(evil)
    execute(empty_dsn, adding.as_string())
    name = f"x; DROP TABLE llm.sales; -- {uuid.uuid4().hex}"
    role = sql.Identifier(name).as_string()
    execute(empty_dsn, f"CREATE ROLE {role}")
    try:
        execute(empty_dsn, sql.SQL(keep).format("view reporting.base", name, "SELECT").as_string())
        put(project, "1_base/10_base", NARROW)
        assert made(project, empty_dsn)
        assert value(empty_dsn, "SELECT count(*) FROM llm.sales") == 0
        assert value(empty_dsn, f"SELECT has_table_privilege('{name}', 'reporting.base', 'SELECT')")
    finally:
        execute(empty_dsn, f"DROP OWNED BY {role}; DROP ROLE {role}")


# Beside migrations


def test_rollback_drops_what_stands_on_its_tables_and_the_next_migrate_makes_it_again(project, empty_dsn):
    done = llm_db("rollback", "--dsn", empty_dsn, "--to", "none", "--yes", root=project)
    assert done.returncode == 0, done.stderr
    assert "view ops.above, view reporting.alone, view reporting.base, view reporting.rates; the end" in done.stdout
    assert recorded(empty_dsn) is None
    assert made(project, empty_dsn) == list(FILES)


def with_rates(project: Path, dsn: str) -> None:
    add(project, "0002.rate", "CREATE TABLE llm.rates (rate int);", "DROP TABLE llm.rates;")
    put(project, "2_views/50_kept", "CREATE OR REPLACE VIEW reporting.kept AS SELECT rate FROM llm.rates;")
    put(project, "2_views/60_top", "CREATE OR REPLACE VIEW ops.top AS SELECT rate FROM reporting.kept, reporting.base;")
    # Its body is known to PostgreSQL only when it is run.
    count = "CREATE OR REPLACE FUNCTION ops.rates() RETURNS bigint LANGUAGE plpgsql AS '{}';"
    body = "BEGIN RETURN (SELECT count(*) FROM llm.rates); END"
    put(project, "1_base/50_rates", "-- needs: 0002.rate\n" + count.format(body))
    put(project, "2_views/70_counted", "CREATE OR REPLACE VIEW reporting.counted AS SELECT ops.rates() AS rates;")
    assert len(made(project, dsn)) == 4


def test_rollback_takes_only_what_needs_what_goes(project, empty_dsn, role):
    """And what was given on the rest stays."""
    with_rates(project, empty_dsn)
    execute(empty_dsn, f"GRANT SELECT ON reporting.base TO {role}; ALTER VIEW ops.above OWNER TO {role}")
    before, base = value(empty_dsn, GRANTS), oid(empty_dsn, "reporting.base")
    done = llm_db("rollback", "--dsn", empty_dsn, "--to", "0001", "--yes", root=project)
    assert done.returncode == 0, done.stderr
    gone = "function ops.rates(), view ops.top, view reporting.counted, view reporting.kept"
    assert f"dropped 4 of ours: {gone}; the end of a full migrate makes them again" in done.stdout
    assert recorded(empty_dsn) == list(FILES)
    assert value(empty_dsn, GRANTS) == before
    assert value(empty_dsn, OWNER) == role
    assert oid(empty_dsn, "reporting.base") == base
    again = ["1_base/50_rates", "2_views/50_kept", "2_views/60_top", "2_views/70_counted"]
    assert made(project, empty_dsn) == again


def test_grants_survive_a_rollback_and_the_migrate_after_it(project, empty_dsn, role):
    with_rates(project, empty_dsn)
    execute(empty_dsn, f"GRANT SELECT ON reporting.kept TO {role}; GRANT EXECUTE ON FUNCTION ops.rates() TO {role}")
    before = value(empty_dsn, GRANTS)
    assert llm_db("rollback", "--to", "1", "--yes", "--dsn", empty_dsn, root=project).returncode == 0
    assert value(empty_dsn, GRANTS) != before
    made(project, empty_dsn)
    assert value(empty_dsn, GRANTS) == before


def test_what_somebody_else_built_on_what_needs_a_migration_stops_its_rollback(project, empty_dsn):
    with_rates(project, empty_dsn)
    execute(empty_dsn, "CREATE VIEW public.mine AS SELECT ops.rates()")
    error = refused(project, empty_dsn, "rollback", "--to", "1", "--yes")
    assert "view public.mine depends on function ops.rates()" in error
    assert value(empty_dsn, "SELECT ops.rates()") == 0
    assert value(empty_dsn, "SELECT to_regclass('ops.top') IS NOT NULL")


def test_rollback_of_what_nothing_needs_leaves_everything_alone(project, empty_dsn):
    """Also where somebody else has built on ours."""
    add(project, "0002.more", "CREATE TABLE public.more (id int);", "DROP TABLE public.more;")
    made(project, empty_dsn)
    execute(empty_dsn, "CREATE VIEW public.mine AS SELECT region FROM reporting.base")
    before = oid(empty_dsn, "reporting.base")
    done = llm_db("rollback", "--dsn", empty_dsn, "--to", "0001", "--yes", root=project)
    assert done.returncode == 0, done.stderr
    assert "dropped" not in done.stdout
    assert oid(empty_dsn, "reporting.base") == before


HALF = "CREATE {} FUNCTION ops.half(n int) RETURNS int LANGUAGE sql RETURN {};"


def test_what_a_migration_made_first_is_left_to_its_rollback(tmp_path, empty_dsn, role):
    """0.1.0's migrations made functions. A rollback puts the old text back, and the next migrate the new one."""
    up = MIGRATIONS["0001.first"].replace(
        "-- DOWN --", HALF.format("", "n") + "-- DOWN -- DROP FUNCTION ops.half(int);"
    )
    root = checkout(tmp_path, {"0001.first": up}, FILES)
    add(
        root,
        "0002.rate",
        "CREATE TABLE llm.rates (rate int);",
        "DROP TABLE llm.rates;" + HALF.format("OR REPLACE", "n"),
    )
    put(root, "1_base/60_half", "-- needs: 0002.rate\n" + HALF.format("OR REPLACE", "n / 2"))
    put(root, "1_base/70_more", HALF.format("OR REPLACE", "1").replace("half", "more"))
    made(root, empty_dsn)
    execute(empty_dsn, f"GRANT EXECUTE ON FUNCTION ops.half(int) TO {role}")
    execute(empty_dsn, "CREATE VIEW public.mine AS SELECT ops.half(4) AS half")
    assert value(empty_dsn, "SELECT half FROM public.mine") == 2
    for _ in range(2):
        done = llm_db("rollback", "--to", "1", "--yes", "--dsn", empty_dsn, root=root)
        assert done.returncode == 0, done.stderr
        assert value(empty_dsn, "SELECT half FROM public.mine") == 4
        assert made(root, empty_dsn) == ["1_base/60_half"]
        assert value(empty_dsn, "SELECT half FROM public.mine") == 2
    assert value(empty_dsn, "SELECT adopted FROM llm_db.repeatables WHERE name = '1_base/60_half'") == [
        "function ops.half(integer)"
    ]
    assert any(acl.startswith(f"half {role}=") for acl in value(empty_dsn, GRANTS))


def test_what_a_rollback_replaces_is_made_again_though_it_did_not_change(project, empty_dsn):
    """Without a word in its file."""
    put(project, "1_base/60_half", HALF.format("OR REPLACE", "n / 2"))
    add(project, "0002.half", "SELECT 1;", HALF.format("OR REPLACE", "n"))
    assert made(project, empty_dsn) == ["1_base/60_half"]
    assert llm_db("rollback", "--to", "1", "--yes", "--dsn", empty_dsn, root=project).returncode == 0
    assert value(empty_dsn, "SELECT ops.half(4)") == 4
    assert made(project, empty_dsn) == ["1_base/60_half"]


def change_region(project: Path) -> str:
    """A migration that takes away what reporting.base shows, and base as it is from then on."""
    add(project, "0002.region", "ALTER TABLE llm.sales DROP COLUMN region;")
    return "CREATE OR REPLACE VIEW reporting.base AS SELECT amount FROM llm.sales;"


def test_a_migration_is_not_stopped_by_what_is_ours(project, empty_dsn, role):
    """And what was given on it is there again, whether it comes back at once or at the end."""
    execute(
        empty_dsn,
        f"GRANT SELECT ON reporting.base TO {role} WITH GRANT OPTION; GRANT SELECT ON ops.above TO PUBLIC;"
        f"GRANT UPDATE (amount) ON reporting.base TO {role}; ALTER VIEW ops.above OWNER TO {role}",
    )
    before = value(empty_dsn, GRANTS)
    alone = oid(empty_dsn, "reporting.alone")
    text = change_region(project)
    # Its new text needs the next migration too, so between the two there is no such view.
    add(project, "0003.total", "ALTER TABLE llm.sales ADD COLUMN total int;")
    put(project, "1_base/10_base", text.replace("amount", "amount, total"))
    done = llm_db("migrate", "--dsn", empty_dsn, root=project)
    assert done.returncode == 0, done.stderr
    gone = "view ops.above, view reporting.base"
    assert f"dropped 2 of ours: {gone}; the end of a full migrate makes them again" in done.stdout
    assert "repeatables: 2 made, 5 unchanged" in done.stdout
    assert value(empty_dsn, GRANTS) == before
    assert value(empty_dsn, OWNER) == role
    assert oid(empty_dsn, "reporting.alone") == alone
    assert value(empty_dsn, "SELECT count(*) FROM llm_db.grants") == 0


def test_what_fits_what_a_migration_leaves_is_never_missing(project, empty_dsn, role):
    execute(empty_dsn, f"GRANT SELECT ON reporting.base TO {role}")
    before = value(empty_dsn, GRANTS)
    put(project, "1_base/10_base", change_region(project))
    done = llm_db("migrate", "--to", "2", "--dsn", empty_dsn, root=project)
    assert done.returncode == 0, done.stderr
    assert "dropped" not in done.stdout
    assert value(empty_dsn, GRANTS) == before


@pytest.mark.parametrize("stop", ["at --to", "by a failure"])
def test_a_migrate_that_stops_before_the_end_names_what_is_gone(project, empty_dsn, role, stop):
    execute(empty_dsn, f"GRANT SELECT ON reporting.base TO {role}; GRANT SELECT ON ops.above TO {role}")
    before = value(empty_dsn, GRANTS)
    put(project, "1_base/10_base", change_region(project).replace("amount", "amount, total"))
    add(project, "0003.total", "ALTER TABLE llm.sales ADD COLUMN total int; SELECT nowhere;")
    to = ["--to", "2"] if stop == "at --to" else []
    done = llm_db("migrate", *to, "--dsn", empty_dsn, root=project)
    assert done.returncode == (0 if to else 1)
    assert "dropped 2 of ours: view ops.above, view reporting.base; the end of a full migrate" in done.stdout
    assert value(empty_dsn, "SELECT to_regclass('reporting.base') IS NULL")
    # The role of one grant may be gone when the view comes back.
    gone = f"gone_{uuid.uuid4().hex}"
    execute(empty_dsn, f"INSERT INTO llm_db.grants VALUES ('view reporting.base', NULL, '{gone}', 'SELECT', false)")
    add(project, "0003.total", "ALTER TABLE llm.sales ADD COLUMN total int;")
    done = llm_db("migrate", "--dsn", empty_dsn, root=project)
    assert done.returncode == 0, done.stderr
    assert value(empty_dsn, GRANTS) == before


@pytest.mark.parametrize(
    "change", ["DROP COLUMN region", "ALTER COLUMN region TYPE varchar(9)", "ALTER COLUMN amount TYPE bigint"]
)
def test_what_somebody_else_built_on_ours_stops_a_migration_with_its_name(project, empty_dsn, change):
    execute(empty_dsn, "CREATE VIEW public.mine AS SELECT amount FROM reporting.base")
    add(project, "0002.change", f"ALTER TABLE llm.sales {change};")
    before = oid(empty_dsn, "reporting.base")
    assert "view public.mine depends on view reporting.base" in refused(project, empty_dsn)
    assert oid(empty_dsn, "reporting.base") == before
    assert recorded(empty_dsn) == list(FILES)
    assert value(empty_dsn, "SELECT count(*) FROM llm_db.grants") == 0
    execute(empty_dsn, "DROP VIEW public.mine")
    put(project, "1_base/10_base", "CREATE OR REPLACE VIEW reporting.base AS SELECT amount FROM llm.sales;")
    made(project, empty_dsn)


def test_what_somebody_else_built_on_what_is_not_in_the_way_is_no_obstacle(project, empty_dsn):
    execute(empty_dsn, "CREATE VIEW public.mine AS SELECT one FROM reporting.alone")
    put(project, "1_base/10_base", change_region(project))
    assert llm_db("migrate", "--dsn", empty_dsn, root=project).returncode == 0
    assert llm_db("rollback", "--to", "1", "--yes", "--dsn", empty_dsn, root=project).returncode == 0
    assert value(empty_dsn, "SELECT one FROM public.mine") == 1


def test_a_trigger_that_gives_way_is_there_again_at_once_or_the_migration_is_refused(project, empty_dsn):
    put(project, "5_triggers/10_sales", TRIGGERS.replace("AFTER INSERT", "AFTER INSERT OR UPDATE OF amount"))
    made(project, empty_dsn)
    add(project, "0002.wide", "ALTER TABLE llm.sales ALTER COLUMN amount TYPE bigint;")
    made(project, empty_dsn)
    assert value(empty_dsn, "SELECT count(*) FROM pg_trigger WHERE tgrelid = 'llm.sales'::regclass") == 2
    narrow = "ALTER TABLE llm.sales ALTER COLUMN amount TYPE int; ALTER TABLE llm.sales RENAME COLUMN amount TO sum;"
    add(project, "0003.sum", narrow)
    assert "takes away what the trigger" in refused(project, empty_dsn)
    assert value(empty_dsn, "SELECT count(*) FROM pg_trigger WHERE tgrelid = 'llm.sales'::regclass") == 2


# Before it runs


def test_plan_status_and_check_know_what_is_pending(project, empty_dsn, server):
    assert json.loads(llm_db("plan", "--json", "--dsn", empty_dsn, root=project).stdout) == []
    assert llm_db("status", "--check", "--dsn", empty_dsn, root=project).returncode == 0
    add(project, "0002.more", "CREATE TABLE llm.more (id int);")
    put(project, "1_base/10_base", NARROW)
    put(project, "2_views/50_new", "CREATE OR REPLACE VIEW reporting.new AS SELECT 1 AS one;")
    (project / "views/2_views/30_alone.sql").unlink()
    planned = json.loads(llm_db("plan", "--json", "--dsn", empty_dsn, root=project).stdout)
    assert [(one["kind"], one["id"], one.get("change")) for one in planned] == [
        ("migration", "0002.more", None),
        ("repeatable", "1_base/10_base", "changed"),
        ("repeatable", "2_views/50_new", "new"),
        ("repeatable", "2_views/30_alone", "removed"),
    ]
    assert planned[1]["sql"] == NARROW
    told = llm_db("plan", "--dsn", empty_dsn, root=project).stdout
    assert f"-- 1_base/10_base (changed, repeatable)\n{NARROW}\n" in told
    assert "-- 2_views/30_alone (removed: what it made is dropped, unless another file makes it)" in told
    assert "-- 1 migrations and 3 repeatables are pending" in told
    assert "changes the shape of what it makes" in told

    add(project, "0002.more", "SELECT 1;")
    assert llm_db("migrate", "--to", "2", "--dsn", empty_dsn, root=project).returncode == 0
    put(project, "1_base/10_base", NARROW + "-- changed")
    done = llm_db("status", "--check", "--dsn", empty_dsn, root=project)
    assert done.returncode == 3
    assert "changed  1_base/10_base\n2 applied, 0 pending; 1 repeatables to make" in done.stdout
    found = json.loads(llm_db("status", "--json", "--dsn", empty_dsn, root=project).stdout)["repeatables"]
    assert found == [{"name": "1_base/10_base", "change": "changed"}]
    put(project, "5_triggers/10_sales", TRIGGERS.replace("INSERT", "UPDATE", 1))
    done = llm_db("check", "--dsn", empty_dsn, "--scratch", server, root=project)
    assert done.returncode == 6
    assert "trigger llm.sales.noted: definition is " in done.stdout


def test_plan_knows_what_is_new_on_a_database_without_a_ledger(tmp_path, empty_dsn):
    root = checkout(tmp_path, MIGRATIONS, FILES)
    planned = json.loads(llm_db("plan", "--json", "--dsn", empty_dsn, root=root).stdout)
    assert [one["change"] for one in planned if one["kind"] == "repeatable"] == ["new"] * len(FILES)


def test_plan_shows_the_locks_of_triggers(project, empty_dsn):
    put(project, "5_triggers/10_sales", TRIGGERS.replace("AFTER INSERT", "AFTER INSERT OR UPDATE"))
    again = "CREATE OR REPLACE TRIGGER again AFTER INSERT ON llm.written FOR EACH ROW EXECUTE FUNCTION ops.note();"
    put(project, "5_triggers/20_new", again)
    put(project, "2_views/30_alone", FILES["2_views/30_alone"] + "-- changed")
    done = llm_db("plan", "--locks", "--dsn", empty_dsn, root=project)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[:-1] == [
        "-- 2_views/30_alone (changed, repeatable)",
        "--   no table that is there now",
        "-- 5_triggers/10_sales (changed, repeatable)",
        "--   llm.sales  ACCESS EXCLUSIVE",
        "-- 5_triggers/20_new (new, repeatable)",
        "--   llm.written  SHARE ROW EXCLUSIVE",
    ]
    planned = json.loads(llm_db("plan", "--locks", "--json", "--dsn", empty_dsn, root=project).stdout)
    assert planned[1]["locks"][0]["lock"] == "ACCESS EXCLUSIVE"


# Killed, and beside others


def start(dsn: str, root: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "llm_db", "migrate", "--dsn", f"{dsn} application_name=killed"]
    return subprocess.Popen(command, env=environment(root), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


SLOW = "CREATE OR REPLACE PROCEDURE ops.slow() LANGUAGE sql AS 'SELECT pg_sleep(20)'; CALL ops.slow();"


@pytest.mark.parametrize(
    ("file", "slow", "done"),
    [
        ("2_views/99_slow", SLOW, []),
        # Each file of triggers is a transaction of its own, after all others.
        ("5_triggers/10_sales", f"{TRIGGERS}INSERT INTO llm.written SELECT pg_sleep(20)::text;", ["1_base/10_base"]),
    ],
)
def test_killed_in_the_middle_leaves_all_or_nothing(project, empty_dsn, file, slow, done):
    sums = "SELECT jsonb_object_agg(name, sha256) FROM llm_db.repeatables"
    before = value(empty_dsn, sums)
    put(project, "1_base/10_base", NARROW)
    put(project, file, slow)
    runner = start(empty_dsn, project)
    # Other tests have runners to kill on the same server.
    there = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'killed' AND datname = current_database()"
    wait_for(empty_dsn, f"{there} AND wait_event = 'PgSleep'", 1)
    runner.send_signal(signal.SIGKILL)
    runner.wait()
    wait_for(empty_dsn, there, 0)
    after = value(empty_dsn, sums)
    assert [name for name in before if before[name] != after[name]] == done
    assert value(empty_dsn, "SELECT to_regproc('ops.slow') IS NULL")
    columns = "SELECT count(*) FROM pg_attribute WHERE attrelid = 'reporting.base'::regclass AND attnum > 0"
    assert value(empty_dsn, columns) == (1 if done else 2)
    assert value(empty_dsn, "SELECT count(*) FROM pg_trigger WHERE tgrelid = 'llm.sales'::regclass") == 2
    assert value(empty_dsn, "SELECT count(*) FROM llm_db.grants") == 0
    put(project, file, TRIGGERS + "-- changed" if done else "CREATE OR REPLACE VIEW ops.two AS SELECT 2 AS two;")
    assert made(project, empty_dsn) == ([file] if done else ["1_base/10_base", "2_views/20_above", file])


def wait_for(dsn: str, query: str, count: int) -> None:
    deadline = time.monotonic() + 60
    while value(dsn, query) != count:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_two_runners_at_once_make_everything_once(project, empty_dsn):
    put(project, "1_base/10_base", NARROW)
    runners = [start(empty_dsn, project) for _ in range(2)]
    assert [runner.wait(60) for runner in runners] == [0, 0]
    assert value(empty_dsn, "SELECT count(DISTINCT made_at) FROM llm_db.repeatables") == len(FILES)
    assert made(project, empty_dsn) == []


def test_a_trigger_waits_briefly_for_a_writer_and_is_tried_again(project, empty_dsn):
    put(project, "5_triggers/10_sales", TRIGGERS.replace("AFTER INSERT", "AFTER INSERT OR UPDATE"))
    with psycopg.connect(empty_dsn) as writer:
        writer.execute("INSERT INTO llm.sales VALUES (1, 'a')")
        began = time.monotonic()
        done = llm_db("migrate", "--retries", "1", "--dsn", empty_dsn, root=project)
        assert done.returncode == 4
        assert "5_triggers/10_sales.sql: 55P03" in done.stderr
        assert "trying again in" in done.stderr
        assert time.monotonic() - began < 3
        writer.rollback()
    assert made(project, empty_dsn) == ["5_triggers/10_sales"]


# The repository's own


def test_a_database_that_was_built_by_hand_is_known_and_rolls_back(server):
    """schema/ and views/ by psql, adopted by a baseline: what the files made there is theirs, not a migration's."""
    with fresh_database(server) as dsn:
        for folder in ("schema", "views"):
            for path in sorted((ROOT / folder).rglob("*.sql")):
                execute(dsn, path.read_text("utf-8"))
        done = llm_db("baseline", "--to", files.migrations()[-1].id, "--dsn", dsn, "--scratch", server)
        assert done.returncode == 0, done.stdout + done.stderr
        assert llm_db("migrate", "--dsn", dsn).returncode == 0
        # Its reference data are on record.
        execute(dsn, "SET audit.may_change = 'on'; TRUNCATE audit.changes")
        done = llm_db("rollback", "--to", "0008", "--yes", "--dsn", dsn)
        assert done.returncode == 0, done.stderr
        assert value(dsn, "SELECT to_regproc('llm.keep_user_department') IS NULL")
        execute(dsn, "SELECT llm.found_department('a', 'b', 'c@example.com')")
