"""Runs inside Superset's environment: imports the bundle, asks Superset for every chart's data, prints what came.

    inside.py BUNDLE < {"uri": SQLAlchemy URI of the login that reads the views, "password": the admin's to be}

dashboards.py runs it, with the settings of superset_config.py.
"""

import json
import logging
import signal
import sys
import time
import warnings
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

# Ctrl-C is answered by whoever started this.
signal.signal(signal.SIGINT, signal.SIG_DFL)
# Superset narrates all it does. What goes wrong comes back from the calls below.
logging.disable(logging.WARNING)
warnings.simplefilter("ignore")

import yaml  # noqa: E402
from flask import Flask  # noqa: E402
from flask_migrate import upgrade  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402
from superset.app import create_app  # noqa: E402

ADMIN = "admin"
DAY_MS = 86_400_000
DATABASE = "databases/llm_platform.yaml"


def prepare(password: str) -> None:
    """What `superset db upgrade`, `superset init` and `superset fab create-admin` do, without starting three times."""
    from superset import appbuilder, db, security_manager

    upgrade()
    appbuilder.add_permissions(update_perms=True)
    security_manager.sync_role_definitions()
    db.session.commit()
    admin = security_manager.find_role("Admin")
    security_manager.add_user(ADMIN, "LLM", "admin", "admin@example.com", admin, password=password)


def load(bundle: Path, uri: str) -> None:
    """The import that Superset's own "Import dashboards" does, with the placeholder replaced by the login's URI."""
    from superset.commands.dashboard.importers.v1 import ImportDashboardsCommand
    from superset.commands.exceptions import CommandInvalidError, ImportFailedError
    from superset.utils.core import override_user

    from superset import security_manager

    files = {str(path.relative_to(bundle)): path.read_text(encoding="utf-8") for path in sorted(bundle.rglob("*.yaml"))}
    files[DATABASE] = yaml.safe_dump({**yaml.safe_load(files[DATABASE]), "sqlalchemy_uri": uri})
    try:
        with override_user(security_manager.find_user(ADMIN)):
            ImportDashboardsCommand(files).run()
    except CommandInvalidError as error:
        sys.exit(f"error: Superset does not take the bundle: {error.normalized_messages()}")
    except ImportFailedError as error:
        sys.exit(f"error: Superset could not import the bundle: {error.__cause__ or error}")


def dashboard_charts() -> list[dict[str, Any]]:
    from superset.models.dashboard import Dashboard

    from superset import db

    return [
        {"id": chart.id, "name": chart.slice_name, "view": chart.datasource.table_name, "form": chart.form_data}
        for dashboard in db.session.query(Dashboard)
        for chart in dashboard.slices
    ]


def query_context(form: dict[str, Any]) -> dict[str, Any]:
    """What Superset's page asks of its server for a chart, as far as our kinds of chart go."""
    number, kind = form["datasource"].split("__")
    by = form.get("groupby") or []
    by = [by] if isinstance(by, str) else by
    axis = form.get("x_axis")
    if axis and form.get("time_grain_sqla"):
        axis = {
            "columnType": "BASE_AXIS",
            "expressionType": "SQL",
            "sqlExpression": axis,
            "label": axis,
            "timeGrain": form["time_grain_sqla"],
        }
    metrics = form.get("metrics") or ([form["metric"]] if "metric" in form else [])
    query = {
        "columns": [*([axis] if axis else []), *by, *form.get("all_columns", [])],
        "filters": [
            {"col": item["subject"], "op": item["operator"], "val": item["comparator"]}
            for item in form["adhoc_filters"]
        ],
        "orderby": [json.loads(item) for item in form.get("order_by_cols", [])],
        "row_limit": form.get("row_limit", 10_000),
    }
    # A query without metrics lists rows; an empty list of them would group them.
    if metrics:
        query |= {"metrics": metrics, "orderby": [[form.get("timeseries_limit_metric", metrics[0]), False]]}
    if "limit" in form:
        query |= {
            "series_columns": by,
            "series_limit": form["limit"],
            "series_limit_metric": form["timeseries_limit_metric"],
            "group_others_when_limit_reached": form["group_others_when_limit_reached"],
        }
    return {
        "datasource": {"id": int(number), "type": kind},
        "queries": [query],
        "result_format": "json",
        "result_type": "full",
    }


def log_in(client: Any, password: str) -> dict[str, str]:
    answer = client.post(
        "/api/v1/security/login", json={"username": ADMIN, "password": password, "provider": "db", "refresh": False}
    )
    return {"Authorization": f"Bearer {answer.json['access_token']}"}


def ask(client: Any, headers: dict[str, str], chart: dict[str, Any]) -> tuple[int, float, str]:
    """Rows, milliseconds, and what Superset or PostgreSQL said against it."""
    began = time.perf_counter()
    answer = client.post("/api/v1/chart/data", json=query_context(chart["form"]), headers=headers)
    took = (time.perf_counter() - began) * 1000
    body = answer.json
    if answer.status_code != 200:
        errors = body.get("errors") or [body]
        return 0, took, " ".join(str(error.get("message", error)) for error in errors)
    result = body["result"][0]
    return result["rowcount"], took, result.get("error") or shifted(chart["form"], result["data"])


def shifted(form: dict[str, Any], data: list[dict[str, Any]]) -> str:
    """Days are dates, which come back as midnights in UTC, unless a time zone has moved them."""
    if "time_grain_sqla" in form and any(row[form["x_axis"]] % DAY_MS for row in data):
        return "its days do not begin at midnight: does the database's connection still say TimeZone=UTC?"
    return ""


def check(app: Flask, bundle: Path, password: str, console: Console) -> list[str]:
    """The names of the charts that show nothing."""
    with app.app_context():
        charts = dashboard_charts()
    # The import passes over a chart whose dataset it does not find.
    ours = {yaml.safe_load(path.read_text(encoding="utf-8"))["slice_name"] for path in bundle.glob("charts/*.yaml")}
    empty = sorted(ours - {chart["name"] for chart in charts})
    client = app.test_client()
    headers = log_in(client, password)
    table = Table("chart", "view", "rows", "ms", "error")
    for chart in charts:
        rows, took, error = ask(client, headers, chart)
        table.add_row(chart["name"], chart["view"], f"{rows:,}", f"{took:,.0f}", error)
        if error or not rows:
            empty.append(chart["name"])
    console.print(table)
    console.print(f"{len(ours) - len(empty)} of {len(ours)} charts show data.")
    return empty


def main() -> int:
    given = json.load(sys.stdin)
    bundle = Path(sys.argv[1])
    console = Console(width=None if sys.stdout.isatty() else 140)
    print("Making Superset's own database ...", flush=True)
    # Its migrations print what they did, for every version since 2015.
    with redirect_stdout(StringIO()):
        app = create_app()
        with app.app_context():
            prepare(given["password"])
    with app.app_context():
        print("Importing the bundle ...", flush=True)
        load(bundle, given["uri"])
    if empty := check(app, bundle, given["password"], console):
        print(f"error: without data: {'; '.join(empty)}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
