"""What a database's catalog holds in our schemas, as rows that can be compared and read.

Each row is one property of one object: kind, name, owner of the object (what it is part of, '' for none), property,
value. The first property of an object, in the order of the query, sums it up.

Months come and go, so of a partitioned table's partitions only DEFAULT is compared; FAULTS asks of every partition
whether it has what its parent has. Owners' names are the DBA's business; only that there are several is told.
"""

from dataclasses import dataclass, field

import psycopg

from llm_db.queries import query

SCHEMAS = ["llm", "rollup", "reporting", "ops", "audit", "cluster"]


@dataclass
class Entry:
    part_of: str
    properties: dict[str, str | None] = field(default_factory=dict)


# By kind and name.
Catalog = dict[tuple[str, str], Entry]


def read(connection: psycopg.Connection) -> Catalog:
    found: Catalog = {}
    for kind, name, part_of, prop, value in connection.execute(query("catalog"), {"schemas": SCHEMAS}):
        found.setdefault((kind, name), Entry(part_of)).properties[prop] = value
    return found


def read_faults(connection: psycopg.Connection) -> list[tuple[str, str, str, str]]:
    """Kind, name, what it is part of, and what is wrong with it."""
    return connection.execute(query("faults"), {"schemas": SCHEMAS}).fetchall()
