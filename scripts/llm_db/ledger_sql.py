"""The statements that write the ledger. A migration's marks, in yoyo's tables and in ours, are one statement each."""

WRITE = """
INSERT INTO llm_db.migrations (
    migration_id, state, up_sha256, down_sha256, duration_ms, llm_db_version, server_version, server_address
)
VALUES (
    %(migration_id)s, %(state)s, %(up_sha256)s, %(down_sha256)s, %(duration_ms)s, %(version)s,
    pg_catalog.current_setting('server_version'),
    pg_catalog.host(pg_catalog.inet_server_addr()) || ':' || pg_catalog.inet_server_port()
)
ON CONFLICT (migration_id) DO UPDATE SET
    state = excluded.state,
    up_sha256 = excluded.up_sha256,
    down_sha256 = excluded.down_sha256,
    applied_by = excluded.applied_by,
    applied_at = excluded.applied_at,
    duration_ms = excluded.duration_ms,
    llm_db_version = excluded.llm_db_version,
    server_version = excluded.server_version,
    server_address = excluded.server_address
"""

# Who applied it, and when, stays.
UPDATE = """
UPDATE llm_db.migrations SET state = %(state)s, up_sha256 = %(up_sha256)s, down_sha256 = %(down_sha256)s
WHERE migration_id = %(migration_id)s
"""

REMOVE = "DELETE FROM llm_db.migrations WHERE migration_id = %(migration_id)s"

LOG = """
WITH log AS (
    INSERT INTO llm_db._yoyo_log (
        id, migration_hash, migration_id, operation, username, hostname, created_at_utc
    )
    VALUES (
        gen_random_uuid(), %(hash)s, %(migration_id)s, %(operation)s, %(username)s, %(hostname)s,
        clock_timestamp() AT TIME ZONE 'UTC'
    )
)"""

MARK = f"""{LOG}, mark AS (
    INSERT INTO llm_db._yoyo_migration (migration_hash, migration_id, applied_at_utc)
    VALUES (%(hash)s, %(migration_id)s, clock_timestamp() AT TIME ZONE 'UTC')
    ON CONFLICT (migration_hash) DO NOTHING
)
{WRITE}"""

UNMARK = f"""{LOG}, mark AS (
    DELETE FROM llm_db._yoyo_migration WHERE migration_hash = %(hash)s
)
{REMOVE}"""

ACCEPT = f"{LOG}{UPDATE}"
