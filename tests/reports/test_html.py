"""report --html: one file that a browser without a network shows, with the charts that the rows ask for.

LLM_DB_TEST_BROWSER names the Chromium to look with; where it is not set and none is found, these tests are skipped.
"""

import os
import re
import shutil
from argparse import Namespace
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from command import DICTIONARY, checkout, environment, llm_db, llm_db_process
from company import COMPANY
from conftest import fresh_database
from llm_db.report import command, html

pytestmark = pytest.mark.once("it is about what a page makes of rows, whatever they come from")

FIRST = """
CREATE SCHEMA reporting; CREATE SCHEMA ops;
CREATE FUNCTION reporting.time_zone() RETURNS text LANGUAGE sql RETURN 'Asia/Seoul';
-- DOWN -- DROP FUNCTION reporting.time_zone(); DROP SCHEMA ops, reporting;
"""
# Ten departments; the requests of one in a day are its number.
DAILY = """
CREATE OR REPLACE VIEW reporting.daily AS
SELECT day::date AS request_day, n::bigint AS department_id, n || '팀' AS department_name, n::bigint AS requests,
    n / 55::double precision AS request_share
FROM generate_series(date '2026-01-01', '2026-01-05', '1 day') AS day, generate_series(1, 10) AS n;
COMMENT ON VIEW reporting.daily IS '부서별 일별 사용량: "부서"와 일자 & 요청 | '
    'Daily usage: requests by "department" & day';
COMMENT ON COLUMN reporting.daily.requests IS '요청 수: <모든> "요청" | Requests: all "requests", answered or <not>';
"""
# Three Mondays and a Tuesday; one of the Mondays has nothing at nine.
TRAFFIC = """
CREATE OR REPLACE VIEW reporting.traffic AS
SELECT * FROM (VALUES
    (date '2026-01-05', 1, 9, 10::bigint), ('2026-01-12', 1, 9, 20), ('2026-01-19', 1, 10, 6), ('2026-01-06', 2, 23, 7)
) AS traffic (request_day, weekday, hour_of_day, requests);
"""
LATENCY = """
CREATE OR REPLACE VIEW reporting.latency AS
SELECT day::date AS request_day, 'gpu-01' AS server_name, 5::bigint AS requests,
    10.5::double precision AS latency_p50_ms, 20.0::double precision AS latency_p95_ms,
    CASE WHEN day::date < date '2026-01-03' THEN 30.0::double precision END AS latency_p99_ms
FROM generate_series(date '2026-01-01', '2026-01-04', '1 day') AS day;
"""
# Names as people should not give them, two of them alike.
PEOPLE = """
CREATE OR REPLACE VIEW reporting.people AS
SELECT * FROM (VALUES
    (1, '<script>hacked = 1</script>', 'a@example.com', 30::bigint),
    (2, '<img src=x onerror="hacked = 1">', 'b@example.com', 20),
    (3, '김연구', 'c@example.com', 10), (4, '김연구', 'd@example.com', 5), (5, '2026-01-01', 'e@example.com', 1),
    (6, '<b>이</b> &amp; 박', 'f@example.com', 1)
) AS people (user_id, user_name, user_email, requests);
"""
# More hours than bars that could be told apart.
HOURLY = """
CREATE OR REPLACE VIEW reporting.hourly AS
SELECT hour AS request_hour, 'gpu-01' AS server_name, 2::bigint AS requests
FROM generate_series(timestamptz '2026-01-01 00:00+09', '2026-01-10 23:00+09', '1 hour') AS hour;
"""
# Not a line: two rows are of the same day.
SLOWEST = """
CREATE OR REPLACE VIEW reporting.slowest AS
SELECT * FROM (VALUES (date '2026-01-01', 1, 30), ('2026-01-01', 2, 20), ('2026-01-02', 1, 10))
    AS slowest (request_day, rank, latency_ms);
"""
MANY = "CREATE OR REPLACE VIEW reporting.many AS SELECT n::text AS word FROM generate_series(1, 1001) AS n;"
VIEWS = {
    "3_reporting/10_daily": DAILY,
    "3_reporting/20_traffic": TRAFFIC,
    "3_reporting/30_latency": LATENCY,
    "3_reporting/40_people": PEOPLE,
    "3_reporting/50_hourly": HOURLY,
    "3_reporting/60_slowest": SLOWEST,
    "3_reporting/70_many": MANY,
    "3_reporting/80_data_dictionary": DICTIONARY,
}


@pytest.fixture(scope="module")
def drawn(server):
    with fresh_database(server) as drawn:
        yield drawn


@pytest.fixture(scope="module")
def project(tmp_path_factory, drawn):
    root = checkout(tmp_path_factory.mktemp("project"), {"0001.first": FIRST}, VIEWS)
    done = llm_db("migrate", "--dsn", drawn, root=root)
    assert done.returncode == 0, done.stderr
    return root


@dataclass
class Look:
    """What the browser shows, and what it asked for or complained of on the way."""

    page: object
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def charts(self):
        """Of each chart the data that plotly was given, and how many bars, points, cells and lines it drew."""
        return self.page.evaluate(
            """[...document.querySelectorAll(".js-plotly-plot")].map(chart => ({
                data: chart.data,
                points: chart.querySelectorAll(".point").length,
                lines: chart.querySelectorAll(".scatterlayer .js-line").length,
                maps: chart.querySelectorAll(".heatmaplayer image").length,
                words: [...chart.querySelectorAll("text")].map(text => text.textContent),
            }))"""
        )


@pytest.fixture(scope="module")
def browser():
    program = os.environ.get("LLM_DB_TEST_BROWSER") or shutil.which("chromium") or shutil.which("google-chrome")
    if not program:
        pytest.skip("there is no browser: apt-get install chromium, or set LLM_DB_TEST_BROWSER")
    from playwright.sync_api import sync_playwright

    # Its profile is a new and empty folder.
    quiet = ["gpu", "quic", "background-networking", "component-update", "sync"]
    arguments = ["--no-first-run", *(f"--disable-{what}" for what in quiet)]
    with sync_playwright() as driver, driver.chromium.launch(executable_path=program, args=arguments) as browser:
        yield browser


@pytest.fixture
def look(browser, project, drawn, tmp_path):
    pages = []

    def look(*arguments: str) -> Look:
        file = tmp_path / "report.html"
        done = llm_db("report", *arguments, "--html", str(file), "--dsn", drawn, root=project)
        assert done.returncode == 0, done.stderr
        page = browser.new_page(offline=True)
        pages.append(page)
        seen = Look(page)
        page.on("request", lambda request: seen.requests.append(request.url))
        page.on("console", lambda message: seen.complaints.append(message.text))
        page.on("pageerror", lambda error: seen.complaints.append(str(error)))
        page.goto(file.as_uri(), wait_until="load")
        assert seen.requests == [file.as_uri()]
        assert seen.complaints == []
        return seen

    yield look
    for page in pages:
        page.close()


def test_the_page_needs_nothing_from_elsewhere(look):
    page = look("daily").page
    outside = page.evaluate(
        """[...document.querySelectorAll("*")].flatMap(element => [...element.attributes])
            .filter(attribute => /src|href|action$/.test(attribute.name) && !/^(#|data:)/.test(attribute.value))
            .map(attribute => attribute.value)"""
    )
    assert outside == []
    # And may not: the browser itself refuses.
    assert page.evaluate("fetch('data:,x').then(() => 'fetched', () => 'refused')") == "refused"


@pytest.mark.parametrize(
    ("language", "title", "meaning", "column"),
    [
        ("ko", "부서별 일별 사용량 (daily)", '"부서"와 일자 & 요청', '요청 수: <모든> "요청"'),
        (
            "en",
            "Daily usage (daily)",
            'Requests by "department" & day',
            'Requests: all "requests", answered or <not>',
        ),
    ],
)
def test_the_page_says_what_it_shows(look, language, title, meaning, column):
    page = look("daily", "--since", "2026-01-02", "--where", "department_name=3팀", "--lang", language).page
    assert page.evaluate("document.documentElement.lang") == language
    assert page.title() == title
    told = page.inner_text("body").splitlines()
    assert meaning in told
    assert any("request_day >= 2026-01-02 · department_name=3팀" in line for line in told)
    assert page.get_attribute("th:has(code:text-is('requests'))", "title") == column
    assert page.locator("tbody tr").count() == 4
    assert page.locator("tbody tr").first.inner_text().split() == ["2026-01-05", "3", "3팀", "3", "0.055"]


def test_the_buttons_over_a_chart_speak_the_language_and_none_sends_it_away(look):
    buttons = "[...document.querySelectorAll('.modebar-btn')].map(button => button.dataset.title)"
    korean, english = (look("daily", "--lang", language).page.evaluate(buttons) for language in ("ko", "en"))
    assert len(korean) == len(english) > 10
    assert all(re.search("[가-힣]", title) for title in korean)
    assert not any(re.search("[가-힣]|Share|Cloud", title) for title in english)


def test_over_time_the_largest_have_a_bar_each_and_the_others_one(look):
    requests, share = look("daily", "--lang", "ko").charts()
    assert [trace["name"] for trace in requests["data"]] == [*(f"{n}팀" for n in range(10, 2, -1)), "기타"]
    assert requests["data"][-1]["y"] == [1 + 2] * 5
    assert requests["points"] == 9 * 5
    assert "기타" in requests["words"]
    # Shares of the others are no share of anything.
    assert len(share["data"]) == share["lines"] == 8


def test_weekday_and_hour_make_a_map_of_an_average_day(look):
    [traffic] = look("traffic", "--lang", "ko").charts()
    assert traffic["maps"] == 1
    cells = traffic["data"][0]["z"]
    assert [cells[0][9], cells[0][10], cells[1][23]] == [10, 2, 7]
    assert sum(map(sum, cells)) == 19
    assert {"월", "일"} <= set(traffic["words"])


def test_percentiles_are_lines_of_one_chart(look):
    requests, latency = look("latency").charts()
    assert requests["points"] == 4
    assert [trace["name"] for trace in latency["data"]] == ["latency_p50_ms", "latency_p95_ms", "latency_p99_ms"]
    assert latency["lines"] == 3
    assert latency["data"][0]["y"] == [10.5] * 4
    # What is not known is no point.
    assert latency["data"][2]["x"] == ["2026-01-01", "2026-01-02"]


def test_names_are_text_whatever_they_look_like(look):
    seen = look("people")
    [people] = seen.charts()
    assert people["points"] == 6
    names = ["<b>이</b> &amp; 박", "<script>hacked = 1</script>", '<img src=x onerror="hacked = 1">', "2026-01-01"]
    for name in names:
        assert name in people["words"]
        assert name in seen.page.inner_text("table")
    assert {"김연구 · c@example.com", "김연구 · d@example.com"} <= set(people["words"])
    assert seen.page.evaluate("typeof hacked") == "undefined"


def test_several_values_of_a_day_are_dots(look):
    [latency] = look("slowest").charts()
    assert latency["points"] == 3
    assert latency["lines"] == 0


def test_many_hours_are_added_up_to_days(look):
    [requests] = look("hourly").charts()
    [trace] = requests["data"]
    assert trace["x"] == [f"2026-01-{day:02}" for day in range(1, 11)]
    assert trace["y"] == [48] * 10


def test_the_table_ends_somewhere(look):
    page = look("many", "--lang", "ko").page
    assert page.locator("tbody tr").count() == 1000
    assert "1,001행" in page.inner_text("body")
    assert page.locator(".js-plotly-plot").count() == 0


def write(db, name, file):
    options = dict.fromkeys(("csv", "json", "since", "until", "top"))
    assert command.run(Namespace(name=name, html=str(file), where=[], lang="en", **options), db) == 0
    return file.read_text(encoding="utf-8")


def test_more_rows_than_are_read_are_owned_up_to(db, tmp_path, monkeypatch):
    db.execute(COMPANY)
    monkeypatch.setattr(html, "READ_ROWS", 2)
    assert "only the first 2 rows were read" in write(db, "session_summaries", tmp_path / "report.html")


def test_a_file_that_cannot_be_written_is_named(project, drawn, tmp_path):
    done = llm_db("report", "many", "--html", str(tmp_path / "none" / "x.html"), "--dsn", drawn, root=project)
    assert done.returncode == 2
    assert "none/x.html: No such file or directory." in done.stderr


def test_without_the_library_it_is_asked_for(project, drawn, tmp_path):
    (tmp_path / "plotly.py").write_text("raise ImportError")
    path = os.pathsep.join([str(tmp_path), environment(project)["PYTHONPATH"]])
    file = tmp_path / "x.html"
    done = llm_db_process("report", "many", "--html", str(file), "--dsn", drawn, root=project, PYTHONPATH=path)
    assert done.returncode == 2
    assert "pip install 'llm-platform-db[html]'" in done.stderr
    assert not Path(file).exists()
