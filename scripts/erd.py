"""Draws the ERD from a live catalog, as the Mermaid diagram in README.md.

    llm-db serve                               # in another terminal, or any migrated database
    python scripts/erd.py DSN                  # print it
    python scripts/erd.py DSN --write          # put it into README.md, between its markers

Entities, attributes, keys and participation are the catalog's; a relationship's name is the one its foreign key column
carries in its comment, in capitals and parentheses. Behind the ERD's own entities comes what was added to them: tables
that refer to an entity by a foreign key without such a name.
"""

import argparse
from pathlib import Path

import psycopg

README = Path(__file__).parents[1] / "README.md"
BEGIN, END = "<!-- ERD: begin -->\n", "<!-- ERD: end -->\n"

# A foreign key between two entities carries its relationship's name. What hangs on an entity otherwise is an addition:
# counters, histories, prices. Where a view of llm reads an entity's table, that is the entity: prompt_templates.
ENTITIES = r"""
WITH relationships AS (
    -- A month's logs refer to the month's sessions.
    SELECT DISTINCT
        root.conrelid, root.confrelid, k.conkey, substring(d.description FROM '\(([A-Z_]+)\)') AS name
    FROM pg_constraint AS k
    CROSS JOIN LATERAL (
        SELECT
            coalesce(pg_partition_root(k.conrelid), k.conrelid) AS conrelid,
            coalesce(pg_partition_root(k.confrelid), k.confrelid) AS confrelid
    ) AS root
    CROSS JOIN LATERAL (SELECT col_description(root.conrelid, k.conkey[1]) AS description) AS d
    WHERE k.connamespace = 'llm'::regnamespace AND k.contype = 'f' AND k.conparentid = 0
        AND d.description ~ '\([A-Z_]+\)'
), entities AS (
    SELECT stored.oid AS stored, coalesce(view.oid, stored.oid) AS shown, coalesce(view.relname, stored.relname) AS name
    FROM pg_class AS stored
    LEFT JOIN (
        pg_depend AS d
        INNER JOIN pg_rewrite AS r ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
        INNER JOIN pg_class AS view
            ON r.ev_class = view.oid AND view.relkind = 'v' AND view.relnamespace = 'llm'::regnamespace
    ) ON d.refclassid = 'pg_class'::regclass AND d.refobjid = stored.oid
    WHERE stored.oid IN (SELECT unnest(ARRAY[conrelid, confrelid]) FROM relationships)
    GROUP BY 1, 2, 3
), additions AS (
    SELECT DISTINCT k.conrelid AS stored, k.conrelid AS shown, c.relname AS name
    FROM pg_constraint AS k
    INNER JOIN pg_class AS c ON k.conrelid = c.oid AND NOT c.relispartition
    WHERE k.connamespace = 'llm'::regnamespace AND k.contype = 'f'
        AND k.confrelid IN (SELECT stored FROM entities) AND k.conrelid NOT IN (SELECT stored FROM entities)
)
"""

ATTRIBUTES = f"""
{ENTITIES}
SELECT
    e.is_added,
    e.name,
    a.attname,
    replace(replace(format_type(a.atttypid, NULL), 'timestamp with time zone', 'timestamptz'), 'text[]', 'text_list'),
    EXISTS (SELECT FROM pg_constraint WHERE contype = 'p' AND conrelid = e.stored AND s.attnum = ANY (conkey)),
    EXISTS (
        SELECT FROM pg_constraint
        WHERE contype = 'f' AND coalesce(pg_partition_root(conrelid), conrelid) = e.stored AND s.attnum = ANY (conkey)
    )
FROM (SELECT *, false AS is_added FROM entities UNION ALL SELECT *, true FROM additions) AS e
INNER JOIN pg_attribute AS a ON a.attrelid = e.shown AND a.attnum > 0 AND NOT a.attisdropped
LEFT JOIN pg_attribute AS s ON s.attrelid = e.stored AND s.attname = a.attname
ORDER BY e.is_added, e.name, a.attnum
"""

RELATIONSHIPS = f"""
{ENTITIES}
SELECT
    parent.name,
    child.name,
    k.name,
    a.attnotnull,
    EXISTS (
        SELECT FROM pg_constraint AS u WHERE u.conrelid = k.conrelid AND u.contype = 'u' AND u.conkey = k.conkey
    ),
    -- Total on the referred side too: a deferred trigger there sees to it.
    EXISTS (
        SELECT FROM pg_trigger AS t WHERE t.tgrelid = k.confrelid AND t.tgname = 'departments_have_a_member'
    ) AND k.conrelid = 'llm.users'::regclass
FROM relationships AS k
INNER JOIN entities AS parent ON k.confrelid = parent.stored
INNER JOIN entities AS child ON k.conrelid = child.stored
INNER JOIN pg_attribute AS a ON a.attrelid = k.conrelid AND a.attnum = k.conkey[1]
ORDER BY k.name
"""

ADDED = f"""
{ENTITIES}
SELECT parent.name, child.name, a.attname, a.attnotnull
FROM pg_constraint AS k
INNER JOIN entities AS parent ON k.confrelid = parent.stored
INNER JOIN additions AS child ON k.conrelid = child.stored
INNER JOIN pg_attribute AS a ON a.attrelid = k.conrelid AND a.attnum = k.conkey[1]
ORDER BY child.name, a.attname
"""


def diagram(db: psycopg.Connection) -> str:
    lines = ["erDiagram"]
    for parent, child, name, required, unique, child_required in db.execute(RELATIONSHIPS):
        left = "||" if required else "|o"
        right = "o|" if unique else "|{" if child_required else "o{"
        lines.append(f"    {parent} {left}--{right} {child} : {name}")
    for parent, child, column, required in db.execute(ADDED):
        lines.append(f"    {parent} {'||' if required else '|o'}..o{{ {child} : {column}")
    entity = None
    for is_added, table, column, kind, in_primary_key, in_foreign_key in db.execute(ATTRIBUTES):
        if table != entity:
            if entity:
                lines.append("    }")
            lines.append(f'    {table}["+ {table}"] {{' if is_added else f"    {table} {{")
            entity = table
        keys = ", ".join(key for key, holds in (("PK", in_primary_key), ("FK", in_foreign_key)) if holds)
        lines.append(f"        {kind} {column} {keys}".rstrip())
    lines.append("    }")
    return "```mermaid\n" + "\n".join(lines) + "\n```\n"


def put_between(page: Path, begin: str, end: str, new: str) -> None:
    before, rest = page.read_text(encoding="utf-8").split(begin)
    page.write_text(before + begin + new + end + rest.split(end)[1], encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dsn", help="a migrated database, as a libpq URI or keyword string")
    parser.add_argument("--write", action="store_true", help="put the diagram into README.md")
    arguments = parser.parse_args()
    with psycopg.connect(arguments.dsn) as db:
        drawn = diagram(db)
    if arguments.write:
        put_between(README, BEGIN, END, drawn)
    else:
        print(drawn, end="")


if __name__ == "__main__":
    main()
