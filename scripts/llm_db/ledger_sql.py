"""The SQL of the ledger, schema llm_db. A migration's marks, in yoyo's tables and in ours, are one statement each."""

SCHEMA = """
CREATE SCHEMA IF NOT EXISTS llm_db;
COMMENT ON SCHEMA llm_db IS 'The ledger of llm-db: which migrations, views and files of logs this database has';
"""

# Only what is missing is made: an earlier release may have made the rest.
TABLES = """
CREATE TABLE IF NOT EXISTS llm_db.migrations (
    migration_id   text        NOT NULL,
    state          text        NOT NULL,
    up_sha256      text        NOT NULL,
    down_sha256    text        NOT NULL,
    applied_by     text        NOT NULL DEFAULT session_user,
    applied_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    duration_ms    bigint      NULL,
    llm_db_version text        NULL,
    server_version text        NULL,
    server_address text        NULL,

    CONSTRAINT migrations_pkey PRIMARY KEY (migration_id),
    CONSTRAINT migrations_state_is_known CHECK (state IN ('started', 'applied', 'undoing'))
);
COMMENT ON TABLE llm_db.migrations IS 'What exactly was applied; llm_db._yoyo_migration says whether';
COMMENT ON COLUMN llm_db.migrations.migration_id IS 'NNNN.slug';
COMMENT ON COLUMN llm_db.migrations.state IS 'applied; started or undoing = a file without a transaction began and has '
    'not been seen to end';
COMMENT ON COLUMN llm_db.migrations.up_sha256 IS 'SHA-256 of the file, its line ends as LF';
COMMENT ON COLUMN llm_db.migrations.down_sha256 IS 'SHA-256 of the rollback file, its line ends as LF';
COMMENT ON COLUMN llm_db.migrations.applied_by IS 'The role that logged in; of before this table, the operating '
    'system''s user';
COMMENT ON COLUMN llm_db.migrations.applied_at IS 'When it was applied or, where it is not yet, begun';
COMMENT ON COLUMN llm_db.migrations.duration_ms IS 'How long the file took; NULL = not run by llm-db, or not ended';
COMMENT ON COLUMN llm_db.migrations.llm_db_version IS 'Of the llm-db that applied it; NULL = before this table was';
COMMENT ON COLUMN llm_db.migrations.server_version IS 'Of the server then; NULL = before this table was';
COMMENT ON COLUMN llm_db.migrations.server_address IS 'Its address and port; NULL = a Unix socket, or before this '
    'table was';

CREATE TABLE IF NOT EXISTS llm_db.views (
    view_name  text        NOT NULL,
    sha256     text        NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),

    CONSTRAINT views_pkey PRIMARY KEY (view_name)
);
COMMENT ON TABLE llm_db.views IS 'The repeatable views as last created';
COMMENT ON COLUMN llm_db.views.view_name IS 'schema.name';
COMMENT ON COLUMN llm_db.views.sha256 IS 'SHA-256 of the file that created it; another sum means the file changed';
COMMENT ON COLUMN llm_db.views.created_at IS 'When it was last created';

-- Facts, not statements: what is in a table must not be run as SQL by whoever migrates next.
CREATE TABLE IF NOT EXISTS llm_db.view_grants (
    view_name    text    NOT NULL,
    column_name  text    NULL,
    role_name    text    NULL,
    privilege    text    NOT NULL,
    is_grantable boolean NOT NULL,

    CONSTRAINT view_grants_key UNIQUE NULLS NOT DISTINCT (view_name, column_name, role_name, privilege),
    CONSTRAINT view_grants_privilege_is_known CHECK (privilege IN (
        'OWNER', 'SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER', 'MAINTAIN'
    ))
);
COMMENT ON TABLE llm_db.view_grants IS 'What people gave on views that had to go, until these are made again';
COMMENT ON COLUMN llm_db.view_grants.view_name IS 'schema.name';
COMMENT ON COLUMN llm_db.view_grants.column_name IS 'The column it was given on; NULL = the whole view';
COMMENT ON COLUMN llm_db.view_grants.role_name IS 'To whom; NULL = PUBLIC';
COMMENT ON COLUMN llm_db.view_grants.privilege IS 'As GRANT names it; OWNER = it was the role''s own';
COMMENT ON COLUMN llm_db.view_grants.is_grantable IS 'WITH GRANT OPTION';

CREATE TABLE IF NOT EXISTS llm_db.loads (
    load_id       bigint      GENERATED ALWAYS AS IDENTITY,
    file          text        NOT NULL,
    sha256        text        NOT NULL,
    mapping       text        NOT NULL,
    loaded_at     timestamptz NOT NULL DEFAULT now(),
    rows_read     bigint      NOT NULL,
    rows_loaded   bigint      NOT NULL,
    rows_present  bigint      NOT NULL,
    rows_rejected bigint      NOT NULL,

    CONSTRAINT loads_pkey PRIMARY KEY (load_id),
    CONSTRAINT loads_every_row_is_accounted_for CHECK (rows_read = rows_loaded + rows_present + rows_rejected)
);
CREATE INDEX IF NOT EXISTS loads_sha256_idx ON llm_db.loads (sha256);
COMMENT ON TABLE llm_db.loads IS 'The files that llm-db load has loaded';
COMMENT ON COLUMN llm_db.loads.load_id IS 'Key';
COMMENT ON COLUMN llm_db.loads.file IS 'Name of the file';
COMMENT ON COLUMN llm_db.loads.sha256 IS 'SHA-256 of its bytes';
COMMENT ON COLUMN llm_db.loads.mapping IS 'The options it was read with';
COMMENT ON COLUMN llm_db.loads.loaded_at IS 'When it was loaded';
COMMENT ON COLUMN llm_db.loads.rows_read IS 'Rows in the file';
COMMENT ON COLUMN llm_db.loads.rows_loaded IS 'Rows that became logs';
COMMENT ON COLUMN llm_db.loads.rows_present IS 'Rows whose logs were there already';
COMMENT ON COLUMN llm_db.loads.rows_rejected IS 'Rows that broke a rule; they are in llm_db.load_rejects';

CREATE TABLE IF NOT EXISTS llm_db.load_rejects (
    load_id     bigint      NOT NULL,
    line        bigint      NOT NULL,
    file        text        NOT NULL,
    loaded_at   timestamptz NOT NULL DEFAULT now(),
    column_name text        NULL,
    value       text        NULL,
    rule        text        NOT NULL,
    raw         text        NOT NULL,

    CONSTRAINT load_rejects_pkey PRIMARY KEY (load_id, line),
    CONSTRAINT load_rejects_load_id_fkey FOREIGN KEY (load_id) REFERENCES llm_db.loads (load_id) ON DELETE CASCADE
);
COMMENT ON TABLE llm_db.load_rejects IS 'The rows that llm-db load refused';
COMMENT ON COLUMN llm_db.load_rejects.load_id IS 'The load that refused it';
COMMENT ON COLUMN llm_db.load_rejects.line IS 'Line in the file; the first line is 1';
COMMENT ON COLUMN llm_db.load_rejects.file IS 'Name of the file';
COMMENT ON COLUMN llm_db.load_rejects.loaded_at IS 'When it was refused';
COMMENT ON COLUMN llm_db.load_rejects.column_name IS 'The column at fault; NULL = the line as a whole';
COMMENT ON COLUMN llm_db.load_rejects.value IS 'Its value, as in the file';
COMMENT ON COLUMN llm_db.load_rejects.rule IS 'The rule it broke: a constraint''s name, or words';
COMMENT ON COLUMN llm_db.load_rejects.raw IS 'The line; the beginning of it where it is longer than 1 MB';

COMMENT ON TABLE llm_db._yoyo_migration IS 'yoyo: the applied migrations';
COMMENT ON TABLE llm_db._yoyo_log IS 'yoyo: who applied or rolled back what, and when';
COMMENT ON TABLE llm_db._yoyo_version IS 'yoyo: the version of its own tables';
"""

# What 0.1.0 applied: its files never change, so their sums are those of the files at hand.
ADOPT = """
INSERT INTO llm_db.migrations (migration_id, state, up_sha256, down_sha256, applied_by, applied_at)
SELECT
    mark.migration_id, 'applied', file.up_sha256, file.down_sha256, coalesce(log.username, session_user),
    mark.applied_at_utc AT TIME ZONE 'UTC'
FROM jsonb_to_recordset(%s) AS file (migration_id text, up_sha256 text, down_sha256 text)
INNER JOIN llm_db._yoyo_migration AS mark ON mark.migration_id = file.migration_id
LEFT JOIN LATERAL (
    SELECT entry.username
    FROM llm_db._yoyo_log AS entry
    WHERE entry.migration_id = mark.migration_id AND entry.operation = 'apply'
    ORDER BY entry.created_at_utc DESC
    LIMIT 1
) AS log ON true
ON CONFLICT (migration_id) DO NOTHING
"""

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
