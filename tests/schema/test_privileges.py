"""The grants that docs/roles.md recommends are enough, and no more than enough: on any server, also where nothing is
PUBLIC's by default."""

import re
import uuid
from collections.abc import Iterator
from itertools import product

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

import citus
from command import ROOT, drop_role, llm_db
from conftest import Company, found_company, fresh_database

SERVICE_GRANTS = """
GRANT USAGE ON SCHEMA llm TO {role};
GRANT SELECT ON ALL TABLES IN SCHEMA llm TO {role};
GRANT INSERT, UPDATE ON llm.sessions, llm.session_logs TO {role};
"""


@pytest.fixture
def service(db: psycopg.Connection) -> Iterator[sql.Identifier]:
    """A login of the platform's service. Roles are the server's, so its name is its own."""
    role = sql.Identifier(f"service_{uuid.uuid4().hex}")
    db.execute(sql.SQL("CREATE ROLE {} LOGIN").format(role))
    db.execute(sql.SQL(SERVICE_GRANTS).format(role=role))
    yield role
    db.execute("RESET ROLE")
    db.execute(sql.SQL("DROP OWNED BY {role}; DROP ROLE {role}").format(role=role))


def test_the_service_writes_sessions_and_logs_and_uses_are_counted(
    db: psycopg.Connection, company: Company, service: sql.Identifier
) -> None:
    db.execute(sql.SQL("SET ROLE {}").format(service))
    session = db.execute(
        "INSERT INTO llm.sessions (user_id, session_type) VALUES (%s, 'test') RETURNING session_id", [company.user_id]
    ).fetchone()[0]
    log = "INSERT INTO llm.session_logs (session_id, deployment_id, template_id) VALUES (%s, %s, %s)"
    db.execute(log, [session, company.deployment_id, company.template_id])
    db.execute("UPDATE llm.session_logs SET response_time = request_time WHERE session_id = %s", [session])
    query = "SELECT usage_count FROM llm.prompt_templates WHERE template_id = %s"
    assert db.execute(query, [company.template_id]).fetchone()[0] == 1


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO llm.prompt_template_uses (template_id, slot, uses) VALUES (1, 1, 100)",
        "UPDATE llm.prompt_template_uses SET uses = 0",
        "SELECT llm.add_template_uses(1, 100)",
        "DELETE FROM llm.session_logs",
        "UPDATE llm.users SET role = 'admin'",
    ],
)
def test_the_service_can_do_nothing_else(
    db: psycopg.Connection, company: Company, service: sql.Identifier, statement: str
) -> None:
    db.execute(sql.SQL("SET ROLE {}").format(service))
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        db.execute(statement)


def test_an_analyst_reads_reporting_and_nothing_else(db: psycopg.Connection, company: Company) -> None:
    db.execute(
        "INSERT INTO llm.session_logs (session_id, deployment_id) VALUES (%s, %s)",
        [company.session_id, company.deployment_id],
    )
    db.execute("SET ROLE llm_analyst")
    assert db.execute("SELECT session_id FROM reporting.requests").fetchall() == [(company.session_id,)]
    for statement in (
        "SELECT FROM llm.users",
        "SELECT FROM rollup.usage",
        "SELECT FROM ops.months",
        "TRUNCATE llm.session_logs",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            db.execute(statement)
    db.execute("RESET ROLE")


# Nothing rests on what is PUBLIC's by default.

OURS = "('llm', 'rollup', 'reporting', 'ops', 'audit')"

ROUTINES = f"""
    SELECT
        p.oid, p.oid::regprocedure::text AS name, p.pronamespace::regnamespace::text AS schema, p.provolatile,
        p.prosecdef,
        EXISTS (
            SELECT FROM aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) AS a WHERE a.grantee = 0
        ) AS public,
        has_function_privilege('llm_analyst', p.oid, 'EXECUTE') AS analyst
    FROM pg_catalog.pg_proc AS p
    WHERE p.pronamespace::regnamespace::text IN {OURS}
"""


# A view reads tables with its owner's rights, but calls functions with its reader's. What a function with its owner's
# rights calls, its caller need not be allowed.
CALLED = """
    WITH RECURSIVE called AS (
        SELECT d.refobjid AS oid
        FROM pg_catalog.pg_rewrite AS r
        INNER JOIN pg_catalog.pg_class AS c ON r.ev_class = c.oid
        INNER JOIN pg_catalog.pg_depend AS d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
        WHERE c.relnamespace::regnamespace::text IN ('reporting', 'rollup') AND d.refclassid = 'pg_proc'::regclass
        UNION
        SELECT p.oid FROM pg_catalog.pg_proc AS p WHERE p.pronamespace = 'reporting'::regnamespace
        UNION
        SELECT d.refobjid
        FROM called AS c
        INNER JOIN pg_catalog.pg_proc AS p ON c.oid = p.oid AND p.prokind = 'f' AND NOT p.prosecdef
        INNER JOIN pg_catalog.pg_depend AS d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid
        WHERE d.refclassid = 'pg_proc'::regclass
    )
    SELECT oid FROM called
"""


# Whether what is in this catalog refers to it.
REFERRED = """EXISTS (
    SELECT FROM pg_catalog.pg_depend AS d
    WHERE d.refclassid = 'pg_proc'::regclass AND d.refobjid = r.oid AND d.classid = '{}'::regclass
)"""


def routines(db: psycopg.Connection, condition: str) -> set[str]:
    return {name for (name,) in db.execute(f"SELECT r.name FROM ({ROUTINES}) AS r WHERE {condition}")}


def test_public_may_call_what_schema_01_functions_says(db: psycopg.Connection) -> None:
    """In schema llm, what is IMMUTABLE or a column's default. What CHECKs refer to is among it."""
    public = routines(db, "r.public")
    assert public == routines(db, f"r.schema = 'llm' AND (r.provolatile = 'i' OR {REFERRED.format('pg_attrdef')})")
    assert public >= routines(db, REFERRED.format("pg_constraint"))
    assert public
    assert not routines(db, "r.public AND r.prosecdef")


def test_analysts_may_call_what_reports_call(db: psycopg.Connection) -> None:
    assert routines(db, "r.analyst AND NOT r.public") == routines(db, f"NOT r.public AND r.oid IN ({CALLED})")


# The page's table is the matrix.

ROLES = ("llm_analyst", "llm_people_reader", "llm_app", "llm_loader", "llm_operator", "llm_auditor", "llm_manager")
ALL_OURS = "('llm', 'rollup', 'reporting', 'ops', 'audit', 'llm_db')"
# Role, object, column (empty = all of it) and privilege, of everything of ours and every privilege that there is.
MAY = f"""
    WITH who AS (
        SELECT r.oid, r.rolname::text AS role FROM pg_catalog.pg_roles AS r WHERE r.rolname = ANY(%(roles)s)
    ), relations AS (
        SELECT c.oid, c.relkind, c.oid::regclass::text AS object
        FROM pg_catalog.pg_class AS c
        WHERE c.relnamespace::regnamespace::text IN {ALL_OURS} AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
    ), on_tables AS (
        SELECT 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER'
            || CASE WHEN current_setting('server_version_num')::integer >= 170000 THEN ', MAINTAIN' ELSE '' END AS names
    )
    SELECT w.role, 'the database', '', p
    FROM who AS w CROSS JOIN unnest(ARRAY['CONNECT', 'TEMPORARY', 'CREATE']) AS p
    WHERE has_database_privilege(w.oid, current_database(), p)
    UNION ALL
    SELECT w.role, 'schema ' || n.nspname, '', p
    FROM who AS w CROSS JOIN pg_catalog.pg_namespace AS n CROSS JOIN unnest(ARRAY['USAGE', 'CREATE']) AS p
    WHERE n.nspname IN {ALL_OURS} AND has_schema_privilege(w.oid, n.oid, p)
    UNION ALL
    SELECT w.role, r.object, '', p
    FROM who AS w CROSS JOIN relations AS r CROSS JOIN on_tables AS t
    CROSS JOIN unnest(string_to_array(t.names, ', ')) AS p
    WHERE r.relkind <> 'S' AND has_table_privilege(w.oid, r.oid, p)
    UNION ALL
    SELECT w.role, r.object, a.attname::text, p
    FROM who AS w CROSS JOIN relations AS r INNER JOIN pg_catalog.pg_attribute AS a ON a.attrelid = r.oid
    CROSS JOIN unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'REFERENCES']) AS p
    WHERE r.relkind <> 'S' AND NOT a.attisdropped AND has_column_privilege(w.oid, r.oid, a.attnum, p)
        AND NOT has_table_privilege(w.oid, r.oid, p)
    UNION ALL
    SELECT w.role, r.object, '', p
    FROM who AS w CROSS JOIN relations AS r CROSS JOIN unnest(ARRAY['USAGE', 'SELECT', 'UPDATE']) AS p
    WHERE r.relkind = 'S' AND has_sequence_privilege(w.oid, r.oid, p)
    UNION ALL
    SELECT w.role, format('%%s.%%s(%%s)', n.nspname, f.proname, oidvectortypes(f.proargtypes)), '', 'EXECUTE'
    FROM who AS w CROSS JOIN pg_catalog.pg_proc AS f INNER JOIN pg_catalog.pg_namespace AS n ON f.pronamespace = n.oid
    WHERE n.nspname IN {ALL_OURS} AND has_function_privilege(w.oid, f.oid, 'EXECUTE')
"""
ROUTINE_NAMES = f"""
    SELECT format('%s.%s(%s)', r.schema, p.proname, oidvectortypes(p.proargtypes))
    FROM ({ROUTINES}) AS r INNER JOIN pg_catalog.pg_proc AS p ON r.oid = p.oid
    WHERE
"""
# What the table does not name one by one.
GROUPS = {
    "every view of `reporting`": "SELECT 'reporting.' || viewname FROM pg_views WHERE schemaname = 'reporting'",
    "every routine that these views call": f"{ROUTINE_NAMES} NOT r.public AND r.oid IN ({CALLED})",
    "every function of `llm` that works something out from its arguments": f"{ROUTINE_NAMES} r.schema = 'llm' AND"
    f" (r.provolatile = 'i' OR {REFERRED.format('pg_attrdef')})",
}


def matrix(db: psycopg.Connection, page: str) -> set[tuple[str, str, str, str]]:
    """What the table says, a privilege each."""
    text = (ROOT / page).read_text(encoding="utf-8")
    table = re.search(r"<!-- matrix: begin -->\n(.*?)<!-- matrix: end -->", text, re.S)[1]
    (_, *roles), _, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]
    assert roles == ["any login", *ROLES]
    found = set()
    for named, *cells in rows:
        if named in GROUPS:
            objects = [name for (name,) in db.execute(GROUPS[named])]
            assert objects, named
        else:
            objects = [name.replace("`", "") for name in re.findall(r"(?:schema )?`[^`]+`|the database", named)]
        for role, cell in zip(roles, cells, strict=True):
            given = re.findall(r"([A-Z]+)(?: \(([^)]*)\))?", cell)
            for name, (privilege, columns) in product(objects, given):
                found |= {(role, name, column, privilege) for column in columns.split(", ")}
    # What every login may, a role may too.
    return found | {(role, *right) for who, *right in found if who == "any login" for role in ROLES}


def test_each_role_may_do_what_its_page_says_and_nothing_else(db: psycopg.Connection) -> None:
    anybody = f"anybody_{uuid.uuid4().hex}"
    db.execute(sql.SQL("CREATE ROLE {}").format(sql.Identifier(anybody)))
    # A new month has nothing for anybody.
    db.execute("CALL llm.create_months()")
    try:
        rows = db.execute(MAY, {"roles": [anybody, *ROLES]}).fetchall()
    finally:
        db.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(anybody)))
    may = {("any login" if role == anybody else role, *right) for role, *right in rows}
    should = matrix(db, "docs/roles.md")
    if citus.DSN:
        # What docs/distribute.md says of analysts.
        shown = {right for right in may - should if right[1] in ("llm.sessions", "llm.session_logs")}
        assert {(role, privilege) for role, _, _, privilege in shown} == {("llm_analyst", "SELECT")}
        assert not {column for _, _, column, _ in shown} & {"", "request_prompt_s3_path", "response_s3_path"}
        should |= shown | {("llm_analyst", name, "", "USAGE") for name in ("schema llm", "schema rollup")}
    assert (sorted(may - should), sorted(should - may)) == ([], [])


@pytest.fixture
def hardened(server: str) -> Iterator[str]:
    """A database in which PUBLIC is given nothing by default, with logs of closed, of noted and of open time."""
    with fresh_database(server) as dsn, psycopg.connect(dsn, autocommit=True) as db:
        db.execute("ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC")
        db.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(sql.Identifier(db.info.dbname)))
        db.execute("REVOKE ALL ON SCHEMA public FROM PUBLIC")
        done = llm_db("migrate", "--dsn", dsn)
        assert done.returncode == 0, done.stderr
        company = found_company(db)
        log = (
            "INSERT INTO llm.session_logs"
            " (session_id, request_time, response_time, deployment_id, config_id, template_id)"
        )
        values = [company.session_id, company.deployment_id, company.config_id, company.template_id]
        db.execute(
            log + " SELECT %s, now() - n * interval '1 day', now(), %s, %s, %s FROM generate_series(0, 3) AS n", values
        )
        db.execute("CALL ops.refresh_rollups(now() - interval '1 hour')")
        db.execute("UPDATE llm.session_logs SET token_used = 7")
        yield dsn


@pytest.fixture
def login(hardened: str) -> Iterator[str]:
    """A login that may connect, and nothing else."""
    name = f"login_{uuid.uuid4().hex}"
    role = sql.Identifier(name)
    with psycopg.connect(hardened, autocommit=True) as db:
        database = sql.Identifier(db.info.dbname)
        db.execute(sql.SQL("CREATE ROLE {0} LOGIN; GRANT CONNECT ON DATABASE {1} TO {0}").format(role, database))
        yield name
        drop_role(hardened, name)


def test_a_hardened_database_is_what_it_should_be(hardened: str) -> None:
    done = llm_db("check", "--dsn", hardened, "--scratch", hardened)
    assert done.returncode == 0, done.stdout + done.stderr


def test_analysts_read_every_report_of_a_hardened_database(hardened: str, login: str) -> None:
    with psycopg.connect(hardened, autocommit=True) as db:
        db.execute(sql.SQL("GRANT llm_analyst TO {}").format(sql.Identifier(login)))
        views = db.execute("SELECT viewname FROM pg_catalog.pg_views WHERE schemaname = 'reporting'").fetchall()
    assert len(views) > 40
    with psycopg.connect(make_conninfo(hardened, user=login), autocommit=True) as analyst:
        for (view,) in views:
            analyst.execute(sql.SQL("SELECT * FROM reporting.{}").format(sql.Identifier(view)))
        analyst.execute("SELECT reporting.time_zone()")
        analyst.execute("SELECT * FROM reporting.latency_percentiles(current_date - 9, current_date)")
        assert analyst.execute("SELECT sum(requests) FROM reporting.daily_usage").fetchone() == (4,)


def test_a_service_writes_to_a_hardened_database(hardened: str, login: str) -> None:
    with psycopg.connect(hardened, autocommit=True) as db:
        db.execute(sql.SQL(SERVICE_GRANTS).format(role=sql.Identifier(login)))
    with psycopg.connect(make_conninfo(hardened, user=login), autocommit=True) as service:
        session = service.execute(
            "INSERT INTO llm.sessions (user_id, session_type) SELECT user_id, 'test' FROM llm.users"
            " RETURNING session_id"
        ).fetchone()[0]
        service.execute(
            "INSERT INTO llm.session_logs (session_id, request_time, deployment_id, template_id, response_s3_path)"
            " SELECT %s, now() - interval '2 days', deployment_id, template_id, 's3://answers/one'"
            " FROM llm.deployments, llm.prompt_templates, generate_series(1, 3)",
            [session],
        )
        service.execute("UPDATE llm.session_logs SET template_id = NULL WHERE log_sequence = 1")
        service.execute(
            "UPDATE llm.sessions SET end_time = now(), status = 'completed' WHERE session_id = %s", [session]
        )
        query = "SELECT count(*) FROM llm.session_logs WHERE session_id >= llm.uuidv7_floor(now() - interval '1 day')"
        assert service.execute(query).fetchone() == (7,)
        assert service.execute("SELECT usage_count FROM llm.prompt_templates").fetchone() == (5,)


def test_a_load_says_what_to_grant_for_its_temporary_tables(hardened: str, login: str, tmp_path) -> None:
    with psycopg.connect(hardened, autocommit=True) as db:
        db.execute(sql.SQL(SERVICE_GRANTS).format(role=sql.Identifier(login)))
        db.execute(
            sql.SQL(
                "GRANT USAGE ON SCHEMA llm_db TO {role}; GRANT SELECT, INSERT ON llm_db.loads TO {role};"
                " GRANT SELECT, INSERT, DELETE ON llm_db.load_rejects TO {role}"
            ).format(role=sql.Identifier(login))
        )
        email, server = db.execute("SELECT user_email, server_name FROM llm.users, llm.deployments").fetchone()
        path = tmp_path / "logs.csv"
        path.write_text(f"request_time,server_name,user_email\n2024-03-01 10:00:00,{server},{email}\n")
        dsn = make_conninfo(hardened, user=login)
        done = llm_db("load", "--dsn", dsn, str(path))
        assert done.returncode == 1, done.stderr
        grant = f"GRANT TEMPORARY ON DATABASE {db.info.dbname} TO {login}"
        assert grant in done.stderr
        db.execute(grant)
        done = llm_db("load", "--dsn", dsn, str(path))
        assert done.returncode == 0, done.stderr
