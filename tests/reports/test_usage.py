"""Usage, activity, traffic and latency by day and more, counted by hand; and what the reports of a month read."""

import re
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta

import psycopg
import pytest

from company import AI, CHATBOT, CLOSED_BEFORE, COMPANY, DEV, GPT, SEOUL_10, SEOUL_11, found, read, rows_of

ALL_CLOSED = CLOSED_BEFORE["closed"]


@pytest.fixture(params=CLOSED_BEFORE.values(), ids=CLOSED_BEFORE.keys())
def counted(db: psycopg.Connection, request: pytest.FixtureRequest) -> psycopg.Connection:
    return found(db, request.param)


def near(expected: list[tuple], relative: float = 1e-12) -> list[tuple]:
    """The same rows, of which what is no whole number may differ a little."""
    return [tuple(nearly(value, relative) for value in row) for row in expected]


def nearly(value: object, relative: float = 1e-12) -> object:
    return pytest.approx(value, rel=relative) if isinstance(value, float) else value


def base(db: psycopg.Connection) -> None:
    """The company, its people and machines, before its first request."""
    with db.transaction():
        db.execute(COMPANY)
        db.execute("DELETE FROM llm.sessions")


def ask(db: psycopg.Connection, user_id: int, *times: str, latency: str | None = None, deployment_id: int = 1) -> None:
    """One session with a request of 10 tokens at each of the times."""
    db.execute(
        """
        WITH begun AS (
            INSERT INTO llm.sessions (session_id, user_id, start_time, end_time, session_type, status)
            SELECT llm.uuidv7(min(t)), %(user)s, min(t), max(t), 'test', 'completed' FROM unnest(%(times)s) AS t
            RETURNING session_id
        )
        INSERT INTO llm.session_logs (session_id, log_sequence, request_time, response_time, deployment_id, token_used)
        SELECT session_id, i, t, t + %(latency)s::interval, %(deployment)s, 10
        FROM begun, unnest(%(times)s) WITH ORDINALITY AS a (t, i)
        """,
        {
            "user": user_id,
            "times": [datetime.fromisoformat(time) for time in times],
            "latency": latency,
            "deployment": deployment_id,
        },
    )


# Sunday 10 and Monday 11 March 2024: two weeks, one month.
MONDAY_4, MONDAY_11, MARCH = date(2024, 3, 4), date(2024, 3, 11), date(2024, 3, 1)
COUNTERS = " requests answered_requests requests_without_tokens tokens"


@dataclass(frozen=True, kw_only=True)
class Figures:
    """The columns of a row of usage, after those that say of what and when."""

    requests: int
    answered_requests: int
    requests_without_tokens: int
    tokens: int
    request_share: float = 1.0
    token_share: float = 1.0
    requests_before: int = 0
    tokens_before: int = 0
    requests_change: float | None = None
    tokens_change: float | None = None


# Of the first period (10 March, and its week), of the second (11 March, and its week), and of the month with both.
FIRST = Figures(requests=1, answered_requests=1, requests_without_tokens=0, tokens=100)
EVERYTHING = {
    "first": FIRST,
    "second": Figures(
        requests=3, answered_requests=2, requests_without_tokens=1, tokens=57,
        requests_before=1, tokens_before=100, requests_change=2.0, tokens_change=-0.43,
    ),
    "both": Figures(requests=4, answered_requests=3, requests_without_tokens=1, tokens=157),
}  # fmt: skip
# Whose department, project and name are one each, so that the reports by these hold the same figures.
OF_KIM = {
    "first": FIRST,
    "second": Figures(
        requests=2, answered_requests=1, requests_without_tokens=1, tokens=50, request_share=2 / 3, token_share=50 / 57,
        requests_before=1, tokens_before=100, requests_change=1.0, tokens_change=-0.5,
    ),
    "both": Figures(
        requests=3, answered_requests=2, requests_without_tokens=1, tokens=150,
        request_share=3 / 4, token_share=150 / 157,
    ),
}  # fmt: skip
OF_PARK = {
    "second": Figures(
        requests=1, answered_requests=1, requests_without_tokens=0, tokens=7, request_share=1 / 3, token_share=7 / 57
    ),
    "both": Figures(
        requests=1, answered_requests=1, requests_without_tokens=0, tokens=7, request_share=1 / 4, token_share=7 / 157
    ),
}
OF_GPU_01 = {
    "first": FIRST,
    "second": Figures(
        requests=2, answered_requests=1, requests_without_tokens=1, tokens=7, request_share=2 / 3, token_share=7 / 57,
        requests_before=1, tokens_before=100, requests_change=1.0, tokens_change=-0.93,
    ),
    "both": Figures(
        requests=3, answered_requests=2, requests_without_tokens=1, tokens=107,
        request_share=3 / 4, token_share=107 / 157,
    ),
}  # fmt: skip
OF_GPU_02 = {
    "second": Figures(
        requests=1, answered_requests=1, requests_without_tokens=0, tokens=50, request_share=1 / 3, token_share=50 / 57
    ),
    "both": Figures(
        requests=1, answered_requests=1, requests_without_tokens=0, tokens=50, request_share=1 / 4, token_share=50 / 157
    ),
}
AI_TEAM, DEV_TEAM = ({"department_id": n, "department_name": name} for n, name in ((1, AI), (2, DEV)))
GPT_MODEL = {"model_id": 1, "model_name": GPT}
USAGE = {
    "": [({}, EVERYTHING)],
    "_by_department": [(AI_TEAM, OF_KIM), (DEV_TEAM, OF_PARK)],
    "_by_project": [
        (
            {
                "project_id": 1,
                "project_name": CHATBOT,
                "project_department_id": 1,
                "project_department_name": AI,
            },
            OF_KIM,
        ),
        (dict.fromkeys(["project_id", "project_name", "project_department_id", "project_department_name"]), OF_PARK),
    ],
    "_by_user": [
        (
            {"user_id": 11, "user_name": "김연구", "user_email": "kim@example.com", "is_active": True} | AI_TEAM,
            OF_KIM,
        ),
        (
            {"user_id": 21, "user_name": "박개발", "user_email": "park@example.com", "is_active": True} | DEV_TEAM,
            OF_PARK,
        ),
    ],
    "_by_model": [(GPT_MODEL | {"model_type": "chat", "model_type_ko": "대화", "model_type_en": "Chat"}, EVERYTHING)],
    "_by_deployment": [
        (
            {
                "deployment_id": 1,
                "server_name": "gpu-01",
                "environment": "production",
                "environment_ko": "프로덕션",
                "environment_en": "Production",
                "gpu_count": 8,
            }
            | GPT_MODEL,
            OF_GPU_01,
        ),
        (
            {
                "deployment_id": 2,
                "server_name": "gpu-02",
                "environment": "test",
                "environment_ko": "테스트",
                "environment_en": "Test",
                "gpu_count": 2,
            }
            | GPT_MODEL,
            OF_GPU_02,
        ),
    ],
}
GRAINS = {
    "daily": ("request_day", {SEOUL_10: "first", SEOUL_11: "second"}),
    "weekly": ("request_week", {MONDAY_4: "first", MONDAY_11: "second"}),
    "monthly": ("request_month", {MARCH: "both"}),
}


@pytest.mark.parametrize("by", USAGE)
def test_usage_by_period(counted: psycopg.Connection, by: str) -> None:
    for grain, (period, first_days) in GRAINS.items():
        expected = [
            {period: first_day, **key, **asdict(figures[which])}
            for first_day, which in first_days.items()
            for key, figures in USAGE[by]
            if which in figures
        ]
        if not by:
            # Of all there is, the share would always be the whole.
            for row in expected:
                del row["request_share"], row["token_share"]
        rows = rows_of(counted, f"{grain}_usage{by}", " ".join(expected[0]))
        assert [row._asdict() for row in rows] == [
            {name: nearly(value) for name, value in row.items()} for row in expected
        ], grain


def test_every_week_and_month_in_between(counted: psycopg.Connection) -> None:
    """Usage of 57 tokens on 11 March, then of 10 in April and of 20 in June: May has none, and is none before June."""
    ask(counted, 21, "2024-04-30T14:59:59Z")
    ask(counted, 21, "2024-06-01T00:00:00Z", "2024-06-30T14:00:00Z")
    columns = "request_month tokens tokens_before tokens_change"
    assert rows_of(counted, "monthly_usage", columns) == near(
        [
            (MARCH, 157, 0, None),
            (date(2024, 4, 1), 10, 157, 10 / 157 - 1),
            (date(2024, 6, 1), 20, 0, None),
        ]
    )
    assert rows_of(counted, "weekly_usage", "request_week requests requests_before", "request_week > '2024-03-11'") == [
        (date(2024, 4, 29), 1, 0),
        (date(2024, 5, 27), 1, 0),
        (date(2024, 6, 24), 1, 0),
    ]


def test_usage_stays_with_the_department_of_the_time(counted: psycopg.Connection) -> None:
    counted.execute("UPDATE llm.users SET department_id = 2 WHERE user_id = 11")
    # The move was entered late: it was amid the requests of 11 March.
    counted.execute(
        "UPDATE llm.user_departments SET since = '2024-03-10 15:00:10Z' WHERE user_id = 11 AND since > '-infinity'"
    )
    after_move = [
        (SEOUL_10, 1, AI, 1, 1, 0, 100),
        (SEOUL_11, 1, AI, 1, 0, 1, 0),
        (SEOUL_11, 2, DEV, 2, 2, 0, 57),
    ]
    columns = "request_day department_id department_name" + COUNTERS
    assert rows_of(counted, "daily_usage_by_department", columns) == after_move
    counted.execute("CALL ops.refresh_rollups(%s)", [ALL_CLOSED])
    assert rows_of(counted, "daily_usage_by_department", columns) == after_move

    assert rows_of(counted, "daily_latency_by_department", "request_day department_name requests latency_max_ms") == [
        (SEOUL_10, AI, 1, 1500.0),
        (SEOUL_11, AI, 1, None),
        (SEOUL_11, DEV, 2, 250.0),
    ]
    # A person's own usage is shown with where the person is now.
    assert rows_of(counted, "monthly_usage_by_user", "user_name department_id department_name requests") == [
        ("김연구", 2, DEV, 3),
        ("박개발", 2, DEV, 1),
    ]
    columns = "user_name log_sequence department_id department_name current_department_id current_department_name"
    assert read(counted, "requests", columns) == {
        ("김연구", 1, 1, AI, 2, DEV),
        ("김연구", 2, 1, AI, 2, DEV),
        ("김연구", 3, 2, DEV, 2, DEV),
        ("박개발", 1, 2, DEV, 2, DEV),
    }


@pytest.mark.parametrize("state", ["open", "half closed", "closed", "touched"])
def test_active_users(db: psycopg.Connection, state: str) -> None:
    """Days are counted from 1 May. 11 is active on days 1, 2, 8 and 40; 12 on 1 and 31; 13 on 30 and 59."""
    base(db)

    def active(user_id: int, *days: int) -> None:
        ask(db, user_id, *[f"{date(2024, 4, 30) + timedelta(days=day)}T03:00Z" for day in days])

    active(11, 1, 8, 40)
    active(12, 1, 31)
    active(13, 30, 59)
    if state == "half closed":
        active(11, 2)
        db.execute("CALL ops.refresh_rollups('2024-05-31 03:00Z')")
    elif state == "closed":
        active(11, 2)
        db.execute("CALL ops.refresh_rollups('2024-08-01Z')")
    elif state == "touched":
        db.execute("CALL ops.refresh_rollups('2024-08-01Z')")
        active(11, 2)
    else:
        active(11, 2)

    columns = (
        "request_day daily_active_users weekly_active_users monthly_active_users new_users returning_users"
        " inactive_users stickiness"
    )
    rows = rows_of(db, "active_users", columns)
    assert [row[0] for row in rows] == [date(2024, 5, 1) + timedelta(days=n) for n in range(59)]
    by_day = {(row[0] - date(2024, 4, 30)).days: row[1:] for row in rows}
    expected = {
        1: (2, 2, 2, 2, 0, 0, 1.0),
        2: (1, 2, 2, 0, 0, 0, 0.5),
        7: (0, 2, 2, 0, 0, 0, 0.0),
        8: (1, 1, 2, 0, 0, 0, 0.5),
        14: (0, 1, 2, 0, 0, 0, 0.0),
        15: (0, 0, 2, 0, 0, 0, 0.0),
        30: (1, 1, 3, 1, 0, 0, 1 / 3),
        # 30 days after the last time, 12 is back; 11 was last seen on day 8, and leaves on day 38.
        31: (1, 2, 3, 0, 1, 0, 1 / 3),
        37: (0, 1, 3, 0, 0, 0, 0.0),
        38: (0, 0, 2, 0, 0, 1, 0.0),
        40: (1, 1, 3, 0, 1, 0, 1 / 3),
        # 29 days after the last time, 13 had not left.
        59: (1, 1, 3, 0, 0, 0, 1 / 3),
    }
    assert [by_day[day] for day in expected] == near(list(expected.values()))
    assert sum(row[4] for row in by_day.values()) == 2
    # A window of its own is no other than that of all days.
    assert rows_of(db, "active_users", columns, "request_day >= '2024-06-07'") == rows[37:]


def test_active_users_of_nobody(db: psycopg.Connection) -> None:
    assert rows_of(db, "active_users", "request_day") == []


# Clocks go back from 02:00 to 01:00 in New York, from 01:00 to 00:00 in Havana, where midnight comes twice.
FALL_BACK = {
    "America/New_York": [
        ("2024-11-03T04:10Z", 0, 0),
        ("2024-11-03T05:30Z", 1, 1),
        ("2024-11-03T06:30Z", 1, 2),
        ("2024-11-04T04:59Z", 23, 24),
    ],
    "America/Havana": [
        ("2024-11-03T04:10Z", 0, 0),
        ("2024-11-03T05:30Z", 0, 1),
        ("2024-11-03T06:30Z", 1, 2),
        ("2024-11-04T04:59Z", 23, 24),
    ],
}


@pytest.mark.parametrize("state", ["open", "half closed", "closed", "touched"])
@pytest.mark.parametrize("zone", FALL_BACK)
def test_the_hour_that_comes_twice(db: psycopg.Connection, zone: str, state: str) -> None:
    base(db)
    db.execute("UPDATE rollup.state SET time_zone = %s", [zone])
    times = FALL_BACK[zone]
    if state == "touched":
        db.execute("CALL ops.refresh_rollups('2024-11-10Z')")
    # The hours before and after the day, too.
    ask(db, 11, "2024-11-03T03:59:59Z", *[time for time, _, _ in times], "2024-11-04T05:00Z")
    if state in ("half closed", "closed"):
        close_before = "2024-11-03 06:00Z" if state == "half closed" else "2024-11-10Z"
        db.execute("CALL ops.refresh_rollups(%s)", [close_before])
    sunday = date(2024, 11, 3)
    begin = datetime(2024, 11, 3, 4, tzinfo=UTC)
    columns = "hour_start request_hour request_day hour_of_day server_name requests tokens"
    assert rows_of(db, "hourly_usage_by_deployment", columns, "request_day = '2024-11-03'") == [
        (begin + timedelta(hours=nth), datetime(2024, 11, 3, hour), sunday, hour, "gpu-01", 1, 10)
        for _, hour, nth in times
    ]
    assert rows_of(db, "daily_usage", "request_day requests", "request_day = '2024-11-03'") == [(sunday, 4)]

    clock = [hour for _, hour, _ in times]
    columns = "request_day weekday weekday_ko weekday_en hour_of_day" + COUNTERS
    assert rows_of(db, "traffic_by_weekday_and_hour", columns, "request_day = '2024-11-03'") == [
        (sunday, 7, "일요일", "Sunday", hour, clock.count(hour), 0, 0, 10 * clock.count(hour)) for hour in range(24)
    ]


def test_traffic_of_the_hours_to_come_is_not_none(db: psycopg.Connection) -> None:
    base(db)
    db.execute("UPDATE rollup.state SET time_zone = 'UTC'")
    now = db.execute("SELECT date_trunc('hour', now(), 'UTC')").fetchone()[0]
    ask(db, 11, now.isoformat())
    rows = rows_of(db, "traffic_by_weekday_and_hour", "request_day hour_of_day requests")
    # The clock may have struck since.
    hours = rows[-1][1] - now.astimezone(UTC).hour
    assert hours in (0, 1)
    assert sum(row[2] for row in rows) == 1
    assert [row[1] for row in rows] == list(range(len(rows)))


LATENCIES = {
    "model": ("model_name", [(SEOUL_10, GPT, 1, 1, 1500.0, 1500.0), (SEOUL_11, GPT, 3, 2, 250.0, 130.0005)]),
    "config": (
        "config_id config_name model_id model_name",
        [
            (SEOUL_10, 1, "요약용", 1, GPT, 1, 1, 1500.0, 1500.0),
            (SEOUL_11, None, None, None, None, 3, 2, 250.0, 130.0005),
        ],
    ),
    "template": (
        "template_id template_name template_version task_category task_category_ko task_category_en",
        [
            (SEOUL_10, 1, "요약", "1.9", "summarization", "요약", "Summarization", 1, 1, 1500.0, 1500.0),
            (SEOUL_11, 1, "요약", "1.9", "summarization", "요약", "Summarization", 1, 1, 10.001, 10.001),
            (SEOUL_11, 2, "요약", "1.10", "summarization", "요약", "Summarization", 1, 0, None, None),
            (SEOUL_11, None, None, None, None, None, None, 1, 1, 250.0, 250.0),
        ],
    ),
    "project": (
        "project_id project_name project_department_id project_department_name",
        [
            (SEOUL_10, 1, CHATBOT, 1, AI, 1, 1, 1500.0, 1500.0),
            (SEOUL_11, 1, CHATBOT, 1, AI, 2, 1, 250.0, 250.0),
            (SEOUL_11, None, None, None, None, 1, 1, 10.001, 10.001),
        ],
    ),
    "department": (
        "department_id department_name",
        [
            (SEOUL_10, 1, AI, 1, 1, 1500.0, 1500.0),
            (SEOUL_11, 1, AI, 2, 1, 250.0, 250.0),
            (SEOUL_11, 2, DEV, 1, 1, 10.001, 10.001),
        ],
    ),
}


@pytest.mark.parametrize("dimension", LATENCIES)
def test_latency_by_dimension(counted: psycopg.Connection, dimension: str) -> None:
    keys, expected = LATENCIES[dimension]
    view = f"daily_latency_by_{dimension}"
    columns = f"request_day {keys} requests answered_requests latency_max_ms latency_mean_ms"
    assert rows_of(counted, view, columns) == near(expected)
    # Of one or two latencies, p99 is the highest, and p50 the lowest.
    columns = f"request_day {keys} requests answered_requests latency_p99_ms"
    assert rows_of(counted, view, columns) == near([row[:-1] for row in expected], 0.02)
    low = {250.0: 10.001} if dimension in ("model", "config") else {}
    columns = f"request_day {keys} requests answered_requests latency_p50_ms"
    assert rows_of(counted, view, columns) == near([(*row[:-2], low.get(row[-2], row[-2])) for row in expected], 0.02)


@pytest.mark.parametrize("close_before", [None, "2024-03-11 03:00:06Z", "2024-03-12Z"])
def test_slowest_requests(db: psycopg.Connection, close_before: str | None) -> None:
    base(db)
    # 12 requests on 11 March, of 1 to 11 seconds, two of them of 11; one the day after; one not answered.
    for second in (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 11):
        ask(db, 11, f"2024-03-11T03:00:{second:02}Z", latency=f"{second} s")
    ask(db, 11, "2024-03-12T03:00:00Z", latency="20 s", deployment_id=3)
    ask(db, 11, "2024-03-11T04:00:00Z")
    if close_before:
        db.execute("CALL ops.refresh_rollups(%s)", [close_before])
    columns = "dimension_id dimension_name request_day rank latency_ms token_used"
    next_day = date(2024, 3, 12)
    ten = [11, 11, 10, 9, 8, 7, 6, 5, 4, 3]
    for dimension, key, name in (
        ("department", 1, AI),
        ("project", None, None),
        ("template", None, None),
        ("config", None, None),
    ):
        rows = rows_of(db, "slowest_requests", columns, f"dimension = '{dimension}'")
        assert rows == [
            *[(key, name, SEOUL_11, rank, second * 1000.0, 10) for rank, second in enumerate(ten, start=1)],
            (key, name, next_day, 1, 20000.0, 10),
        ], dimension
    by_model = rows_of(db, "slowest_requests", columns, "dimension = 'model' AND rank = 1")
    assert by_model == [(1, GPT, SEOUL_11, 1, 11000.0, 10), (2, "Mistral-8b", next_day, 1, 20000.0, 10)]
    by_deployment = rows_of(db, "slowest_requests", columns, "dimension = 'deployment' AND rank = 10")
    assert by_deployment == [(1, "gpu-01", SEOUL_11, 10, 3000.0, 10)]
    # Which of two equals comes first is settled, and each can be looked up.
    equals = rows_of(
        db,
        "slowest_requests",
        "rank session_id log_sequence request_time",
        "dimension = 'model' AND latency_ms = 11000",
    )
    assert [row[1] for row in equals] == sorted(row[1] for row in equals)
    assert {row[1:] for row in equals} == set(
        rows_of(db, "requests", "session_id log_sequence request_time", "latency_ms = 11000")
    )


def test_slowest_requests_name_presets_and_templates_in_full(counted: psycopg.Connection) -> None:
    columns = "dimension dimension_name latency_ms"
    condition = "request_day = '2024-03-10' AND dimension IN ('config', 'template', 'project')"
    assert rows_of(counted, "slowest_requests", columns, condition) == [
        ("config", f"{GPT} 요약용", 1500.0),
        ("project", CHATBOT, 1500.0),
        ("template", "요약 1.9", 1500.0),
    ]


# Three months of requests: of 2 projects and none, of latencies that spread over six orders of magnitude.
QUARTER = ("""
CREATE TEMPORARY TABLE begun ON COMMIT DROP AS
SELECT llm.uuidv7(t) AS session_id, t AS start_time, n
FROM generate_series(0, 1199) AS n
CROSS JOIN LATERAL (SELECT '2024-01-01 00:00Z'::timestamptz + n * interval '2 hours' AS t) AS s
""", """
INSERT INTO llm.sessions (session_id, user_id, project_id, start_time, end_time, session_type, status)
SELECT session_id, 11, nullif(n % 3, 0), start_time, start_time + interval '1 hour', 'test', 'completed' FROM begun
""", """
INSERT INTO llm.session_logs (
    session_id, log_sequence, request_time, response_time, deployment_id, config_id, template_id, token_used
)
SELECT
    session_id, i, start_time + i * interval '1 minute',
    CASE WHEN i < 5 THEN start_time + i * interval '1 minute' + exp(random() * 14) * interval '1 ms' END,
    1 + i % 2, nullif(i, 1) * 0 + 1, 1 + i % 3, 10
FROM begun CROSS JOIN generate_series(1, 5) AS i ORDER BY begun.n, i
""")  # fmt: skip


@pytest.fixture
def quarter(db: psycopg.Connection) -> psycopg.Connection:
    """100 days from 1 January 2024, closed up to 1 April, so that nine days are open."""
    base(db)
    for month in ("2024-01-01", "2024-02-01", "2024-03-01", "2024-04-01"):
        db.execute("SELECT llm.create_month(%s)", [month])
    db.execute("SELECT setseed(0.42)")
    with db.transaction():
        for statement in QUARTER:
            db.execute(statement)
    db.execute("CALL ops.refresh_rollups('2024-04-01Z')")
    db.execute("ANALYZE")
    return db


def test_percentiles_of_any_time(quarter: psycopg.Connection) -> None:
    fractions = [0.0, 0.01, 0.5, 0.95, 0.99, 1.0]
    for dimension in ("all", "config", "department", "deployment", "model", "project", "template"):
        key = "NULL::bigint" if dimension == "all" else f"{dimension}_id"
        for since, until in (("2024-01-01", "2024-04-30"), ("2024-02-10", "2024-02-10"), ("2024-03-30", "2024-04-02")):
            exact = quarter.execute(
                f"""
                SELECT q.key, q.answered, f.fraction, q.latencies[f.place]
                FROM (
                    SELECT {key} AS key, count(latency_ms) AS answered,
                        percentile_disc(%(fractions)s::float8[]) WITHIN GROUP (ORDER BY latency_ms) AS latencies
                    FROM reporting.requests WHERE request_day BETWEEN %(since)s AND %(until)s GROUP BY 1
                ) AS q, unnest(%(fractions)s::float8[]) WITH ORDINALITY AS f (fraction, place)
                ORDER BY q.key, f.fraction
                """,
                {"fractions": fractions, "since": since, "until": until},
            ).fetchall()
            estimated = quarter.execute(
                "SELECT dimension_id, answered_requests, percentile, latency_ms"
                " FROM reporting.latency_percentiles(%s, %s, %s, %s)",
                [since, until, dimension, fractions],
            ).fetchall()
            assert len(exact) >= 6
            assert estimated == near(exact, 0.02), (dimension, since)


def test_percentiles_by_their_names(counted: psycopg.Connection) -> None:
    ask(counted, 21, "2024-03-11T02:00:00Z", deployment_id=3)
    query = "SELECT * FROM reporting.latency_percentiles('2024-03-11', '2024-03-11', 'deployment', '{0.5}')"
    counted.execute("SET ROLE llm_analyst")
    assert counted.execute(query).fetchall() == near(
        [(1, "gpu-01", 1, 0.5, 10.001), (2, "gpu-02", 1, 0.5, 250.0), (3, "gpu-03", 0, 0.5, None)], 0.02
    )
    usual = "SELECT * FROM reporting.latency_percentiles('2024-03-10', '2024-03-11')"
    assert counted.execute(usual).fetchall() == near(
        [(None, None, 3, 0.5, 250.0), (None, None, 3, 0.95, 1500.0), (None, None, 3, 0.99, 1500.0)], 0.02
    )
    # A day before there was anything.
    assert counted.execute("SELECT * FROM reporting.latency_percentiles('2024-01-01', '2024-03-09')").fetchall() == []


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ("'2024-03-11', '2024-03-10'", "there are no days from 2024-03-11 to 2024-03-10"),
        ("NULL, '2024-03-10'", "there are no days from NULL to 2024-03-10"),
        ("'2024-03-11', '2024-03-11', 'user'", "no percentiles are kept by user"),
        ("'2024-03-11', '2024-03-11', NULL", "no percentiles are kept by NULL"),
        ("'2024-03-11', '2024-03-11', 'all', '{95}'", "not percentiles: {95}"),
        ("'2024-03-11', '2024-03-11', 'all', '{NaN}'", "not percentiles: {NaN}"),
        ("'2024-03-11', '2024-03-11', 'all', '{0.5,NULL}'", "not percentiles: {0.5,NULL}"),
        ("'2024-03-11', '2024-03-11', 'all', '{}'", "not percentiles: {}"),
        ("'2024-03-11', '2024-03-11', 'all', NULL", "not percentiles: NULL"),
    ],
)
def test_percentiles_that_cannot_be(db: psycopg.Connection, arguments: str, complaint: str) -> None:
    with pytest.raises(psycopg.errors.InvalidParameterValue) as error:
        db.execute(f"SELECT * FROM reporting.latency_percentiles({arguments})")
    assert error.value.diag.message_primary == complaint
    assert error.value.diag.message_hint


def test_percentiles_are_for_analysts_only(db: psycopg.Connection) -> None:
    function = "'reporting.latency_percentiles(date, date, text, double precision[])'"
    for role, may in (("llm_analyst", True), ("pg_monitor", False)):
        assert db.execute(f"SELECT has_function_privilege(%s, {function}, 'EXECUTE')", [role]).fetchone() == (may,)


# What a month of a report may read: the rollups by their index, and logs of open time.
THIRTY_DAYS = [
    *[f"daily_usage{by}" for by in USAGE],
    *[f"weekly_usage{by}" for by in USAGE],
    *[f"daily_latency_by_{dimension}" for dimension in ("deployment", *LATENCIES)],
    "hourly_usage_by_deployment",
    "traffic_by_weekday_and_hour",
    "active_users",
    "slowest_requests",
]
OTHER_INDEXES = {
    "active_users": "activity_key",
    "hourly_usage_by_deployment": "hours_local_hour_idx",
    "traffic_by_weekday_and_hour": "hours_day_idx",
    "slowest_requests": "slowest_dimension_day_idx",
}


def test_a_month_reads_the_rollups_of_a_month(quarter: psycopg.Connection) -> None:
    plans: list[str] = []
    quarter.add_notice_handler(lambda notice: plans.append(notice.message_primary or ""))
    try:
        quarter.execute("LOAD 'auto_explain'")
    except psycopg.errors.UndefinedFile:
        pytest.skip("this server was built without auto_explain")
    quarter.execute("SET client_min_messages = log")
    quarter.execute("SET auto_explain.log_analyze = on")
    # Also the plans of the functions that read what is open.
    quarter.execute("SET auto_explain.log_nested_statements = on")

    def plan_of(view: str, condition: str) -> str:
        plans.clear()
        quarter.execute("SET auto_explain.log_min_duration = 0")
        assert quarter.execute(f"SELECT * FROM reporting.{view} WHERE {condition}").fetchall(), view
        quarter.execute("SET auto_explain.log_min_duration = -1")
        return "\n".join(plans)

    def rollup_rows_read(plan: str) -> float:
        scans = re.findall(r"Scan .*\bon (?:usage|hours|slowest|activity)\b.* rows=([\d.]+) loops=(\d+)\)", plan)
        return sum(float(rows) * int(loops) for rows, loops in scans)

    closed_months = {f"session_logs_2024_0{month}" for month in (1, 2, 3)}
    for view in THIRTY_DAYS:
        everything = "dimension = 'model'" if view == "slowest_requests" else "true"
        period = {"weekly": "request_week", "hourly": "request_hour"}.get(view.partition("_")[0], "request_day")
        plan = plan_of(view, f"{everything} AND {period} BETWEEN '2024-02-12' AND '2024-03-12'")
        assert OTHER_INDEXES.get(view, "usage_dimension_day_idx") in plan, view
        assert "session_logs_2024_04" in plan, view
        # Nothing is read as a whole but what is open, and small tables.
        scanned = set(re.findall(r"Seq Scan on (\w+)", plan))
        assert scanned.isdisjoint({"usage", "hours", "slowest"} | closed_months), view
        # 30 days of 100, each perhaps with those before it. Before 18 a plan rounds the rows of each loop.
        if quarter.info.server_version >= 180000:
            assert 0 < rollup_rows_read(plan) < rollup_rows_read(plan_of(view, everything)) / 2, view
    # Of all time, but one day per user.
    plan = plan_of("dormant_accounts", "true")
    assert "usage_users_idx" in plan
    assert "Seq Scan on usage" not in plan
