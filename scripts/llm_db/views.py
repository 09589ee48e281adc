"""Repeatable views: one file each, created again whenever the file's text changes.

CREATE OR REPLACE cannot take a column away or change its type, so a changed view is dropped, together with those of
ours that are built on it, and all are created from their files. A migration or a rollback that a view stands in the way
of drops it in the same way. Never CASCADE: a view of someone else's on top of ours stops the change and is named. What
people gave on a view is kept in the ledger from the drop until it is made again, however much later that is.
"""

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psycopg
from psycopg import sql

from llm_db import sql_root
from llm_db.errors import SQL_FAILED, Problem, one_line
from llm_db.migrations import Backend, read_sql, run_file, shown

SCHEMAS = ("llm", "reporting", "ops")

# These views, and those of ours that are built on them.
BUILT_ON = """
WITH RECURSIVE affected AS (
    SELECT unnest(%(names)s::text[]::pg_catalog.regclass[])::oid AS view_id
    UNION
    SELECT rule.ev_class
    FROM affected
    JOIN pg_catalog.pg_depend AS dependency
        ON dependency.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
        AND dependency.refobjid = affected.view_id
        AND dependency.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass
    JOIN pg_catalog.pg_rewrite AS rule ON rule.oid = dependency.objid
), named AS (
    SELECT namespace.nspname || '.' || relation.relname AS view_name
    FROM affected
    JOIN pg_catalog.pg_class AS relation ON relation.oid = affected.view_id
    JOIN pg_catalog.pg_namespace AS namespace ON namespace.oid = relation.relnamespace
)

SELECT view_name
FROM named
WHERE view_name = ANY(%(names)s::text[]) OR view_name IN (SELECT view_name FROM llm_db.views)
"""

# What people gave on views, and whose they are.
KEEP = """
INSERT INTO llm_db.view_grants (view_name, column_name, role_name, privilege, is_grantable)
WITH views AS (
    SELECT c.oid, c.relowner, c.relacl, n.nspname || '.' || c.relname AS name
    FROM pg_catalog.pg_class AS c
    JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    WHERE c.oid = ANY(%s::pg_catalog.regclass[]::oid[])
), given AS (
    SELECT v.name, NULL::name AS column_name, v.relowner, acl.*
    FROM views AS v
    CROSS JOIN LATERAL pg_catalog.aclexplode(v.relacl) AS acl
    UNION ALL
    SELECT v.name, a.attname, v.relowner, acl.*
    FROM views AS v
    JOIN pg_catalog.pg_attribute AS a ON a.attrelid = v.oid
    CROSS JOIN LATERAL pg_catalog.aclexplode(a.attacl) AS acl
)

SELECT name, NULL, pg_catalog.pg_get_userbyid(relowner), 'OWNER', false
FROM views
WHERE relowner <> current_user::regrole
UNION ALL
SELECT name, column_name, CASE WHEN grantee <> 0 THEN pg_catalog.pg_get_userbyid(grantee) END, privilege_type,
    bool_or(is_grantable)
FROM given
WHERE grantee <> relowner
GROUP BY name, column_name, grantee, privilege_type
ON CONFLICT DO NOTHING
"""

# As statements that give it again, the owner first. Columns and roles may have gone meanwhile.
GIVE_BACK = """
WITH kept AS (
    DELETE FROM llm_db.view_grants WHERE view_name = %s RETURNING *
)

SELECT CASE
    WHEN privilege = 'OWNER'
        THEN pg_catalog.format('ALTER VIEW %%s OWNER TO %%I', view_name::pg_catalog.regclass, role_name)
    ELSE pg_catalog.format(
        'GRANT %%s%%s ON %%s TO %%s%%s',
        privilege,
        ' (' || pg_catalog.quote_ident(column_name) || ')',
        view_name::pg_catalog.regclass,
        coalesce(pg_catalog.quote_ident(role_name), 'PUBLIC'),
        CASE WHEN is_grantable THEN ' WITH GRANT OPTION' END
    )
END
FROM kept
WHERE
    (role_name IS NULL OR role_name IN (SELECT rolname FROM pg_catalog.pg_roles))
    AND (column_name IS NULL OR column_name IN (
        SELECT attname FROM pg_catalog.pg_attribute WHERE attrelid = view_name::pg_catalog.regclass AND attnum > 0
    ))
ORDER BY privilege <> 'OWNER'
"""

# A view of ours is built on what a file takes away or changes.
IN_THE_WAY = (psycopg.errors.DependentObjectsStillExist, psycopg.errors.FeatureNotSupported)


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
    dropped = drop(connection, present & (changed | removed))
    created = [view for view in views if view.name in changed | dropped]
    for view in created:
        create(connection, view)
    connection.execute("DELETE FROM llm_db.views WHERE view_name = ANY(%s)", [sorted(removed)])
    # What is left is of views that are no more.
    connection.execute("DELETE FROM llm_db.view_grants")
    return [view.name for view in created]


def create(connection: psycopg.Connection, view: View) -> None:
    run_file(connection, view.path)
    if not existing(connection, {view.name}):
        raise Problem(f"{shown(view.path)} does not create {view.name}.", "name the file after its view")
    for (statement,) in connection.execute(GIVE_BACK, [view.name]).fetchall():
        connection.execute(statement)
    connection.execute(
        "INSERT INTO llm_db.views (view_name, sha256) VALUES (%s, %s)"
        " ON CONFLICT (view_name) DO UPDATE SET sha256 = excluded.sha256, created_at = excluded.created_at",
        [view.name, view.sha256],
    )


def give_way(backend: Backend, views: list[View], name: object, work: Callable[[], object]) -> list[str]:
    """Does the work in a transaction. If a view of ours stands in its way, once more without that view. Returns the
    names of those that are gone: what the work has left does not fit their files, or not yet."""
    in_the_way: set[str] = set()
    while True:
        try:
            return backend.attempt(name, partial(without, backend.connection, views, in_the_way, work))
        except Problem as problem:
            found = named(backend.connection, problem.__cause__) - in_the_way
            if not found:
                raise
            in_the_way |= found


def named(connection: psycopg.Connection, error: BaseException | None) -> set[str]:
    """The views of ours that the error says are in the way: in any language, by their names."""
    if not isinstance(error, IN_THE_WAY):
        return set()
    words = set(re.findall(r"[\w.]+", error.diag.message_detail or ""))
    return words & {name for (name,) in connection.execute("SELECT view_name FROM llm_db.views")}


def without(
    connection: psycopg.Connection, views: list[View], in_the_way: set[str], work: Callable[[], object]
) -> list[str]:
    gone = drop(connection, in_the_way)
    work()
    if not gone:
        return []
    for view in [view for view in views if view.name in gone]:
        try:
            with connection.transaction():
                create(connection, view)
            gone.remove(view.name)
        except Problem as problem:
            if not no_longer_fits(problem.__cause__):
                raise
    connection.execute("DELETE FROM llm_db.views WHERE view_name = ANY(%s)", [sorted(gone)])
    return sorted(gone)


def no_longer_fits(error: BaseException | None) -> bool:
    """A name that is not there, a type that is another one. Not a missing right: the view would be lost for that."""
    return isinstance(error, psycopg.ProgrammingError) and not isinstance(error, psycopg.errors.InsufficientPrivilege)


def existing(connection: psycopg.Connection, names: set[str]) -> set[str]:
    query = "SELECT name FROM unnest(%s::text[]) AS name WHERE pg_catalog.to_regclass(name) IS NOT NULL"
    return {name for (name,) in connection.execute(query, [sorted(names)])}


def drop(connection: psycopg.Connection, names: set[str]) -> set[str]:
    """With those of ours that are built on them, in one statement, which needs no order. Returns them all."""
    if not names:
        return set()
    dropped = {name for (name,) in connection.execute(BUILT_ON, {"names": sorted(names)})}
    connection.execute(KEEP, [sorted(dropped)])
    targets = sql.SQL(", ").join(sql.Identifier(*name.split(".")) for name in sorted(dropped))
    try:
        connection.execute(sql.SQL("DROP VIEW {}").format(targets))
    except psycopg.errors.DependentObjectsStillExist as error:
        raise Problem(
            f"Something that is not ours is built on our views: {one_line(error.diag.message_detail or '')}.",
            "nothing was changed; drop it, run this again, and create it anew on the new views",
            SQL_FAILED,
        ) from error
    return dropped
