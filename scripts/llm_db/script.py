"""One psql file that does what a migrate would do, for those who run no Python where the database is.

It is written here and run there: what depends on the database (what is applied by now, what of ours is in the way, what
people gave on it) is found out by the script itself, by the functions of queries/script.sql. So it needs no database to
be written from, may be run again after whatever stopped it, and gives the same result as the runner.
"""

from collections.abc import Iterable, Iterator
from itertools import count

import psycopg
from psycopg import sql

from llm_db import __version__, alone, catalog, files, history, ledger, ledger_sql, lint, repeatables, seeds, turn
from llm_db.backend import USUAL
from llm_db.database import SETTINGS, reading
from llm_db.errors import Problem
from llm_db.files import Migration, read_sql, relative
from llm_db.objects import TRIGGER_LOCK_MS
from llm_db.queries import query
from llm_db.repeatables import Repeatable
from llm_db.sql_text import pieces

# The runner's queries as functions: the name, the text, the result, and the parameters with their types.
QUERIES = (
    ("live", query("live"), "TABLE (class_id oid, object_id oid, version text, made text)", {}),
    (
        "identified",
        query("identified"),
        "TABLE (class_id oid, object_id oid, kind text, identity text, on_table text, described text, in_catalog text)",
        {"class_ids": "oid []", "object_ids": "oid []"},
    ),
    (
        "dependencies",
        query("dependencies"),
        "TABLE (class_id oid, object_id oid, used_class_id oid, used_object_id oid)",
        {},
    ),
    ("descriptions", query("descriptions"), "TABLE (name text, called text)", {"names": "text []"}),
    (
        "keep_grants",
        query("keep_grants"),
        "void",
        {"objects": "text []", "class_ids": "oid []", "object_ids": "oid []"},
    ),
    (
        "give_back",
        query("give_back"),
        "TABLE (column_name name, role_name name, privilege text, is_grantable boolean)",
        {"object": "text", "object_id": "oid"},
    ),
    (
        "record_repeatable",
        query("record_repeatable"),
        "void",
        {"name": "text", "sha256": "text", "objects": "text []", "adopted": "text []"},
    ),
    ("adopt", query("adopt_migrations"), "void", {"files": "jsonb"}),
    ("rights", query("rights_owning"), "SETOF text", {}),
    ("queued", turn.QUEUED.replace("%s", str(turn.LOCK)), "TABLE (who text, may_migrate boolean)", {}),
    ("holder", turn.HOLDER, "SETOF text", {}),
    ("leaves", alone.LEAVES.replace("%s", "$1"), "SETOF name", {"parent": "regclass"}),
    (
        "write_mark",
        ledger_sql.MARK,
        "void",
        {
            "migration_id": "text",
            "hash": "text",
            "up_sha256": "text",
            "down_sha256": "text",
            "duration_ms": "bigint",
            "version": "text",
            "username": "text",
            "hostname": "text",
        },
    ),
    (
        "write_start",
        ledger_sql.WRITE,
        "void",
        {"migration_id": "text", "up_sha256": "text", "down_sha256": "text", "version": "text"},
    ),
)
# psql is told the encoding of the file, and would tell of each table that is there already.
FOR_PSQL = {"client_encoding": "UTF8", "client_min_messages": "warning"}

HEAD = """\
-- {title}
-- Written by llm-db {version} (plan --script). To run it, as the owner of what is there:
--
--     psql -X --file=THIS_FILE 'host=... dbname=...'
--
-- It first looks whether the database is in a state that it was written for, and else changes nothing. Whatever stops
-- it, run it again: what is done is not done twice. It says what it does; psql ends with 0, or 3 after an error.
-- How to read it: first come its own functions, for this session only, and the texts of views, functions and triggers;
-- then the migrations, each between a BEGIN and its COMMIT, in their order. The texts are those of the files.

-- How long a file waits for a lock before it gives way to others, how often it is tried again, and how long another
-- llm-db or script is waited for.
\\set lock_timeout_ms {lock_timeout_ms}
\\set retries {retries}
\\set wait_seconds {wait_seconds}

\\set QUIET on
\\set ON_ERROR_STOP on
\\set ON_ERROR_ROLLBACK off
\\set AUTOCOMMIT on
\\set SINGLELINE off
\\set SHOW_CONTEXT never
\\unset FETCH_COUNT
\\encoding UTF8
-- Who runs it, and where: for the ledger.
\\set llm_db_user `whoami`
\\set llm_db_host `hostname`

SELECT pg_catalog.set_config('search_path', 'pg_catalog', false) AS llm_db_none \\gset
SELECT
    pg_catalog.set_config('application_name', 'llm-db in a transaction', true) AS llm_db_none,
    pg_catalog.pg_backend_pid() AS llm_db_pid,
    :'VERSION_NUM'::integer < 150000 AS llm_db_is_old
\\gset
\\if :llm_db_is_old
DO $$
BEGIN
    RAISE EXCEPTION 'This psql is older than 15.' USING HINT = 'use psql 15 or newer, whatever the server is';
END
$$;
\\endif
"""
BEGIN = "BEGIN ISOLATION LEVEL READ COMMITTED, READ WRITE, NOT DEFERRABLE;"
STEP = f"{BEGIN}\nCALL pg_temp.llm_db_begin();"
TAIL = f"""\
{STEP}
CALL pg_temp.llm_db_end();
DISCARD TEMP;
COMMIT;
RESET ALL;"""


def from_database(connection: psycopg.Connection) -> list[str]:
    """From the state that this database is in."""
    if repeatables.is_distributed(connection):
        raise Problem("psql alone cannot migrate a database whose logs lie on a cluster.", "`llm-db migrate` does")
    known, found = files.migrations(), repeatables.files()
    lint.refuse()
    with reading(connection):
        current = history.state(connection, known)
        history.refuse_history(current, allow_late=False)
        changed = {one.name: one.change for one in repeatables.pending(connection, found)}
    if not current.pending and not changed:
        return ["-- nothing is pending"]
    return lines(known, len(current.applied), found, changed)


def from_version(wanted: str) -> list[str]:
    """From the state that this migration makes; `none` for an empty database. Asks no database."""
    known = files.migrations()
    lint.refuse()
    applied = 0 if wanted in ("none", "0") else files.find(known, wanted) + 1
    return lines(known, applied, repeatables.files(), {})


def lines(known: list[Migration], applied: int, found: list[Repeatable], changed: dict[str, str]) -> list[str]:
    """`changed` says of repeatables what is known of them."""
    begins = known[applied - 1].id if applied else "an empty database"
    told = [
        HEAD.format(
            title=f"From {begins} to {known[-1].id}: {len(known) - applied} migrations, views, functions and triggers",
            version=__version__,
            lock_timeout_ms=round(USUAL.lock_timeout * 1000),
            retries=USUAL.retries,
            wait_seconds=round(USUAL.wait),
        ),
        query("script_refuse"),
        "-- Its own functions and tables, all of them temporary.",
        BEGIN,
        "DISCARD TEMP;",
        # Their bodies are read when they are called, as the ledger may not be there yet.
        "SELECT pg_catalog.set_config('check_function_bodies', 'off', true) AS llm_db_none \\gset",
        query("script"),
        *(function(*one) for one in QUERIES),
        "INSERT INTO pg_temp.llm_db_run VALUES (",
        "    :llm_db_pid, coalesce(nullif(:'llm_db_user', ''), session_user), nullif(:'llm_db_host', ''),",
        f"    {literal(__version__)}, {literal(catalog.SCHEMAS)}, {literal(sorted(ledger.TABLES))}, {turn.LOCK},",
        f"    :lock_timeout_ms, :retries, :wait_seconds, {TRIGGER_LOCK_MS}",
        ");",
        "INSERT INTO pg_temp.llm_db_settings VALUES",
        rows((SETTINGS | FOR_PSQL).items()),
        "INSERT INTO pg_temp.llm_db_migrations (number, id, hash, up_sha256, down_sha256, is_new) VALUES",
        rows(
            (number, one.id, one.hash, one.sums["up_sha256"], one.sums["down_sha256"], number >= applied)
            for number, one in enumerate(known)
        ),
        "",
        "-- Reference data, and views, functions and triggers as they are in their files. Those are run whose text has",
        "-- changed, and those with which something had to be dropped.",
        *texts(found, changed),
        "",
        "CALL pg_temp.llm_db_refuse_role();",
        "COMMIT;",
        "",
        "-- Waits until nobody else is at work.",
        "CALL pg_temp.llm_db_queue();",
        "",
        "-- Refuses a database in another state, as each step does; makes the ledger where it is missing.",
        STEP,
        "CALL pg_temp.llm_db_ledger(",
        ",\n".join(
            quoted(text)
            for text in (
                query("ledger_schema"),
                query("ledger_yoyo") + query("ledger_tables"),
                query("ledger_turn"),
                query("adopt_views"),
            )
        ),
        ");",
        "COMMIT;",
    ]
    for migration in known[applied:]:
        told += ["", f"-- {migration.id}", *(in_a_transaction if migration.use_transactions else outside)(migration)]
    told += ["", "-- Reference data, views and functions", STEP, "CALL pg_temp.llm_db_refresh();"]
    told += [query("grant_to_roles"), "COMMIT;"]
    for file in found:
        if file.makes_triggers:
            told += [STEP, f"CALL pg_temp.llm_db_refresh({literal(file.name)});", "COMMIT;"]
    return [*told, TAIL]


def in_a_transaction(migration: Migration) -> list[str]:
    values = f"{literal(migration.id)}, {quoted(read_sql(migration.up))}"
    return [STEP, f"CALL pg_temp.llm_db_apply({values});", "COMMIT;"]


def outside(migration: Migration) -> list[str]:
    """Between two transactions that write down that it began and that it ended, psql runs what is left of it."""
    text = read_sql(migration.up)
    build, *attach = pieces(text) if migration.each_of else [text]
    index, drops = ledger.index_of(build)
    values = [literal(migration.id), quoted(build), literal(index), literal(drops)]
    if migration.each_of:
        each = f"{migration.each_of.split('.')[1]}_each"
        values += [literal(each), literal(migration.each_of), quoted(attach[0])]
    name = literal(migration.id)
    return [
        STEP,
        f"CALL pg_temp.llm_db_start({', '.join(values)});",
        "COMMIT;",
        f"SELECT statement FROM pg_temp.llm_db_outside({name}) AS statement \\gexec",
        STEP,
        f"CALL pg_temp.llm_db_finish({name});",
        "COMMIT;",
    ]


def texts(found: list[Repeatable], changed: dict[str, str]) -> Iterator[str]:
    insert = "INSERT INTO pg_temp.llm_db_files (number, name, path, sha256, described_by, kind, body) VALUES"
    named = [(path.name, path, "", (), "seeds") for path in seeds.reference()]
    named += [
        (one.name, one.path, one.sha256, one.described_by, "triggers" if one.makes_triggers else "views")
        for one in found
    ]
    for number, (name, path, sha256, described_by, kind) in enumerate(named):
        shown = str(relative(path).as_posix())
        known = f" ({changed.get(name, 'unchanged')})" if changed and kind != "seeds" else ""
        values = (number, name, shown, sha256, list(described_by), kind)
        yield f"-- {shown}{known}\n{insert}\n({', '.join(map(literal, values))}, {quoted(read_sql(path))});"


def function(name: str, text: str, returns: str, types: dict[str, str]) -> str:
    """A query of the runner's as a function. What only it knows of a migration's state is said here."""
    numbered = {parameter: f"${number}" for number, parameter in enumerate(types, start=1)}
    constant = {
        "schemas": literal(catalog.SCHEMAS),
        "operation": "'apply'",
        "state": literal(ledger.STARTED if name == "write_start" else ledger.APPLIED),
        "duration_ms": "NULL",
    }
    body = text % (constant | numbered) if "%(" in text else text
    parameters = ", ".join(types.values())
    return f"CREATE FUNCTION pg_temp.llm_db_{name}({parameters})\nRETURNS {returns} LANGUAGE sql\nAS {quoted(body)};\n"


def rows(values: Iterable[tuple[object, ...]]) -> str:
    return ",\n".join(f"({', '.join(map(literal, row))})" for row in values) + ";"


def literal(value: object) -> str:
    return sql.Literal(value).as_string()


def quoted(text: str) -> str:
    """A text that psql reads nothing into, up to the first end that it does not have itself."""
    tags = (f"$llm_db{number or ''}$" for number in count())
    return next(f"{tag}{text}{tag}" for tag in tags if f"{text}{tag}".index(tag) == len(text))
