"""A reader of reports meets one language: every COMMENT carries both, and a page, a table or a list shows one."""

import re
from argparse import Namespace
from dataclasses import asdict
from html.parser import HTMLParser
from pathlib import Path

import psycopg
import pytest

from command import documented, llm_db, shell
from company import COMPANY
from llm_db.report import charts, command, query
from llm_db.report.words import LANGUAGES

pytestmark = pytest.mark.once("it is about words")

HANGUL = re.compile("[가-힣]")
# What both languages write alike: keys, addresses, options, time zones, percentiles.
NEITHER = re.compile(r"[0-9a-f-]{36}|\S+@\S+|s3://\S+|--\w+|llm-db report|[A-Z]\w+/[A-Z]\w+|\bp\d+\b", re.A)
# Whatever people call things is no word of ours.
NAMELESS = """
UPDATE llm.departments SET department_name = department_id::text;
UPDATE llm.users SET user_name = user_id::text;
UPDATE llm.projects SET project_name = project_id::text;
UPDATE llm.models SET model_name = model_id::text;
UPDATE llm.model_configs SET config_name = config_id::text;
UPDATE llm.deployments SET server_name = deployment_id::text;
UPDATE llm.prompt_templates_base SET template_name = '1' WHERE template_name = '요약';
UPDATE llm.prompt_templates_base SET template_name = '2' WHERE template_name = '번역';
"""


@pytest.fixture
def names(db: psycopg.Connection) -> set[str]:
    """What a Korean sentence may call by its name in the database."""
    found = db.execute("SELECT object_name::text, column_name::text FROM reporting.data_dictionary").fetchall()
    return {name for row in found for name in row if name} | {"reporting", "llm_people_reader", "percentile_disc"}


def english_in(text: str, names: set[str]) -> set[str]:
    words = re.findall(r"[A-Za-z_]\w+", NEITHER.sub(" ", text), re.A)
    return {word for word in words if word not in names and not word.isupper()}


def test_every_comment_that_a_reader_sees_has_both_languages(db: psycopg.Connection, names: set[str]) -> None:
    rows = db.execute(
        "SELECT object_name, column_name, term_ko, meaning_ko, term_en, meaning FROM reporting.data_dictionary"
    ).fetchall()
    assert len({row[:2] for row in rows}) == len(rows) > 700
    for report, column, *korean, term, meaning in rows:
        where = f"{report}.{column or ''}: {korean} | {term}: {meaning}"
        assert all([*korean, term, meaning]), where
        assert all(HANGUL.search(text) for text in korean), where
        assert not english_in(" ".join(korean), names), where
        assert not HANGUL.search(f"{term} {meaning}"), where
        assert term[0].isupper(), where


def test_the_units_are_in_both_languages(db: psycopg.Connection) -> None:
    rows = db.execute("SELECT unit, unit_ko FROM reporting.data_dictionary WHERE column_name IS NOT NULL").fetchall()
    for unit, unit_ko in set(rows):
        assert (unit is None) == (unit_ko is None)
        assert not HANGUL.search(unit or "")
        assert not english_in(unit_ko or "", set())


class Words(HTMLParser):
    """The words of a page: its texts and hints, without names in the database (which stand as code)."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.within: list[str] = []
        self.found: list[str] = []
        self.feed(page)
        assert not self.within, "the page does not end"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag != "meta":
            self.within.append(tag)
        self.found += [value for name, value in attrs if name == "title"]

    def handle_endtag(self, tag: str) -> None:
        assert self.within.pop() == tag

    def handle_data(self, data: str) -> None:
        if not {"style", "script", "code"} & {*self.within}:
            self.found.append(data)


def words_of_charts(db: psycopg.Connection, report: str, language: str) -> list[str]:
    asked = query.for_people(query.question(db, report, language=language))
    drawn = charts.draw(asked.view, db.execute(query.select(asked)).fetchall())
    found = [chart.note for chart in drawn]

    def look(part: object) -> None:
        for key, value in part.items() if isinstance(part, dict) else enumerate(part):
            if key in ("name", "ticktext", "hovertext", "hovertemplate", "ticksuffix", "y"):
                texts = [value] if isinstance(value, str) else value if isinstance(value, list) else []
                found.extend(text for text in texts if isinstance(text, str))
            if isinstance(value, dict | list):
                look(value)

    for chart in drawn:
        look(chart.figure)
    return [re.sub(r"%\{\w+[^}]*\}|</?\w+>", " ", text) for text in found]


def test_every_word_of_ours_is_in_its_language() -> None:
    for language, words in LANGUAGES.items():
        for value in asdict(words).values():
            for text in [value] if isinstance(value, str) else value.values() if isinstance(value, dict) else value:
                assert not (HANGUL.search(text) if language == "en" else english_in(text, set())), text


@pytest.mark.parametrize("language", LANGUAGES)
def test_whatever_shows_a_report_speaks_one_language(
    db: psycopg.Connection, names: set[str], tmp_path, monkeypatch, capsys, language: str
) -> None:
    monkeypatch.setattr("plotly.offline.get_plotlyjs", lambda: "")
    db.execute(COMPANY + NAMELESS)
    file = tmp_path / "report.html"
    options = {"lang": language, "csv": None, "json": None, "since": None, "until": None, "where": [], "top": None}
    for report in query.names(db):
        command.run(Namespace(name=report, html=str(file), **options), db)
        capsys.readouterr()
        page = file.read_text(encoding="utf-8")
        assert f'<html lang="{language}">' in page
        command.run(Namespace(name=report, html=None, **options), db)
        said = [*Words(page).found, *words_of_charts(db, report, language), capsys.readouterr().out]
        if language == "en":
            assert not HANGUL.search(page), report
            assert not [text for text in said if HANGUL.search(text)], report
        elif report != "data_dictionary":
            assert set().union(*(english_in(text, names) for text in said)) == set(), report


def test_the_list_speaks_one_language_in_every_format(dsn: str, names: set[str]) -> None:
    for form in ((), ("--csv",), ("--json",)):
        english, korean = (llm_db("report", *form, "--lang", each, "--dsn", dsn).stdout for each in ("en", "ko"))
        assert llm_db("report", *form, "--dsn", dsn).stdout == english
        assert "Daily usage: requests and tokens" in english
        assert not HANGUL.search(english)
        assert "일별 사용량: 플랫폼 전체의 요청과 토큰" in korean
        assert english_in(korean, names | {"name", "comment"}) == set()


def test_what_nothing_is_said_of_has_its_name(db: psycopg.Connection) -> None:
    def said() -> tuple[str, str, set[str]]:
        view = query.view(db, "daily_usage")
        return view.term, view.columns[0].comment, {*query.listing(db, "en").values()}

    assert said()[:2] == ("Daily usage", "Day of request: the day of request_time in the reporting time zone")
    # A report may be given to who may not read the dictionary.
    db.execute("REVOKE SELECT ON reporting.data_dictionary FROM llm_analyst; SET ROLE llm_analyst")
    assert said() == ("daily_usage", "", {""})
    db.execute("RESET ROLE; ALTER VIEW reporting.data_dictionary RENAME COLUMN term_en TO older")
    assert said() == ("daily_usage", "", {""})
    db.execute("DROP VIEW reporting.data_dictionary")
    assert said() == ("daily_usage", "", {""})


def test_the_commands_of_the_page_make_a_page_in_each_language(dsn: str, tmp_path: Path) -> None:
    done = shell(documented("docs/analyst.md", "language"), tmp_path, DATABASE_URL=dsn)
    assert done.returncode == 0, done.stderr
    assert "사용자별 월별 사용량: 요청과 토큰" in done.stdout
    for name, language in (("usage.html", "en"), ("usage.ko.html", "ko")):
        assert f'<html lang="{language}">' in (tmp_path / name).read_text(encoding="utf-8")
