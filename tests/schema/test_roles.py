"""What each role is for works for a login that is nothing else, and what it is not for is refused: really tried, by
logins as docs/roles.md makes them. What the catalog says of every right is in test_privileges.py."""

import re
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import errors, sql
from psycopg.conninfo import make_conninfo

import citus
from cluster import running, server_bin
from command import execute, llm_db, value
from company import found as found_small_company
from conftest import Company, fresh_database
from logins import CONNECT, LOG, PAGE, SESSION, logins_of_the_page, one, refuses


@pytest.fixture
def connect(dsn: str) -> Iterator[CONNECT]:
    with logins_of_the_page(dsn) as connect:
        yield connect


# llm_app


def test_the_service_writes_and_completes_in_every_way(
    db: psycopg.Connection, company: Company, connect: CONNECT
) -> None:
    """Each of these has triggers of its own, which need rights that the service does not have."""
    db.execute("CALL llm.create_months()")
    db.execute("CALL ops.refresh_rollups()")
    service = connect("chat_service")
    email = one(db, "SELECT user_email FROM llm.users")
    user = one(service, "SELECT user_id FROM llm.users WHERE lower(user_email) = %s AND is_active", email)
    assert user == company.user_id
    template = one(service, "SELECT template_id FROM llm.prompt_templates WHERE template_name LIKE '%% 요약'")
    keys = [company.deployment_id, company.config_id, template]
    first, second = (one(service, SESSION, user, company.project_id) for _ in range(2))
    assert service.execute(LOG, [first, "0 s", *keys]).fetchone() == (first, 1)
    # Of closed time, which is noted; several sessions in one transaction, which takes the turn.
    with service.transaction():
        assert service.execute(LOG, [second, "2 days", *keys]).fetchone() == (second, 1)
        assert service.execute(LOG, [first, "0 s", *keys]).fetchone() == (first, 2)
    service.execute(
        "INSERT INTO llm.session_logs (session_id, log_sequence, deployment_id) VALUES (%s, 2, %s)"
        " ON CONFLICT (session_id, log_sequence) DO NOTHING",
        [first, company.deployment_id],
    )
    with service.cursor().copy("COPY llm.session_logs (session_id, deployment_id, template_id) FROM STDIN") as copy:
        copy.write_row((second, company.deployment_id, template))
    # Above READ COMMITTED uses are counted otherwise.
    service.execute("SET default_transaction_isolation = 'repeatable read'")
    service.execute(LOG, [second, "0 s", *keys])
    service.execute("RESET default_transaction_isolation")
    # A month that is not there yet.
    service.execute(
        "INSERT INTO llm.sessions (session_id, user_id, start_time, session_type)"
        " VALUES (llm.uuidv7(%(at)s), %(user)s, %(at)s, 'test')",
        {"at": "2019-03-01 00:00Z", "user": user},
    )

    complete = (
        "UPDATE llm.session_logs SET response_time = now() + interval '1 s', token_used = 7,"
        " request_prompt_s3_path = 's3://logs/in', response_s3_path = 's3://logs/out'"
        " WHERE session_id = %s AND token_used IS NULL"
    )
    with service.transaction():
        assert service.execute(complete, [first]).rowcount == 2
        # A part of what is not known, and the same once more.
        service.execute(
            "UPDATE llm.session_logs SET response_time = response_time, token_used = 7 WHERE session_id = %s", [first]
        )
    service.execute(
        "UPDATE llm.sessions SET end_time = now() + interval '2 s', status = 'completed' WHERE session_id = %s", [first]
    )
    service.execute("UPDATE llm.sessions SET status = 'completed' WHERE session_id = %s", [first])
    assert db.execute("SELECT count(*), sum(token_used) FROM llm.session_logs").fetchone() == (5, 14)
    assert one(db, "SELECT usage_count FROM llm.prompt_templates") == 5
    assert one(db, "SELECT requests FROM reporting.daily_usage ORDER BY request_day LIMIT 1") == 1


REWRITES = [
    "UPDATE llm.session_logs SET token_used = 0",
    "UPDATE llm.session_logs SET token_used = NULL",
    "UPDATE llm.session_logs SET token_used = token_used + 1 WHERE log_sequence = 1",
    "UPDATE llm.session_logs SET response_time = now() + interval '1 h' WHERE response_time IS NOT NULL",
    "UPDATE llm.session_logs SET response_time = NULL, token_used = 100",
    "UPDATE llm.session_logs SET request_prompt_s3_path = 's3://other/in'",
    "UPDATE llm.session_logs SET response_s3_path = NULL",
    "UPDATE llm.sessions SET end_time = now() + interval '1 h' WHERE end_time IS NOT NULL",
    "UPDATE llm.sessions SET end_time = now() + interval '1 h', status = 'aborted'",
    "UPDATE llm.sessions SET status = 'error' WHERE end_time IS NOT NULL",
    "UPDATE llm.sessions SET end_time = NULL, status = 'running'",
    "INSERT INTO llm.session_logs (session_id, log_sequence, deployment_id, token_used)"
    " SELECT session_id, log_sequence, deployment_id, 0 FROM llm.session_logs"
    " ON CONFLICT (session_id, log_sequence) DO UPDATE SET token_used = excluded.token_used",
]
NOT_FOR_THE_SERVICE = [
    "UPDATE llm.sessions SET user_id = user_id",
    "UPDATE llm.sessions SET project_id = NULL, end_time = now()",
    "UPDATE llm.sessions SET start_time = now()",
    "UPDATE llm.sessions SET session_id = llm.uuidv7()",
    "UPDATE llm.session_logs SET request_time = now()",
    "UPDATE llm.session_logs SET template_id = NULL",
    "UPDATE llm.session_logs SET session_id = llm.uuidv7()",
    "UPDATE llm.session_logs SET deployment_id = 1",
    "DELETE FROM llm.session_logs",
    "DELETE FROM llm.sessions",
    "TRUNCATE llm.session_logs",
    "SELECT request_prompt_s3_path FROM llm.session_logs",
    "SELECT user_name FROM llm.users",
    "SELECT * FROM llm.users",
    "SELECT usage_count FROM llm.prompt_templates",
    "SELECT FROM llm.prompt_template_uses",
    "SELECT FROM llm.sessions_default",
    "INSERT INTO llm.session_logs_default (session_id, deployment_id) VALUES (llm.uuidv7(), 1)",
    "UPDATE llm.users SET role = 'admin'",
    "INSERT INTO llm.prompt_templates (template_name) VALUES ('x')",
    "SELECT FROM rollup.usage",
    "UPDATE rollup.state SET closed_before = now()",
    "SELECT FROM reporting.requests",
    "SELECT FROM ops.months",
    "SELECT llm.add_template_uses(1, 100)",
    "SELECT llm.create_month('2030-01-01')",
    "CALL ops.refresh_rollups()",
    "ALTER TABLE llm.session_logs DISABLE TRIGGER session_logs_are_not_written_over",
    "SET session_replication_role = replica",
    "LOCK TABLE llm.sessions IN SHARE MODE",
]
if citus.DSN:
    # Which nobody can there.
    for table in ("sessions", "session_logs"):
        NOT_FOR_THE_SERVICE.remove(f"UPDATE llm.{table} SET session_id = llm.uuidv7()")


def stored(db: psycopg.Connection) -> tuple[list[tuple], list[tuple]]:
    logs, sessions = (f"SELECT * FROM llm.{name} ORDER BY 1, 2" for name in ("session_logs", "sessions"))
    return sorted(db.execute(logs), key=str), sorted(db.execute(sessions), key=str)


def test_what_is_known_is_not_written_over(db: psycopg.Connection, company: Company, connect: CONNECT) -> None:
    """A statement is refused as a whole: what it may fill in beside it is not filled in either. In whatever way a login
    is the service."""
    db.execute(
        "INSERT INTO llm.session_logs (session_id, deployment_id, response_time, token_used, request_prompt_s3_path,"
        " response_s3_path) SELECT %s, %s, clock_timestamp() + interval '1 s', 7, 's3://logs/in', 's3://logs/out'"
        " FROM generate_series(1, 2)",
        [company.session_id, company.deployment_id],
    )
    db.execute(
        "INSERT INTO llm.session_logs (session_id, deployment_id) VALUES (%s, %s)",
        [company.session_id, company.deployment_id],
    )
    db.execute("UPDATE llm.sessions SET end_time = now(), status = 'completed'")
    db.execute(SESSION, [company.user_id, None])
    before = stored(db)
    service = connect("chat_service")
    refuses(service, *REWRITES)
    refuses(service, *NOT_FOR_THE_SERVICE)
    with pytest.raises(errors.InsufficientPrivilege, match="may fill in what is not known yet") as error:
        service.execute(REWRITES[0])
    assert re.fullmatch(
        rf"Of session {company.session_id} log [12] it is known already\.", error.value.diag.message_detail
    )
    name = sql.Identifier(service.info.user)
    db.execute(sql.SQL("ALTER ROLE {} NOINHERIT").format(name))
    if db.info.server_version >= 160000:
        db.execute(sql.SQL("GRANT llm_app TO {} WITH INHERIT FALSE").format(name))
    service.execute("SET ROLE llm_app")
    refuses(service, *REWRITES)
    assert stored(db) == before
    # Who may correct a row may correct this too.
    db.execute(sql.SQL("GRANT UPDATE ON llm.sessions, llm.session_logs TO {}").format(name))
    service.execute("RESET ROLE")
    db.execute(sql.SQL("ALTER ROLE {0} INHERIT; REVOKE llm_app FROM {0}; GRANT llm_app TO {0}").format(name))
    for connection in (db, connect("chat_service")):
        for statement in (REWRITES[0], REWRITES[4], REWRITES[8]):
            connection.execute(statement)


# llm_loader

HEADER = (
    "request_time,response_time,token_used,server_name,user_email,session_id,template_name,config_name,project_name"
)


def test_the_loader_loads(db: psycopg.Connection, dsn: str, company: Company, connect: CONNECT, tmp_path: Path) -> None:
    """Names of every kind, a row that is rejected, a session that is widened, and a month that is new."""
    email, server, template, project = db.execute(
        "SELECT user_email, server_name, template_name, project_name"
        " FROM llm.users, llm.deployments, llm.prompt_templates, llm.projects"
    ).fetchone()
    db.execute("UPDATE llm.sessions SET end_time = start_time, status = 'completed'")
    day = one(db, "SELECT to_char(start_time, 'YYYY-MM-DD') FROM llm.sessions")
    names = f"{template},default,{project}"
    path = tmp_path / "logs.csv"
    path.write_text(
        "\n".join(
            [
                HEADER,
                f"2024-03-01T10:00:00Z,2024-03-01T10:00:01Z,7,{server},{email},,{names}",
                f"{day}T23:59:59Z,,,{server},,{company.session_id},,,",
                f"2024-03-01T10:00:00Z,,,nowhere,{email},,{names}",
            ]
        )
        + "\n",
        encoding="utf-8",
    )
    loader = connect("nightly_load")
    to = make_conninfo(dsn, user=loader.info.user)
    done = llm_db("load", "--dsn", to, str(path))
    assert re.search("2 loaded.* 1 rejected", done.stdout), done.stdout + done.stderr
    done = llm_db("load", "--dsn", to, str(path))
    assert "0 loaded" in done.stdout, done.stdout + done.stderr
    refuses(
        loader,
        "UPDATE llm.session_logs SET token_used = 0",
        "UPDATE llm.sessions SET user_id = user_id",
        "DELETE FROM llm.session_logs",
        "SELECT user_name FROM llm.users",
        "DELETE FROM llm_db.loads",
        "UPDATE llm_db.load_rejects SET raw = ''",
        "SELECT FROM llm_db.migrations",
        "SELECT FROM rollup.usage",
        "SELECT FROM reporting.requests",
        "SELECT FROM ops.months",
        "SELECT llm.drop_month('2024-03-01')",
    )


# llm_operator


def test_the_operator_sees_how_things_are(db: psycopg.Connection, company: Company, connect: CONNECT) -> None:
    operator = connect("oncall")
    for view in ("ops.months", "ops.rollups", "ops.role_grants"):
        assert operator.execute(f"SELECT v::text FROM {view} AS v").fetchall()
    refuses(
        operator,
        "SELECT FROM llm.users",
        "SELECT FROM llm.sessions",
        "SELECT FROM rollup.usage",
        "SELECT FROM reporting.requests",
        "UPDATE rollup.state SET closed_before = now()",
        "SELECT ops.make_month('2030-01-01')",
        "SELECT rollup.fold_logs('-infinity', 'infinity')",
        "ALTER TABLE llm.sessions DISABLE TRIGGER ALL",
    )


# llm_analyst, with and without llm_people_reader

VIEWS = "SELECT viewname FROM pg_catalog.pg_views WHERE schemaname = 'reporting' ORDER BY viewname"
# Whatever was typed by or about a person has this in it.
MARK = "가면"
PEOPLE = f"""
    UPDATE llm.users SET user_name = '{MARK} ' || user_id, user_email = '{MARK}' || user_id || '@example.com';
    UPDATE llm.projects SET description = '{MARK} 설명';
    UPDATE llm.datasets SET description = '{MARK} 설명', s3_path = 's3://data/{MARK}/' || dataset_id;
    UPDATE llm.prompt_templates SET description = '{MARK} 설명', prompt_s3_path = 's3://prompts/{MARK}';
    UPDATE llm.session_logs SET request_prompt_s3_path = 's3://logs/{MARK}', response_s3_path = 's3://logs/{MARK}';
"""


def people_columns() -> set[str]:
    return set(re.findall(r"`(\w+)`", re.search(r"<!-- people: begin -->(.*?)<!-- people: end -->", PAGE, re.S)[1]))


def read_all(connection: psycopg.Connection, names: list[str]) -> dict[str, list[dict[str, object]]]:
    found = {}
    for name in names:
        cursor = connection.execute(sql.SQL("SELECT * FROM reporting.{}").format(sql.Identifier(name)))
        columns = [(column.name, column.type_code) for column in cursor.description]
        rows = [dict(zip(columns, row, strict=True)) for row in cursor]
        found[name] = sorted(
            rows, key=lambda row: [str(cell) for (column, _), cell in row.items() if column not in people_columns()]
        )
    return found


@pytest.fixture
def people(db: psycopg.Connection) -> list[str]:
    """A company with a mark in everything about people, closed up to the middle. Returns the reports' names."""
    found_small_company(db, "2024-03-11 00:00Z")
    db.execute(PEOPLE)
    return [name for (name,) in db.execute(VIEWS)]


def test_reports_name_people_to_those_who_may_read_people_only(
    db: psycopg.Connection, connect: CONNECT, people: list[str]
) -> None:
    owner, analyst, reader = read_all(db, people), read_all(connect("alice"), people), read_all(connect("bob"), people)
    assert reader == owner
    masked = set()
    for name in people:
        # The same rows and columns of the same types.
        assert len(analyst[name]) == len(owner[name])
        for mine, all_of_it in zip(analyst[name], owner[name], strict=True):
            assert mine.keys() == all_of_it.keys()
            for column, _ in mine:
                cell, full = mine[column, _], all_of_it[column, _]
                if column in people_columns():
                    assert cell is None
                    masked |= {column} if full is not None else set()
                else:
                    assert cell == full, (name, column)
                    assert MARK not in str(full), f"{name}.{column} names people, and docs/roles.md does not say so"
    assert masked == people_columns()


NAMED = "SELECT * FROM reporting.requests WHERE "
# Each is true of some row, where names are to be seen.
CONDITIONS = [
    f"user_email = '{MARK}11@example.com'",
    f"user_name LIKE '{MARK}%'",
    "user_name IS NOT NULL",
    "user_name > ''",
    "user_email IN (SELECT user_email FROM reporting.dormant_accounts UNION SELECT user_email FROM reporting.requests)",
    "length(user_name) > 0",
    "(user_name, 1) IN (SELECT user_name, 1 FROM reporting.daily_usage_by_user)",
    "to_jsonb(requests)::text LIKE '%" + MARK + "%'",
    "requests::text LIKE '%" + MARK + "%'",
    "shown(user_email) IS NOT NULL",
    "user_email @@@ 'x'",
    "user_email = 'x'::mine",
    "user_name = ANY(ARRAY['x'::mine])",
]


def test_no_question_makes_a_report_name_people(db: psycopg.Connection, connect: CONNECT, people: list[str]) -> None:
    """Neither conditions, nor errors, nor plans, nor what a reader makes: functions that tell what they are given and
    cost nothing, so that they are asked first; operators; a type of one's own."""
    analyst, reader = connect("alice"), connect("bob")
    for connection in (analyst, reader):
        schema = sql.Identifier(connection.info.user)
        db.execute(sql.SQL("CREATE SCHEMA {0} AUTHORIZATION {0}").format(schema))
        connection.execute(
            sql.SQL("""
            SET search_path = {0}, public;
            CREATE FUNCTION shown(text) RETURNS text LANGUAGE plpgsql COST 0.0000001
                AS $$ BEGIN RAISE NOTICE 'shown %', $1; RETURN $1; END $$;
            CREATE FUNCTION shown(text, text) RETURNS boolean LANGUAGE plpgsql COST 0.0000001
                AS $$ BEGIN RAISE NOTICE 'shown % %', $1, $2; RETURN $1 IS NOT NULL; END $$;
            CREATE OPERATOR @@@ (FUNCTION = shown, LEFTARG = text, RIGHTARG = text);
            CREATE DOMAIN mine AS text;
            CREATE FUNCTION equal(text, mine) RETURNS boolean LANGUAGE sql AS 'SELECT shown($1, $2::text)';
            CREATE OPERATOR = (FUNCTION = equal, LEFTARG = text, RIGHTARG = mine);
        """).format(schema)
        )
    told: list[str] = []
    analyst.add_notice_handler(lambda notice: told.append(notice.message_primary))
    seen = 0
    # On a cluster requests are not asked together with what another report says of local tables, and workers have no
    # operators of the reader's.
    conditions = [one for one in CONDITIONS if not citus.DSN or not re.search(" FROM | @@@ |::mine", one)]
    for condition in conditions:
        assert analyst.execute(NAMED + condition).fetchall() == [], condition
        if not citus.DSN:
            # Citus explains what it fetches with the reader's own rights, and refuses.
            explain = f"EXPLAIN (VERBOSE, ANALYZE, TIMING off, SUMMARY off) {NAMED} {condition}"
            told += [line for (line,) in analyst.execute(explain) if MARK not in condition]
        seen += bool(reader.execute(NAMED + condition).fetchall())
    # It is the reader's right that makes the difference.
    assert seen >= len(conditions) - 2
    for statement in (
        "SELECT user_name::integer FROM reporting.requests",
        "SELECT user_email::uuid FROM reporting.dormant_accounts",
        "SELECT 1 / (length(user_name) - length(user_name)) FROM reporting.session_summaries",
    ):
        analyst.execute(statement)
        with pytest.raises(psycopg.Error):
            reader.execute(statement)
    assert [line for line in told if MARK in line] == []
    refuses(
        analyst,
        "SELECT stavalues1 FROM pg_catalog.pg_statistic",
        "SELECT FROM llm.users",
        "SELECT * FROM rollup.dimension_names",
        "CREATE OR REPLACE FUNCTION reporting.may_read_people() RETURNS boolean LANGUAGE sql RETURN true",
        "GRANT llm_people_reader TO CURRENT_USER",
        "SET ROLE llm_people_reader",
    )
    assert analyst.execute("SELECT * FROM pg_catalog.pg_stats WHERE schemaname = 'llm'").fetchall() == []


def test_a_view_of_a_readers_own_asks_for_who_reads_it(
    db: psycopg.Connection, connect: CONNECT, people: list[str]
) -> None:
    reader, analyst = connect("bob"), connect("alice")
    db.execute(sql.SQL("GRANT CREATE ON SCHEMA public TO {}").format(sql.Identifier(reader.info.user)))
    reader.execute(
        "CREATE VIEW public.named AS SELECT user_name FROM reporting.requests; GRANT SELECT ON public.named TO PUBLIC"
    )
    names = "SELECT count(*), count(user_name) FROM public.named"
    assert reader.execute(names).fetchone() == (4, 4)
    assert analyst.execute(names).fetchone() == (4, 0)


def test_a_report_asks_once_and_a_name_is_still_looked_for(db: psycopg.Connection, people: list[str]) -> None:
    """The right is asked before the rows; and of one user's requests no others are read, for the join to the name is no
    outer one."""
    plan = "\n".join(line for (line,) in db.execute(f"EXPLAIN {NAMED} user_email = 'nobody@example.com'"))
    assert "InitPlan" in plan
    assert "SubPlan" not in plan
    assert not re.search(r"(Left|Right|Full) Join[^\n]*\n\s+[^\n]*u\.user_id", plan), plan


# Servers without these roles


@pytest.fixture(scope="module")
def poor_server(request: pytest.FixtureRequest) -> Iterator[str]:
    """A server of its own, whose roles no other test needs, with the analysts' role and an owner who may make none."""
    with running(server_bin()) as cluster:
        execute(cluster.dsn, "CREATE ROLE llm_analyst; CREATE ROLE dba LOGIN CREATEDB")
        yield cluster.dsn


def test_roles_that_may_not_be_made_are_asked_for_and_fail_nobody(poor_server: str, server: str) -> None:
    with fresh_database(make_conninfo(poor_server, user="dba")) as dsn:
        done = llm_db("migrate", "--dsn", dsn)
        assert done.returncode == 0, done.stderr
        statements = re.findall(r"CREATE ROLE \w+ NOLOGIN; ", done.stderr)
        assert len(statements) == 6
        assert "and then as the owner of the schemas: SELECT ops.grant_to_roles();" in done.stderr
        # Whether the server that it is compared on has these roles or not.
        for scratch in (make_conninfo(dsn, dbname="postgres"), server):
            done = llm_db("check", "--dsn", dsn, "--scratch", scratch)
            assert done.returncode == 0, done.stdout
            assert (
                "role llm_app: missing; CREATE ROLE llm_app NOLOGIN; SELECT ops.grant_to_roles(); [tolerated]"
                in done.stdout
            )
            assert done.stdout.count("[tolerated]") == 6
        execute(poor_server, "".join(statements))
        given = value(dsn, "SELECT ops.grant_to_roles()")
        assert given > 30
        assert value(dsn, "SELECT ops.grant_to_roles()") == 0
        done = llm_db("check", "--strict", "--dsn", dsn, "--scratch", make_conninfo(dsn, dbname="postgres"))
        assert done.returncode == 0, done.stdout
        with psycopg.connect(dsn, autocommit=True) as owner:
            assert owner.execute("SELECT statement FROM ops.role_grants WHERE NOT is_given").fetchall() == []


LOST = {
    "a table's": ("REVOKE INSERT ON llm.sessions FROM llm_app", "INSERT ON TABLE llm.sessions TO llm_app"),
    "a column's": (
        "REVOKE UPDATE (status) ON llm.sessions FROM llm_app",
        "UPDATE (end_time, status) ON TABLE llm.sessions TO llm_app",
    ),
    "a schema's": ("REVOKE USAGE ON SCHEMA ops FROM llm_operator", "USAGE ON SCHEMA ops TO llm_operator"),
    "a routine's": (
        "REVOKE EXECUTE ON FUNCTION ops.repair_month(date) FROM llm_operator",
        "EXECUTE ON ROUTINE ops.repair_month(date) TO llm_operator",
    ),
    "the ledger's": ("REVOKE SELECT ON llm_db.loads FROM llm_loader", "SELECT ON TABLE llm_db.loads TO llm_loader"),
    "what was made again by hand": (
        "DROP FUNCTION ops.repair_month(date)",
        None,
    ),
}


def test_what_a_role_lost_is_told_and_given_back_and_what_it_has_too_much_is_told(
    db: psycopg.Connection, dsn: str, server: str
) -> None:
    for lose, _ in LOST.values():
        db.execute(lose)
    db.execute("GRANT DELETE ON llm.sessions TO llm_app")
    done = llm_db("check", "--dsn", dsn, "--scratch", server)
    assert done.returncode == 6
    wanted = {f"grant {statement}: missing, which migrate gives back" for _, statement in LOST.values() if statement}
    wanted |= {"function ops.repair_month(date): missing", "grant DELETE on table llm.sessions to llm_app: extra"}
    # The function is not there, so a right to it is no fault of its own.
    wanted.remove("grant EXECUTE ON ROUTINE ops.repair_month(date) TO llm_operator: missing, which migrate gives back")
    assert set(done.stdout.splitlines()[:-1]) == wanted
    assert llm_db("migrate", "--dsn", dsn).returncode == 0
    db.execute("REVOKE DELETE ON llm.sessions FROM llm_app")
    done = llm_db("check", "--strict", "--dsn", dsn, "--scratch", server)
    assert done.returncode == 0, done.stdout
