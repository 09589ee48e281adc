"""The dashboards' bundle fits the database, and the page about dashboards is true. That Superset shows every chart is
checked by scripts/superset/run."""

import re
import sys
import uuid
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest
import yaml
from psycopg import sql
from psycopg.conninfo import make_conninfo

from llm_db.errors import Problem

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "scripts" / "superset"))

import dashboards  # noqa: E402
import datasets  # noqa: E402

BUNDLE = ROOT / "scripts" / "superset" / "bundle"
PAGE = (ROOT / "docs" / "dashboards.md").read_text(encoding="utf-8")


def assets(folder: str) -> dict[str, dict]:
    return {path.stem: yaml.safe_load(path.read_text(encoding="utf-8")) for path in BUNDLE.glob(f"{folder}/**/*.yaml")}


DATABASES, DATASETS, CHARTS, DASHBOARDS = map(assets, ("databases", "datasets", "charts", "dashboards"))
BY_UUID = {dataset["uuid"]: dataset for dataset in DATASETS.values()}


@pytest.mark.parametrize("name", DATASETS)
def test_a_dataset_has_the_columns_and_labels_of_its_view(db, name):
    assert DATASETS[name]["table_name"] == name
    assert datasets.refreshed(DATASETS[name], db) == DATASETS[name], "run: scripts/superset/datasets.py DSN --write"


def test_a_dataset_can_have_its_labels_in_one_language(db):
    korean, english = (datasets.refreshed(DATASETS["daily_usage"], db, language) for language in ("ko", "en"))
    assert korean["description"].startswith("플랫폼 전체의")
    assert english["description"].startswith("requests and tokens")
    labels = [[column["verbose_name"] for column in dataset["columns"][:2]] for dataset in (korean, english)]
    assert labels == [["요청 일자", "요청 수"], ["Day of request", "Requests"]]


@pytest.mark.parametrize("name", DATASETS)
def test_its_metrics_and_calculated_columns_are_sql_that_an_analyst_may_run(db, name):
    dataset = DATASETS[name]
    view = sql.Identifier(dataset["schema"], dataset["table_name"])
    calculated = [column["expression"] for column in dataset["columns"] if "expression" in column]
    db.execute("SET ROLE llm_analyst")
    for expression in calculated + [metric["expression"] for metric in dataset["metrics"]]:
        db.execute(sql.SQL("SELECT {} FROM {}").format(sql.SQL(expression), view))
    db.execute("RESET ROLE")


@pytest.mark.parametrize("name", CHARTS)
def test_a_chart_asks_for_what_its_dataset_has(name):
    chart = CHARTS[name]
    dataset, form = BY_UUID[chart["dataset_uuid"]], chart["params"]
    assert form["viz_type"] == chart["viz_type"]
    by = form.get("groupby", [])
    columns = {column["column_name"] for column in dataset["columns"]}
    asked = {by} if isinstance(by, str) else {*by}
    asked |= {*form.get("all_columns", []), *(item["subject"] for item in form["adhoc_filters"])}
    asked |= {yaml.safe_load(item)[0] for item in form.get("order_by_cols", [])}
    asked |= {form["x_axis"]} if "x_axis" in form else set()
    assert asked
    assert asked <= columns
    metrics = {*form.get("metrics", []), *(form[key] for key in ("metric", "timeseries_limit_metric") if key in form)}
    assert metrics <= {metric["metric_name"] for metric in dataset["metrics"]}
    # Bounded also when it is opened by itself, away from the dashboard's time filter.
    times = [item["subject"] for item in form["adhoc_filters"] if item["operator"] == "TEMPORAL_RANGE"]
    assert times == [dataset["main_dttm_col"]] * bool(dataset["main_dttm_col"])


def test_every_dataset_is_charted_and_every_chart_is_on_the_dashboard_once():
    assert {chart["dataset_uuid"] for chart in CHARTS.values()} == BY_UUID.keys()
    (board,) = DASHBOARDS.values()
    position = {key: item for key, item in board["position"].items() if isinstance(item, dict)}
    shown = [item["meta"]["uuid"] for item in position.values() if item["type"] == "CHART"]
    assert sorted(shown) == sorted(chart["uuid"] for chart in CHARTS.values())
    names = {item["meta"]["uuid"]: item["meta"]["sliceName"] for item in position.values() if item["type"] == "CHART"}
    assert names == {chart["uuid"]: chart["slice_name"] for chart in CHARTS.values()}
    placed = [child for item in position.values() for child in item.get("children", [])]
    assert sorted(placed) == sorted(position.keys() - {"ROOT_ID", "HEADER_ID"})
    for row in position.values():
        if row["type"] == "ROW":
            assert sum(position[child]["meta"]["width"] for child in row["children"]) == 12


def test_an_asset_is_the_same_asset_wherever_it_is_imported():
    for folder in ("databases", "datasets", "charts", "dashboards"):
        for name, asset in assets(folder).items():
            made = uuid.uuid5(uuid.NAMESPACE_URL, f"llm-platform-db/superset/{folder}/{name}")
            assert asset["uuid"] == str(made), f"{folder}/{name}"


def test_the_bundle_names_no_server_and_holds_no_password():
    (database,) = DATABASES.values()
    assert database["sqlalchemy_uri"] == "postgresql+psycopg2://llm_dashboard@localhost:5432/llm"
    assert not database["allow_dml"]
    assert {dataset["database_uuid"] for dataset in DATASETS.values()} == {database["uuid"]}
    for path in BUNDLE.rglob("*.yaml"):
        assert "password" not in path.read_text(encoding="utf-8").lower(), path


def block(name: str) -> str:
    return re.search(rf"<!-- {name}: begin -->\n```sql\n(.*?)```", PAGE, re.S)[1]


@pytest.fixture
def login(db, dsn):
    """The page's login, under a name of this test's own: roles are the server's."""
    name = f"dashboard_{uuid.uuid4().hex}"
    db.execute(block("login").replace("llm_dashboard", name))
    yield make_conninfo(dsn, user=name, password="choose-one")
    db.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(name)))


def test_the_login_of_the_page_reads_the_reports_and_nothing_else(db, company, login):
    with psycopg.connect(login, autocommit=True) as reader:
        for dataset in DATASETS.values():
            reader.execute(sql.SQL("SELECT FROM reporting.{}").format(sql.Identifier(dataset["table_name"])))
        assert reader.execute("SHOW statement_timeout").fetchone() == ("1min",)
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            reader.execute("CREATE TEMPORARY TABLE mine ()")
        reader.execute("SET default_transaction_read_only = off")
        for statement in ("SELECT FROM llm.users", "SELECT FROM ops.months", "DELETE FROM llm.session_logs"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                reader.execute(statement)


def test_the_grafana_query_of_the_page_runs(db, company, login):
    db.execute(
        "INSERT INTO llm.session_logs (session_id, deployment_id, token_used) VALUES (%s, %s, 7)",
        [company.session_id, company.deployment_id],
    )
    # As Grafana writes its macro out.
    query = re.sub(
        r"\$__timeFilter\((\w+)\)", r"\1 BETWEEN '2020-01-01T05:01:17Z' AND '2099-01-01T05:01:17Z'", block("grafana")
    )
    with psycopg.connect(login) as reader:
        (row,) = reader.execute(query).fetchall()
    assert row[1:] == ("AI연구팀", 7)


def test_the_views_that_the_page_names_exist(db):
    named = set(re.findall(r"reporting\.(\w+)", PAGE))
    assert len(named) > 5
    assert named <= {name for (name,) in db.execute("SELECT viewname FROM pg_views WHERE schemaname = 'reporting'")}


def test_the_page_lists_every_chart():
    listed = re.findall(r"^\| (.+?) \| (.+?) \|$", PAGE.split("## Metabase")[0], re.M)
    charts = [name for _, names in listed[1:] for name in names.split("; ")]
    assert sorted(charts) == sorted(chart["slice_name"] for chart in CHARTS.values())


@pytest.mark.parametrize("password", ["choose-one", "p@ss:/w#rd%", "암호 ?&="])
def test_superset_connects_as_the_login_that_was_named(db, login, password):
    name = psycopg.conninfo.conninfo_to_dict(login)["user"]
    db.execute(sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(name), sql.Literal(password)))
    uri = dashboards.sqlalchemy_uri(make_conninfo(login, password=password, connect_timeout=5))
    assert uri.startswith(f"postgresql+psycopg2://{name}:{quote(password, safe='')}@/")
    # SQLAlchemy's URI without its driver is libpq's.
    with psycopg.connect(uri.replace("+psycopg2", "")) as reader:
        assert reader.execute("SELECT current_user").fetchone() == (name,)
        assert reader.info.password == password


def test_a_login_that_can_do_more_than_read_the_reports_is_refused(db, dsn):
    with pytest.raises(Problem, match="can do more"):
        dashboards.sqlalchemy_uri(dsn)


def test_a_login_that_cannot_read_the_reports_is_refused(db, dsn):
    name = f"stranger_{uuid.uuid4().hex}"
    db.execute(sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(name)))
    with pytest.raises(Problem, match="cannot read the reports"):
        dashboards.sqlalchemy_uri(make_conninfo(dsn, user=name))
    db.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(name)))
