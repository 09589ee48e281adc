"""The page of the departments' cost begins with each department's bill, which can be sent to whoever heads it."""

import re
from argparse import Namespace
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest

from conftest import fresh_database
from llm_db import demo
from llm_db.report import bill, command

pytestmark = pytest.mark.once("it is about what a page makes of rows, whatever they come from")

ANCHOR = datetime(2026, 3, 11, tzinfo=UTC)
ASKED = {"name": "monthly_cost_by_department", "since": None, "until": None, "where": [], "top": None, "lang": "en"}


@pytest.fixture(scope="module")
def db(server: str, template: str) -> Iterator[psycopg.Connection]:
    """The demo company, which nobody here changes."""
    with fresh_database(server, template) as dsn, psycopg.connect(dsn, autocommit=True) as connection:
        demo.run(connection, 2_000, lambda _: None, ANCHOR)
        yield connection


@pytest.fixture
def page(db: psycopg.Connection, tmp_path: Path) -> Callable[..., str]:
    def make(**asked: object) -> str:
        file = tmp_path / "bill.html"
        with db.transaction():
            options = Namespace(**ASKED | {"csv": False, "json": False, "html": str(file)} | asked)
            command.run(options, db)
        return file.read_text(encoding="utf-8")

    return make


def bills(page: str) -> list[str]:
    return re.findall(r'<section class="bill">.*?</section>', page, re.S)


def cells(bill: str) -> list[list[str]]:
    return [re.findall(r"<td[^>]*>(.*?)</td>", row) for row in re.findall(r"<tr>(.*?)</tr>", bill)]


def test_each_department_has_its_bill_of_the_newest_month(db: psycopg.Connection, page) -> None:
    found = bills(page(until="2026-02-28"))
    rows = db.execute("""
        SELECT department_name, allocated_cost, idle_cost, cost_share, cost_change
        FROM reporting.monthly_cost_by_department
        WHERE cost_month = '2026-02-01' AND NOT is_idle
        ORDER BY allocated_cost DESC
    """).fetchall()
    assert len(found) == len(rows) > 5
    for made, (name, cost, idle, share, change) in zip(found, rows, strict=True):
        assert f"<h2>Bill of {name}, 2026-02</h2>" in made
        assert f"Cost: {cost:,.2f} KRW · {share:.1%} of the whole platform" in made
        assert ("against the month before" in made) == (change is not None)
        assert change is None or f"{change:+.1%} against the month before" in made
        assert f"of which idle: {idle:,.2f} KRW" in made
        assert re.findall(r"<h3>(.*?)</h3>", made)[-2:] == ["Model", "User"]


def test_its_lines_are_the_largest_and_the_rest_is_one(db: psycopg.Connection, page, monkeypatch) -> None:
    monkeypatch.setattr(bill, "LINES", 3)
    [made] = bills(page(until="2026-02-28", where=["department_name=개발1팀"]))
    users = cells(made[made.index("<h3>User</h3>") :])
    expected = db.execute("""
        SELECT user_name, allocated_cost FROM reporting.department_bills
        WHERE cost_month = '2026-02-01' AND department_name = '개발1팀' AND line = 'user'
        ORDER BY allocated_cost DESC
    """).fetchall()
    assert len(expected) > 4
    shown = [row[0] for row in users if row]
    assert shown == [name for name, _ in expected[:3]] + ["Others"]
    [rest] = [row for row in users if row and row[0] == "Others"]
    others = sum(cost for _, cost in expected[3:])
    assert rest[1] == f"{others:,.3f}".rstrip("0").rstrip(".")


def test_lines_add_up_to_the_bill(db: psycopg.Connection, page) -> None:
    """Models and users do, of each department; projects need not, as others may work on them."""
    wrong = db.execute("""
        SELECT cost_month, department_id, line, sum(allocated_cost) - min(total), sum(used_cost) - min(total_used)
        FROM (
            SELECT *, max(allocated_cost) FILTER (WHERE line = 'department') OVER of_bill AS total,
                max(used_cost) FILTER (WHERE line = 'department') OVER of_bill AS total_used
            FROM reporting.department_bills
            WINDOW of_bill AS (PARTITION BY cost_month, department_id)
        ) AS b
        WHERE line IN ('model', 'user')
        GROUP BY cost_month, department_id, line
        -- Each view rounds its own rows to 10 decimals.
        HAVING (
            abs(sum(allocated_cost) - min(total)) <= 0.00000001 AND abs(sum(used_cost) - min(total_used)) <= 0.00000001
        ) IS NOT TRUE
    """).fetchall()
    assert not wrong


def test_it_speaks_korean(page) -> None:
    [made] = bills(page(until="2026-02-28", where=["department_name=개발1팀"], lang="ko"))
    assert "<h2>개발1팀 청구서, 2026-02</h2>" in made
    assert re.findall(r"<h3>(.*?)</h3>", made)[-2:] == ["모델", "사용자"]


@pytest.mark.parametrize(
    "asked",
    [{"name": "monthly_cost_by_project"}, {"until": "2020-01-01"}, {"where": ["is_idle=true"]}],
    ids=["another report", "no row", "a condition that bills do not know"],
)
def test_else_there_is_no_bill(page, asked: dict[str, object]) -> None:
    assert not bills(page(**asked))
