"""What the documents say of the database is what the database is."""

import re
import sys
from pathlib import Path

import psycopg
import pytest

from command import documented, shell

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

import architecture  # noqa: E402
import erd  # noqa: E402


def test_the_erd_in_the_readme_is_current(db: psycopg.Connection) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    drawn = readme.split(erd.BEGIN)[1].split(erd.END)[0]
    assert drawn == erd.diagram(db), "run: python scripts/erd.py DSN --write"


def test_the_files_in_the_architecture_are_current(db: psycopg.Connection) -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    listed = page.split(architecture.BEGIN)[1].split(architecture.END)[0]
    assert listed == architecture.listing(db), "run: python scripts/architecture.py DSN --write"


def test_the_erd_has_every_entity_and_relationship(db: psycopg.Connection) -> None:
    drawn = erd.diagram(db)
    entities, additions = (re.findall(entity, drawn, re.M) for entity in (r"^    (\w+) \{$", r'^    (\w+)\["\+ \1"\] \{$'))
    assert len(entities) == 10
    assert {"budgets", "deployment_history", "gpu_rates", "user_departments"} <= set(additions)
    assert drawn.index(f"{entities[-1]} {{") < drawn.index(f"{additions[0]}[")
    assert len(re.findall(r" : [A-Z_]+$", drawn, re.M)) == 14
    assert "users ||--o| departments : MANAGES" in drawn
    assert "departments ||--|{ users : WORKS_FOR" in drawn
    assert "prompt_templates |o--o{ session_logs : USES_TEPL" in drawn


def test_the_analysts_page_lists_every_reporting_view(db: psycopg.Connection) -> None:
    page = (ROOT / "docs" / "analyst.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"^\| `reporting\.(\w+)`", page, re.M))
    views = {name for (name,) in db.execute("SELECT viewname FROM pg_views WHERE schemaname = 'reporting'")}
    assert listed == views


def test_links_between_documents_lead_somewhere() -> None:
    for page in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]:
        for target in re.findall(r"\]\((?!http)([^)#]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


TRACE = ROOT.parent / "shared" / "data" / "azure-llm-trace-2023"


@pytest.mark.skipif(not TRACE.is_dir(), reason=f"the trace is not at {TRACE}")
def test_the_trace_example_in_the_readme_does_what_it_says(empty_dsn: str, tmp_path: Path) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    block = documented("README.md", "trace example")
    assert "export DATABASE_URL=" in block
    commands = re.sub(r"^export DATABASE_URL=.*\n", "", block)
    for name in ("code.csv", "conv.csv"):
        (tmp_path / name).symlink_to(TRACE / name)
    done = shell(commands, tmp_path, DATABASE_URL=empty_dsn)
    assert done.returncode == 0, done.stderr
    with psycopg.connect(empty_dsn) as db:
        hours = db.execute(
            "SELECT server_name, requests, answered_requests, tokens"
            " FROM reporting.hourly_usage_by_deployment ORDER BY server_name, request_hour"
        ).fetchall()
    assert hours == [
        ("code", 7717, 0, 15924948),
        ("code", 1102, 0, 2380922),
        ("conv", 15606, 0, 21582662),
        ("conv", 3760, 0, 4867873),
    ]
    told = readme.split("trace example: end")[1]
    for number in (7717, 1102, 15606, 3760, 44756405):
        assert f"{number:,}" in told
    assert sum(tokens for *_, tokens in hours) == 44756405
    assert sum(requests for _, requests, *_ in hours) == 28185
