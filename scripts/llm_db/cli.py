"""The command line: reads the arguments, runs one command, turns every failure into a sentence, a hint and a code."""

import argparse
import json
import signal
import sys
import threading
import time
from pathlib import Path
from typing import NoReturn

import psycopg

from llm_db import __version__, database, embedded, migrations, report, seeds, views
from llm_db.errors import DONE, PENDING, SQL_FAILED, Problem, redact, sql_problem

DESCRIPTION = """\
Migrates the LLM platform's PostgreSQL database, loads request logs into it, and reports on it.

The database is the first of these that is given:
  --dsn             a libpq URI or keyword string
  DATABASE_URL      the same, in the environment
  PGHOST, PGSERVICE, PGDATABASE, ...   libpq's environment
  none of them      an EMBEDDED PostgreSQL in ./.llm-db, for trying things out
"""

EXAMPLES = """\
examples:
  llm-db demo                                    a demo company in an embedded database, and three reports
  llm-db plan  --dsn 'host=db1 dbname=llm'       the SQL that migrate would run; changes nothing
  llm-db migrate --dsn postgresql://me@db1/llm   apply what is pending
  llm-db status --check                          for CI: exit code 3 when something is pending
  llm-db report                                  which reports there are
  llm-db load requests.csv                       request logs from CSV or NDJSON

exit codes: 0 done, 1 SQL failed or rows rejected, 2 usage or connection, 3 pending (status --check)
Passwords are best left to PGPASSWORD or ~/.pgpass; none is ever printed.
"""


class Parser(argparse.ArgumentParser):
    """argparse, with our errors. It quotes what it does not understand, and that may be a connection string."""

    def error(self, message: str) -> NoReturn:
        raise Problem(f"{redact(message, message)}.", f"`{self.prog} --help` shows what it takes")


def parser() -> argparse.ArgumentParser:
    top = Parser(
        prog="llm-db", description=DESCRIPTION, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    top.add_argument("--version", action="version", version=f"llm-db {__version__}")
    common = Parser(add_help=False)
    common.add_argument("--dsn", help="libpq URI or keyword string, e.g. 'host=db1 dbname=llm user=me'")
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True)

    def command(name: str, help_text: str, example: str) -> argparse.ArgumentParser:
        return commands.add_parser(
            name,
            parents=[common],
            help=help_text,
            description=help_text[0].upper() + help_text[1:] + ".",
            epilog=f"example:\n{example}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )

    status = command("status", "which migrations are applied and which are pending", "  llm-db status --json")
    status.add_argument("--json", action="store_true", help="for programs")
    status.add_argument("--check", action="store_true", help="exit with 3 when something is pending")

    command("plan", "the pending SQL in order; changes nothing", "  llm-db plan > for-the-dba.sql")

    migrate = command(
        "migrate", "apply pending migrations, then views and reference data", "  llm-db migrate --to 0003"
    )
    migrate.add_argument("--to", metavar="ID", help="stop after this migration (its id or number)")

    rollback = command(
        "rollback",
        "undo every migration after --to ID",
        "  llm-db rollback --to 0003 --yes\n  llm-db rollback --to none",
    )
    rollback.add_argument("--to", metavar="ID", required=True, help="the migration to go back to; none (or 0) for all")
    rollback.add_argument("--yes", action="store_true", help="really do it; without it, only says what would go")

    from llm_db import load

    load.add_arguments(command("load", "load request logs from CSV or NDJSON", "  llm-db load requests.csv"))

    shown = command(
        "report", "list the reporting views, or print one", "  llm-db report\n  llm-db report NAME --csv > name.csv"
    )
    shown.add_argument("name", nargs="?", metavar="NAME", help="the view; without it, the list of them")
    formats = shown.add_mutually_exclusive_group()
    formats.add_argument("--csv", action="store_true", help="every row, as CSV")
    formats.add_argument("--json", action="store_true", help="every row, as JSON")

    demo = command("demo", "migrate, make the demo company, print three reports", "  llm-db demo --logs 1000000")
    demo.add_argument("--logs", type=positive, default=100_000, metavar="N", help="how many logs (default 100000)")

    command("serve", "keep the embedded PostgreSQL of this folder up until Ctrl-C", "  llm-db serve")
    return top


def positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a number above 0")
    return int(text)


def run_status(options: argparse.Namespace, connection: psycopg.Connection) -> int:
    current = migrations.state(connection, migrations.migration_files())
    if options.json:
        print(
            json.dumps({"applied": current.applied, "pending": current.pending, "unknown": current.unknown}, indent=2)
        )
    else:
        print(database.describe(connection))
        for migration_id in current.applied:
            print(f"applied  {migration_id}")
        for migration_id in current.unknown:
            print(f"unknown  {migration_id}  (applied by a newer llm-db)")
        for migration_id in current.pending:
            print(f"pending  {migration_id}")
        print(f"{len(current.applied)} applied, {len(current.pending)} pending")
    return PENDING if options.check and current.pending else DONE


def run_plan(options: argparse.Namespace, connection: psycopg.Connection) -> int:
    known = migrations.migration_files()
    current = migrations.state(connection, known)
    migrations.refuse_unknown(current)
    pending = [migration for migration in known if migration.id in current.pending]
    for migration in pending:
        print(f"-- {migration.id}\n{migrations.read_sql(Path(migration.path)).rstrip()}\n")
    print(f"-- {len(pending)} pending; views and reference data follow them" if pending else "-- nothing is pending")
    return DONE


def run_migrate(options: argparse.Namespace, connection: psycopg.Connection) -> int:
    known = migrations.migration_files()
    last = migrations.find(known, options.to) if options.to else len(known) - 1
    files = views.view_files()
    backend = migrations.Backend(connection)
    with backend.lock():
        current = migrations.state(connection, known)
        migrations.refuse_unknown(current)
        backend.create_ledger()
        pending = [migration for migration in known[: last + 1] if migration.id in current.pending]
        for number, migration in enumerate(pending, start=1):
            started = time.perf_counter()
            backend.apply_one(migration)
            took = (time.perf_counter() - started) * 1000
            print(f"[{number}/{len(pending)}] {migration.id} {took:.0f} ms", flush=True)
        if not pending:
            print("Nothing to migrate." if options.to else "Every migration is applied already.")
        if all(migration.id in current.applied or migration in pending for migration in known):
            with backend.unit():
                created = views.refresh(connection, files)
                seeds.run_reference(connection)
            print(f"views: {len(created)} created, {len(files) - len(created)} unchanged; reference data is in")
    return DONE


def run_rollback(options: argparse.Namespace, connection: psycopg.Connection) -> int:
    known = migrations.migration_files()
    keep = 0 if options.to in ("none", "0") else migrations.find(known, options.to) + 1
    current = migrations.state(connection, known)
    migrations.refuse_unknown(current)
    after = [migration for migration in reversed(known) if migration in known[keep:]]
    going = [migration for migration in after if migration.id in current.applied]
    if not going:
        print(f"Nothing is applied after {options.to}.")
        return DONE
    if not options.yes:
        print("This would roll back, with the data in it:")
        for migration in going:
            print(f"  {migration.id}")
        raise Problem("Nothing was rolled back.", "add --yes to do it")
    backend = migrations.Backend(connection)
    with backend.lock():
        # Read again: another runner may have been at work until we got the lock.
        current = migrations.state(connection, known)
        going = [migration for migration in after if migration.id in current.applied]
        for number, migration in enumerate(going, start=1):
            started = time.perf_counter()
            migration.load()
            if number == 1 and migration.use_transactions:
                with backend.unit():
                    dropped = views.drop_all(connection)
                    backend.rollback_one(migration)
            elif number == 1:
                with backend.unit():
                    dropped = views.drop_all(connection)
                backend.rollback_one(migration)
            else:
                backend.rollback_one(migration)
            if number == 1 and dropped:
                print(f"dropped {len(dropped)} views; the next full migrate makes them again")
            took = (time.perf_counter() - started) * 1000
            print(f"[{number}/{len(going)}] {migration.id} rolled back {took:.0f} ms", flush=True)
    return DONE


def run_demo(options: argparse.Namespace, connection: psycopg.Connection) -> int:
    from llm_db import demo

    options.to = None
    run_migrate(options, connection)
    migrations.clean_session(connection)
    demo.run(connection, logs=options.logs)
    for name in report.DEMO_REPORTS:
        print()
        report.show(connection, name, rows=12)
    return DONE


def run_serve(options: argparse.Namespace) -> int:
    if options.dsn is not None:
        raise Problem("serve is for the embedded PostgreSQL and takes no --dsn.", "leave --dsn out")
    conninfo = embedded.start()
    # The DSN of a server on this machine that trusts its local user: there is no password in it.
    print(f"DSN:   {conninfo}\npsql:  {embedded.psql()} '{conninfo}'\nPress Ctrl-C to stop.", flush=True)
    threading.Event().wait()
    return DONE


def interrupted(_signal: int, _frame: object) -> None:
    raise KeyboardInterrupt


def run(options: argparse.Namespace) -> int:
    if options.command == "serve":
        return run_serve(options)
    target = database.resolve(options.dsn)
    options.conninfo = target.conninfo
    if options.command == "load":
        from llm_db import load

        return load.run(options, lambda: database.connect(target))
    commands = {
        "status": run_status,
        "plan": run_plan,
        "migrate": run_migrate,
        "rollback": run_rollback,
        "report": report.run,
        "demo": run_demo,
    }
    with database.connect(target) as connection:
        return commands[options.command](options, connection)


def main(arguments: list[str] | None = None) -> int:
    # An embedded server stops through atexit, which a bare SIGTERM would skip.
    signal.signal(signal.SIGTERM, interrupted)
    options = argparse.Namespace(command=None, conninfo="")
    try:
        parser().parse_args(arguments, options)
        return run(options)
    except Problem as problem:
        return told(problem, options)
    except psycopg.Error as error:
        return told(sql_problem(error, f"llm-db {options.command}"), options)
    except KeyboardInterrupt:
        if options.command == "serve":
            print("Stopping the embedded PostgreSQL.", file=sys.stderr)
            return DONE
        return told(Problem("Interrupted.", "a transaction that was open is undone; run this again"), options)
    except BrokenPipeError:
        # The reader (head, less) has seen enough. Python would complain once more when it flushes at exit.
        sys.stdout = None
        return DONE
    except Exception as error:
        # The last resort: whatever it is, a user gets one sentence and somewhere to go.
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        return told(
            Problem(f"llm-db failed unexpectedly: {reason}", "please report this with the command you ran", SQL_FAILED),
            options,
        )


def told(problem: Problem, options: argparse.Namespace) -> int:
    conninfo = options.conninfo or getattr(options, "dsn", None) or ""
    print(f"error: {redact(problem.message, conninfo)}", file=sys.stderr)
    if problem.hint:
        print(f"hint: {redact(problem.hint, conninfo)}", file=sys.stderr)
    return problem.exit_code
