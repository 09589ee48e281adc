"""Draws the ERD from a live catalog, as the Mermaid diagram in README.md.

    llm-db serve                               # in another terminal, or any migrated database
    python scripts/erd.py DSN                  # print it
    python scripts/erd.py DSN --write          # put it into README.md, between its markers

Entities, attributes, keys and participation are the catalog's; a relationship's name is the one its foreign key column
carries in its comment, in capitals and parentheses.
"""

import argparse
from pathlib import Path

import psycopg

README = Path(__file__).parents[1] / "README.md"
BEGIN, END = "<!-- ERD: begin -->\n", "<!-- ERD: end -->\n"

# The entities are the tables with a relationship to another entity; vocabularies have codes instead. The view
# prompt_templates stands for the table beneath it.
ATTRIBUTES = """
SELECT
    c.relname,
    a.attname,
    replace(replace(format_type(a.atttypid, NULL), 'timestamp with time zone', 'timestamptz'), 'text[]', 'text_list'),
    EXISTS (
        SELECT FROM pg_constraint AS k
        WHERE k.conrelid = coalesce(to_regclass('llm.' || c.relname || '_base'), c.oid)
            AND k.contype = 'p' AND base.attnum = ANY (k.conkey)
    ),
    EXISTS (
        SELECT FROM pg_constraint AS k
        WHERE k.conrelid = coalesce(to_regclass('llm.' || c.relname || '_base'), c.oid)
            AND k.contype = 'f' AND base.attnum = ANY (k.conkey)
    )
FROM pg_class AS c
INNER JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
LEFT JOIN pg_attribute AS base
    ON base.attrelid = coalesce(to_regclass('llm.' || c.relname || '_base'), c.oid) AND base.attname = a.attname
WHERE c.relnamespace = 'llm'::regnamespace AND c.relkind IN ('r', 'p', 'v') AND NOT c.relispartition
    AND c.relname NOT LIKE '%\\_base' AND c.relname NOT IN ('prompt_template_uses', 'user_departments')
    -- Sums, and the views that the reports are built on.
    AND c.relname NOT LIKE 'rollup\\_%' AND (c.relkind <> 'v' OR c.relname = 'prompt_templates')
    AND NOT EXISTS (SELECT FROM pg_attribute AS v WHERE v.attrelid = c.oid AND v.attname = 'label_ko')
ORDER BY c.relname, a.attnum
"""

RELATIONSHIPS = r"""
SELECT
    replace(k.confrelid::regclass::text, 'llm.', ''),
    replace(k.conrelid::regclass::text, 'llm.', ''),
    substring(col_description(k.conrelid, k.conkey[1]) FROM '\(([A-Z_]+)\)') AS name,
    a.attnotnull,
    EXISTS (
        SELECT FROM pg_constraint AS u WHERE u.conrelid = k.conrelid AND u.contype = 'u' AND u.conkey = k.conkey
    ),
    -- Total on the referred side too: a deferred trigger there sees to it.
    EXISTS (
        SELECT FROM pg_trigger AS t WHERE t.tgrelid = k.confrelid AND t.tgname = 'departments_have_a_member'
    ) AND k.conrelid = 'llm.users'::regclass
FROM pg_constraint AS k
INNER JOIN pg_attribute AS a ON a.attrelid = k.conrelid AND a.attnum = k.conkey[1]
WHERE k.connamespace = 'llm'::regnamespace AND k.contype = 'f' AND k.conparentid = 0
    AND col_description(k.conrelid, k.conkey[1]) ~ '\([A-Z_]+\)'
ORDER BY name
"""


def diagram(db: psycopg.Connection) -> str:
    lines = ["erDiagram"]
    for parent, child, name, required, unique, child_required in db.execute(RELATIONSHIPS):
        left = "||" if required else "|o"
        right = "o|" if unique else "|{" if child_required else "o{"
        parent, child = parent.removesuffix("_base"), child.removesuffix("_base")
        lines.append(f"    {parent} {left}--{right} {child} : {name}")
    entity = None
    for table, column, kind, in_primary_key, in_foreign_key in db.execute(ATTRIBUTES):
        if table != entity:
            if entity:
                lines.append("    }")
            lines.append(f"    {table} {{")
            entity = table
        keys = ", ".join(key for key, holds in (("PK", in_primary_key), ("FK", in_foreign_key)) if holds)
        lines.append(f"        {kind} {column} {keys}".rstrip())
    lines.append("    }")
    return "```mermaid\n" + "\n".join(lines) + "\n```\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dsn", help="a migrated database, as a libpq URI or keyword string")
    parser.add_argument("--write", action="store_true", help="put the diagram into README.md")
    arguments = parser.parse_args()
    with psycopg.connect(arguments.dsn) as db:
        drawn = diagram(db)
    if arguments.write:
        text = README.read_text(encoding="utf-8")
        before, rest = text.split(BEGIN)
        _, after = rest.split(END)
        README.write_text(before + BEGIN + drawn + END + after, encoding="utf-8")
    else:
        print(drawn, end="")


if __name__ == "__main__":
    main()
