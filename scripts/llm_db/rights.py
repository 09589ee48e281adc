"""Which rights a role lacks for a command, as the statements that give them. Asked once the server has refused."""

import psycopg

from llm_db.queries import query

# Of commands that need less than owning what is there.
QUERIES = {
    "report": "rights_report",
    "archive": "rights_archive",
    "load": "rights_load",
    "maintain": "rights_maintain",
    "doctor": "rights_maintain",
}


def hint(connection: psycopg.Connection, command: str) -> str:
    """Empty where nothing is seen to be lacking."""
    lacking = [statement for (statement,) in connection.execute(query(QUERIES.get(command, "rights_owning")))]
    owners = [] if command in QUERIES else [name for (name,) in connection.execute(query("owners"))]
    if owners:
        names = " and ".join(f'"{name}"' for name in owners)
        lacking.insert(0, f"connect as {names}, which owns what is there, or act as it with --role")
    return "; ".join(lacking)
