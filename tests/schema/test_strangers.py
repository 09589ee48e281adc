"""What a login can do that was granted nothing: hold up nobody, and be called by nobody."""

import re
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from conftest import Company

OURS = "('llm', 'rollup', 'reporting', 'ops', 'audit')"
LOG = "INSERT INTO llm.session_logs (session_id, deployment_id, template_id) VALUES (%s, %s, %s)"


@pytest.fixture
def stranger(db: psycopg.Connection, dsn: str) -> Iterator[psycopg.Connection]:
    """A login without a grant, in a session of its own. Roles are the server's, so its name is its own."""
    name = f"stranger_{uuid.uuid4().hex}"
    role = sql.Identifier(name)
    db.execute(sql.SQL("CREATE ROLE {} LOGIN").format(role))
    with psycopg.connect(make_conninfo(dsn, user=name), autocommit=True) as connection:
        yield connection
    db.execute(sql.SQL("DROP OWNED BY {role} CASCADE; DROP ROLE {role}").format(role=role))


# Locks. A lock that needs no right must not be waited for, nor decide what is done.


def test_nothing_waits_for_an_advisory_lock(db: psycopg.Connection) -> None:
    query = f"""
        SELECT oid::regprocedure::text, substring(prosrc FROM 'pg_(?:try_)?advisory\\w+') FROM pg_catalog.pg_proc
        WHERE pronamespace::regnamespace::text IN {OURS} AND prosrc ~ 'pg_\\w*advisory'
    """
    # The one says something by a lock and stops nobody; the other takes any of a thousand, and can do without.
    assert sorted(db.execute(query)) == [
        ("llm.lock_another_session(text,uuid)", "pg_try_advisory_xact_lock_shared"),
        ("llm.take_usage_slot()", "pg_try_advisory_xact_lock"),
    ]


def take_all_locks(db: psycopg.Connection, stranger: psycopg.Connection, of: list[str]) -> None:
    """Every advisory lock that is named after one of these, as far as the slots go."""
    for name in of:
        oid = db.execute("SELECT %s::regclass::oid::bigint", [name]).fetchone()[0]
        stranger.execute("SELECT pg_advisory_lock(%s::bigint)", [oid])
        stranger.execute("SELECT pg_advisory_lock(%s::integer, n) FROM generate_series(0, 1000) AS n", [oid])


@pytest.mark.one_node("it takes the locks of this node's counters")
def test_advisory_locks_of_a_stranger_hold_up_nobody(
    db: psycopg.Connection, stranger: psycopg.Connection, company: Company
) -> None:
    take_all_locks(db, stranger, ["llm.sessions", "llm.prompt_template_uses", "rollup.state"])
    db.execute("SET statement_timeout = '20s'")
    db.execute("CALL llm.create_months('2024-01-01', '2024-02-01')")
    db.execute("CALL ops.refresh_rollups()")
    assert db.execute("SELECT llm.drop_month('2024-01-01')").fetchone() == (True,)
    for _ in range(2):
        db.execute(LOG, [company.session_id, company.deployment_id, company.template_id])
    # Without a slot a transaction counts for itself.
    assert db.execute("SELECT llm.fold_template_uses()").fetchone() == (2,)
    assert db.execute("SELECT usage_count FROM llm.prompt_templates").fetchone() == (2,)


def test_a_stranger_cannot_take_the_locks_that_count(stranger: psycopg.Connection) -> None:
    for statement in (
        "SELECT FROM rollup.state FOR UPDATE",
        "LOCK TABLE rollup.state IN ACCESS SHARE MODE",
        "LOCK TABLE llm.sessions_default IN ACCESS SHARE MODE",
        "SELECT rollup.lock_state(true)",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege), stranger.transaction():
            stranger.execute(statement)


def test_a_second_change_of_months_gives_up(db: psycopg.Connection, dsn: str) -> None:
    """As soon as the first would have; the 60 seconds are shortened here."""
    db.execute(
        db.execute("SELECT pg_get_functiondef('llm.lock_for_month_change'::regproc)")
        .fetchone()[0]
        .replace("'60 seconds'", "'0.3 seconds'")
    )
    with psycopg.connect(dsn) as first:
        first.execute("SELECT llm.create_month('2024-01-01')")
        with pytest.raises(psycopg.errors.LockNotAvailable, match="another change of months did not end within"):
            db.execute("SELECT llm.create_month('2024-02-01')")
    assert db.execute("SELECT llm.create_month('2024-02-01')").fetchone() == (True,)
    assert db.execute("SELECT current_setting('lock_timeout')").fetchone() == ("0",)


@pytest.mark.parametrize("slot", ["", "0", "-5", "1001", "7 ", "abc", "1e3", "٣", "9" * 30, "2", "999"])
def test_a_slot_that_is_not_ones_own_is_not_believed(
    db: psycopg.Connection, dsn: str, company: Company, slot: str
) -> None:
    """Several who say that they have the same one count as exactly as ever."""

    def write(_: int) -> None:
        with psycopg.connect(dsn, options="-c statement_timeout=30s") as connection:
            for _ in range(5):
                connection.execute("SELECT set_config('llm.usage_slot', %s, false)", [slot])
                connection.execute(LOG, [company.session_id, company.deployment_id, company.template_id])
                connection.commit()

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(write, range(3)))
    assert db.execute("SELECT usage_count FROM llm.prompt_templates").fetchone() == (15,)
    slots = [slot for (slot,) in db.execute("SELECT slot FROM llm.prompt_template_uses")]
    assert all(1 <= slot <= 1000 for slot in slots)


# Names. What is kept as text is looked up when it runs, and must not find what a stranger made. Functions have a fixed
# search_path (test_schema.py). A procedure that commits cannot have one.

FIXED = "SET LOCAL search_path = pg_catalog, pg_temp"
# Types that are words of the grammar, which no schema can hold another of.
WORDS = "boolean|bigint|integer|interval|smallint"


def faults(body: str) -> list[str]:
    """What of a committing procedure's body could be looked up by the caller's search_path."""
    text = re.sub(r"--[^\n]*", "", re.sub(r"'(?:[^']|'')*'", "''", body))
    declared, _, rest = text.partition("BEGIN")
    found = [
        f"declares {line.strip()}"
        for line in declared.replace("DECLARE", "").split(";")
        if line.strip() and not re.fullmatch(rf"\s*\w+ (?:pg_catalog\.\w+|{WORDS})(?: \[\])?\s*", line)
    ]
    statements = [re.sub(r"\s+", " ", each).strip() for each in rest.split(";")]
    statements = [each for each in statements if each]
    if statements[0] != FIXED:
        found.append("does not begin with SET LOCAL")
    if statements[-2:] != ["COMMIT", "END"]:
        found.append("does not end with COMMIT")
    for one, following in pairwise(statements):
        # Both leave the next statement to the caller's path. Neither COMMIT nor RETURN has a name in it.
        if re.search(r"(?:^|\b(?:LOOP|THEN|ELSE|BEGIN) )(?:COMMIT|ROLLBACK|CALL .*)$", one):
            allowed = (FIXED, "RETURN", "END") if one.endswith("COMMIT") else (FIXED, "COMMIT")
            if following not in allowed:
                found.append(f"{one} is followed by {following}")
    return found


def test_procedures_look_nothing_up_by_the_callers_search_path(db: psycopg.Connection) -> None:
    query = f"""
        SELECT oid::regprocedure::text, prosrc FROM pg_catalog.pg_proc
        WHERE pronamespace::regnamespace::text IN {OURS} AND prokind = 'p' AND proconfig IS NULL
    """
    bodies = dict(db.execute(query).fetchall())
    assert len(bodies) >= 5
    assert {name: found for name, body in bodies.items() if (found := faults(body))} == {}


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ("DECLARE day date; BEGIN {fixed}; COMMIT; END", "declares day date"),
        ("DECLARE day pg_catalog.date := now(); BEGIN {fixed}; COMMIT; END", "declares day"),
        ("BEGIN PERFORM llm.f(); COMMIT; END", "does not begin with SET LOCAL"),
        ("BEGIN {fixed}; COMMIT; PERFORM 1 + 1; COMMIT; END", "COMMIT is followed by PERFORM 1 + 1"),
        ("BEGIN {fixed}; LOOP COMMIT; END LOOP; COMMIT; END", "LOOP COMMIT is followed by END LOOP"),
        ("BEGIN {fixed}; CALL llm.p(); x := 1; COMMIT; END", "CALL llm.p() is followed by x := 1"),
        ("BEGIN {fixed}; PERFORM llm.f(); END", "does not end with COMMIT"),
    ],
)
def test_the_rule_above_finds_what_breaks_it(body: str, fault: str) -> None:
    assert any(found.startswith(fault) for found in faults(body.format(fixed=FIXED)))


TRAPS = """
DO $do$
DECLARE
    twin record;
    kind text;
BEGIN
    -- Of every function, operator and type that the procedures name, one in public that is found first, and raises.
    FOR twin IN
        SELECT p.proname, pg_get_function_identity_arguments(p.oid) AS arguments, p.proretset,
            p.prorettype::regtype::text AS result
        FROM pg_catalog.pg_proc AS p
        WHERE p.pronamespace = 'pg_catalog'::regnamespace AND p.prokind = 'f' AND p.provariadic = 0
            AND p.prorettype::regtype::text NOT IN ('internal', 'cstring', 'trigger')
            AND EXISTS (
                SELECT FROM pg_catalog.pg_proc AS o
                WHERE o.prokind = 'p'
                    AND o.pronamespace::regnamespace::text IN ('llm', 'rollup', 'reporting', 'ops', 'audit')
                    AND o.prosrc ~ ('\\m' || p.proname || '\\(')
            )
    LOOP
        EXECUTE format(
            'CREATE FUNCTION public.%I(%s) RETURNS %s %s LANGUAGE plpgsql AS %L',
            twin.proname, twin.arguments, CASE WHEN twin.proretset THEN 'SETOF' END, twin.result,
            'BEGIN RAISE EXCEPTION ''hijacked''; END'
        );
    END LOOP;
    FOR twin IN
        SELECT o.oprname, o.oprleft::regtype AS left_type, o.oprright::regtype AS right_type,
            o.oprresult::regtype AS result, row_number() OVER () AS n
        FROM pg_catalog.pg_operator AS o
        WHERE o.oprnamespace = 'pg_catalog'::regnamespace AND o.oprkind = 'b'
            AND o.oprname IN ('<', '<=', '>', '>=', '=', '<>', '+', '-', '||', '~', '*')
            AND o.oprleft::regtype::text IN (
                'date', 'timestamp without time zone', 'timestamp with time zone', 'interval', 'integer', 'bigint',
                'text', 'name', 'oid', 'boolean', 'anycompatiblearray', 'anyarray'
            )
    LOOP
        EXECUTE format(
            'CREATE FUNCTION public.operator_%s(%s, %s) RETURNS %s LANGUAGE plpgsql AS %L',
            twin.n, twin.left_type, twin.right_type, twin.result, 'BEGIN RAISE EXCEPTION ''hijacked''; END'
        );
        EXECUTE format(
            'CREATE OPERATOR public.%s (FUNCTION = public.operator_%s, LEFTARG = %s, RIGHTARG = %s)',
            twin.oprname, twin.n, twin.left_type, twin.right_type
        );
    END LOOP;
    CREATE FUNCTION public.refuse() RETURNS boolean LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''hijacked''; END';
    FOREACH kind IN ARRAY ARRAY['date', 'timestamptz', 'text', 'record', 'regclass', 'uuid'] LOOP
        EXECUTE format(
            'CREATE DOMAIN public.%I AS pg_catalog.%I CHECK (public.refuse())',
            kind, CASE kind WHEN 'record' THEN 'text' ELSE kind END
        );
    END LOOP;
END
$do$;
"""


@pytest.mark.parametrize("path", ["public, pg_catalog", '"$user", public', "pg_temp, public, pg_catalog"])
def test_the_owner_runs_nothing_that_a_stranger_made(
    db: psycopg.Connection, dsn: str, stranger: psycopg.Connection, company: Company, path: str
) -> None:
    db.execute("SELECT llm.create_month('2024-01-01')")
    for began in ("2024-01-10Z", "2023-12-10Z"):
        db.execute(
            "INSERT INTO llm.sessions (session_id, user_id, start_time, end_time, session_type, status)"
            " VALUES (llm.uuidv7(%s), %s, %s, %s, 'test', 'completed')",
            [began, company.user_id, began, began],
        )
    db.execute(sql.SQL("GRANT CREATE ON SCHEMA public TO {}").format(sql.Identifier(stranger.info.user)))
    stranger.execute(TRAPS)
    with psycopg.connect(dsn, autocommit=True, options="-c search_path=" + path.replace(" ", "\\ ")) as owner:
        if path.startswith("public"):
            with pytest.raises(psycopg.errors.RaiseException, match="hijacked"):
                owner.execute("DO 'BEGIN PERFORM current_date < current_date + 1; END'")
        if path.startswith("pg_temp"):
            owner.execute("CREATE TEMPORARY TABLE pg_timezone_names (name pg_catalog.text)")
        owner.execute("CALL llm.create_months('2022-01-01', '2022-03-01')")
        owner.execute("CALL llm.create_months()")
        owner.execute("CALL llm.move_default_rows()")
        owner.execute("CALL ops.refresh_rollups()")
        owner.execute("CALL ops.set_reporting_time_zone('Asia/Tokyo')")
        owner.execute("CALL ops.set_reporting_time_zone('Asia/Tokyo')")
        owner.execute("CALL llm.drop_old_months(13)")
        owner.execute("INSERT INTO llm.retention VALUES ('sessions', 12)")
        owner.execute("CALL llm.maintain()")
        # Nor is the session's own path another one afterwards.
        assert owner.execute("SHOW search_path").fetchone() == (path,)


@pytest.mark.parametrize(
    "call",
    ["llm.create_months()", "llm.move_default_rows()", "llm.drop_old_months(1000)", "ops.refresh_rollups()",
     "llm.maintain()", "ops.set_reporting_time_zone('Asia/Seoul')", "ops.set_reporting_time_zone('UTC')"],
)  # fmt: skip
def test_the_callers_path_is_back_before_the_caller_goes_on(db: psycopg.Connection, call: str) -> None:
    db.execute("SET search_path = public, llm")
    notices: list[str] = []
    db.add_notice_handler(lambda notice: notices.append(notice.message_primary))
    db.execute(f"DO $$ BEGIN CALL {call}; RAISE NOTICE '%', current_setting('search_path'); END $$")
    assert notices[-1] == "public, llm"
    db.execute("DO $$ BEGIN CALL llm.drop_old_months(0); EXCEPTION WHEN OTHERS THEN"
               " RAISE NOTICE '%', current_setting('search_path'); END $$")  # fmt: skip
    assert notices[-1] == "public, llm"
