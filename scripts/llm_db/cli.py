"""The command line: reads the arguments, runs one command, turns every failure into a sentence, a hint and a code."""

import argparse
import json
import re
import signal
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import nullcontext, redirect_stdout
from dataclasses import asdict, fields
from functools import partial
from typing import Literal, NoReturn

import psycopg

from llm_db import __version__, database, embedded, lint, load_options, migrations, seeds, views
from llm_db.errors import CHECK_FAILED, DONE, HISTORY, PENDING, SQL_FAILED, Problem, redact, sql_problem

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
  llm-db lint                                    are the migration files in order? Needs no database
  llm-db status --check                          for CI: exit code 3 when something is pending
  llm-db report                                  which reports there are
  llm-db load requests.csv                       request logs from CSV or NDJSON

exit codes: 0 done, 1 SQL failed or rows rejected, 2 usage or connection, 3 pending (status --check),
  4 lock not obtained, 5 the history is not in order,
  6 drift (check, baseline), 7 a check failed (lint)
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
    status.add_argument(
        "--check", action="store_true", help="exit with 3 when something is pending, 5 when the history is not in order"
    )

    linter = commands.add_parser(
        "lint",
        help="check the migration files; needs no database",
        description="Check the migration files; needs no database.",
        epilog="example:\n  llm-db lint --json",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    linter.add_argument("--json", action="store_true", help="for programs")

    plan = command(
        "plan",
        "the pending SQL in order; changes nothing",
        "  llm-db plan > for-the-dba.sql\n  llm-db plan --locks",
    )
    plan.add_argument("--locks", action="store_true", help="run it on a scratch copy and show what is locked")
    plan.add_argument("--scratch", metavar="DSN", help="the server to make that copy on (default: the same server)")
    plan.add_argument("--json", action="store_true", help="for programs")

    migrate = command(
        "migrate", "apply pending migrations, then views and reference data", "  llm-db migrate --to 0003"
    )
    migrate.add_argument("--to", metavar="ID", help="stop after this migration (its id or number)")
    migrate.add_argument("--allow-late", action="store_true", help="also run what comes before an applied migration")
    add_conduct(migrate)

    rollback = command(
        "rollback",
        "undo every migration after --to ID",
        "  llm-db rollback --to 0003 --yes\n  llm-db rollback --to none",
    )
    rollback.add_argument("--to", metavar="ID", required=True, help="the migration to go back to; none (or 0) for all")
    rollback.add_argument("--yes", action="store_true", help="really do it; without it, only says what would go")
    add_conduct(rollback)

    repair = command(
        "repair",
        "show what is wrong with the history, or put one migration right",
        "  llm-db repair\n  llm-db repair --accept 0003",
    )
    repairs = repair.add_mutually_exclusive_group()
    repairs.add_argument("--accept", metavar="ID", help="take its edited files as they are; half-done: it is applied")
    repairs.add_argument("--forget", metavar="ID", help="half-done: it is not applied, and nothing of it is there")

    check = command("check", "compare the database with what its version should be", "  llm-db check --json")
    check.add_argument("--strict", action="store_true", help="refuse also what is tolerated: indexes and grants added")
    baseline = command("baseline", "adopt a database built another way, if it matches", "  llm-db baseline --to 0008")
    baseline.add_argument("--to", metavar="ID", required=True, help="the migration whose state this database is in")
    for comparing in (check, baseline):
        comparing.add_argument("--json", action="store_true", help="for programs")
        comparing.add_argument(
            "--scratch",
            metavar="DSN",
            help="the server to make a database on for the comparison, and drop it again (default: an embedded"
            " PostgreSQL in a temporary folder)",
        )
    add_conduct(baseline)

    loader = command("load", "load request logs from CSV or NDJSON", "  llm-db load requests.csv")
    load_options.add(loader)

    shown = command(
        "report",
        "list the reporting views, or print one",
        "  llm-db report\n"
        "  llm-db report daily_usage_by_department --since 30d --where department_name=AI연구팀\n"
        "  llm-db report daily_usage_by_model --since 2026-01-01 --until 2026-01-31 --html january.html\n"
        "  llm-db report NAME --csv > name.csv",
    )
    shown.add_argument("name", nargs="?", metavar="NAME", help="the view; without it, the list of them")
    shown.add_argument(
        "--since",
        metavar="TIME",
        help="rows from this date or time on: 2026-01-31, 2026-01-31T09:00, or 30d for thirty days ago. A row's time "
        "is its day, hour or request_time; that of a week or month is its first day",
    )
    shown.add_argument(
        "--until", metavar="TIME", help="rows to this date, its whole day included, or from before this time"
    )
    shown.add_argument(
        "--where",
        action="append",
        default=[],
        metavar="COLUMN=VALUE",
        help="rows with this value; COLUMN=NULL is no value, COLUMN= the empty text. Twice for one column means either "
        "value, for two columns both",
    )
    shown.add_argument(
        "--top",
        type=positive,
        metavar="N",
        help="the N rows with the most requests; without requests, by the first number; without any, the first N",
    )
    formats = shown.add_mutually_exclusive_group()
    formats.add_argument("--csv", action="store_true", help="every row, as CSV")
    formats.add_argument("--json", action="store_true", help="every row, as JSON")
    formats.add_argument("--html", metavar="FILE", help="a page with charts, in one file that needs no network")

    demo = command("demo", "migrate, make the demo company, print three reports", "  llm-db demo --logs 1000000")
    demo.add_argument("--logs", type=positive, default=100_000, metavar="N", help="how many logs (default 100000)")

    for working in (migrate, rollback, repair, loader, demo):
        working.add_argument("--json", action="store_true", help="for programs, at the end; progress goes to stderr")

    command("serve", "keep the embedded PostgreSQL of this folder up until Ctrl-C", "  llm-db serve")
    return top


def add_conduct(command: argparse.ArgumentParser) -> None:
    """How to behave towards others. What is not given is left to migrations.Conduct."""
    given = command.add_argument_group("working beside others", argument_default=argparse.SUPPRESS)
    given.add_argument("--wait", type=seconds, metavar="SECONDS", help="for another llm-db to finish (default 60)")
    given.add_argument(
        "--lock-timeout",
        type=seconds,
        metavar="SECONDS",
        help="a file gives up after this long waiting for a lock (default 2; 0 = never), and is tried again",
    )
    given.add_argument("--retries", type=positive, metavar="N", help="how often it is tried again (default 10)")
    given.add_argument("--statement-timeout", type=seconds, metavar="SECONDS", help="default: the server's")
    given.add_argument("--role", metavar="NAME", help="act as this role, so that it owns what is made")


def conduct(options: argparse.Namespace) -> migrations.Conduct:
    names = {field.name for field in fields(migrations.Conduct)}
    return migrations.Conduct(**{name: value for name, value in vars(options).items() if name in names})


def seconds(text: str) -> float:
    if not re.fullmatch(r"\d{1,6}(\.\d+)?", text):
        raise argparse.ArgumentTypeError(f"{text} is not a number of seconds")
    return float(text)


def positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a number above 0")
    return int(text)


def run_status(options: argparse.Namespace, connection: psycopg.Connection) -> int:
    current = migrations.state(connection, migrations.migration_files())
    problems = migrations.violations(current)
    if options.json:
        shown = asdict(current) | {"ledger": [entry.as_json() for entry in current.ledger.values()]}
        print(json.dumps(shown, indent=2, ensure_ascii=False))
    else:
        print(database.describe(connection))
        for migration_id in current.applied:
            print(f"{'edited ' if migration_id in current.edited else 'applied'}  {migration_id}")
        for migration_id in current.unknown:
            print(f"missing  {migration_id}")
        for migration_id in current.pending:
            print(f"{'late   ' if migration_id in current.late else 'pending'}  {migration_id}")
        for migration_id in current.half_done:
            print(f"half-done  {migration_id}")
        print(f"{len(current.applied)} applied, {len(current.pending)} pending")
        if problems:
            print("The history is not in order; `llm-db repair` shows the ways out.")
    if options.check and problems:
        return HISTORY
    return PENDING if options.check and current.pending else DONE


def run_repair(options: argparse.Namespace, connection: psycopg.Connection) -> int:
    known = migrations.migration_files()
    if not (options.accept or options.forget):
        problems = migrations.violations(migrations.state(connection, known))
        options.answer = {"problems": [{"problem": message, "way_out": way_out} for message, way_out in problems]}
        for message, way_out in problems:
            print(f"{message}\n  {way_out}")
        print(f"{len(problems)} to repair" if problems else "Nothing to repair.")
        return HISTORY if problems else DONE
    migration = known[migrations.find(known, options.accept or options.forget)]
    backend = migrations.Backend(connection)
    with backend.lock(), backend.unit():
        current = migrations.state(connection, known)
        half_done = migration.id in current.half_done
        if options.forget and half_done:
            backend.unmark_one(migration)
            state = "not applied"
        elif options.accept and half_done:
            backend.mark_one(migration)
            state = "applied"
        elif options.accept and migration.id in current.edited:
            backend.accept_one(migration)
            state = "applied as its files are now"
        else:
            raise Problem(f"{migration.id} needs no such repair.", "`llm-db repair` shows what does")
    options.answer = {"repaired": migration.id, "as": state}
    print(f"{migration.id} counts as {state}")
    return DONE


def run_plan(options: argparse.Namespace, connection: psycopg.Connection) -> int:
    known = migrations.migration_files()
    lint.refuse()
    current = migrations.state(connection, known)
    migrations.refuse_unknown(current)
    pending = [migration for migration in known if migration.id in current.pending]
    if options.scratch and not options.locks:
        raise Problem("--scratch is for --locks.", "add --locks")
    found = {}
    if options.locks:
        from llm_db import locks

        found = locks.examine(known, current, options.scratch or options.conninfo)
    if options.json:
        rows = []
        for migration in pending:
            text = migrations.read_sql(migration.up)
            rows.append({"id": migration.id, "transactional": migration.use_transactions, "sql": text})
            if migration.id in found:
                rows[-1]["locks"] = [asdict(touched) for touched in found[migration.id]]
        print(json.dumps(rows, indent=2, ensure_ascii=False))
        return DONE
    for migration in pending:
        how = "in one transaction" if migration.use_transactions else "NOT in a transaction"
        if migration.each_of:
            how = f"once per partition of {migration.each_of}, {how}"
        print(f"-- {migration.id} ({how})")
        if not options.locks:
            print(f"{migrations.read_sql(migration.up).rstrip()}\n")
        elif migration.id in found:
            print("\n".join(f"--   {touched}" for touched in found[migration.id]) or "--   no table that is there now")
        else:
            print("--   not examined: it takes its locks one after the other")
    print(f"-- {len(pending)} pending; views and reference data follow them" if pending else "-- nothing is pending")
    return DONE


def run_lint(options: argparse.Namespace) -> int:
    found = lint.findings(with_parser=lint.has_parser())
    if not lint.has_parser():
        print("pglast is not installed: not compared with PostgreSQL's own parser", file=sys.stderr)
    if options.json:
        print(json.dumps([asdict(one) for one in found], indent=2, ensure_ascii=False))
    else:
        for one in found:
            print(one)
    return CHECK_FAILED if found else DONE


def run_migrate(options: argparse.Namespace, connection: psycopg.Connection) -> int:
    applied: list[dict[str, object]] = []
    options.answer = {"applied": applied, "views": None}
    known = migrations.migration_files()
    lint.refuse()
    last = migrations.find(known, options.to) if options.to else len(known) - 1
    files = views.view_files()
    allow_late = vars(options).get("allow_late", False)
    backend = migrations.Backend(connection, conduct(options))
    with backend.lock():
        current = migrations.state(connection, known)
        migrations.refuse_history(current, allow_late)
        backend.create_ledger(known)
        pending = [migration for migration in known[: last + 1] if migration.id in current.pending]
        run_each(backend, files, pending, "apply", applied)
        if not pending:
            print("Nothing to migrate." if options.to else "Every migration is applied already.")
        if all(migration.id in current.applied or migration in pending for migration in known):

            def repeatable() -> list[str]:
                created = views.refresh(connection, files)
                seeds.run_reference(connection)
                return created

            created = backend.attempt("views and reference data", repeatable)
            unchanged = len(files) - len(created)
            options.answer["views"] = {"created": created, "unchanged": unchanged}
            print(f"views: {len(created)} created, {unchanged} unchanged; reference data is in")
    return DONE


def run_rollback(options: argparse.Namespace, connection: psycopg.Connection) -> int:
    known = migrations.migration_files()
    keep = 0 if options.to in ("none", "0") else migrations.find(known, options.to) + 1
    after = [migration for migration in reversed(known) if migration in known[keep:]]

    def to_go() -> list[migrations.FileMigration]:
        current = migrations.state(connection, known)
        going = [migration for migration in after if migration.id in current.applied + current.half_done]
        migrations.refuse_rollback(current, going)
        return going

    rolled_back: list[dict[str, object]] = []
    options.answer = {"rolled_back": rolled_back}
    going = to_go()
    if not going:
        print(f"Nothing is applied after {options.to}.")
        return DONE
    if not options.yes:
        options.answer = {"would_roll_back": [migration.id for migration in going]}
        print("This would roll back, with the data in it:")
        for migration in going:
            print(f"  {migration.id}")
        raise Problem("Nothing was rolled back.", "add --yes to do it")
    # An edited file that was accepted has not been looked at yet.
    lint.refuse()
    backend = migrations.Backend(connection, conduct(options))
    with backend.lock():
        backend.create_ledger(known)
        # Read again: another runner may have been at work until we got the lock.
        run_each(backend, views.view_files(), to_go(), "rollback", rolled_back)
    return DONE


def run_each(
    backend: migrations.Backend,
    files: list[views.View],
    todo: Sequence[migrations.FileMigration],
    direction: Literal["apply", "rollback"],
    done: list[dict[str, object]],
) -> None:
    """One after the other. What is done is told at once, so that it is known when the next one fails."""
    for number, migration in enumerate(todo, start=1):
        path, run_one, said = (
            (migration.up, backend.apply_one, "")
            if direction == "apply"
            else (migration.down, backend.rollback_one, " rolled back")
        )
        started = time.perf_counter()
        gone: list[str] = []
        if migration.use_transactions:
            gone = views.give_way(backend, files, migrations.shown(path), partial(run_one, migration))
        else:
            run_one(migration)
        took = (time.perf_counter() - started) * 1000
        if gone:
            print(f"dropped {len(gone)} views: {', '.join(gone)}; the end of a full migrate makes them again")
        print(f"[{number}/{len(todo)}] {migration.id}{said} {took:.0f} ms", flush=True)
        done.append({"id": migration.id, "ms": round(took), "views_dropped": gone})


def run_check(options: argparse.Namespace, connection: psycopg.Connection) -> int:
    from llm_db import check

    return check.run_check(options, connection)


def run_baseline(options: argparse.Namespace, connection: psycopg.Connection) -> int:
    from llm_db import check

    return check.run_baseline(options, connection, conduct(options))


def run_report(options: argparse.Namespace, connection: psycopg.Connection) -> int:
    # Here, since its library for tables would make every command start later.
    from llm_db import report

    return report.run(options, connection)


def run_demo(options: argparse.Namespace, connection: psycopg.Connection) -> int:
    from llm_db import demo

    options.to = None
    run_migrate(options, connection)
    migrations.clean_session(connection)
    result = demo.run(connection, logs=options.logs)
    print("Rolling up for the reports ...", flush=True)
    connection.execute("CALL llm.refresh_rollups()")
    options.answer = {"migrate": options.answer, "created": result.created, "rows": result.counts}
    if not options.json:
        from llm_db import report

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


def answer(options: argparse.Namespace) -> int:
    """With --json, a command prints its document itself, or leaves it in options.answer and goes on talking to people:
    to stderr then."""
    talks = options.json and options.command in ("migrate", "rollback", "repair", "load", "demo")
    with redirect_stdout(sys.stderr) if talks else nullcontext():
        exit_code = run(options)
    if talks:
        print(json.dumps(options.answer, indent=2, ensure_ascii=False))
    return exit_code


def run(options: argparse.Namespace) -> int:
    if options.command == "serve":
        return run_serve(options)
    if options.command == "lint":
        return run_lint(options)
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
        "repair": run_repair,
        "check": run_check,
        "baseline": run_baseline,
        "report": run_report,
        "demo": run_demo,
    }
    with database.connect(target) as connection:
        return commands[options.command](options, connection)


def main(arguments: list[str] | None = None) -> int:
    # An embedded server stops through atexit, which a bare SIGTERM would skip.
    signal.signal(signal.SIGTERM, interrupted)
    # Known before the parser is done: what it refuses is told to programs too.
    as_json = "--json" in (sys.argv[1:] if arguments is None else arguments)
    options = argparse.Namespace(command=None, conninfo="", json=as_json, answer={})
    try:
        parser().parse_args(arguments, options)
        return answer(options)
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
    error, hint = redact(problem.message, conninfo), redact(problem.hint, conninfo)
    print(f"error: {error}", file=sys.stderr)
    if hint:
        print(f"hint: {hint}", file=sys.stderr)
    if options.json:
        failure = {"error": error, "hint": hint, "exit_code": problem.exit_code}
        print(json.dumps(options.answer | failure, indent=2, ensure_ascii=False))
    return problem.exit_code
