"""What somebody with a login can try with names, types, locks and texts of their own: whoever has a right keeps to it,
and nobody gains one. What a stranger can make of what the owner calls is in test_strangers.py."""

import argparse
import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import errors, sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from test_strangers import TRAPS

import citus
from command import llm_db
from conftest import Company
from llm_db import catalog, cli
from logins import LOG, SESSION, logins_of_the_page, one, refuses

OURS = "('llm', 'rollup', 'reporting', 'ops', 'audit')"
ROLES = ["llm_analyst", "llm_people_reader", "llm_app", "llm_loader", "llm_operator", "llm_auditor", "llm_manager"]


def everything(db: psycopg.Connection) -> tuple:
    """What an attack could change: definitions and rights, rows, and roles."""
    db.execute("SET search_path = pg_catalog")
    tables = db.execute(
        f"SELECT oid::regclass::text FROM pg_class WHERE relkind = 'r' AND relnamespace::regnamespace::text IN {OURS}"
    ).fetchall()
    rows = {
        table: db.execute(f"SELECT count(*), sum(hashtext(t::text)) FROM {table} AS t").fetchone()
        for (table,) in tables
    }
    roles = db.execute("SELECT rolname FROM pg_roles WHERE rolname = 'x'").fetchall()
    found = catalog.read(db)
    db.execute("RESET search_path")
    return {key: tuple(entry.properties.items()) for key, entry in found.items()}, rows, roles


# Replacing


def test_no_role_changes_replaces_or_adds_to_what_is_ours(db: psycopg.Connection, company: Company) -> None:
    """All of it: each routine, table, view, trigger and type."""
    db.execute("SELECT llm.create_month('2024-01-01')")
    before = everything(db)
    statements = [
        statement
        for (statement,) in db.execute(f"""
            SELECT format('DROP %s %s CASCADE', CASE relkind WHEN 'v' THEN 'VIEW' ELSE 'TABLE' END, oid::regclass)
            FROM pg_class WHERE relkind IN ('r', 'p', 'v') AND relnamespace::regnamespace::text IN {OURS}
            UNION ALL
            SELECT pg_get_functiondef(oid)
            FROM pg_proc WHERE prokind <> 'a' AND pronamespace::regnamespace::text IN {OURS}
            UNION ALL
            SELECT format('ALTER TABLE %s DISABLE TRIGGER %I', tgrelid::regclass, tgname)
            FROM pg_trigger WHERE NOT tgisinternal AND tgparentid = 0
            UNION ALL
            SELECT format('ALTER TYPE %s OWNER TO CURRENT_USER', oid::regtype)
            FROM pg_type WHERE typtype = 'e' AND typnamespace::regnamespace::text IN {OURS}
            UNION ALL
            SELECT format(s, nspname)
            FROM pg_namespace, unnest(ARRAY[
                'DROP SCHEMA %I CASCADE', 'CREATE TABLE %I.mine ()', 'COMMENT ON SCHEMA %I IS NULL',
                'CREATE FUNCTION %I.mine() RETURNS int LANGUAGE sql RETURN 1', 'ALTER SCHEMA %I RENAME TO mine',
                'CREATE OPERATOR %I.= (FUNCTION = texteq, LEFTARG = text, RIGHTARG = name)',
                'ALTER DEFAULT PRIVILEGES FOR ROLE postgres IN SCHEMA %I GRANT ALL ON TABLES TO PUBLIC'
            ]) AS s
            WHERE nspname IN {OURS}
        """)
    ]
    assert len(statements) > 200
    for role in ROLES:
        db.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(role)))
        for statement in statements:
            # In one transaction, so that nothing is left of one that is not refused.
            with pytest.raises(errors.InsufficientPrivilege), db.transaction():
                db.execute(statement)
                pytest.fail(f"{role}: {statement}")
        db.execute("RESET ROLE")
    assert everything(db) == before


def test_a_new_month_gives_nobody_anything(db: psycopg.Connection, company: Company) -> None:
    """In whatever way it is made."""
    for statement in (
        "SELECT llm.create_month('2024-01-01')",
        "CALL llm.create_months()",
        "CALL llm.move_default_rows()",
        "DROP TABLE llm.session_logs_2024_01",
        "SELECT ops.repair_month('2024-01-01')",
    ):
        db.execute(statement)
    given = db.execute("""
        SELECT c.relname, pg_get_userbyid(a.grantee)
        FROM pg_class AS c CROSS JOIN LATERAL aclexplode(c.relacl) AS a
        WHERE c.relispartition AND c.relnamespace = 'llm'::regnamespace AND a.grantee <> c.relowner
    """)
    assert given.fetchall() == []
    assert one(db, "SELECT count(*) FROM pg_inherits WHERE inhparent = 'llm.session_logs'::regclass") == 6


# Names


@pytest.fixture
def trapped(db: psycopg.Connection, dsn: str, company: Company) -> str:
    """A database whose schema public has a twin of what our routines name, found first, that raises when it is used."""
    db.execute("CALL llm.create_months()")
    db.execute(LOG, [company.session_id, "2 days", company.deployment_id, company.config_id, company.template_id])
    db.execute("CALL ops.refresh_rollups()")
    db.execute(TRAPS.replace("o.prokind = 'p'", "true"))
    return dsn


SHADOWS = f"""
    SELECT DISTINCT ON (c.relname) format('CREATE TEMPORARY TABLE %I (LIKE %s)', c.relname, c.oid::regclass)
    FROM pg_catalog.pg_class AS c
    WHERE c.relkind IN ('r', 'p', 'v') AND NOT c.relispartition AND c.relnamespace::regnamespace::text IN {OURS}
    ORDER BY c.relname
"""


def shadow(db: psycopg.Connection, session: psycopg.Connection) -> None:
    """Temporary tables of all of our names, and of the transition tables'; one is to be believed in."""
    user = sql.Identifier(session.info.user)
    db.execute(sql.SQL("GRANT TEMPORARY ON DATABASE {} TO {}").format(sql.Identifier(db.info.dbname), user))
    session.execute("SET search_path = pg_catalog")
    for (statement,) in db.execute(SHADOWS).fetchall():
        # Who may not look at a table cannot copy its columns; then one without any.
        try:
            session.execute(statement)
        except errors.InsufficientPrivilege:
            session.execute(statement.split("(LIKE")[0] + "()")
    session.execute("CREATE TEMPORARY TABLE added (session_id uuid, template_id bigint, request_time timestamptz)")
    session.execute("INSERT INTO pg_temp.added SELECT gen_random_uuid(), n, now() FROM generate_series(1, 100) AS n")
    session.execute("CREATE TEMPORARY TABLE removed (LIKE pg_temp.added)")


def test_whoever_writes_or_reads_runs_nothing_that_another_made(
    db: psycopg.Connection, trapped: str, company: Company
) -> None:
    with logins_of_the_page(trapped) as connect:
        service, analyst, operator = connect("chat_service"), connect("bob"), connect("oncall")
        for session in (service, analyst, operator):
            shadow(db, session)
            session.execute("SET search_path = pg_temp, public, pg_catalog, llm, rollup, reporting, ops")
        with pytest.raises(errors.RaiseException, match="hijacked"):
            service.execute("SELECT now()")
        session_id = one(service, SESSION, company.user_id, None)
        for ago in ("0 s", "2 days"):
            keys = [company.deployment_id, company.config_id, company.template_id]
            # The interval's operator would be the trap's.
            service.execute(
                LOG.replace("now() - %s::interval", "pg_catalog.now() OPERATOR(pg_catalog.-) %s::pg_catalog.interval"),
                [session_id, ago, *keys],
            )
        service.execute(
            "UPDATE llm.session_logs SET token_used = 7 WHERE session_id OPERATOR(pg_catalog.=) %s", [session_id]
        )
        with pytest.raises(errors.InsufficientPrivilege, match="may fill in"):
            service.execute("UPDATE llm.session_logs SET token_used = 0")
        assert one(db, "SELECT usage_count FROM llm.prompt_templates") == 3
        assert one(db, "SELECT count(*) FROM llm.session_logs") == 3
        for (view,) in db.execute("SELECT viewname FROM pg_views WHERE schemaname = 'reporting'").fetchall():
            # What Citus runs on the coordinator itself it reads by the path of the session.
            if not citus.DSN or view != "requests":
                analyst.execute(sql.SQL("SELECT * FROM reporting.{}").format(sql.Identifier(view)))
        assert one(analyst, "SELECT requests FROM reporting.monthly_usage_by_department LIMIT 1") > 0
        for view in ("months", "rollups", "role_grants"):
            operator.execute(f"SELECT * FROM ops.{view}")


# Types


@pytest.mark.one_node("Citus calls nothing VOLATILE in an UPDATE")
def test_what_a_writer_makes_runs_as_the_writer(db: psycopg.Connection, dsn: str, company: Company) -> None:
    """A cast, a CHECK or a default of one's own, called while a row is on its way through our triggers, has one's own
    rights."""
    name = f"writer_{uuid.uuid4().hex}"
    with logins_of_the_page(dsn) as connect:
        service = connect("chat_service")
        db.execute(
            sql.SQL("CREATE SCHEMA {} AUTHORIZATION {}").format(sql.Identifier(name), sql.Identifier(service.info.user))
        )
        service.execute(
            sql.SQL("""
            SET search_path = {};
            CREATE TABLE told (who text);
            CREATE TYPE mine AS (key bigint);
            CREATE FUNCTION become(mine) RETURNS bigint LANGUAGE plpgsql AS
                $$ BEGIN INSERT INTO told VALUES (current_user); RETURN $1.key; END $$;
            CREATE CAST (mine AS bigint) WITH FUNCTION become(mine) AS IMPLICIT;
            CREATE FUNCTION grab(text) RETURNS text LANGUAGE plpgsql AS
                $$ BEGIN INSERT INTO told VALUES (current_user); UPDATE llm.users SET role = 'admin'; RETURN $1; END $$;
            CREATE DOMAIN grabbing AS text CHECK (grab(VALUE) IS NOT NULL);
        """).format(sql.Identifier(name))
        )
        service.execute(
            "INSERT INTO llm.session_logs (session_id, deployment_id, template_id)"
            " VALUES (%s, row(%s)::mine, row(%s)::mine)",
            [company.session_id, company.deployment_id, company.template_id],
        )
        service.execute("UPDATE llm.session_logs SET token_used = row(7)::mine")
        refuses(
            service,
            "UPDATE llm.session_logs SET response_s3_path = 's3://logs/out'::grabbing",
            "UPDATE llm.session_logs SET response_s3_path = grab('s3://logs/out')",
            "INSERT INTO llm.sessions (user_id, session_type) SELECT user_id, 'test'::grabbing FROM llm.users",
        )
        assert db.execute(sql.SQL("SELECT DISTINCT who FROM {}.told").format(sql.Identifier(name))).fetchall() == [
            (service.info.user,)
        ]
        db.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(name)))


# Locks


def test_nobody_believes_a_stranger_about_numbers(db: psycopg.Connection, dsn: str, company: Company) -> None:
    """Writers say by advisory locks up to where a session's numbers are taken; any login can take such a lock."""
    with logins_of_the_page(dsn) as connect:
        service, stranger = connect("chat_service"), connect("carol")
        other = one(service, SESSION, company.user_id, None)
        for session in (company.session_id, other):
            stranger.execute("SELECT pg_advisory_lock_shared(uuid_hash(%s), 1000)", [session])
            stranger.execute("SELECT pg_advisory_lock(uuid_hash(%s), 1)", [session])
        service.execute("SET statement_timeout = '10s'")
        with service.transaction():
            for session, number in ((company.session_id, 1), (other, 1), (company.session_id, 2)):
                keys = [company.deployment_id, company.config_id, company.template_id]
                assert service.execute(LOG, [session, "0 s", *keys]).fetchone() == (session, number)


@citus.needs_a_cluster
def test_nobody_is_told_by_a_stranger_what_lies_beside_a_shard(
    db: psycopg.Connection, dsn: str, company: Company
) -> None:
    """A worker's session remembers it where its user may write."""
    before = everything(db)
    forged = """
        SELECT set_config(format('llm.beside_%%s_%%s', s.oid, t.oid), %s, false)
        FROM pg_class AS s
        CROSS JOIN pg_class AS t
        WHERE s.relname ~ '^(sessions|session_logs)_.*[0-9]{6,}$'
            AND t.relnamespace::regnamespace::text IN ('llm', 'cluster')
            AND t.relname IN ('sessions', 'session_logs', 'state', 'notes', 'template_uses')
    """
    keys = [company.deployment_id, company.config_id, company.template_id]
    with logins_of_the_page(dsn) as connect:
        user = connect("chat_service").info.user
        for text in ("llm.users", "102008; DROP SCHEMA llm CASCADE", *NASTY):
            with psycopg.connect(make_conninfo(citus.databases(dsn)[1], user=user), autocommit=True) as service:
                service.execute(forged, [text])
                for _ in range(4):
                    session = one(service, SESSION, company.user_id, None)
                    assert service.execute(LOG, [session, "0 s", *keys]).fetchone() == (session, 1)
    assert everything(db)[0] == before[0]


# Texts

NASTY = [
    "'; DROP SCHEMA llm CASCADE; CREATE ROLE x; --",
    '"; DROP SCHEMA llm CASCADE; CREATE ROLE x; --',
    "\\'; DROP SCHEMA llm CASCADE; --",
    "$$; DROP SCHEMA llm CASCADE; --",
    "*/ ; DROP SCHEMA llm CASCADE; /*",
    "%s %(x)s %% %d {0} {x} {x.__class__} $1 :x",
    "x\n\r\t\x1b[31m\u202e",
]


def test_no_text_given_to_a_routine_is_run(db: psycopg.Connection, company: Company) -> None:
    """Each routine that takes a text, called by who may call it."""
    query = f"""
        SELECT DISTINCT ON (p.oid) p.prokind = 'p', p.provariadic <> 0, r.rolname, p.oid::regproc::text,
            ARRAY(SELECT t::regtype::text FROM unnest(p.proargtypes) AS t)
        FROM pg_proc AS p
        CROSS JOIN pg_roles AS r
        WHERE p.pronamespace::regnamespace::text IN {OURS} AND r.rolname = ANY(%s) AND p.prokind IN ('f', 'p')
            AND p.proargtypes::oid[] && ARRAY['text'::regtype, 'text[]'::regtype, 'name'::regtype]::oid[]
            AND has_function_privilege(r.oid, p.oid, 'EXECUTE')
            AND has_schema_privilege(r.oid, p.pronamespace, 'USAGE')
    """
    called = db.execute(query, [ROLES]).fetchall()
    assert {name for _, _, _, name, _ in called} >= {"llm.is_name", "ops.set_reporting_time_zone"}
    before = everything(db)
    for is_procedure, is_variadic, role, name, types in called:
        for text in NASTY:
            values = [[text] if kind == "text[]" else text if kind in ("text", "name") else None for kind in types]
            places = [f"%s::{kind}" for kind in types]
            if is_variadic:
                places[-1] = f"VARIADIC {places[-1]}"
            db.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(role)))
            try:
                db.execute(f"{'CALL' if is_procedure else 'SELECT'} {name}({', '.join(places)})", values)
            except errors.SyntaxError:
                # It was read as SQL.
                pytest.fail(f"{name}: {text}")
            except psycopg.Error:
                pass
            finally:
                db.execute("RESET ROLE")
    assert everything(db) == before


def commands() -> Iterator[tuple[list[str], str]]:
    """Of every argument of every command that takes a text: what stands before the text, in what form it is given."""
    top = cli.parser()
    found = next(action for action in top._actions if isinstance(action, argparse._SubParsersAction))
    walked = []
    for name, parser in found.choices.items():
        # What else a command needs, so that the text is what it is about.
        needs = {
            "rollback": ["--to", "none"],
            "baseline": ["--to", "1"],
            "load": ["logs.csv"],
            "report": ["daily_usage"],
        }
        also = {"--scratch": ["--locks"] if name == "plan" else []}
        for action in parser._actions:
            # Commands share some, such as --dsn.
            if action.nargs == 0 or action.choices or action.type not in (None, Path) or action in walked:
                continue
            walked.append(action)
            option = action.option_strings[-1:]
            given = [part for part in needs.get(name, []) if action.option_strings or name not in ("load", "report")]
            if option and option[0] in given:
                given = []
            yield [name, *given, *also.get(option[0] if option else "", [])], option[0] if option else ""


WAYS = list(commands())


def test_every_command_is_walked() -> None:
    walked = {f"{before[0]} {option}".strip() for before, option in WAYS}
    assert walked >= {
        "baseline --scratch", "baseline --to", "check --scratch", "load", "load --map", "load --time-zone",
        "migrate --role", "migrate --to", "plan --scratch", "repair --accept", "repair --forget", "report",
        "report --html", "report --since", "report --until", "report --where", "rollback --to", "status --dsn",
    }  # fmt: skip


def test_no_text_on_the_command_line_is_run(db: psycopg.Connection, dsn: str, company: Company, tmp_path: Path) -> None:
    """As it is, and where a text has a form (TARGET=SOURCE, a connection string), in each part of it. No file but those
    that a command is to write is there afterwards."""
    (tmp_path / "logs.csv").write_text("request_time,server_name\n", encoding="utf-8")
    before = everything(db)
    named = conninfo_to_dict(dsn)
    for arguments, option in WAYS:
        for text in NASTY[:2] + NASTY[-2:]:
            texts = [text]
            if option in ("--where", "--map"):
                texts += [f"department_id={text}", f"request_time={text}", f"{text}=1", f"request_time='{text}'"]
            if option in ("--dsn", "--scratch"):
                texts = [make_conninfo(**named | {"dbname": text}), make_conninfo(**named | {"user": text}), text]
            for one_text in texts:
                given = [f"{option}={one_text}"] if option else ["--", one_text]
                where = [] if option == "--dsn" or arguments[0] in ("lint", "serve") else ["--dsn", dsn]
                done = llm_db(*arguments, *where, *given, cwd=tmp_path)
                assert "failed unexpectedly" not in done.stderr, (arguments, given, done.stderr)
                # What is distributed already has nothing to do as another role.
                nothing = arguments[0] == "report" or (arguments[0] == "distribute" and citus.DSN)
                assert done.returncode != 0 or nothing or option in ("--html", "--scratch"), (arguments, given)
    assert everything(db) == before
