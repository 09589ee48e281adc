"""Cost, budgets and capacity, counted by hand; and the example of docs/costs.md."""

import re
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal

import psycopg
import pytest
from psycopg.rows import dict_row

from command import ROOT
from company import AI, CHATBOT, CLOSED_BEFORE, COMPANY, DEV, GPT, SEOUL_10, SEOUL_11, found, rows_of


@pytest.fixture(params=CLOSED_BEFORE.values(), ids=CLOSED_BEFORE.keys())
def counted(db: psycopg.Connection, request: pytest.FixtureRequest) -> psycopg.Connection:
    return found(db, request.param)


# Eight GPUs on gpu-01 and two on gpu-02, 24 hours of two days, 3,000 an hour: 576,000 and 144,000 a day. On the 10th
# there was one request of 100 tokens and 1.5 s, on gpu-01. On the 11th gpu-01 had one of 7 tokens and 10.001 ms and one
# of which neither is known, which counts as much; gpu-02 had one of 50 tokens and 250 ms.
@dataclass(frozen=True, kw_only=True)
class Figures:
    gpu_hours: int
    allocated_cost: int
    used_cost: str
    cost_share: float
    cost_before: int = 0
    requests: int = 0
    requests_without_tokens: int = 0
    tokens: int = 0

    def row(self) -> dict[str, object]:
        cost, used = Decimal(self.allocated_cost), Decimal(self.used_cost)
        return {
            "currency": "KRW",
            "gpu_hours": self.gpu_hours,
            "allocated_cost": cost,
            "used_cost": used,
            "idle_cost": cost - used,
            "cost_share": self.cost_share,
            "cost_before": self.cost_before,
            "cost_change": self.allocated_cost / self.cost_before - 1 if self.cost_before else None,
            "requests": self.requests,
            "requests_without_tokens": self.requests_without_tokens,
            "tokens": self.tokens,
            "cost_per_1000_requests": self.allocated_cost * 1000 / self.requests if self.requests else None,
            "cost_per_million_tokens": self.allocated_cost * 1e6 / self.tokens if self.tokens else None,
        }


IDLE = {
    "first": Figures(gpu_hours=48, allocated_cost=144000, used_cost="0", cost_share=0.2),
    "both": Figures(gpu_hours=48, allocated_cost=144000, used_cost="0", cost_share=0.1),
}
OF_KIM = {
    "first": Figures(
        gpu_hours=192, allocated_cost=576000, used_cost="1.25", cost_share=0.8, requests=1, tokens=100
    ),
    "second": Figures(
        gpu_hours=96 + 48, allocated_cost=288000 + 144000, used_cost="0.2125004167", cost_share=0.6, cost_before=576000,
        requests=2, requests_without_tokens=1, tokens=50,
    ),
    "both": Figures(
        gpu_hours=336, allocated_cost=1008000, used_cost="1.4625004167", cost_share=0.7,
        requests=3, requests_without_tokens=1, tokens=150,
    ),
}  # fmt: skip
OF_PARK = {
    "second": Figures(
        gpu_hours=96, allocated_cost=288000, used_cost="0.0041670833", cost_share=0.4, requests=1, tokens=7
    ),
    "both": Figures(
        gpu_hours=96, allocated_cost=288000, used_cost="0.0041670833", cost_share=0.2, requests=1, tokens=7
    ),
}
OF_1_9 = {
    "first": OF_KIM["first"],
    "second": Figures(
        gpu_hours=96, allocated_cost=288000, used_cost="0.0041670833", cost_share=0.4, cost_before=576000,
        requests=1, tokens=7,
    ),
    "both": Figures(
        gpu_hours=288, allocated_cost=864000, used_cost="1.2541670833", cost_share=0.6, requests=2, tokens=107
    ),
}  # fmt: skip
OF_1_10 = {
    "second": Figures(
        gpu_hours=96, allocated_cost=288000, used_cost="0.0041670834", cost_share=0.4,
        requests=1, requests_without_tokens=1,
    ),
    "both": Figures(
        gpu_hours=96, allocated_cost=288000, used_cost="0.0041670834", cost_share=0.2,
        requests=1, requests_without_tokens=1,
    ),
}  # fmt: skip
OF_NO_TEMPLATE = {
    "second": Figures(
        gpu_hours=48, allocated_cost=144000, used_cost="0.2083333333", cost_share=0.2, requests=1, tokens=50
    ),
    "both": Figures(
        gpu_hours=48, allocated_cost=144000, used_cost="0.2083333333", cost_share=0.1, requests=1, tokens=50
    ),
}
OF_GPT = {
    "first": Figures(gpu_hours=240, allocated_cost=720000, used_cost="1.25", cost_share=1.0, requests=1, tokens=100),
    "second": Figures(
        gpu_hours=240, allocated_cost=720000, used_cost="0.2166675", cost_share=1.0, cost_before=720000,
        requests=3, requests_without_tokens=1, tokens=57,
    ),
    "both": Figures(
        gpu_hours=480, allocated_cost=1440000, used_cost="1.4666675", cost_share=1.0,
        requests=4, requests_without_tokens=1, tokens=157,
    ),
}  # fmt: skip
OF_GPU_01 = {
    "first": OF_KIM["first"],
    "second": Figures(
        gpu_hours=192, allocated_cost=576000, used_cost="0.0083341667", cost_share=0.8, cost_before=576000,
        requests=2, requests_without_tokens=1, tokens=7,
    ),
    "both": Figures(
        gpu_hours=384, allocated_cost=1152000, used_cost="1.2583341667", cost_share=0.8,
        requests=3, requests_without_tokens=1, tokens=107,
    ),
}  # fmt: skip
OF_GPU_02 = {
    "first": IDLE["first"],
    "second": Figures(
        gpu_hours=48, allocated_cost=144000, used_cost="0.2083333333", cost_share=0.2, cost_before=144000,
        requests=1, tokens=50,
    ),
    "both": Figures(
        gpu_hours=96, allocated_cost=288000, used_cost="0.2083333333", cost_share=0.2, requests=1, tokens=50
    ),
}  # fmt: skip
KIM = {"user_id": 11, "user_name": "김연구", "user_email": "kim@example.com"}
PARK = {"user_id": 21, "user_name": "박개발", "user_email": "park@example.com"}
PROJECT = {"project_id": 1, "project_name": CHATBOT, "project_department_id": 1, "project_department_name": AI}
AI_TEAM, DEV_TEAM = ({"department_id": n, "department_name": name} for n, name in ((1, AI), (2, DEV)))
TASK = {"task_category": "summarization", "task_category_ko": "요약", "task_category_en": "Summarization"}
V1_9, V1_10 = (
    {"template_id": n, "template_name": "요약", "template_version": v} | TASK for n, v in ((1, "1.9"), (2, "1.10"))
)
USED, UNUSED = {"is_idle": False}, {"is_idle": True}
GPU_01, GPU_02 = (
    {
        "deployment_id": n,
        "server_name": f"gpu-0{n}",
        "environment": code,
        "environment_ko": korean,
        "environment_en": code.capitalize(),
        "model_id": 1,
        "model_name": GPT,
    }
    for n, code, korean in ((1, "production", "프로덕션"), (2, "test", "테스트"))
)
COSTS = {
    "department": [
        (AI_TEAM | USED, OF_KIM), (DEV_TEAM | USED, OF_PARK), (dict.fromkeys(AI_TEAM) | UNUSED, IDLE)
    ],
    "project": [
        (PROJECT | USED, OF_KIM), (dict.fromkeys(PROJECT) | USED, OF_PARK), (dict.fromkeys(PROJECT) | UNUSED, IDLE)
    ],
    "user": [
        (KIM | AI_TEAM | USED, OF_KIM), (PARK | DEV_TEAM | USED, OF_PARK),
        (dict.fromkeys(KIM | AI_TEAM) | UNUSED, IDLE),
    ],
    "template": [
        (V1_9 | USED, OF_1_9), (V1_10 | USED, OF_1_10), (dict.fromkeys(V1_9) | USED, OF_NO_TEMPLATE),
        (dict.fromkeys(V1_9) | UNUSED, IDLE),
    ],
    "model": [
        (
            {"model_id": 1, "model_name": GPT, "model_type": "chat", "model_type_ko": "대화", "model_type_en": "Chat"},
            OF_GPT,
        )
    ],
    "deployment": [(GPU_01, OF_GPU_01), (GPU_02, OF_GPU_02)],
}  # fmt: skip
GRAINS = {
    "daily": ("cost_day", {SEOUL_10: "first", SEOUL_11: "second"}),
    "weekly": ("cost_week", {date(2024, 3, 4): "first", date(2024, 3, 11): "second"}),
    "monthly": ("cost_month", {date(2024, 3, 1): "both"}),
}


def read_all(db: psycopg.Connection, report: str, condition: str = "true") -> list[dict[str, object]]:
    return db.cursor(row_factory=dict_row).execute(f"SELECT * FROM reporting.{report} WHERE {condition}").fetchall()


def like(row: dict[str, object]) -> dict[str, object]:
    """With what is divided within what a double holds."""
    return {name: pytest.approx(value, rel=1e-12) if isinstance(value, float) else value for name, value in row.items()}


def in_order(rows: list[dict[str, object]]) -> list[dict[str, object]]:
    return sorted(rows, key=lambda row: [str(value) for value in list(row.values())[:10]])


@pytest.mark.parametrize("of", COSTS)
def test_cost_by_period(counted: psycopg.Connection, of: str) -> None:
    for grain, (period, first_days) in GRAINS.items():
        expected = [
            {period: first_day, **key, **figures[which].row()}
            for first_day, which in first_days.items()
            for key, figures in COSTS[of]
            if which in figures
        ]
        rows = read_all(counted, f"{grain}_cost_by_{of}")
        if of in ("model", "deployment"):
            for row in rows:
                del row["cost_case"], row["cost_case_ko"], row["cost_case_en"]
                used, tokens = float(row["used_cost"]), row["tokens"]
                per_million = row.pop("used_cost_per_million_tokens")
                assert per_million == (pytest.approx(Decimal(used * 1e6 / tokens)) if tokens else None)
        for row in rows:
            for name in ("cost_per_1000_requests", "cost_per_million_tokens"):
                row[name] = row[name] and float(row[name])
        assert in_order(rows) == [like(row) for row in in_order(expected)], grain
        assert [*rows[0]] == [*expected[0]]


def test_the_case_says_what_to_do(counted: psycopg.Connection) -> None:
    def cases(report: str, period: str) -> list[tuple]:
        return rows_of(counted, report, f"{period} server_name cost_case")

    assert cases("daily_cost_by_deployment", "cost_day") == [
        # 5,760 a token against 7,200 on the whole platform, as gpu-02 stood by; what was used was used there.
        (SEOUL_10, "gpu-01", "low_low"),
        (SEOUL_10, "gpu-02", "idle"),
        # 82,286 and 2,880 a token against 12,632; of use 0.0012 and 0.0042 against 0.0038.
        (SEOUL_11, "gpu-01", "high_low"),
        (SEOUL_11, "gpu-02", "low_high"),
    ]
    assert [case for *_, case in cases("weekly_cost_by_deployment", "cost_week")] == [
        "low_low", "idle", "high_low", "low_high"
    ]  # fmt: skip
    # 10,766 and 5,760 against 9,172; 0.0118 and 0.0042 against 0.0093.
    assert [case for *_, case in cases("monthly_cost_by_deployment", "cost_month")] == ["high_high", "low_low"]
    for grain in GRAINS:
        # What is equal is not high.
        [(case, korean, english)] = set(
            rows_of(counted, f"{grain}_cost_by_model", "cost_case cost_case_ko cost_case_en")
        )
        assert (case, english) == ("low_low", "Cheap to keep available and to use: well sized")
        assert "알맞다" in korean
    counted.execute("UPDATE llm.session_logs SET token_used = NULL")
    assert cases("monthly_cost_by_deployment", "cost_month") == [
        (date(2024, 3, 1), name, None) for name in ("gpu-01", "gpu-02")
    ]
    counted.execute("DELETE FROM llm.gpu_rates")
    assert {case for *_, case in cases("daily_cost_by_deployment", "cost_day")} == {None}


def costs(db: psycopg.Connection, day: date) -> dict[str | None, int]:
    columns = "department_name allocated_cost"
    return dict(rows_of(db, "daily_cost_by_department", columns, f"cost_day = '{day}'"))


def test_what_is_idle_is_spread_by_choice(counted: psycopg.Connection) -> None:
    counted.execute("UPDATE llm.cost_settings SET idle_is_spread = true, currency = 'EUR'")
    assert costs(counted, SEOUL_10) == {AI: 720000, None: 0}
    assert costs(counted, SEOUL_11) == {AI: 432000, DEV: 288000}
    # By deployment it is where it was.
    cost = "deployment_id allocated_cost currency"
    assert rows_of(counted, "daily_cost_by_deployment", cost, "cost_day = '2024-03-10'") == [
        (1, 576000, "EUR"), (2, 144000, "EUR")
    ]  # fmt: skip


def test_busy_time_apportions_by_choice(counted: psycopg.Connection) -> None:
    counted.execute(
        "UPDATE llm.session_logs SET response_time = '2024-03-10 15:00:00.030003Z' WHERE token_used IS NULL"
    )
    assert costs(counted, SEOUL_11) == {AI: 432000, DEV: 288000}
    # 30.003 ms to 10.001 ms of gpu-01's 576,000, and gpu-02's 144,000.
    counted.execute("UPDATE llm.cost_settings SET apportioned_by = 'busy time'")
    assert costs(counted, SEOUL_11) == {AI: 432000 + 144000, DEV: 144000}


def test_the_past_is_corrected(counted: psycopg.Connection) -> None:
    """From noon on the 11th gpu-01 had four GPUs, at another price of its own, and then none of its own."""
    counted.execute("""
        INSERT INTO llm.deployment_history VALUES (1, '2024-03-11 03:00Z', 1, 4, 'production', 'active');
        INSERT INTO llm.gpu_rates (deployment_id, since, price_per_hour) VALUES
            (1, '2024-03-11 03:00Z', 4500.5), (1, '2024-03-11 09:00Z', NULL);
    """)
    # 12 hours of 8 GPUs, 6 of 4 at 4,500.5, and 6 of 4.
    cost = "gpu_hours allocated_cost"
    after = [(144, 12 * 8 * 3000 + 6 * 4 * Decimal("4500.5") + 6 * 4 * 3000)]
    gpu_01 = "cost_day = '2024-03-11' AND deployment_id = 1"
    assert rows_of(counted, "daily_cost_by_deployment", cost, gpu_01) == after
    hours = "gpu_count gpu_hours unpriced_gpu_hours tokens_per_gpu_hour"
    gpu_01 = "request_day = '2024-03-11' AND deployment_id = 1"
    assert rows_of(counted, "deployment_gpu_hours", hours, gpu_01) == [(8, 144.0, 0.0, 7 / 144)]
    # Without a price for all, those of the price of its own are left. While it was inactive, it held nothing.
    counted.execute("DELETE FROM llm.gpu_rates WHERE deployment_id IS NULL")
    assert rows_of(counted, "deployment_gpu_hours", hours, gpu_01) == [(8, 144.0, 120.0, 7 / 144)]
    counted.execute("UPDATE llm.deployment_history SET status = 'inactive' WHERE deployment_id = 1")
    assert rows_of(counted, "deployment_gpu_hours", hours, gpu_01) == [(0, 0.0, 0.0, None)]


MONEY = "department_name allocated_cost used_cost idle_cost cost_share"
PAGE = (ROOT / "docs" / "costs.md").read_text(encoding="utf-8")


def example(db: psycopg.Connection) -> None:
    """Of docs/costs.md."""
    with db.transaction():
        db.execute(COMPANY)
        db.execute("DELETE FROM llm.sessions; DELETE FROM llm.deployment_history WHERE since > '-infinity'")
        db.execute("""
            INSERT INTO llm.deployment_history
            VALUES (2, '2024-05-31 15:00Z', 1, 2, 'test', 'active'), (2, '2024-06-02 15:00Z', 1, 0, 'test', 'active');
            INSERT INTO llm.sessions (session_id, user_id, start_time, session_type)
            SELECT llm.uuidv7('2024-06-01Z'), u, '2024-06-01Z', 'test' FROM unnest(ARRAY[11, 21]) AS u;
            INSERT INTO llm.session_logs
                (session_id, log_sequence, request_time, response_time, deployment_id, token_used)
            SELECT s.session_id, n, t.at, t.at + '90 minutes', 2, tokens
            FROM (VALUES (11, 1, 500), (11, 2, 100), (21, 1, 200), (21, 2, NULL)) AS l (user_id, n, tokens)
            INNER JOIN llm.sessions AS s USING (user_id)
            CROSS JOIN (VALUES ('2024-06-01 01:00Z'::timestamptz)) AS t (at)
        """)


@pytest.mark.parametrize("closed", [False, True])
def test_the_example_of_the_page(db: psycopg.Connection, closed: bool) -> None:
    example(db)
    if closed:
        db.execute("CALL ops.refresh_rollups('2024-07-01Z')")
    table = re.search(r"<!-- example: begin -->(.*?)<!-- example: end -->", PAGE, re.S)[1]
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.strip().splitlines()[2:]]
    told = {name: tuple(float(re.sub("[, %]", "", cell)) for cell in cells) for name, *cells in lines}
    rows = rows_of(db, "monthly_cost_by_department", MONEY, "cost_month = '2024-06-01'")
    found = {
        row.department_name or "*idle*": (
            float(row.allocated_cost), float(row.used_cost), float(row.idle_cost), row.cost_share * 100
        )
        for row in rows
    }  # fmt: skip
    found["sum"] = tuple(map(sum, zip(*found.values(), strict=True)))
    assert told == found
    query = re.search(r"<!-- query: begin -->\n```sql\n(.*?)```", PAGE, re.S)[1]
    assert db.execute(query.replace("2026-11-01", "2024-06-01")).fetchall() == sorted(
        [(row.department_name, row.allocated_cost, row.used_cost, row.idle_cost, row.cost_share) for row in rows],
        key=lambda row: -row[1],
    )


PRICE = 1000
A_DAY = 24 * PRICE


def spend(db: psycopg.Connection, days: int, weekends: bool) -> date:
    """A GPU for so many days and today. AI used it on each of them, or not on Saturdays and Sundays. Returns today."""
    with db.transaction():
        db.execute(COMPANY)
        db.execute("""
            DELETE FROM llm.sessions;
            DELETE FROM llm.budgets;
            DELETE FROM llm.deployment_history WHERE since > '-infinity';
            UPDATE llm.gpu_rates SET price_per_hour = 1000;
            INSERT INTO llm.sessions (user_id, project_id, session_type) VALUES (11, 1, 'test')
        """)
        db.execute(
            "INSERT INTO llm.deployment_history SELECT 1, rollup.day_start((now() AT TIME ZONE 'Asia/Seoul')::date - %s"
            ", 'Asia/Seoul'), 1, 1, 'production', 'active'",
            [days],
        )
        db.execute(
            """
            INSERT INTO llm.session_logs (session_id, log_sequence, request_time, deployment_id, token_used)
            SELECT session_id, ago + 1, now() - ago * interval '1 day', 1, 10
            FROM llm.sessions, generate_series(0, %s) AS ago
            WHERE %s OR extract(ISODOW FROM now() AT TIME ZONE 'Asia/Seoul' - ago * interval '1 day') < 6
            """,
            [days, weekends],
        )
    return db.execute("SELECT (now() AT TIME ZONE 'Asia/Seoul')::date").fetchone()[0]


def whole_month(today: date) -> list[date]:
    first = today.replace(day=1)
    days = (first + timedelta(n) for n in range(31))
    return [day for day in days if day.month == first.month]


@pytest.mark.parametrize("closed", [False, True])
def test_a_budget_knows_what_a_weekday_costs(db: psycopg.Connection, closed: bool) -> None:
    today = spend(db, 70, weekends=False)
    if closed:
        db.execute("CALL ops.refresh_rollups(now() - interval '5 days')")
    used = [day for day in whole_month(today) if day.isoweekday() < 6]
    before = sum(A_DAY for day in used if day < today)
    month_before = whole_month(today.replace(day=1) - timedelta(1))
    spent_before = A_DAY * sum(day.isoweekday() < 6 for day in month_before)
    # Half of the next day on which it is used, after today; an end that no month reaches; nothing.
    later = next((day for day in used if day > today), None)
    enough = before + (A_DAY if today in used else 0) + A_DAY // 2
    for budget in (
        (1, None, month_before[0], 10 * spent_before),
        (1, None, today.replace(day=1), enough),
        (2, None, month_before[0], 5),
        (2, None, today.replace(day=1), None),
        (None, 1, today.replace(day=1), 100 * A_DAY),
        (None, 2, today.replace(day=1), 0),
    ):
        db.execute("INSERT INTO llm.budgets (department_id, project_id, since, amount) VALUES (%s, %s, %s, %s)", budget)
    rows = {(row["budget_month"], row["department_id"], row["project_id"]): row for row in read_all(db, "budgets")}
    assert len(rows) == 5
    past = rows[month_before[0], 1, None]
    assert past == {
        "budget_month": month_before[0], "department_id": 1, "department_name": AI, "project_id": None,
        "project_name": None, "currency": "KRW", "amount": 10 * spent_before, "spent": spent_before,
        "spent_share": 0.1, "forecast": spent_before, "forecast_share": 0.1, "days_left": None, "is_over": False,
    }  # fmt: skip
    assert (rows[month_before[0], 2, None]["spent"], rows[month_before[0], 2, None]["forecast"]) == (0, 0)
    now = rows[today.replace(day=1), 1, None]
    assert now["forecast"] == pytest.approx(Decimal(len(used) * A_DAY), abs=Decimal("0.001"))
    assert before <= now["spent"] <= before + A_DAY
    assert now["days_left"] == (None if later is None else (later - today).days)
    assert not now["is_over"]
    of_project = rows[today.replace(day=1), None, 1]
    assert of_project["project_name"] == CHATBOT
    assert of_project["forecast"] == now["forecast"]
    assert of_project["forecast_share"] == pytest.approx(len(used) / 100)
    assert of_project["days_left"] is None
    unspent = rows[today.replace(day=1), None, 2]
    assert (unspent["spent"], unspent["spent_share"], unspent["days_left"], unspent["is_over"]) == (0, None, 0, False)
    db.execute("UPDATE llm.budgets SET amount = %s WHERE project_id = 2", [1])
    db.execute("UPDATE llm.sessions SET project_id = 2")
    assert rows_of(db, "budgets", "is_over days_left", "project_id = 2") == [(before > 0 or today in used, 0)]


def test_a_budget_of_few_days_knows_their_mean(db: psycopg.Connection) -> None:
    """Two whole days are known, which cost 24,000 each; so does every weekday that is not."""
    today = spend(db, 2, weekends=True)
    month = today.replace(day=1)
    db.execute("INSERT INTO llm.budgets (department_id, since, amount) VALUES (1, %s, 1)", [month])
    days = [day for day in whole_month(today) if day >= today - timedelta(2)]
    [row] = read_all(db, "budgets", f"budget_month = '{month}'")
    assert row["forecast"] == pytest.approx(Decimal(len(days) * A_DAY), abs=Decimal("0.001"))
    # No whole day: nothing more is expected.
    db.execute("UPDATE llm.deployment_history SET since = now() - interval '1 second' WHERE gpu_count > 0")
    db.execute("DELETE FROM llm.session_logs WHERE log_sequence > 1")
    [row] = read_all(db, "budgets", f"budget_month = '{month}'")
    assert row["forecast"] == row["spent"] > 0


# 10:00 to 11:59 in Seoul: two hours of gpu-01, which holds eight GPUs.
RUNS = [
    ("10:00:30", "10:10:30"),
    ("10:05:00", "10:07:00"),
    ("10:59:00", "11:01:00"),
    ("11:30:00.5", "11:30:01"),
    ("11:40:00", None),
]


@pytest.mark.parametrize("close_before", [None, "2024-03-10 01:59:30Z", "2024-03-12Z"])
def test_capacity_by_the_hour(db: psycopg.Connection, close_before: str | None) -> None:
    with db.transaction():
        db.execute(COMPANY)
        db.execute("DELETE FROM llm.session_logs")
        for n, (begin, end) in enumerate(RUNS, 1):
            db.execute(
                "INSERT INTO llm.session_logs (session_id, log_sequence, request_time, response_time, deployment_id)"
                " SELECT session_id, %s, %s::timestamptz, %s::timestamptz, 1 FROM llm.sessions WHERE user_id = 11",
                [n, f"2024-03-10 {begin}+09", end and f"2024-03-10 {end}+09"],
            )
    if close_before:
        db.execute("CALL ops.refresh_rollups(%s)", [close_before])
    columns = "capacity_hour gpu_count gpu_hours busy_hours utilisation_rate mean_in_flight p95_in_flight max_in_flight"
    ran = "deployment_id = 1 AND capacity_hour BETWEEN '2024-03-10 09:00' AND '2024-03-10 12:00'"
    near = lambda value: pytest.approx(value, rel=1e-9)  # noqa: E731
    assert rows_of(db, "hourly_capacity_by_deployment", columns, ran) == [
        (datetime(2024, 3, 10, 9), 8, 8.0, 0.0, 0.0, 0.0, 0, 0),
        # Of sixty looks two see 2 and nine see 1: 95 % of them see at most 1.
        (datetime(2024, 3, 10, 10), 8, 8.0, near(780 / 3600), near(780 / 28800), near(780 / 3600), 1, 2),
        # One look sees anything.
        (datetime(2024, 3, 10, 11), 8, 8.0, near(60.5 / 3600), near(60.5 / 28800), near(60.5 / 3600), 0, 1),
        (datetime(2024, 3, 10, 12), 8, 8.0, 0.0, 0.0, 0.0, 0, 0),
    ]
    keys = "capacity_day hour_of_day hour_start server_name environment_en model_name"
    [row] = rows_of(
        db, "hourly_capacity_by_deployment", keys, "deployment_id = 1 AND capacity_hour = '2024-03-10 10:00'"
    )
    assert row == (SEOUL_10, 10, datetime.fromisoformat("2024-03-10T01:00Z"), "gpu-01", "Production", GPT)
    # Two days of two deployments; the third is inactive.
    counts = "SELECT count(*), sum(gpu_hours), sum(busy_hours) FROM reporting.hourly_capacity_by_deployment"
    assert db.execute(counts).fetchone() == (96, 480.0, near(840.5 / 3600))
    for zone in ("Asia/Kathmandu", "Australia/Lord_Howe", "America/New_York"):
        db.execute("CALL ops.set_reporting_time_zone(%s)", [zone])
        db.execute("UPDATE llm.deployment_history SET since = '2024-04-09Z' WHERE since > '2024-03-11Z'")
        total = db.execute(counts + " WHERE deployment_id = 1").fetchone()
        assert total[1:] == (near(8 * (30 * 24 + 9)), near(840.5 / 3600)), zone


def test_an_hour_of_a_clock_that_is_ahead_is_there(db: psycopg.Connection) -> None:
    with db.transaction():
        db.execute(COMPANY)
        db.execute("UPDATE llm.deployment_history SET since = '2099-01-01Z' WHERE since > '2024-03-11Z'")
        db.execute(
            "INSERT INTO llm.session_logs (session_id, log_sequence, request_time, response_time, deployment_id)"
            " SELECT session_id, 9, t, t + '36 minutes', 1"
            " FROM llm.sessions, date_trunc('hour', now() + interval '30 hours') AS t WHERE user_id = 21"
        )
        rows = rows_of(
            db,
            "hourly_capacity_by_deployment",
            "gpu_count gpu_hours busy_hours utilisation_rate mean_in_flight p95_in_flight max_in_flight",
            "deployment_id = 1 AND capacity_hour > now() AT TIME ZONE 'Asia/Seoul'",
        )
    # Nothing is held yet, and it is the only hour: those between are to come.
    assert rows == [(0, 0.0, 0.6, None, 0.6, 1, 1)]


def test_capacity_by_the_month(db: psycopg.Connection) -> None:
    """One GPU for ten hours each, busy for half an hour, five and nine."""
    with db.transaction():
        db.execute(COMPANY)
        db.execute("""
            DELETE FROM llm.session_logs;
            DELETE FROM llm.deployment_history WHERE since > '-infinity';
            INSERT INTO llm.deployment_history
            SELECT d, at, 1, g, 'test', 'active'
            FROM (VALUES ('2024-03-11 00:00Z'::timestamptz, 1), ('2024-03-11 10:00Z', 0)) AS h (at, g),
                unnest(ARRAY[1, 2, 3]) AS d;
            INSERT INTO llm.session_logs
                (session_id, log_sequence, request_time, response_time, deployment_id, token_used)
            SELECT session_id, d, '2024-03-11 00:00Z', '2024-03-11 00:00Z'::timestamptz + busy, d, 7
            FROM llm.sessions, (VALUES (1, interval '30 minutes'), (2, '5 hours'), (3, '9 hours')) AS b (d, busy)
            WHERE user_id = 21
        """)
    columns = (
        "capacity_month deployment_id gpu_hours busy_hours utilisation_rate allocated_cost idle_cost capacity_case"
    )
    march = date(2024, 3, 1)
    assert rows_of(db, "monthly_capacity_by_deployment", columns) == [
        (march, 1, 10, 0.5, 0.05, 30000, 28500, "idle"),
        (march, 2, 10, 5.0, 0.5, 30000, 15000, "fine"),
        (march, 3, 10, 9.0, 0.9, 30000, 3000, "overloaded"),
    ]
    columns = (
        "server_name model_name currency requests requests_without_tokens tokens capacity_case_ko capacity_case_en"
    )
    assert rows_of(db, "monthly_capacity_by_deployment", columns, "deployment_id = 2") == [
        ("gpu-02", GPT, "KRW", 1, 0, 7, "적정", "Fine")
    ]
    cases = "SELECT array_agg(rollup.capacity_case(u) ORDER BY u) FROM unnest(%s::float8[]) AS u"
    assert db.execute(cases, [[0.0, 0.0999, 0.1, 0.8, 0.8001, 3.0, None]]).fetchone() == (
        ["idle", "idle", "fine", "fine", "overloaded", "overloaded", None],
    )


def test_what_it_costs_that_a_deployment_is_idle(db: psycopg.Connection) -> None:
    """gpu-02 holds two GPUs for 100 days, and had a request ten days ago: of the last thirty days one is left out."""
    with db.transaction():
        db.execute(COMPANY)
        db.execute("""
            INSERT INTO llm.deployment_history VALUES (2, now() - interval '100 days', 1, 2, 'test', 'active');
            INSERT INTO llm.session_logs (session_id, log_sequence, request_time, deployment_id)
            SELECT session_id, 9, now() - interval '10 days', 2 FROM llm.sessions WHERE user_id = 21
        """)
        [row] = rows_of(db, "idle_deployments", "idle_days currency last_30_days_idle_cost", "deployment_id = 2")
        so_far = db.execute("SELECT extract(EPOCH FROM now() - date_trunc('day', now(), 'Asia/Seoul'))").fetchone()[0]
    assert row == (10, "KRW", pytest.approx(2 * 3000 * (28 * 24 + so_far / 3600), abs=Decimal("1e-9")))
