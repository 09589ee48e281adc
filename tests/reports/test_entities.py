"""The reports on sessions, templates, presets, deployments, lineage, departments and accounts, counted by hand: with
nothing rolled up, with half of it, with all of it, and where rows came after it was."""

import re
from datetime import UTC, date, datetime

import psycopg
import pytest
from psycopg import sql
from psycopg.rows import namedtuple_row

import citus
import data_dictionary
from company import AI, COMPANY, DEV, GPT, MISTRAL, SEOUL_10, SEOUL_11, read
from conftest import ROOT

SEOUL_12 = date(2024, 3, 12)

# Beside the company that can be counted by hand. 박개발 moved at 01:05, between the start of a session and its request.
MORE = """
INSERT INTO llm.session_statuses (code, label_ko, label_en) VALUES ('paused', '일시정지', 'Paused');
INSERT INTO llm.users (user_id, user_name, user_email, role, department_id) VALUES
    (22, '최사원', 'choi@example.com', 'developer', 2);
UPDATE llm.users SET department_id = 1 WHERE user_id = 21;
UPDATE llm.user_departments SET since = '2024-03-11 01:05Z' WHERE user_id = 21 AND department_id = 1;
UPDATE llm.users SET last_login = now() - interval '10 days' WHERE user_id = 11;
UPDATE llm.users SET last_login = now() - interval '100 days 1 hour' WHERE user_id = 13;
INSERT INTO llm.models (model_id, model_name, model_type) VALUES (3, 'bge-m3', 'embedding');
INSERT INTO llm.model_configs (config_id, model_id, config_name, max_tokens, temperature) VALUES
    (2, 1, '짧은 답변', 50, 0.3), (3, 2, '미사용', 10, NULL);
INSERT INTO llm.deployments (deployment_id, model_id, server_name, gpu_count, environment, status) VALUES
    (4, 1, 'gpu-04', 4, 'test', 'error');
INSERT INTO llm.sessions (session_id, user_id, project_id, start_time, end_time, session_type, status)
SELECT llm.uuidv7(start_time), user_id, project_id, start_time, end_time, session_type, status
FROM (VALUES
    (21, NULL, '2024-03-11 03:00Z'::timestamptz, '2024-03-11 03:20Z'::timestamptz, 'development', 'error'),
    (22, 2, '2024-03-11 04:00Z', '2024-03-11 04:10Z', 'development', 'completed'),
    (11, 1, '2024-03-12 00:00Z', NULL, 'test', 'running'),
    (11, NULL, '2024-03-12 00:00Z', '2024-03-12 00:30Z', 'experiment', 'paused')
) AS s (user_id, project_id, start_time, end_time, session_type, status);
INSERT INTO llm.session_logs (
    session_id, log_sequence, request_time, response_time, deployment_id, config_id, template_id, token_used
)
SELECT s.session_id, l.log_sequence, request_time, request_time + latency, 1, 2, template_id, tokens
FROM (VALUES
    (1, '2024-03-11 03:05Z'::timestamptz, '2 s'::interval, 2, 50),
    (2, '2024-03-11 03:06Z', '1 s', 2, 49),
    (3, '2024-03-11 03:07Z', NULL, NULL, NULL)
) AS l (log_sequence, request_time, latency, template_id, tokens)
INNER JOIN llm.sessions AS s ON s.status = 'error';
"""


@pytest.fixture(params=["open", "half closed", "closed", "touched"])
def counted(db: psycopg.Connection, request: pytest.FixtureRequest) -> psycopg.Connection:
    with db.transaction():
        db.execute(COMPANY)
    if request.param == "touched":
        refresh(db)
    with db.transaction():
        db.execute(MORE)
    if request.param == "half closed":
        refresh(db, "2024-03-10 15:00:20Z")
    if request.param == "closed":
        refresh(db)
    return db


def refresh(db: psycopg.Connection, close_before: str = "2024-06-01 00:00Z") -> None:
    db.execute("CALL ops.refresh_rollups(%s)", [close_before])
    reached = db.execute("SELECT closed_before = %s FROM rollup.state", [close_before])
    assert reached.fetchone() == (True,)


def within_2_percent(value: float) -> object:
    return pytest.approx(value, rel=0.02)


def rows(db: psycopg.Connection, view: str, columns: str, key: str) -> list[tuple]:
    """In the order of a key, for comparisons that are not exact."""
    names = sql.SQL(", ").join(map(sql.Identifier, columns.split()))
    query = sql.SQL("SELECT {} FROM reporting.{} ORDER BY {}").format(names, sql.Identifier(view), sql.Identifier(key))
    return db.cursor(row_factory=namedtuple_row).execute(query).fetchall()


def test_session_summaries_know_both_departments(counted: psycopg.Connection) -> None:
    columns = (
        "user_name session_status department_id department_name current_department_id current_department_name requests"
        " requests_without_tokens tokens last_request_time"
    )
    assert read(counted, "session_summaries", columns) == {
        ("김연구", "completed", 1, AI, 1, AI, 3, 1, 150, datetime(2024, 3, 10, 15, 0, 30, tzinfo=UTC)),
        ("박개발", "running", 2, DEV, 1, AI, 1, 0, 7, datetime(2024, 3, 11, 1, 10, tzinfo=UTC)),
        ("이퇴사", "aborted", 1, AI, 1, AI, 0, 0, 0, None),
        ("박개발", "error", 1, AI, 1, AI, 3, 1, 99, datetime(2024, 3, 11, 3, 7, tzinfo=UTC)),
        ("최사원", "completed", 2, DEV, 2, DEV, 0, 0, 0, None),
        ("김연구", "running", 1, AI, 1, AI, 0, 0, 0, None),
        ("김연구", "paused", 1, AI, 1, AI, 0, 0, 0, None),
    }


def test_a_session_is_looked_up_in_its_own_month(db: psycopg.Connection) -> None:
    with db.transaction():
        db.execute(COMPANY)
    db.execute("CALL llm.move_default_rows()")
    session_id = db.execute("SELECT session_id FROM llm.sessions WHERE user_id = 11").fetchone()[0]
    asked = "SELECT requests FROM reporting.session_summaries WHERE session_id = %s"
    assert db.execute(asked, [session_id]).rowcount == 1
    if citus.DSN:
        # Of a task's plan EXPLAIN shows the text only.
        return
    query = sql.SQL("EXPLAIN (ANALYZE, FORMAT JSON) SELECT * FROM reporting.session_summaries WHERE session_id = {}")
    plan = db.execute(query.format(sql.Literal(session_id))).fetchone()[0][0]["Plan"]
    assert {name for name in relations_read(plan) if name.startswith("session")} - {
        "session_types",
        "session_statuses",
    } == {"sessions_2024_03", "session_logs_2024_03"}


def relations_read(plan: dict) -> set[str]:
    found = {plan["Relation Name"]} if "Relation Name" in plan and plan["Actual Loops"] else set()
    return found.union(*(relations_read(child) for child in plan.get("Plans", ())))


def test_daily_sessions(counted: psycopg.Connection) -> None:
    columns = (
        "session_day session_type session_type_ko session_type_en department_id department_name sessions"
        " running_sessions completed_sessions error_sessions aborted_sessions mean_duration_minutes turns mean_turns"
        " requests_without_tokens tokens error_rate abort_rate"
    )
    development, experiment = ("development", "개발", "Development"), ("experiment", "실험", "Experiment")
    assert read(counted, "daily_sessions", columns) == {
        (SEOUL_10, "production", "프로덕션", "Production", 1, AI, 1, 0, 1, 0, 0, 90.0, 3, 3.0, 1, 150, 0.0, 0.0),
        (SEOUL_11, *development, 2, DEV, 2, 1, 1, 0, 0, 10.0, 1, 0.5, 0, 7, 0.0, 0.0),
        (SEOUL_11, *development, 1, AI, 1, 0, 0, 1, 0, 20.0, 3, 3.0, 1, 99, 1.0, 0.0),
        (SEOUL_11, *experiment, 1, AI, 1, 0, 0, 0, 1, 0.0, 0, 0.0, 0, 0, 0.0, 1.0),
        (SEOUL_12, "test", "테스트", "Test", 1, AI, 1, 1, 0, 0, 0, None, 0, 0.0, 0, 0, None, None),
        (SEOUL_12, *experiment, 1, AI, 1, 0, 0, 0, 0, 30.0, 0, 0.0, 0, 0, 0.0, 0.0),
    }


def test_sessions_without_project(counted: psycopg.Connection) -> None:
    columns = "session_day department_id department_name sessions sessions_without_project share"
    assert read(counted, "sessions_without_project", columns) == {
        (SEOUL_10, 1, AI, 1, 0, 0.0),
        (SEOUL_11, 1, AI, 2, 1, 0.5),
        (SEOUL_11, 2, DEV, 2, 1, 0.5),
        (SEOUL_12, 1, AI, 2, 1, 0.5),
    }


def test_template_usage(counted: psycopg.Connection) -> None:
    columns = (
        "template_name version is_newest usage_count requests requests_without_tokens tokens first_request_time"
        " last_request_time mean_tokens latency_p50_ms latency_p95_ms"
    )
    night, last = datetime(2024, 3, 10, 14, 59, 59, 500000, UTC), datetime(2024, 3, 11, 1, 10, tzinfo=UTC)
    assert rows(counted, "template_usage", columns, "template_id") == [
        ("요약", "1.9", False, 3, 2, 0, 107, night, last, 53.5, within_2_percent(10.001), within_2_percent(1500)),
        ("요약", "1.10", True, 3, 3, 1, 99, datetime(2024, 3, 10, 15, tzinfo=UTC),
         datetime(2024, 3, 11, 3, 6, tzinfo=UTC), 49.5, within_2_percent(1000), within_2_percent(2000)),
        ("번역", "1.0", True, 0, 0, 0, 0, None, None, None, None, None),
    ]  # fmt: skip


def test_template_adoption(counted: psycopg.Connection) -> None:
    columns = "request_day template_name newest_version requests newest_requests newest_share"
    assert read(counted, "template_adoption", columns) == {
        (SEOUL_10, "요약", "1.10", 1, 0, 0.0),
        (SEOUL_11, "요약", "1.10", 4, 3, 0.75),
    }


# One use of each: too long ago by a day, and not quite; then one that was deleted, and none.
UNUSED = """
INSERT INTO llm.prompt_templates
    (template_id, template_name, prompt_s3_path, task_category, version, created_by, created_at)
SELECT 10 + n, '코드리뷰', 's3://bucket/one', 'coding', '1.' || n, 11, now() - interval '200 days 1 hour'
FROM generate_series(1, 4) AS n;
INSERT INTO llm.session_logs (session_id, request_time, deployment_id, template_id)
SELECT session_id, now() - age, 1, template_id
FROM llm.sessions
CROSS JOIN (VALUES (11, interval '91 days 1 hour'), (12, '89 days'), (13, '1 day')) AS l (template_id, age)
WHERE user_id = 12;
DELETE FROM llm.session_logs WHERE template_id = 13;
"""


@pytest.mark.parametrize("closed", [False, True])
def test_unused_template_versions(db: psycopg.Connection, closed: bool) -> None:
    with db.transaction():
        db.execute(COMPANY)
        db.execute(UNUSED)
    if closed:
        refresh(db, datetime.now(UTC).isoformat())
    columns = "template_name version is_newest reason_ko reason_en usage_count unused_days"
    assert {row for row in read(db, "unused_template_versions", columns) if row[0] == "코드리뷰"} == {
        ("코드리뷰", "1.1", False, "90일간 미사용", "Not used for 90 days", 1, 91),
        ("코드리뷰", "1.3", False, "90일간 미사용", "Not used for 90 days", 1, 200),
        ("코드리뷰", "1.4", True, "사용된 적 없음", "Never used", 0, 200),
    }
    # Written just now, and in use long ago.
    columns = "template_name version reason_en last_request_time"
    assert {row for row in read(db, "unused_template_versions", columns) if row[0] != "코드리뷰"} == {
        ("번역", "1.0", "Never used", None),
        ("요약", "1.9", "Not used for 90 days", datetime(2024, 3, 11, 1, 10, tzinfo=UTC)),
        ("요약", "1.10", "Not used for 90 days", datetime(2024, 3, 10, 15, tzinfo=UTC)),
    }


def test_config_comparison(counted: psycopg.Connection) -> None:
    columns = (
        "model_name config_name max_tokens temperature requests answered_requests requests_without_tokens tokens"
        " mean_tokens at_max_tokens_requests at_max_tokens_share last_30_days_requests latency_p50_ms latency_p95_ms"
        " latency_p99_ms"
    )
    slow, slowest = within_2_percent(1000), within_2_percent(2000)
    assert rows(counted, "config_comparison", columns, "config_id") == [
        (GPT, "요약용", None, None, 1, 1, 0, 100, 100.0, 0, None, 0, *[within_2_percent(1500)] * 3),
        (GPT, "짧은 답변", 50, 0.3, 3, 2, 1, 99, 49.5, 1, 0.5, 0, slow, slowest, slowest),
        (MISTRAL, "미사용", 10, None, 0, 0, 0, 0, None, 0, None, 0, None, None, None),
    ]


@pytest.mark.parametrize("closed", [False, True])
def test_the_last_30_days_of_a_config(db: psycopg.Connection, closed: bool) -> None:
    with db.transaction():
        db.execute(COMPANY)
        # Midnights in Seoul: of today, of 29 and of 30 days ago.
        db.execute("""
            INSERT INTO llm.session_logs (session_id, request_time, deployment_id, config_id)
            SELECT session_id, date_trunc('day', now(), 'Asia/Seoul') - n * interval '24 hours', 1, 1
            FROM llm.sessions, unnest(ARRAY[0, 29, 30]) AS n
            WHERE user_id = 12
        """)
        if not closed:
            # Before the day can change.
            assert read(db, "config_comparison", "requests last_30_days_requests") == {(4, 2)}
    if closed:
        refresh(db, datetime.now(UTC).isoformat())
        assert read(db, "config_comparison", "requests last_30_days_requests") == {(4, 2)}


def test_deployment_gpu_hours(counted: psycopg.Connection) -> None:
    columns = (
        "request_day server_name environment_ko model_name gpu_count gpu_hours requests requests_without_tokens tokens"
        " tokens_per_gpu_hour busy_hours"
    )
    assert read(counted, "deployment_gpu_hours", columns) == {
        (SEOUL_10, "gpu-01", "프로덕션", GPT, 8, 192.0, 1, 0, 100, 100 / 192, 1500000 / 3.6e9),
        (SEOUL_11, "gpu-01", "프로덕션", GPT, 8, 192.0, 5, 2, 106, 106 / 192, 3010001 / 3.6e9),
        (SEOUL_11, "gpu-02", "테스트", GPT, 2, 48.0, 1, 0, 50, 50 / 48, 250000 / 3.6e9),
    }


# In Havana the clocks change at midnight.
@pytest.mark.parametrize("zone", ["America/New_York", "America/Havana"])
def test_gpu_hours_of_days_with_23_and_25_hours(db: psycopg.Connection, zone: str) -> None:
    with db.transaction():
        db.execute(COMPANY)
        db.execute("""
            INSERT INTO llm.session_logs (session_id, request_time, deployment_id)
            SELECT session_id, '2024-11-03 18:00Z', 1 FROM llm.sessions WHERE user_id = 12
        """)
    db.execute("CALL ops.set_reporting_time_zone(%s)", [zone])
    assert read(db, "deployment_gpu_hours", "request_day server_name gpu_hours") == {
        (date(2024, 3, 10), "gpu-01", 8 * 23.0),
        (date(2024, 3, 10), "gpu-02", 2 * 23.0),
        (date(2024, 11, 3), "gpu-01", 8 * 25.0),
    }


def test_gpu_hours_of_today_are_those_so_far(db: psycopg.Connection) -> None:
    with db.transaction():
        db.execute(COMPANY)
        db.execute("UPDATE llm.deployments SET gpu_count = 0 WHERE deployment_id = 2")
        # Tomorrow's request, of a clock that is ahead, has no GPU hours yet.
        db.execute("""
            INSERT INTO llm.session_logs (session_id, request_time, deployment_id, token_used)
            SELECT session_id, now() + ahead, deployment_id, 60
            FROM llm.sessions
            CROSS JOIN (VALUES (1, interval '0'), (2, '0'), (1, '1 day')) AS l (deployment_id, ahead)
            WHERE user_id = 12
        """)
        today = db.execute("""
            SELECT g.server_name, g.gpu_hours, h.so_far, g.tokens_per_gpu_hour
            FROM reporting.deployment_gpu_hours AS g
            CROSS JOIN LATERAL (
                SELECT extract(EPOCH FROM now() - date_trunc('day', now(), 'Asia/Seoul'))::double precision / 3600
            ) AS h (so_far)
            WHERE g.request_day >= (now() AT TIME ZONE 'Asia/Seoul')::date
            ORDER BY g.request_day, g.deployment_id
        """).fetchall()
    so_far = today[0][2]
    assert today == [
        ("gpu-01", pytest.approx(8 * so_far), so_far, pytest.approx(60 / (8 * so_far))),
        ("gpu-02", 0.0, so_far, None),
        ("gpu-01", 0.0, so_far, None),
    ]


@pytest.mark.parametrize("closed", [False, True])
def test_idle_deployments(db: psycopg.Connection, closed: bool) -> None:
    with db.transaction():
        db.execute(COMPANY)
        db.execute(MORE)
        db.execute("""
            INSERT INTO llm.session_logs (session_id, request_time, deployment_id)
            SELECT session_id, now() - age, deployment_id
            FROM llm.sessions
            CROSS JOIN (VALUES (1, interval '6 days 23 hours'), (2, '7 days 1 hour')) AS l (deployment_id, age)
            WHERE user_id = 12
        """)
    if closed:
        refresh(db, datetime.now(UTC).isoformat())
    columns = "server_name environment_en deployment_status_ko model_name gpu_count idle_days"
    assert read(db, "idle_deployments", columns) == {
        ("gpu-02", "Test", "유지보수", GPT, 2, 7),
        ("gpu-04", "Test", "오류", GPT, 4, None),
    }
    assert read(db, "idle_deployments", "last_request_time") >= {(None,)}


LINEAGE = " requests requests_without_tokens tokens first_request_time last_request_time"
SERVED = (6, 2, 206, datetime(2024, 3, 10, 14, 59, 59, 500000, UTC), datetime(2024, 3, 11, 3, 7, tzinfo=UTC))
UNSERVED = (0, 0, 0, None, None)


def test_dataset_lineage(counted: psycopg.Connection) -> None:
    assert read(counted, "dataset_lineage", "dataset_id server_name model_name" + LINEAGE) == {
        (1, "gpu-01", GPT, *SERVED),
        (1, "gpu-03", MISTRAL, *UNSERVED),
        (2, None, None, *UNSERVED),
    }


def test_model_lineage(counted: psycopg.Connection) -> None:
    columns = (
        "model_id model_name model_type_ko deployment_id server_name gpu_count environment_ko deployment_status_en"
        " dataset_id learning_type_ko s3_path"
    )
    at = datetime(2024, 3, 10, 15, 0, 30, tzinfo=UTC)
    assert read(counted, "model_lineage", columns + LINEAGE) == {
        (1, GPT, "대화", 1, "gpu-01", 8, "프로덕션", "Active", 1, "파인튜닝", "s3://bucket/one", *SERVED),
        (1, GPT, "대화", 2, "gpu-02", 2, "테스트", "Maintenance", None, None, None, 1, 0, 50, at, at),
        (1, GPT, "대화", 4, "gpu-04", 4, "테스트", "Error", None, None, None, *UNSERVED),
        (2, MISTRAL, "코딩", 3, "gpu-03", 1, "스테이징", "Inactive", 1, "파인튜닝", "s3://bucket/one", *UNSERVED),
        (3, "bge-m3", "임베딩", *[None] * 8, *UNSERVED),
    }


def test_department_overview(counted: psycopg.Connection) -> None:
    # A session counts where its user was when it began, a request where its user was when it was made.
    columns = (
        "department_name manager_name members active_members projects sessions requests requests_without_tokens tokens"
        " last_request_time"
    )
    assert read(counted, "department_overview", columns) == {
        (AI, "김연구", 4, 3, 2, 5, 7, 2, 256, datetime(2024, 3, 11, 3, 7, tzinfo=UTC)),
        (DEV, "박개발", 1, 1, 0, 2, 0, 0, 0, None),
    }


def test_dormant_accounts(counted: psycopg.Connection) -> None:
    columns = "user_name user_email department_name is_active reason_ko reason_en last_request_time inactive_days"
    at = datetime(2024, 3, 11, 3, 7, tzinfo=UTC)
    days = (datetime.now(UTC) - at).days
    assert read(counted, "dormant_accounts", columns) == {
        ("이퇴사", "lee@example.com", AI, False, "퇴사", "Left", None, None),
        ("정신입", "jung@example.com", AI, True, "90일간 미접속", "Not seen for 90 days", None, 100),
        ("박개발", "park@example.com", AI, True, "90일간 미접속", "Not seen for 90 days", at, days),
        ("최사원", "choi@example.com", DEV, True, "접속 기록 없음", "Never seen", None, None),
    }


def test_who_logged_in_or_asked_lately_is_not_dormant_unless_they_left(counted: psycopg.Connection) -> None:
    counted.execute("UPDATE llm.users SET last_login = now() - interval '89 days' WHERE user_id = 13")
    counted.execute("UPDATE llm.users SET last_login = now() - interval '1 day 1 hour' WHERE user_id = 12")
    counted.execute(
        "INSERT INTO llm.session_logs (session_id, request_time, deployment_id)"
        " SELECT session_id, now() - interval '89 days', 1 FROM llm.sessions WHERE user_id IN (21, 22)"
    )
    assert read(counted, "dormant_accounts", "user_name reason_en inactive_days") == {("이퇴사", "Left", 1)}


OF_ALL_TIME = [
    "daily_sessions", "sessions_without_project", "template_usage", "template_adoption", "unused_template_versions",
    "config_comparison", "dataset_lineage", "model_lineage", "deployment_gpu_hours", "idle_deployments",
    "department_overview", "dormant_accounts",
]  # fmt: skip


def test_reports_of_all_time_outlive_the_stored_months(counted: psycopg.Connection) -> None:
    counted.execute("CALL llm.move_default_rows()")
    refresh(counted)

    def everything() -> dict[str, list[tuple]]:
        return {
            view: counted.execute(f"SELECT v::text FROM reporting.{view} AS v ORDER BY 1").fetchall()
            for view in OF_ALL_TIME
        }

    before = everything()
    assert all(before.values())
    assert counted.execute("SELECT ops.drop_month('2024-03-01', with_running => true)").fetchone() == (True,)
    assert counted.execute("SELECT count(*) FROM llm.session_logs").fetchone() == (0,)
    assert everything() == before


def test_an_empty_database_has_empty_reports(db: psycopg.Connection) -> None:
    for view in [*OF_ALL_TIME, "session_summaries"]:
        assert db.execute(f"SELECT * FROM reporting.{view}").fetchall() == [], view


def test_the_examples_on_the_analysts_page_run(db: psycopg.Connection) -> None:
    page = (ROOT / "docs" / "analyst.md").read_text(encoding="utf-8")
    examples = re.findall(r"^```sql\n(.*?)^```", page, re.M | re.S)
    assert len(examples) == 1
    db.execute("SET ROLE llm_analyst")
    for example in examples:
        db.execute(example)


def test_the_data_dictionary_has_every_report_and_column(db: psycopg.Connection) -> None:
    columns = "object_name column_name column_position data_type term_ko meaning unit"
    listed = {row[:2]: row[2:] for row in read(db, "data_dictionary", columns)}
    described = db.execute("""
        SELECT table_name::text, column_name::text FROM information_schema.columns WHERE table_schema = 'reporting'
        UNION ALL
        SELECT table_name::text, NULL FROM information_schema.views WHERE table_schema = 'reporting'
        UNION ALL
        SELECT routine_name::text, NULL FROM information_schema.routines WHERE routine_schema = 'reporting'
    """).fetchall()
    assert listed.keys() == set(described)
    assert listed["template_adoption", "newest_version"] == (
        3,
        "text",
        "최신 버전",
        "the highest version there is now, compared part by part as numbers",
        None,
    )
    assert listed["template_adoption", None][:3] == (0, "view", "최신 템플릿 채택")
    function = listed["latency_percentiles", None]
    assert function[1].startswith("function (since date, until date, ")
    assert " returns TABLE(" in function[1]
    units = {key: row[4] for key, row in listed.items()}
    assert units["template_usage", "latency_p95_ms"] == "ms"
    assert units["requests", "token_used"] == units["config_comparison", "mean_tokens"] == "tokens"
    assert units["daily_sessions", "requests_without_tokens"] is None
    assert units["sessions_without_project", "share"] == units["daily_sessions", "error_rate"] == "1 = 100 %"
    assert units["deployment_gpu_hours", "busy_hours"] == "h"


def test_the_data_dictionary_page_is_current(db: psycopg.Connection) -> None:
    assert data_dictionary.PAGE.read_text(encoding="utf-8") == data_dictionary.page(db), (
        "run: python scripts/data_dictionary.py DSN --write"
    )
