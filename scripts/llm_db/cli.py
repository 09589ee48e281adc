"""The command line: reads the arguments, runs one command, turns every failure into a sentence, a hint and a code."""

import argparse
import json
import os
import re
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, is_dataclass
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import psycopg

from llm_db import __version__, database, embedded, rights
from llm_db.backend import Conduct
from llm_db.errors import FULL, LACKS_A_RIGHT, Exit, Problem, one_line, printable_lines, redact, sql_problem
from llm_db.load import options as load_options
from llm_db.report.words import DEFAULT, LANGUAGES

if TYPE_CHECKING:
    from llm_db.check import Compared

DESCRIPTION = """\
Migrates the LLM platform's PostgreSQL database, loads request logs into it, and reports on it.

The database is the first of these that is given:
  --dsn             a libpq URI or keyword string
  DATABASE_URL      the same, in the environment
  PGHOST, PGSERVICE, PGDATABASE, ...   libpq's environment
  none of them      an EMBEDDED PostgreSQL in ./.llm-db, for trying things out: at a terminal, and for demo and serve
                    everywhere. `--dsn embedded` (or DATABASE_URL=embedded) asks for it
--dsn and --json may also stand before the command.
"""

EXAMPLES = """\
examples:
  llm-db demo                                    a demo company in an embedded database, and four reports
  llm-db plan  --dsn 'host=db1 dbname=llm'       the SQL that migrate would run; changes nothing
  llm-db migrate --dsn postgresql://me@db1/llm   apply what is pending
  llm-db lint                                    are the migration files in order? Needs no database
  llm-db status --check                          for CI: exit code 3 when something is pending
  llm-db doctor                                  what is wrong, or soon will be, and the statement against it
  llm-db report                                  which reports there are
  llm-db load requests.csv                       request logs from CSV, NDJSON or Parquet
  llm-db archive 2025-03 march.parquet           a month in a file, before it is dropped
  llm-db maintain                                every minute, from cron: what upkeep is due

exit codes: 0 done, 1 SQL failed or rows rejected, 2 usage or connection, 3 pending (status --check),
  4 lock not obtained, 5 the history is not in order,
  6 drift (check, baseline), 7 a check failed (lint, doctor)
Passwords are best left to PGPASSWORD or ~/.pgpass; none is ever printed.
"""


class Parser(argparse.ArgumentParser):
    """argparse, with our errors. It quotes what it does not understand, and that may be a connection string."""

    def error(self, message: str) -> NoReturn:
        raise Problem(f"{redact(message, message)}.", f"`{self.prog} --help` shows what it takes")


Run = Callable[[argparse.Namespace, "Output"], int]


@dataclass
class Output:
    """Where a command says what it does. With --json that is stderr, and stdout gets one document, at the end."""

    as_json: bool
    # What is known so far, and so told of a command that fails, too. None where the command prints it itself.
    document: object = None

    def say(self, text: str) -> None:
        """What happens."""
        print(printable_lines(text), file=sys.stderr if self.as_json else None, flush=True)

    def warn(self, text: str) -> None:
        """What somebody should look at."""
        print(printable_lines(text), file=sys.stderr, flush=True)

    def show(self, lines: list[str], exactly: bool = False) -> None:
        """The answer, in words; with --json the document says the same. SQL that is to be run is shown exactly."""
        if not self.as_json:
            for line in lines:
                print(line if exactly else printable_lines(line))

    def finish(self) -> None:
        if self.as_json and self.document is not None:
            print(in_json(self.document))

    def fail(self, error: str, hint: str, exit_code: int) -> None:
        self.warn(f"error: {error}")
        if hint:
            self.warn(f"hint: {hint}")
        if self.as_json:
            document = asdict(self.document) if is_dataclass(self.document) else self.document
            known = document if isinstance(document, dict) else {}
            print(in_json(known | {"error": error, "hint": hint, "exit_code": exit_code}))


def in_json(document: object) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False, default=asdict)


def parser() -> argparse.ArgumentParser:
    top = Parser(
        prog="llm-db", description=DESCRIPTION, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    top.add_argument("--version", action="version", version=f"llm-db {__version__}")
    common = Parser(add_help=False)
    common.add_argument("--dsn", help="libpq URI or keyword string, e.g. 'host=db1 dbname=llm user=me'")
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True)

    def command(name: str, run: Run, help_text: str, example: str) -> argparse.ArgumentParser:
        added = commands.add_parser(
            name,
            # lint reads files only.
            parents=[] if run is run_lint else [common],
            help=help_text,
            description=help_text[0].upper() + help_text[1:] + ".",
            epilog=f"example:\n{example}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        added.set_defaults(run=run)
        return added

    status = command("status", run_status, "what is applied and what is pending", "  llm-db status --json")
    status.add_argument("--json", action="store_true", help="for programs")
    status.add_argument(
        "--check", action="store_true", help="exit with 3 when something is pending, 5 when the history is not in order"
    )

    linter = command(
        "lint", run_lint, "check the files of migrations/ and views/; needs no database", "  llm-db lint --json"
    )
    linter.add_argument("--json", action="store_true", help="for programs")

    plan = command(
        "plan",
        run_plan,
        "the SQL that migrate would run, in order; changes nothing",
        "  llm-db plan\n  llm-db plan --locks\n"
        "  llm-db plan --script > upgrade.sql                what migrate does, for psql alone: docs/psql-script.md\n"
        "  llm-db plan --script --from 0008 > upgrade.sql    the same, without a database to ask\n"
        "  psql -X --file=upgrade.sql 'host=db1 dbname=llm'",
    )
    plan.add_argument(
        "--script",
        action="store_true",
        help="one psql file with the SQL and the ledger, which refuses any other state and can be run again",
    )
    plan.add_argument(
        "--from",
        dest="begins",
        metavar="ID",
        help="write the script for databases at this migration, and ask none; none (or 0) for an empty one",
    )
    plan.add_argument("--locks", action="store_true", help="run it on a scratch copy and show what is locked")
    plan.add_argument("--scratch", metavar="DSN", help="the server to make that copy on (default: the same server)")
    plan.add_argument("--json", action="store_true", help="for programs")

    migrate = command(
        "migrate",
        run_migrate,
        "apply pending migrations, then reference data and repeatables",
        "  llm-db migrate --to 0003",
    )
    migrate.add_argument("--to", metavar="ID", help="stop after this migration (its id or number)")
    migrate.add_argument("--allow-late", action="store_true", help="also run what comes before an applied migration")
    add_conduct(migrate)

    rollback = command(
        "rollback",
        run_rollback,
        "undo every migration after --to ID",
        "  llm-db rollback --to 0003 --yes\n  llm-db rollback --to none",
    )
    rollback.add_argument("--to", metavar="ID", required=True, help="the migration to go back to; none (or 0) for all")
    rollback.add_argument("--yes", action="store_true", help="really do it; without it, only says what would go")
    add_conduct(rollback)

    repair = command(
        "repair",
        run_repair,
        "show what is wrong with the history, or put one migration right",
        "  llm-db repair\n  llm-db repair --accept 0003",
    )
    repairs = repair.add_mutually_exclusive_group()
    repairs.add_argument("--accept", metavar="ID", help="take its edited files as they are; half-done: it is applied")
    repairs.add_argument("--forget", metavar="ID", help="half-done: it is not applied, and nothing of it is there")

    check = command("check", run_check, "compare the database with what its version should be", "  llm-db check --json")
    check.add_argument(
        "--strict", action="store_true", help="refuse also what is tolerated: added indexes, grants, owners"
    )
    baseline = command(
        "baseline", run_baseline, "adopt a database built another way, if it matches", "  llm-db baseline --to 0008"
    )
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

    doctor = command(
        "doctor",
        run_doctor,
        "what is wrong with the database or soon will be, and what to do; exits with 7 when there is an error",
        "  llm-db doctor --json",
    )
    doctor.add_argument("--json", action="store_true", help="for programs")

    loader = command("load", run_load, "load request logs from CSV, NDJSON or Parquet", "  llm-db load requests.csv")
    load_options.add(loader)
    add_patience(loader)

    archiver = command(
        "archive",
        run_archive,
        "write a month of sessions and logs to a Parquet file, which load brings back",
        "  llm-db archive 2025-03 march.parquet",
    )
    archiver.add_argument("month", type=month, metavar="MONTH", help="such as 2025-03, that is UTC")
    archiver.add_argument("file", type=Path, metavar="FILE", help="a new one; it is read back before it gets this name")

    shown = command(
        "report",
        run_report,
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
        help="the N rows with the highest cost, else the most requests, else by the first number, else the first N",
    )
    shown.add_argument(
        "--lang",
        choices=LANGUAGES,
        default=DEFAULT,
        help="the language of headings and sentences (default: %(default)s)",
    )
    formats = shown.add_mutually_exclusive_group()
    formats.add_argument("--csv", action="store_true", help="every row, as CSV")
    formats.add_argument("--json", action="store_true", help="every row, as JSON")
    formats.add_argument("--html", metavar="FILE", help="a page with charts, in one file that needs no network")

    upkeep = command(
        "maintain",
        run_maintain,
        "do what upkeep is due: months, rollups, retention; to be run every minute",
        "  * * * * *  llm-db maintain --dsn service=llm > /dev/null     in a crontab; docs/upkeep.md has more",
    )

    spread = command(
        "distribute",
        run_distribute,
        "move sessions and logs to the workers of a Citus cluster, or back",
        "  llm-db distribute --plan     about how long it takes, and what is in the way, with the way out of each\n"
        "  llm-db distribute            one transaction; Ctrl-C leaves everything where it was\n"
        "  llm-db check                 every promise holds there too\n"
        "  llm-db distribute --undo     a database that check cannot tell from one that never left\n"
        "\n"
        "Before it: CREATE EXTENSION citus on every server, citus_set_coordinator_host and citus_add_node on the\n"
        "coordinator (docs/distribute.md). It stops writers and readers of sessions and logs while it works.",
    )
    spread.add_argument("--plan", action="store_true", help="what would move, and what is in the way; changes nothing")
    spread.add_argument("--undo", action="store_true", help="back to the coordinator, as if it had never left")
    add_conduct(spread)

    demo = command(
        "demo",
        run_demo,
        "migrate, make the demo company, print four reports, the bill among them",
        "  llm-db demo --logs 1000000",
    )
    demo.add_argument("--logs", type=positive, default=100_000, metavar="N", help="how many logs (default 100000)")

    for working in (migrate, rollback, repair, loader, archiver, upkeep, spread, demo):
        working.add_argument("--json", action="store_true", help="for programs, at the end; progress goes to stderr")

    command("serve", run_serve, "keep the embedded PostgreSQL of this folder up until Ctrl-C", "  llm-db serve")
    return top


def add_patience(command: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    """How long others are waited for. What is not given is left to Conduct."""
    given = command.add_argument_group("working beside others", argument_default=argparse.SUPPRESS)
    given.add_argument("--wait", type=seconds, metavar="SECONDS", help="for another llm-db to finish (default 60)")
    given.add_argument(
        "--lock-timeout",
        type=seconds,
        metavar="SECONDS",
        help="a file gives up after this long waiting for a lock (default 2; 0 = never), and is tried again",
    )
    return given


def add_conduct(command: argparse.ArgumentParser) -> None:
    """How to behave towards others."""
    given = add_patience(command)
    given.add_argument("--retries", type=positive, metavar="N", help="how often it is tried again (default 10)")
    given.add_argument("--statement-timeout", type=seconds, metavar="SECONDS", help="default: the server's")
    given.add_argument("--role", metavar="NAME", help="act as this role, so that it owns what is made")


def conduct(options: argparse.Namespace) -> Conduct:
    names = {field.name for field in fields(Conduct)}
    return Conduct(**{name: value for name, value in vars(options).items() if name in names})


def seconds(text: str) -> float:
    if not re.fullmatch(r"\d{1,6}(\.\d+)?", text):
        raise argparse.ArgumentTypeError(f"{text} is not a number of seconds")
    return float(text)


def positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a number above 0")
    return int(text)


def month(text: str) -> date:
    try:
        return datetime.strptime(text, "%Y-%m").date()
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text} is not a month, such as 2025-03") from None


@contextmanager
def working(options: argparse.Namespace) -> Iterator[psycopg.Connection]:
    """For what changes the database."""
    with database.connect(options.target) as connection, with_rights(options, connection):
        yield connection


@contextmanager
def with_rights(options: argparse.Namespace, connection: psycopg.Connection) -> Iterator[None]:
    """Who lacks a right is told which, while the database can still be asked."""
    try:
        yield
    except (Problem, psycopg.errors.InsufficientPrivilege) as error:
        problem = as_problem(error, options.command)
        lacks = isinstance(error, psycopg.Error) or isinstance(error.__cause__, psycopg.errors.InsufficientPrivilege)
        found = rights.hint(connection, options.command) if lacks and not connection.closed else ""
        if found and LACKS_A_RIGHT in problem.hint:
            hint = problem.hint.replace(LACKS_A_RIGHT, found)
        elif found and options.command not in rights.QUERIES:
            hint = f"{found}; {problem.hint}"
        else:
            raise
        raise Problem(problem.message, hint, problem.exit_code) from error


def run_status(options: argparse.Namespace, output: Output) -> Exit:
    from llm_db import status

    with database.opened(options.target) as connection, database.reading(connection):
        found = status.status(connection)
        output.document = found.as_json()
        output.show([database.describe(connection), *status.lines(found)])
    if options.check and found.problems:
        return Exit.HISTORY
    return Exit.PENDING if options.check and found.is_pending else Exit.DONE


def run_repair(options: argparse.Namespace, output: Output) -> Exit:
    from llm_db import repair

    if options.accept or options.forget:
        way, wanted = ("accept", options.accept) if options.accept else ("forget", options.forget)
        with working(options) as connection:
            repaired = repair.repair(connection, way, wanted)
        output.document = {"repaired": repaired.migration_id, "as": repaired.counts_as}
        output.say(f"{repaired.migration_id} counts as {repaired.counts_as}")
        return Exit.DONE
    with database.opened(options.target) as connection, database.reading(connection):
        problems = repair.problems(connection)
    output.document = {"problems": [{"problem": message, "way_out": way_out} for message, way_out in problems]}
    for message, way_out in problems:
        output.say(f"{message}\n  {way_out}")
    output.say(f"{len(problems)} to repair" if problems else "Nothing to repair.")
    return Exit.HISTORY if problems else Exit.DONE


def run_plan(options: argparse.Namespace, output: Output) -> Exit:
    from llm_db import plan, script

    if options.begins is not None and not options.script:
        raise Problem("--from is for --script.", "add --script")
    if options.script:
        if options.locks or options.scratch or options.json:
            raise Problem(
                "--script writes a file for psql, and nothing else.", "leave --locks, --scratch and --json out"
            )
        if options.begins is not None and options.dsn is not None:
            raise Problem("With --from the script asks no database.", "leave --dsn out, or --from")
        # As its first lines tell psql, whatever the locale is here.
        sys.stdout.reconfigure(encoding="utf-8", newline="\n")
        if options.begins is not None:
            output.show(script.from_version(options.begins), exactly=True)
            return Exit.DONE
        with database.opened(options.target) as connection:
            output.show(script.from_database(connection), exactly=True)
        return Exit.DONE
    if options.scratch and not options.locks:
        raise Problem("--scratch is for --locks.", "add --locks")
    scratch = (options.scratch or options.target.conninfo) if options.locks else None
    with database.opened(options.target) as connection:
        planned = plan.plan(connection, scratch)
    output.document = planned.as_json()
    output.show(plan.lines(planned), exactly=True)
    return Exit.DONE


def run_lint(options: argparse.Namespace, output: Output) -> Exit:
    from llm_db import lint

    found = lint.findings(with_parser=lint.has_parser())
    if not lint.has_parser():
        print("pglast is not installed: not compared with PostgreSQL's own parser", file=sys.stderr)
    output.document = found
    output.show([str(one) for one in found])
    return Exit.CHECK_FAILED if found else Exit.DONE


def run_migrate(options: argparse.Namespace, output: Output) -> Exit:
    from llm_db import migrate

    output.document = result = migrate.Migrated()
    with working(options) as connection:
        migrate.migrate(
            connection,
            to=options.to,
            allow_late=options.allow_late,
            conduct=conduct(options),
            tell=output.say,
            result=result,
        )
    return Exit.DONE


def run_rollback(options: argparse.Namespace, output: Output) -> Exit:
    from llm_db import migrate

    if not options.yes:
        with database.opened(options.target) as connection, database.reading(connection):
            going = migrate.going(connection, options.to)
        if going:
            output.document = {"would_roll_back": [migration.id for migration in going]}
            output.say("This would roll back, with the data in it:")
            for migration in going:
                output.say(f"  {migration.id}")
            raise Problem("Nothing was rolled back.", "add --yes to do it")
    output.document = result = migrate.RolledBack()
    with working(options) as connection:
        migrate.rollback(connection, options.to, conduct=conduct(options), tell=output.say, result=result)
    return Exit.DONE


def run_check(options: argparse.Namespace, output: Output) -> Exit:
    from llm_db import check

    with database.opened(options.target) as connection:
        return compared(output, check.check(connection, options.scratch, options.strict))


def run_baseline(options: argparse.Namespace, output: Output) -> Exit:
    from llm_db import baseline

    with working(options) as connection:
        return compared(output, baseline.baseline(connection, options.to, options.scratch, conduct(options)))


def compared(output: Output, found: "Compared") -> Exit:
    output.document = found.as_json()
    output.show([*map(str, found.differences), found.summary])
    return Exit.DRIFT if found.differs else Exit.DONE


def run_doctor(options: argparse.Namespace, output: Output) -> Exit:
    from llm_db import doctor

    with database.opened(options.target) as connection, with_rights(options, connection), database.reading(connection):
        found = doctor.findings(connection)
        output.document = found
        output.show([database.describe(connection), *doctor.lines(found)])
    return Exit.CHECK_FAILED if any(one.level == "error" for one in found) else Exit.DONE


def run_load(options: argparse.Namespace, output: Output) -> int:
    from llm_db.load import command

    return command.run(options, lambda: working(options), output, conduct(options))


def run_archive(options: argparse.Namespace, output: Output) -> Exit:
    from llm_db import archive

    with (
        database.opened(options.target) as connection,
        with_rights(options, connection),
        database.reading(connection, "REPEATABLE READ"),
    ):
        output.document = archive.archive(connection, options.month, options.file, output.warn)
    told = "{file}: {month} with {sessions:,} sessions and {logs:,} logs in {bytes:,} bytes, read back and compared"
    output.say(told.format(**output.document))
    return Exit.DONE


def run_report(options: argparse.Namespace, output: Output) -> int:
    # Here, since its library for tables would make every command start later.
    from llm_db.report import command

    with database.opened(options.target) as connection, with_rights(options, connection), database.reading(connection):
        return command.run(options, connection)


def run_maintain(options: argparse.Namespace, output: Output) -> Exit:
    from llm_db import maintain

    output.document = result = maintain.Maintained()
    try:
        with working(options) as connection:
            maintain.maintain(connection, tell=output.say, result=result)
    except database.Standby:
        # As the procedure has it: cron may run on both servers.
        result.done.append(maintain.LEFT_TO_PRIMARY)
        output.say(maintain.LEFT_TO_PRIMARY)
    return Exit.DONE


def run_distribute(options: argparse.Namespace, output: Output) -> Exit:
    from llm_db import distribute

    if options.plan:
        with database.opened(options.target) as connection:
            planned = distribute.plan(connection, options.undo)
        output.document = planned.as_json()
        output.show(distribute.lines(planned, options.undo))
        return Exit.PENDING if planned.reasons else Exit.DONE
    with working(options) as connection:
        planned = distribute.distribute(connection, undo=options.undo, conduct=conduct(options), tell=output.say)
    output.document = planned.as_json()
    return Exit.DONE


def run_demo(options: argparse.Namespace, output: Output) -> Exit:
    from llm_db import demo, migrate
    from llm_db.session import Session

    migrated = migrate.Migrated()
    output.document = {"migrate": migrated}
    with working(options) as connection:
        migrate.migrate(connection, tell=output.say, result=migrated)
        Session(connection).clean()
        made = demo.run(connection, logs=options.logs, progress=output.say)
        output.document = {"migrate": migrated, "created": made.created, "rows": made.counts}
        output.say("Rolling up for the reports ...")
        connection.execute("CALL ops.refresh_rollups()")
        if not options.json:
            from llm_db.report import command as report

            for name in report.DEMO_REPORTS:
                print()
                report.show(connection, name, rows=12)
    return Exit.DONE


def run_serve(options: argparse.Namespace, output: Output) -> Exit:
    if options.dsn is not None:
        raise Problem("serve is for the embedded PostgreSQL and takes no --dsn.", "leave --dsn out")
    conninfo = embedded.start()
    # The DSN of a server on this machine that trusts its local user: there is no password in it.
    output.say(f"DSN:   {conninfo}\npsql:  {embedded.psql()} '{conninfo}'\nPress Ctrl-C to stop.")
    threading.Event().wait()
    return Exit.DONE


def interrupted(_signal: int, _frame: object) -> None:
    raise KeyboardInterrupt


def command_first(arguments: list[str]) -> list[str]:
    """--dsn and --json before the command are as good as behind it."""
    at = 0
    while at < len(arguments) and (arguments[at] in ("--dsn", "--json") or arguments[at].startswith("--dsn=")):
        at += 2 if arguments[at] == "--dsn" else 1
    return [*arguments[at : at + 1], *arguments[:at], *arguments[at + 1 :]]


def main(arguments: list[str] | None = None) -> int:
    # An embedded server stops through atexit, which a bare SIGTERM would skip.
    signal.signal(signal.SIGTERM, interrupted)
    arguments = command_first(sys.argv[1:] if arguments is None else arguments)
    # Known before the parser is done: what it refuses is told to programs too.
    output = Output("--json" in arguments)
    options = argparse.Namespace(command=None, dsn=None, target=None, begins=None)
    try:
        parser().parse_args(arguments, options)
        if options.command not in ("lint", "serve") and options.begins is None:
            if options.command == "demo" and not database.named_by(options.dsn):
                options.dsn = database.EMBEDDED
            options.target = database.resolve(options.dsn)
        exit_code = options.run(options, output)
        output.finish()
        if sys.stdout:
            # Now, while it can still be told that it cannot be written.
            sys.stdout.flush()
        return exit_code
    except BrokenPipeError:
        # The reader (head, less) has seen enough. Python would complain once more when it flushes at exit.
        sys.stdout = None
        return Exit.DONE
    except (Exception, KeyboardInterrupt) as error:
        if isinstance(error, OSError) and error.errno in FULL and error.filename is None:
            # As above.
            sys.stdout = None
        if isinstance(error, KeyboardInterrupt) and options.command == "serve":
            print("Stopping the embedded PostgreSQL.", file=sys.stderr)
            return Exit.DONE
        conninfo = options.target.conninfo if options.target else options.dsn or ""
        if os.environ.get("LLM_DB_DEBUG") == "1":
            print(redact("".join(traceback.format_exception(error)), conninfo), file=sys.stderr)
        problem = as_problem(error, options.command)
        output.fail(redact(problem.message, conninfo), redact(problem.hint, conninfo), problem.exit_code)
        return problem.exit_code


def as_problem(error: BaseException, command: str | None) -> Problem:
    """Whatever it is, a user gets one sentence and somewhere to go."""
    match error:
        case Problem():
            return error
        case psycopg.Error():
            return sql_problem(error, f"llm-db {command}", otherwise="LLM_DB_DEBUG=1 in the environment shows more")
        case OSError(errno=number) if number in FULL:
            return Problem(
                f"The disk that {error.filename or 'the output'} is written to is full, so it is not whole.",
                "make room, and run this again",
                Exit.SQL_FAILED,
            )
        case KeyboardInterrupt():
            return Problem(
                "Interrupted.", "what was told as done stays, a transaction that was open is undone; run this again"
            )
    return Problem(
        f"llm-db failed unexpectedly: {type(error).__name__}: {one_line(str(error))}",
        "please report this with the command you ran, and what it prints with LLM_DB_DEBUG=1 in its environment",
        Exit.SQL_FAILED,
    )
