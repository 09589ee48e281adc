"""Repeatable views: one file each, created again whenever the file's text changes.

CREATE OR REPLACE cannot take a column away or change its type, so a changed view is dropped, together with those of
ours that are built on it, and all are created from their files. Never CASCADE: a view of someone else's on top of ours
stops the change and is named.
"""

import hashlib
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
    drop(connection, stale | dependents)
    created = [view for view in views if view.name in changed | dependents]
    for view in created:
        run_file(connection, view.path)
        if not existing(connection, {view.name}):
            raise Problem(f"{shown(view.path)} does not create {view.name}.", "name the file after its view")
        connection.execute(
            "INSERT INTO llm_db.views (view_name, sha256) VALUES (%s, %s)"
            " ON CONFLICT (view_name) DO UPDATE SET sha256 = excluded.sha256, created_at = excluded.created_at",
            [view.name, view.sha256],
        )
    connection.execute("DELETE FROM llm_db.views WHERE view_name = ANY(%s)", [sorted(removed)])
    return [view.name for view in created]


def drop_all(connection: psycopg.Connection) -> list[str]:
    """Drops every view of ours, inside the caller's transaction, so that the tables beneath can change."""
    recorded = {name for (name,) in connection.execute("SELECT view_name FROM llm_db.views")}
    drop(connection, existing(connection, recorded))
    connection.execute("DELETE FROM llm_db.views")
    return sorted(recorded)


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
