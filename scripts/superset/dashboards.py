"""Imports the bundle into a Superset of its own and checks that every chart shows data.

    scripts/superset/run              # on the demo company, in the embedded PostgreSQL of ./.llm-db
    scripts/superset/run --dsn DSN    # on your database, as a login that reads the reports and nothing else
    scripts/superset/run --serve      # and leave Superset running, to look at

It exits with 1 when a chart shows nothing, and names it.
"""

import argparse
import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from urllib.parse import quote, urlencode

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from llm_db import database, embedded
from llm_db.errors import DONE, Problem, redact

HERE = Path(__file__).resolve().parent
PROGRAMS = HERE.parents[1] / ".venv-superset" / "bin"
PORT = 8088
LOGIN = "llm_dashboard"
MAKE_LOGIN = f"""
DO $$
BEGIN
    IF to_regrole('{LOGIN}') IS NULL THEN
        CREATE ROLE {LOGIN} LOGIN IN ROLE llm_analyst;
        -- As on a company's own server: the days must come out right all the same.
        ALTER ROLE {LOGIN} SET TimeZone = 'Asia/Seoul';
    END IF;
END
$$
"""
READS = """
SELECT
    coalesce(has_schema_privilege(to_regnamespace('reporting'), 'USAGE'), false),
    EXISTS (
        SELECT 1
        FROM pg_catalog.pg_class AS c
        WHERE c.relnamespace = to_regnamespace('llm') AND c.relkind IN ('r', 'p', 'v')
            AND has_schema_privilege(c.relnamespace, 'USAGE')
            AND (
                has_table_privilege(c.oid, 'SELECT, INSERT, UPDATE, DELETE')
                OR has_any_column_privilege(c.oid, 'INSERT, UPDATE')
                -- On a cluster, who reads reports has what they show of these.
                OR c.relname NOT IN ('sessions', 'session_logs') AND has_any_column_privilege(c.oid, 'SELECT')
            )
    )
"""


def demo_login() -> str:
    """The demo company's database, as a login made for the dashboard."""
    conninfo = embedded.start()
    print("Making the demo company, unless it is there ...", flush=True)
    done = subprocess.run([sys.executable, "-m", "llm_db", "demo", "--dsn", conninfo], stdout=subprocess.DEVNULL)
    if done.returncode:
        raise Problem("There is no demo company to show.", "see above; or name a database with --dsn", done.returncode)
    with psycopg.connect(conninfo) as connection:
        connection.execute(MAKE_LOGIN)
    return make_conninfo(conninfo, user=LOGIN)


def sqlalchemy_uri(conninfo: str) -> str:
    """What Superset connects with. Whoever sees the dashboard acts as this login, so one that can do more than read the
    reports is refused."""
    with database.opened(database.Target(conninfo, "the dashboard's login")) as connection:
        reads_reports, reads_tables = connection.execute(READS).fetchone()
        info = connection.info
        if not reads_reports or reads_tables:
            what = "cannot read the reports" if not reads_reports else "can do more than read the reports"
            raise Problem(f"The login {info.user} {what}.", "make one as docs/dashboards.md says, and name it in --dsn")
        login = quote(info.user, safe="") + (f":{quote(info.password, safe='')}" if info.password else "")
        # As parameters: a socket's folder is no host name.
        rest = {**conninfo_to_dict(conninfo), "host": info.host, "port": info.port}
        for name in ("user", "password", "dbname"):
            rest.pop(name, None)
        return f"postgresql+psycopg2://{login}@/{quote(info.dbname, safe='')}?{urlencode(rest)}"


def serve(environment: dict[str, str], password: str) -> None:
    print(f"\nhttp://127.0.0.1:{PORT}/superset/dashboard/llm-platform/   user: admin   password: {password}")
    print("Press Ctrl-C to stop; nothing of this Superset is kept.", flush=True)
    command = [PROGRAMS / "superset", "run", "--port", str(PORT), "--with-threads"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            server.wait()
        except KeyboardInterrupt:
            server.terminate()


def run(options: argparse.Namespace) -> int:
    uri = sqlalchemy_uri(demo_login() if options.dsn is None else database.checked(options.dsn, "--dsn"))
    password = secrets.token_urlsafe(9)
    with tempfile.TemporaryDirectory(prefix="llm-db-superset-") as home:
        environment = {
            **os.environ,
            "SUPERSET_HOME": home,
            "SUPERSET_SECRET_KEY": secrets.token_hex(32),
            "SUPERSET_CONFIG_PATH": str(HERE / "superset_config.py"),
            "FLASK_APP": "superset.app:create_app()",
        }
        # Through a pipe: a command line is there for everyone on the machine to read.
        done = subprocess.run(
            [PROGRAMS / "python", HERE / "inside.py", HERE / "bundle"],
            input=json.dumps({"uri": uri, "password": password}),
            text=True,
            env=environment,
        )
        if options.serve:
            serve(environment, password)
    return done.returncode


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="scripts/superset/run", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dsn", help="libpq URI or keyword string of a member of llm_analyst (default: the demo)")
    parser.add_argument("--serve", action="store_true", help="leave Superset running until Ctrl-C")
    options = parser.parse_args()
    # What is stopped in either way cleans up after itself.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return run(options)
    except Problem as problem:
        for title, text in (("error", problem.message), ("hint", problem.hint)):
            if text:
                print(f"{title}: {redact(text, options.dsn or '')}", file=sys.stderr)
        return problem.exit_code
    except KeyboardInterrupt:
        return DONE


if __name__ == "__main__":
    sys.exit(main())
