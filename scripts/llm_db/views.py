"""Repeatable views: one file each, created again whenever the file's text changes.

CREATE OR REPLACE cannot take a column away or change its type, so a changed view is dropped, together with those of
ours that are built on it, and all are created from their files. Never CASCADE: a view of someone else's on top of ours
stops the change and is named.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql

from llm_db import sql_root
from llm_db.errors import SQL_FAILED, Problem, one_line
from llm_db.migrations import read_sql, run_file, shown

SCHEMAS = ("reporting", "ops")

DEPENDENTS = """
WITH RECURSIVE affected AS (
    SELECT unnest(%s::pg_catalog.regclass[])::oid AS view_id
    UNION
    SELECT rule.ev_class
    FROM affected
    JOIN pg_catalog.pg_depend AS dependency
        ON dependency.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
        AND dependency.refobjid = affected.view_id
        AND dependency.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass
    JOIN pg_catalog.pg_rewrite AS rule ON rule.oid = dependency.objid
)

SELECT namespace.nspname || '.' || relation.relname
FROM affected
JOIN pg_catalog.pg_class AS relation ON relation.oid = affected.view_id
JOIN pg_catalog.pg_namespace AS namespace ON namespace.oid = relation.relnamespace
"""


# What people gave on a view, and whose it is, as statements that say so again, the owner first.
GIVEN = """
WITH views AS (
    SELECT c.oid, c.relowner, c.relacl, n.nspname || '.' || c.relname AS name,
        pg_catalog.format('%%I.%%I', n.nspname, c.relname) AS quoted
    FROM pg_catalog.pg_class AS c
    JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    WHERE c.oid = ANY(%s::pg_catalog.regclass[]::oid[])
), given AS (
    SELECT v.name, v.quoted, NULL::name AS column_name, v.relowner, acl.*
    FROM views AS v
    CROSS JOIN LATERAL pg_catalog.aclexplode(v.relacl) AS acl
    UNION ALL
    SELECT v.name, v.quoted, a.attname, v.relowner, acl.*
    FROM views AS v
    JOIN pg_catalog.pg_attribute AS a ON a.attrelid = v.oid
    CROSS JOIN LATERAL pg_catalog.aclexplode(a.attacl) AS acl
)

SELECT name, NULL AS column_name, pg_catalog.format('ALTER VIEW %%s OWNER TO %%s', quoted, relowner::regrole)
FROM views
WHERE relowner <> current_user::regrole
UNION ALL
SELECT name, column_name, pg_catalog.format(
    'GRANT %%s%%s ON %%s TO %%s%%s',
    privilege_type,
    ' (' || pg_catalog.quote_ident(column_name) || ')',
    quoted,
    CASE grantee WHEN 0 THEN 'PUBLIC' ELSE grantee::regrole::text END,
    CASE WHEN is_grantable THEN ' WITH GRANT OPTION' END
)
FROM given
WHERE grantee <> relowner
"""

COLUMNS = "SELECT attname FROM pg_catalog.pg_attribute WHERE attrelid = %s::pg_catalog.regclass AND attnum > 0"

# A view of ours is built on what a rollback takes away or changes ...
IN_THE_WAY = (psycopg.errors.DependentObjectsStillExist, psycopg.errors.FeatureNotSupported)
# ... and cannot be made again without it.
NEEDED = (
    psycopg.errors.UndefinedTable,
    psycopg.errors.UndefinedColumn,
    psycopg.errors.UndefinedFunction,
    psycopg.errors.UndefinedObject,
    psycopg.errors.InvalidSchemaName,
)

# View, column (or none), statement.
Given = list[tuple[str, str | None, str]]


@dataclass(frozen=True)
class View:
    name: str
    path: Path
    sha256: str


def view_files(root: Path | None = None) -> list[View]:
    """NN_name.sql in views/<schema>/ makes <schema>.name; NN orders them across the schemas."""
    root = root or sql_root() / "views"
    paths = sorted((path for schema in SCHEMAS for path in (root / schema).glob("*.sql")), key=lambda path: path.name)
    views = []
    for path in paths:
        number, _, name = path.stem.partition("_")
        if not number.isdigit() or not name:
            raise Problem(f"{shown(path)} is not named like a view.", "name it NN_view_name.sql")
        digest = hashlib.sha256(read_sql(path).encode()).hexdigest()
        views.append(View(f"{path.parent.name}.{name}", path, digest))
    return views


def refresh(connection: psycopg.Connection, views: list[View]) -> list[str]:
    """Brings the views to the state of their files, inside the caller's transaction. Returns the names it created."""
    recorded = dict(connection.execute("SELECT view_name, sha256 FROM llm_db.views").fetchall())
    present = existing(connection, {view.name for view in views} | recorded.keys())
    changed = {view.name for view in views if recorded.get(view.name) != view.sha256 or view.name not in present}
    removed = recorded.keys() - {view.name for view in views}
    if not changed and not removed:
        return []
    stale = present & (changed | removed)
    dependents = {name for (name,) in connection.execute(DEPENDENTS, [sorted(stale)])} & recorded.keys()
    given = connection.execute(GIVEN, [sorted(stale | dependents)]).fetchall()
    drop(connection, stale | dependents)
    created = [view for view in views if view.name in changed | dependents]
    for view in created:
        create(connection, view, given)
    connection.execute("DELETE FROM llm_db.views WHERE view_name = ANY(%s)", [sorted(removed)])
    return [view.name for view in created]


def create(connection: psycopg.Connection, view: View, given: Given) -> None:
    run_file(connection, view.path)
    if not existing(connection, {view.name}):
        raise Problem(f"{shown(view.path)} does not create {view.name}.", "name the file after its view")
    columns = {None} | {column for (column,) in connection.execute(COLUMNS, [view.name])}
    for name, column, statement in given:
        if name == view.name and column in columns:
            connection.execute(statement)
    connection.execute(
        "INSERT INTO llm_db.views (view_name, sha256) VALUES (%s, %s)"
        " ON CONFLICT (view_name) DO UPDATE SET sha256 = excluded.sha256, created_at = excluded.created_at",
        [view.name, view.sha256],
    )


def give_way(connection: psycopg.Connection, views: list[View], work: Callable[[], object]) -> list[str]:
    """Does the work, inside the caller's transaction. Where views are in its way, those that need what it takes go, and
    the others are as before. Returns the names of those that went."""
    try:
        with connection.transaction():
            work()
    except Problem as problem:
        if not isinstance(problem.__cause__, IN_THE_WAY):
            raise
    else:
        return []
    recorded = {name for (name,) in connection.execute("SELECT view_name FROM llm_db.views")}
    present = existing(connection, recorded)
    given = connection.execute(GIVEN, [sorted(present)]).fetchall()
    drop(connection, present)
    connection.execute("DELETE FROM llm_db.views")
    work()
    back = set()
    for view in [view for view in views if view.name in present]:
        try:
            with connection.transaction():
                create(connection, view, given)
            back.add(view.name)
        except Problem as problem:
            if not isinstance(problem.__cause__, NEEDED):
                raise
    return sorted(present - back)


def existing(connection: psycopg.Connection, names: set[str]) -> set[str]:
    query = "SELECT name FROM unnest(%s::text[]) AS name WHERE pg_catalog.to_regclass(name) IS NOT NULL"
    return {name for (name,) in connection.execute(query, [sorted(names)])}


def drop(connection: psycopg.Connection, names: set[str]) -> None:
    """In one statement, so that views of ours that are built on each other need no order."""
    if not names:
        return
    targets = sql.SQL(", ").join(sql.Identifier(*name.split(".")) for name in sorted(names))
    try:
        connection.execute(sql.SQL("DROP VIEW {}").format(targets))
    except psycopg.errors.DependentObjectsStillExist as error:
        raise Problem(
            f"Something that is not ours is built on our views: {one_line(error.diag.message_detail or '')}.",
            "nothing was changed; drop it, run this again, and create it anew on the new views",
            SQL_FAILED,
        ) from error
