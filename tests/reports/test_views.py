"""The views, on a company small enough to count by hand."""

import re
from datetime import UTC, date, datetime

import psycopg
import pytest
from psycopg import sql

import citus
from company import AI, CHATBOT, CLOSED_BEFORE, DEV, GPT, MISTRAL, SEOUL_10, SEOUL_11, found, read


@pytest.fixture(params=CLOSED_BEFORE.values(), ids=CLOSED_BEFORE.keys())
def counted(db: psycopg.Connection, request: pytest.FixtureRequest) -> psycopg.Connection:
    return found(db, request.param)


MEASURES = " requests answered_requests requests_without_tokens tokens"
USAGE = [
    ("daily_usage", "request_day", {(SEOUL_10, 1, 1, 0, 100), (SEOUL_11, 3, 2, 1, 57)}),
    (
        "daily_usage_by_department",
        "request_day department_id department_name",
        {(SEOUL_10, 1, AI, 1, 1, 0, 100), (SEOUL_11, 1, AI, 2, 1, 1, 50), (SEOUL_11, 2, DEV, 1, 1, 0, 7)},
    ),
    (
        "daily_usage_by_project",
        "request_day project_id project_name project_department_id project_department_name",
        {
            (SEOUL_10, 1, CHATBOT, 1, AI, 1, 1, 0, 100),
            (SEOUL_11, 1, CHATBOT, 1, AI, 2, 1, 1, 50),
            (SEOUL_11, None, None, None, None, 1, 1, 0, 7),
        },
    ),
    (
        "daily_usage_by_user",
        "request_day user_id user_name user_email department_id department_name",
        {
            (SEOUL_10, 11, "김연구", "kim@example.com", 1, AI, 1, 1, 0, 100),
            (SEOUL_11, 11, "김연구", "kim@example.com", 1, AI, 2, 1, 1, 50),
            (SEOUL_11, 21, "박개발", "park@example.com", 2, DEV, 1, 1, 0, 7),
        },
    ),
    (
        "daily_usage_by_model",
        "request_day model_id model_name model_type model_type_ko model_type_en",
        {
            (SEOUL_10, 1, GPT, "chat", "대화", "Chat", 1, 1, 0, 100),
            (SEOUL_11, 1, GPT, "chat", "대화", "Chat", 3, 2, 1, 57),
        },
    ),
    (
        "daily_usage_by_deployment",
        "request_day deployment_id server_name environment environment_ko environment_en model_name",
        {
            (SEOUL_10, 1, "gpu-01", "production", "프로덕션", "Production", GPT, 1, 1, 0, 100),
            (SEOUL_11, 1, "gpu-01", "production", "프로덕션", "Production", GPT, 2, 1, 1, 7),
            (SEOUL_11, 2, "gpu-02", "test", "테스트", "Test", GPT, 1, 1, 0, 50),
        },
    ),
    (
        "hourly_usage_by_deployment",
        "request_hour deployment_id server_name model_id",
        {
            (datetime(2024, 3, 10, 23), 1, "gpu-01", 1, 1, 1, 0, 100),
            (datetime(2024, 3, 11, 0), 1, "gpu-01", 1, 1, 0, 1, 0),
            (datetime(2024, 3, 11, 0), 2, "gpu-02", 1, 1, 1, 0, 50),
            (datetime(2024, 3, 11, 10), 1, "gpu-01", 1, 1, 1, 0, 7),
        },
    ),
]


@pytest.mark.parametrize("reader_zone", ["UTC", "America/New_York"])
@pytest.mark.parametrize(("view", "keys", "expected"), USAGE, ids=[usage[0] for usage in USAGE])
def test_usage(counted: psycopg.Connection, view: str, keys: str, expected: set[tuple], reader_zone: str) -> None:
    counted.execute(sql.SQL("SET TimeZone TO {}").format(sql.Literal(reader_zone)))
    assert read(counted, view, keys + MEASURES) == expected


def test_requests_carry_their_dimensions(counted: psycopg.Connection) -> None:
    columns = (
        "log_sequence user_name user_role_ko department_name project_name project_department_name session_type_ko"
        " session_status_en server_name deployment_status_ko dataset_id model_name config_name template_name"
        " template_version task_category_ko request_day latency_ms token_used"
    )
    chatbot = ("김연구", "연구원", AI, CHATBOT, AI, "프로덕션", "Completed")
    assert read(counted, "requests", columns) == {
        (1, *chatbot, "gpu-01", "활성", 1, GPT, "요약용", "요약", "1.9", "요약", SEOUL_10, 1500.0, 100),
        (2, *chatbot, "gpu-01", "활성", 1, GPT, None, "요약", "1.10", "요약", SEOUL_11, None, None),
        (3, *chatbot, "gpu-02", "유지보수", None, GPT, None, None, None, None, SEOUL_11, 250.0, 50),
        (1, "박개발", "개발자", DEV, None, None, "개발", "In progress", "gpu-01", "활성", 1, GPT, None, "요약", "1.9",
         "요약", SEOUL_11, 10.001, 7),
    }  # fmt: skip


def test_latency(counted: psycopg.Connection) -> None:
    columns = "request_day server_name requests answered_requests"
    assert read(counted, "daily_latency_by_deployment", columns + " latency_max_ms latency_mean_ms") == {
        (SEOUL_10, "gpu-01", 1, 1, 1500.0, 1500.0),
        (SEOUL_11, "gpu-01", 2, 1, 10.001, 10.001),
        (SEOUL_11, "gpu-02", 1, 1, 250.0, 250.0),
    }
    percentiles = "request_day server_name latency_p50_ms latency_p95_ms latency_p99_ms"
    assert sorted(read(counted, "daily_latency_by_deployment", percentiles)) == [
        (SEOUL_10, "gpu-01", *[pytest.approx(1500.0, rel=0.02)] * 3),
        (SEOUL_11, "gpu-01", *[pytest.approx(10.001, rel=0.02)] * 3),
        (SEOUL_11, "gpu-02", *[pytest.approx(250.0, rel=0.02)] * 3),
    ]


def test_percentiles_are_nearest_ranks_of_answered_requests(counted: psycopg.Connection) -> None:
    # 10 ms, 20 ms ... 1000 ms in no order, beside as many without an answer; and a day with no answer at all.
    counted.execute("""
        INSERT INTO llm.session_logs (session_id, log_sequence, request_time, response_time, deployment_id)
        SELECT s.session_id, n, day, day + n * 37 % 101 * interval '10 ms', 3
        FROM llm.sessions AS s, generate_series(1, 100) AS n, (VALUES ('2024-05-01 03:00Z'::timestamptz)) AS d (day)
        WHERE s.user_id = 12
        UNION ALL
        SELECT s.session_id, n, '2024-05-01 03:00Z', NULL, 3
        FROM llm.sessions AS s, generate_series(101, 200) AS n WHERE s.user_id = 12
        UNION ALL
        SELECT s.session_id, 201, '2024-05-02 03:00Z', NULL, 3 FROM llm.sessions AS s WHERE s.user_id = 12
    """)
    rows = counted.execute("""
        SELECT request_day, requests, answered_requests, latency_p50_ms, latency_p95_ms, latency_p99_ms, latency_max_ms,
            latency_mean_ms
        FROM reporting.daily_latency_by_deployment WHERE server_name = 'gpu-03' ORDER BY request_day
    """).fetchall()
    assert rows == [
        (date(2024, 5, 1), 200, 100, *[pytest.approx(ms, rel=0.02) for ms in (500, 950, 990)], 1000.0, 505.0),
        (date(2024, 5, 2), 1, 0, None, None, None, None, None),
    ]


def test_session_summaries(counted: psycopg.Connection) -> None:
    columns = (
        "session_type session_type_ko session_type_en session_status_ko session_status_en user_name department_name"
        " project_name duration_seconds"
    )
    times = " first_request_time last_request_time"
    assert read(counted, "session_summaries", columns + MEASURES + times) == {
        ("production", "프로덕션", "Production", "완료", "Completed", "김연구", AI, CHATBOT, 5400.0, 3, 2, 1, 150,
         datetime(2024, 3, 10, 14, 59, 59, 500000, UTC), datetime(2024, 3, 10, 15, 0, 30, tzinfo=UTC)),
        ("development", "개발", "Development", "진행중", "In progress", "박개발", DEV, None, None, 1, 1, 0, 7,
         datetime(2024, 3, 11, 1, 10, tzinfo=UTC), datetime(2024, 3, 11, 1, 10, tzinfo=UTC)),
        ("experiment", "실험", "Experiment", "중단", "Aborted", "이퇴사", AI, CHATBOT, 0.0, 0, 0, 0, 0, None, None),
    }  # fmt: skip


def test_template_usage(counted: psycopg.Connection) -> None:
    columns = (
        "template_name version is_newest task_category_ko task_category_en created_by_name usage_count"
        " requests requests_without_tokens tokens"
    )
    assert read(counted, "template_usage", columns) == {
        ("요약", "1.9", False, "요약", "Summarization", "김연구", 3, 2, 0, 107),
        ("요약", "1.10", True, "요약", "Summarization", "이퇴사", 1, 1, 1, 0),
        ("번역", "1.0", True, "번역", "Translation", "박개발", 0, 0, 0, 0),
    }


@pytest.mark.parametrize(
    ("versions", "newest"),
    [(["10", "2"], "10"), (["1.9.9", "2"], "2"), (["1", "1.0"], "1.0"), (["1." + "9" * 30, "1.2"], "1." + "9" * 30)],
)
def test_newest_version(counted: psycopg.Connection, versions: list[str], newest: str) -> None:
    for template_id, version in enumerate(versions, start=10):
        counted.execute(
            "INSERT INTO llm.prompt_templates"
            " (template_id, template_name, prompt_s3_path, task_category, version, created_by)"
            " VALUES (%s, '코드리뷰', 's3://bucket/one', 'coding', %s, 11)",
            [template_id, version],
        )
    rows = counted.execute(
        "SELECT version FROM reporting.template_usage WHERE template_name = '코드리뷰' AND is_newest"
    ).fetchall()
    assert rows == [(newest,)]


def test_dataset_lineage(counted: psycopg.Connection) -> None:
    columns = (
        "dataset_id learning_type_ko server_name gpu_count environment_ko deployment_status_en model_name model_type_ko"
        " requests requests_without_tokens tokens first_request_time last_request_time"
    )
    assert read(counted, "dataset_lineage", columns) == {
        (1, "파인튜닝", "gpu-01", 8, "프로덕션", "Active", GPT, "대화", 3, 1, 107,
         datetime(2024, 3, 10, 14, 59, 59, 500000, UTC), datetime(2024, 3, 11, 1, 10, tzinfo=UTC)),
        (1, "파인튜닝", "gpu-03", 1, "스테이징", "Inactive", MISTRAL, "코딩", 0, 0, 0, None, None),
        (2, "전이학습", None, None, None, None, None, None, 0, 0, 0, None, None),
    }  # fmt: skip


def test_department_overview(counted: psycopg.Connection) -> None:
    columns = (
        "department_id department_name manager_id manager_name manager_email members active_members projects sessions"
        " requests requests_without_tokens tokens last_request_time"
    )
    assert read(counted, "department_overview", columns) == {
        (1, AI, 11, "김연구", "kim@example.com", 3, 2, 2, 2, 3, 1, 150, datetime(2024, 3, 10, 15, 0, 30, tzinfo=UTC)),
        (2, DEV, 21, "박개발", "park@example.com", 1, 1, 0, 1, 1, 0, 7, datetime(2024, 3, 11, 1, 10, tzinfo=UTC)),
    }


def test_department_whose_manager_works_elsewhere(counted: psycopg.Connection) -> None:
    counted.execute("UPDATE llm.departments SET manager_id = 13 WHERE department_id = 2")
    assert read(counted, "department_overview", "department_name manager_name members") == {
        (AI, "김연구", 3),
        (DEV, "정신입", 1),
    }


def test_months(counted: psycopg.Connection) -> None:
    waiting = (
        "SELECT sessions_partition, session_logs_partition, sessions_waiting, session_logs_waiting"
        " FROM ops.months WHERE month IS NULL"
    )
    assert counted.execute(waiting).fetchall() == [("sessions_default", "session_logs_default", 3, 4)]
    assert counted.execute("SELECT count(*) FROM ops.months WHERE month = '2024-03-01'").fetchone() == (0,)

    # Someone else's partitions are none of ours, whatever they are partitioned by.
    counted.execute("CREATE TABLE public.elsewhere (day date) PARTITION BY RANGE (day)")
    counted.execute(
        "CREATE TABLE public.part PARTITION OF public.elsewhere FOR VALUES FROM ('2024-03-01') TO ('2024-04-01')"
    )
    counted.execute("CALL llm.move_default_rows()")
    counted.execute("ANALYZE")
    assert counted.execute("""
        SELECT month, from_time, until_time, sessions_partition, sessions_estimated_rows, session_logs_partition,
            session_logs_estimated_rows, sessions_waiting, session_logs_waiting
        FROM ops.months WHERE month = '2024-03-01'
    """).fetchall() == [
        (date(2024, 3, 1), datetime(2024, 3, 1, tzinfo=UTC), datetime(2024, 4, 1, tzinfo=UTC), "sessions_2024_03", 3,
         "session_logs_2024_03", 4, None, None)
    ]  # fmt: skip
    assert counted.execute(waiting).fetchall() == [("sessions_default", "session_logs_default", 0, 0)]
    for table in ("sessions", "session_logs"):
        on_disk = f"SELECT sum({citus.SIZE}) FROM pg_partition_tree(%s) AS p (oid) WHERE p.isleaf"
        reported = sql.SQL("SELECT sum({}) FROM ops.months").format(sql.Identifier(f"{table}_bytes"))
        assert counted.execute(reported).fetchone() == counted.execute(on_disk, [f"llm.{table}"]).fetchone()


def test_a_month_of_one_table_only_shows(db: psycopg.Connection) -> None:
    db.execute("SELECT llm.create_month('2024-03-01')")
    db.execute("ALTER TABLE llm.session_logs DETACH PARTITION llm.session_logs_2024_03")
    row = "SELECT sessions_partition, session_logs_partition FROM ops.months WHERE month = '2024-03-01'"
    assert db.execute(row).fetchall() == [("sessions_2024_03", None)]


@pytest.mark.one_node("Citus fetches whatever lies on the coordinator before it joins")
def test_tables_that_are_not_asked_for_are_not_read(db: psycopg.Connection) -> None:
    query = "EXPLAIN SELECT request_day, count(*), sum(token_used) FROM reporting.requests GROUP BY request_day"
    plan = "\n".join(line for (line,) in db.execute(query))
    assert "session_logs" in plan
    # Where the user worked is looked up whatever is asked.
    for table in (" users", " departments", "projects", "models", "deployments", "prompt_templates_base", "roles"):
        assert table not in plan


def views(db: psycopg.Connection, *schemas: str) -> list[str]:
    query = "SELECT schemaname || '.' || viewname FROM pg_views WHERE schemaname = ANY(%s) ORDER BY 1"
    return [name for (name,) in db.execute(query, [list(schemas)])]


def test_every_view_and_column_is_explained(db: psycopg.Connection) -> None:
    rows = db.execute("""
        SELECT c.oid::regclass::text, a.attname, coalesce(col_description(c.oid, a.attnum), ''),
            format_type(a.atttypid, NULL)
        FROM pg_class AS c INNER JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0
        WHERE c.relnamespace IN ('reporting'::regnamespace, 'ops'::regnamespace)
        UNION ALL
        SELECT c.oid::regclass::text, NULL, coalesce(obj_description(c.oid, 'pg_class'), ''), NULL
        FROM pg_class AS c WHERE c.relnamespace IN ('reporting'::regnamespace, 'ops'::regnamespace)
    """).fetchall()
    assert len(rows) > 100
    units = {
        "ms": "in milliseconds",
        "seconds": "in seconds",
        "minutes": "in minutes",
        "hours": "in hours",
        "bytes": "in bytes",
        "tokens": "in tokens",
    }
    for view, column, comment, column_type in rows:
        term, _, meaning = comment.partition(": ")
        assert meaning, f"{view}.{column}: {comment!r}"
        assert any("가" <= letter <= "힣" for letter in term), f"{view}.{column}: {comment!r}"
        # Money, and the hours it is paid for, add up exactly; all else is simpler to use.
        if column_type == "numeric":
            assert re.search(r"cost|^(amount|spent|forecast|gpu_hours)$", column), f"{view}.{column}"
        if column and not re.search("without_tokens$|_per_", column):
            assert units.get(column.split("_")[-1], "") in comment, f"{view}.{column} does not tell its unit"


# These read every session, however many there are.
READ_ALL = {"reporting.session_summaries", "reporting.requests"}


def estimates(db: psycopg.Connection) -> dict[str, float]:
    return {
        name: float(re.search(r"\.\.([0-9.]+) ", db.execute(f"EXPLAIN SELECT * FROM {name}").fetchone()[0])[1])
        for name in views(db, "reporting")
    }


@pytest.mark.parametrize("statistics", ["analyzed", "never analyzed"])
def test_no_report_of_a_few_rows_is_compiled(counted: psycopg.Connection, statistics: str) -> None:
    """Most servers have jit = on, by which a report whose estimate is wild takes seconds for milliseconds' work. No
    server analyzes a table of less than 50 rows by itself."""
    if statistics == "analyzed":
        counted.execute("ANALYZE")
    wild = {name: cost for name, cost in estimates(counted).items() if cost > 100_000 and name not in READ_ALL}
    assert wild == {}


@pytest.mark.parametrize("limit", ["join_collapse_limit", "from_collapse_limit"])
def test_no_report_needs_the_planner_to_reorder_it(counted: psycopg.Connection, limit: str) -> None:
    """What is written as a join of its own is one; otherwise a few rows more make it run once a row."""
    counted.execute("ANALYZE")
    usual = estimates(counted)
    counted.execute(f"SET {limit} = 1")
    slower = {name: cost / usual[name] for name, cost in estimates(counted).items() if cost > 1.5 * usual[name]}
    assert slower == {}


@pytest.mark.one_node("workers know no views, so analysts read there what their reports of logs show")
def test_analysts_read_the_reports_and_nothing_else(counted: psycopg.Connection) -> None:
    reports = views(counted, "reporting")
    closed = views(counted, "llm", "ops")
    tables = counted.execute("SELECT 'llm.' || tablename FROM pg_tables WHERE schemaname = 'llm'")
    closed += [name for (name,) in tables]
    assert "reporting.requests" in reports
    assert {"llm.users", "llm.prompt_templates", "llm.session_logs", "ops.months"} <= set(closed)
    counted.execute("SET ROLE llm_analyst")
    for name in reports:
        rows = counted.execute(sql.SQL("SELECT * FROM {}").format(sql.Identifier(*name.split(".")))).fetchall()
        assert rows, name
    for name in closed:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            counted.execute(sql.SQL("SELECT FROM {}").format(sql.Identifier(*name.split("."))))
