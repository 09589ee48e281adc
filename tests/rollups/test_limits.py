"""No stored value breaks a report for everybody, and nothing costs more than the days there are."""

import threading
from contextlib import suppress
from pathlib import Path
from uuid import UUID

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import errors, sql
from test_edges import wait_for_sleep

from command import llm_db
from conftest import Company
from llm_db import files
from rollup_model import IS_WRITING, assert_exact, make_model

LIMITS = {
    "session_logs": [
        "session_logs_request_time_within_2000_to_2099",
        "session_logs_response_within_a_week",
        "session_logs_token_used_at_most_100_million",
        "session_logs_response_not_before_request",
    ],
    "sessions": ["sessions_times_within_2000_to_2099"],
}
# What a timestamptz can hold, and what no request is.
TIMES = ("4713-01-01 BC", "0001-01-01Z", "1970-01-01Z", "2024-02-01 10:00Z", "9999-12-31Z", "294276-12-31 23:59Z")
SPANS = (None, "0 s", "1 microsecond", "168:00:00", "200000 days")
TOKENS = (None, 0, 1, 100_000_000, 2**31, 2**63 - 1)


def without_limits(db: psycopg.Connection) -> None:
    """As a database of before: its rows were never asked."""
    for table, names in LIMITS.items():
        for name in names:
            db.execute(
                sql.SQL("ALTER TABLE llm.{} DROP CONSTRAINT {}").format(sql.Identifier(table), sql.Identifier(name))
            )


def add_logs(db: psycopg.Connection, company: Company, rows: list[tuple[str, str | None, int | None]]) -> UUID:
    session = db.execute(
        "INSERT INTO llm.sessions (session_id, user_id, project_id, start_time, end_time, session_type, status)"
        " VALUES (llm.uuidv7('2024-02-01Z'), %s, %s, '2024-02-01Z', '2024-02-02Z', 'production', 'completed')"
        " RETURNING session_id",
        [company.user_id, company.project_id],
    ).fetchone()[0]
    for at, lasted, tokens in rows:
        db.execute(
            "INSERT INTO llm.session_logs (session_id, request_time, response_time, deployment_id, config_id,"
            " template_id, token_used) VALUES (%(session)s, %(at)s, %(at)s::timestamptz"
            " + CASE WHEN %(at)s::timestamptz < '200000-01-01Z' THEN %(lasted)s::interval END,"
            " %(deployment)s, %(config)s, %(template)s, %(tokens)s)",
            {
                "session": session,
                "at": at,
                "lasted": lasted,
                "tokens": tokens,
                "deployment": company.deployment_id,
                "config": company.config_id,
                "template": company.template_id,
            },
        )
    return session


def views(db: psycopg.Connection) -> list[str]:
    return [name for (name,) in db.execute("SELECT viewname FROM pg_views WHERE schemaname = 'reporting'")]


def every_report_answers(db: psycopg.Connection) -> None:
    db.execute("SET statement_timeout = '30 s'")
    for view in views(db):
        # On the server: a client need not know a time of before Christ. A cluster's workers know no row of a view.
        db.execute(f"SELECT count(v::text) FROM (SELECT * FROM reporting.{view} OFFSET 0) AS v")
    db.execute("RESET statement_timeout")


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(
        st.tuples(st.sampled_from(TIMES), st.sampled_from(SPANS), st.sampled_from(TOKENS)), min_size=1, max_size=12
    ),
    began=st.integers(0, len(TIMES) - 1),
    ended=st.integers(0, len(TIMES) - 1),
)
def test_rows_of_before_the_limits_break_nothing(
    db: psycopg.Connection,
    company: Company,
    rows: list[tuple[str, str | None, int | None]],
    began: int,
    ended: int,
) -> None:
    """Open, summed up and noted: every report answers, and what upkeep advises works."""
    with db.transaction(force_rollback=True):
        without_limits(db)
        session = add_logs(db, company, rows)
        db.execute(
            "UPDATE llm.sessions SET start_time = %s, end_time = %s WHERE session_id = %s",
            [*(TIMES[at] for at in sorted((began, ended))), session],
        )
        every_report_answers(db)
        db.execute("SELECT rollup.close_until('2024-03-01Z'), rollup.lock_state(true)")
        every_report_answers(db)
        db.execute("UPDATE rollup.state SET noted_before = closed_before")
        db.execute("UPDATE llm.session_logs SET token_used = token_used")
        db.execute("DELETE FROM llm.session_logs WHERE log_sequence = 1")
        every_report_answers(db)
        db.execute("SELECT rollup.fold_noted_day(c.entity, c.day) FROM rollup.cut_notes() AS c")
        every_report_answers(db)


# The furthest that each type of a column of llm goes.
FURTHEST = {
    "bigint": [str(2**63 - 1), str(-(2**63))],
    "integer": [str(2**31 - 1), str(-(2**31))],
    "double precision": ["Infinity", "NaN"],
    "numeric": ["1e1000", "NaN"],
    "real": ["Infinity", "NaN"],
    "interval": ["178000000 years", "-178000000 years"],
    "timestamp with time zone": ["infinity", "-infinity", "294276-12-31 23:59:59Z", "4713-01-01 00:00Z BC"],
}
COLUMNS = """
    SELECT c.relname, a.attname, format_type(a.atttypid, NULL)
    FROM pg_class AS c INNER JOIN pg_attribute AS a ON c.oid = a.attrelid
    WHERE c.relnamespace = 'llm'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
        AND a.attnum > 0 AND a.attgenerated = '' AND a.attidentity = ''
"""


@pytest.mark.parametrize("at", range(4))
def test_no_value_of_any_column_stops_a_report(db: psycopg.Connection, company: Company, at: int) -> None:
    """Whatever the rules of the tables let in, all at once."""
    make_model(db)
    add_logs(db, company, [("2024-02-01 10:00Z", "1 s", 5)])
    db.execute("CALL ops.refresh_rollups()")
    stored = 0
    for table, column, kind in db.execute(COLUMNS).fetchall():
        if at < len(FURTHEST.get(kind, ())):
            with suppress(errors.IntegrityError, psycopg.DataError), db.transaction():
                update = sql.SQL("UPDATE llm.{} SET {} = {}").format(
                    sql.Identifier(table), sql.Identifier(column), FURTHEST[kind][at]
                )
                stored += db.execute(update).rowcount
    assert stored
    every_report_answers(db)
    db.execute("CALL ops.refresh_rollups()")
    every_report_answers(db)


@pytest.mark.parametrize(
    "form", [(), ("--csv",), ("--json",), ("--html", "page.html")], ids=lambda form: "".join(form[:1])
)
def test_a_time_that_no_client_knows_stops_no_report(
    db: psycopg.Connection, company: Company, dsn: str, tmp_path: Path, form: tuple[str, ...]
) -> None:
    without_limits(db)
    add_logs(db, company, [(at, None, 1) for at in TIMES])
    db.execute(
        "UPDATE llm.sessions SET start_time = '4713-01-01 BC', end_time = '294276-12-31 23:59Z', status = 'completed'"
    )
    query = """
        SELECT DISTINCT table_name FROM information_schema.columns
        WHERE table_schema = 'reporting' AND data_type LIKE 'timestamp%'
    """
    reports = [name for (name,) in db.execute(query)]
    assert {"requests", "session_summaries"} <= set(reports)
    for name in reports:
        done = llm_db("report", name, *form, "--dsn", dsn, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        shown = (tmp_path / "page.html").read_text("utf-8") if "--html" in form else done.stdout
        # On a terminal there is room for some columns only.
        if form and name in ("requests", "session_summaries"):
            assert "294276-12-31 " in shown or "294277-01-01 " in shown
            assert " BC" in shown


@pytest.mark.one_node("what is distributed has that migration behind it")
@pytest.mark.parametrize(
    ("constraint", "row"),
    [
        ("session_logs_token_used_at_most_100_million", ("2024-02-01 10:00Z", None, 100_000_001)),
        ("session_logs_response_within_a_week", ("2024-02-01 10:00Z", "168:00:01", None)),
        ("session_logs_request_time_within_2000_to_2099", ("0001-01-01Z", None, None)),
    ],
)
def test_a_running_database_keeps_its_rows_and_takes_no_new_ones(
    db: psycopg.Connection, company: Company, constraint: str, row: tuple[str, str | None, int | None]
) -> None:
    migration = next(each for each in files.migrations() if each.id.startswith("0011"))
    definition = db.execute(
        "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = %s AND conparentid = 0", [constraint]
    ).fetchone()[0]
    db.execute(f"ALTER TABLE llm.session_logs DROP CONSTRAINT {constraint}")
    add_logs(db, company, [row])
    db.execute(f"ALTER TABLE llm.session_logs ADD CONSTRAINT {constraint} {definition} NOT VALID")
    told: list[str] = []
    db.add_notice_handler(lambda notice: told.append(f"{notice.message_primary} {notice.message_hint}"))
    db.execute(migration.up.read_text(encoding="utf-8"))
    assert len(told) == 1
    assert constraint in told[0]
    listed = told[0].split("None ")[-1]
    query = listed[listed.index("SELECT") : listed.index(" lists them")]
    assert len(db.execute(query).fetchall()) == 1
    with pytest.raises(errors.CheckViolation) as error:
        add_logs(db, company, [row])
    assert error.value.diag.constraint_name == constraint
    db.execute("DELETE FROM llm.session_logs")
    db.execute(migration.up.read_text(encoding="utf-8"))
    assert db.execute("SELECT bool_and(convalidated) FROM pg_constraint WHERE conname = %s", [constraint]).fetchone()[0]


def noted_days(db: psycopg.Connection) -> tuple[int, int]:
    return db.execute("SELECT noted_log_days, noted_session_days FROM ops.rollups").fetchone()


def test_a_correction_notes_the_days_it_can_have_changed(db: psycopg.Connection, company: Company) -> None:
    make_model(db)
    db.execute("DELETE FROM llm.sessions")
    add_logs(db, company, [(f"2024-02-0{day} 10:00Z", "1 s", 5) for day in (1, 2, 4)])
    unused = {
        "user": db.execute(
            "INSERT INTO llm.users (user_name, user_email, role, department_id)"
            " VALUES ('x', 'x@example.com', 'analyst', %s) RETURNING user_id",
            [company.department_id],
        ).fetchone()[0],
        "config": db.execute(
            "INSERT INTO llm.model_configs (model_id, config_name, max_tokens) VALUES (%s, 'unused', 10)"
            " RETURNING config_id",
            [company.model_id],
        ).fetchone()[0],
        "deployment": db.execute(
            "INSERT INTO llm.deployments (model_id, server_name, gpu_count, environment, status)"
            " VALUES (%s, 'unused', 1, 'test', 'active') RETURNING deployment_id",
            [company.model_id],
        ).fetchone()[0],
        "model": db.execute(
            "INSERT INTO llm.models (model_name, model_type) VALUES ('another', 'chat') RETURNING model_id"
        ).fetchone()[0],
    }
    db.execute("CALL ops.refresh_rollups('2024-03-01Z')")
    max_tokens = "UPDATE llm.model_configs SET max_tokens = 4 WHERE config_id = %s"
    model = "UPDATE llm.deployments SET model_id = %s WHERE deployment_id = %s"
    # Nobody ever used them.
    db.execute(max_tokens, [unused["config"]])
    db.execute(model, [unused["model"], unused["deployment"]])
    db.execute("DELETE FROM llm.users WHERE user_id = %s", [unused["user"]])
    assert noted_days(db) == (0, 0)
    # These were used on three days, of which a later correction sees the last one.
    db.execute(
        "INSERT INTO llm.user_departments (user_id, since, department_id) VALUES (%s, '2024-02-03Z', %s)",
        [company.user_id, company.department_id],
    )
    assert noted_days(db) == (1, 0)
    db.execute(max_tokens, [company.config_id])
    assert noted_days(db) == (3, 0)
    db.execute(model, [unused["model"], company.deployment_id])
    db.execute("UPDATE llm.user_departments SET since = '2024-01-01Z' WHERE since > '-infinity'")
    assert noted_days(db) == (3, 1)
    assert_exact(db)
    db.execute("CALL ops.refresh_rollups('2024-03-01Z')")
    assert noted_days(db) == (0, 0)
    assert_exact(db)


def test_the_future_is_not_closed_and_a_wrong_clock_is_undone(db: psycopg.Connection, company: Company) -> None:
    make_model(db)
    add_logs(db, company, [("2024-02-01 10:00Z", "1 s", 5)])
    with pytest.raises(errors.InvalidParameterValue, match="still to come"):
        db.execute("CALL ops.refresh_rollups(now() + interval '1 minute')")
    db.execute("CALL ops.refresh_rollups()")
    # As a refresh by a clock that was ten years ahead would leave it.
    db.execute("UPDATE rollup.state SET closed_before = now() + '10 years', noted_before = now() + '10 years'")
    with pytest.raises(errors.ObjectNotInPrerequisiteState, match="the clock was wrong") as error:
        db.execute("CALL ops.refresh_rollups()")
    assert "ops.restart_rollups()" in error.value.diag.message_hint
    db.execute("SELECT ops.restart_rollups()")
    db.execute("CALL ops.refresh_rollups()")
    add_logs(db, company, [("2099-12-31Z", "1 s", 5)])
    assert db.execute("SELECT count(*) FROM rollup.notes WHERE entity = 'logs'").fetchone() == (0,)
    assert_exact(db)


def test_a_restart_while_a_refresh_waits_closes_nothing_unannounced(db: psycopg.Connection, dsn: str) -> None:
    """What was announced before the restart is no longer: writers have stopped noting."""
    with psycopg.connect(dsn) as writer, psycopg.connect(dsn, autocommit=True) as refresher:
        writer.execute(IS_WRITING)
        thread = threading.Thread(target=refresher.execute, args=["CALL ops.refresh_rollups()"])
        thread.start()
        wait_for_sleep(db, refresher)
        db.execute("SELECT ops.restart_rollups()")
        writer.rollback()
        thread.join()
    assert db.execute("SELECT isfinite(closed_before), isfinite(noted_before) FROM rollup.state").fetchone() == (
        False,
        False,
    )


def test_a_stray_day_of_the_future_is_one_day(db: psycopg.Connection, company: Company) -> None:
    """However far it is: what the plan of a report does is the same for next year and for 2099."""
    make_model(db)
    add_logs(db, company, [("2026-01-01 10:00Z", "1 s", 5)])
    for closed in (False, True):
        done = {}
        for stray in ("2027-12-31 10:00Z", "2099-12-31 10:00Z"):
            with db.transaction(force_rollback=True):
                add_logs(db, company, [(stray, "1 s", 5)])
                if closed:
                    db.execute("SELECT rollup.close_until('2099-12-31 23:00Z')")
                assert_exact(db)
                for view in views(db):
                    query = f"EXPLAIN (ANALYZE, FORMAT JSON) SELECT * FROM reporting.{view}"
                    done.setdefault(view, []).append(most_rows(db.execute(query).fetchone()[0][0]["Plan"]))
        further = {view: rows for view, rows in done.items() if rows[1] > rows[0] + 10}
        assert not further


def most_rows(plan: dict) -> float:
    rows = plan["Actual Rows"] * plan["Actual Loops"]
    return max([rows, *(most_rows(each) for each in plan.get("Plans", ()))])


def test_a_refresh_needs_no_statistics(db: psycopg.Connection, company: Company) -> None:
    """Right after a large load, before autovacuum came by."""
    db.execute("ALTER TABLE llm.sessions_default SET (autovacuum_enabled = off)")
    db.execute("ALTER TABLE llm.session_logs_default SET (autovacuum_enabled = off)")
    with db.transaction():
        db.execute("SET LOCAL session_replication_role = replica")
        db.execute(
            "INSERT INTO llm.sessions (session_id, user_id, project_id, start_time, end_time, session_type, status)"
            " SELECT llm.uuidv7(t), %s, %s, t, t + '1 hour', 'production', 'completed'"
            " FROM generate_series('2024-02-01Z'::timestamptz, '2024-02-10Z', '2 minutes') AS t",
            [company.user_id, company.project_id],
        )
        db.execute(
            "INSERT INTO llm.session_logs (session_id, log_sequence, request_time, response_time, deployment_id,"
            " token_used) SELECT session_id, n, start_time + n * '1 minute'::interval,"
            " start_time + n * '61 s'::interval, %s, n"
            " FROM llm.sessions CROSS JOIN generate_series(1, 10) AS n WHERE end_time IS NOT NULL",
            [company.deployment_id],
        )
    # Where it is thought to read many times what there is, small tables are not hashed, and all is compared with all.
    for facts in ("log_facts", "session_facts"):
        [plan] = db.execute(f"EXPLAIN (FORMAT JSON) SELECT * FROM rollup.{facts}").fetchone()[0]
        there = db.execute(f"SELECT count(*) FROM rollup.{facts}").fetchone()[0]
        assert plan["Plan"]["Plan Rows"] < 100 * there
    db.execute("SET statement_timeout = '60 s'")
    db.execute("CALL ops.refresh_rollups('2024-03-01Z')")
    assert db.execute("SELECT sum(requests) FROM reporting.daily_usage").fetchone()[0] > 60_000


def test_no_time_is_closed_while_changes_go_unnoticed(db: psycopg.Connection) -> None:
    """Each trigger that calls the engine is one that a refresh asks for: none is forgotten when one is added."""
    query = """
        SELECT t.tgname, t.tgrelid::regclass::text FROM pg_trigger AS t INNER JOIN pg_proc AS p ON t.tgfoid = p.oid
        WHERE p.pronamespace = 'rollup'::regnamespace AND t.tgparentid = 0
    """
    triggers = db.execute(query).fetchall()
    assert len(triggers) > 10
    for name, table in triggers:
        for undo in (f"ALTER TABLE {table} DISABLE TRIGGER {name}", f"DROP TRIGGER {name} ON {table}"):
            with db.transaction(force_rollback=True):
                db.execute(undo)
                with pytest.raises(errors.ObjectNotInPrerequisiteState, match=name), db.transaction():
                    db.execute("SELECT rollup.require_triggers()")
    table, name = triggers[0][1], triggers[0][0]
    db.execute(f"ALTER TABLE {table} DISABLE TRIGGER {name}")
    with pytest.raises(errors.ObjectNotInPrerequisiteState, match=name):
        db.execute("CALL ops.refresh_rollups()")
    db.execute(f"ALTER TABLE {table} ENABLE TRIGGER {name}")
    db.execute("CALL ops.refresh_rollups()")
