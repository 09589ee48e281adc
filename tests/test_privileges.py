"""The grants that docs/dba.md recommends are enough, and no more than enough."""

import uuid

import psycopg
import pytest
from psycopg import sql

SERVICE_GRANTS = """
GRANT USAGE ON SCHEMA llm TO {role};
GRANT SELECT ON ALL TABLES IN SCHEMA llm TO {role};
GRANT INSERT, UPDATE ON llm.sessions, llm.session_logs TO {role};
"""


@pytest.fixture
def service(db):
    """A login of the platform's service. Roles are the server's, so its name is its own."""
    role = sql.Identifier(f"service_{uuid.uuid4().hex}")
    db.execute(sql.SQL("CREATE ROLE {}").format(role))
    db.execute(sql.SQL(SERVICE_GRANTS).format(role=role))
    yield role
    db.execute("RESET ROLE")
    db.execute(sql.SQL("DROP OWNED BY {role}; DROP ROLE {role}").format(role=role))


def test_the_service_writes_sessions_and_logs_and_uses_are_counted(db, company, service):
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
def test_the_service_can_do_nothing_else(db, company, service, statement):
    db.execute(sql.SQL("SET ROLE {}").format(service))
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        db.execute(statement)


def test_an_analyst_reads_reporting_and_nothing_else(db, company):
    db.execute("SET ROLE llm_analyst")
    assert db.execute("SELECT count(*) FROM reporting.requests").fetchone()[0] >= 0
    for statement in ("SELECT FROM llm.users", "SELECT FROM ops.months", "TRUNCATE llm.session_logs"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            db.execute(statement)
    db.execute("RESET ROLE")
