-- Only what is missing is made: an earlier release may have made the rest.
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

CREATE TABLE IF NOT EXISTS llm_db.repeatables (
    name    text        NOT NULL,
    sha256  text        NOT NULL,
    objects text []     NOT NULL,
    adopted text []     NOT NULL DEFAULT '{}',
    made_at timestamptz NOT NULL DEFAULT clock_timestamp(),

    CONSTRAINT repeatables_pkey PRIMARY KEY (name)
);
COMMENT ON TABLE llm_db.repeatables IS 'The files of views, routines and triggers as they were last run';
COMMENT ON COLUMN llm_db.repeatables.name IS 'The file''s path under views/, without .sql';
COMMENT ON COLUMN llm_db.repeatables.sha256 IS 'SHA-256 of the file; another sum means that it changed, none that '
    'it has to be run again';
COMMENT ON COLUMN llm_db.repeatables.objects IS 'What the file made: kind and identity, as pg_identify_object() tells '
    'them';
COMMENT ON COLUMN llm_db.repeatables.adopted IS 'Which of these a migration had made before the file did';
COMMENT ON COLUMN llm_db.repeatables.made_at IS 'When it was last run';

CREATE TABLE IF NOT EXISTS llm_db.views (
    view_name  text        NOT NULL,
    sha256     text        NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),

    CONSTRAINT views_pkey PRIMARY KEY (view_name)
);
COMMENT ON TABLE llm_db.views IS 'Of release 0.1.0, which takes a database without it for a new one; empty until 0.1.0 '
    'is used again, after a rollback to it';
COMMENT ON COLUMN llm_db.views.view_name IS 'schema.name';
COMMENT ON COLUMN llm_db.views.sha256 IS 'SHA-256 of the file that created it';
COMMENT ON COLUMN llm_db.views.created_at IS 'When it was last created';

-- Facts, not statements: what is in a table must not be run as SQL by whoever migrates next.
CREATE TABLE IF NOT EXISTS llm_db.grants (
    object       text    NOT NULL,
    column_name  text    NULL,
    role_name    text    NULL,
    privilege    text    NOT NULL,
    is_grantable boolean NOT NULL,

    CONSTRAINT grants_key UNIQUE NULLS NOT DISTINCT (object, column_name, role_name, privilege),
    CONSTRAINT grants_privilege_is_known CHECK (privilege IN (
        'OWNER', 'NOT PUBLIC', 'EXECUTE',
        'SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER', 'MAINTAIN'
    ))
);
-- A publication FOR ALL TABLES refuses UPDATE and DELETE on a table whose rows it cannot name.
ALTER TABLE llm_db.grants REPLICA IDENTITY FULL;
COMMENT ON TABLE llm_db.grants IS 'What people gave on views and routines that had to go, until these are made again';
COMMENT ON COLUMN llm_db.grants.object IS 'Kind and identity, as in repeatables.objects';
COMMENT ON COLUMN llm_db.grants.column_name IS 'The column it was given on; NULL = the whole object';
COMMENT ON COLUMN llm_db.grants.role_name IS 'To whom; NULL = PUBLIC';
COMMENT ON COLUMN llm_db.grants.privilege IS 'As GRANT names it; OWNER = it was the role''s own, NOT PUBLIC = nobody '
    'may call it unless it was given';
COMMENT ON COLUMN llm_db.grants.is_grantable IS 'WITH GRANT OPTION';

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
    bytes         bigint      NULL,
    rows_listed   bigint      NOT NULL DEFAULT 0,

    CONSTRAINT loads_pkey PRIMARY KEY (load_id),
    CONSTRAINT loads_every_row_is_accounted_for CHECK (rows_read = rows_loaded + rows_present + rows_rejected)
);
ALTER TABLE llm_db.loads
    ADD COLUMN IF NOT EXISTS bytes bigint NULL,
    ADD COLUMN IF NOT EXISTS rows_listed bigint NOT NULL DEFAULT 0;
CREATE INDEX IF NOT EXISTS loads_sha256_idx ON llm_db.loads (sha256);
COMMENT ON TABLE llm_db.loads IS 'The files that llm-db load has loaded';
COMMENT ON COLUMN llm_db.loads.load_id IS 'Key';
COMMENT ON COLUMN llm_db.loads.file IS 'Name of the file';
COMMENT ON COLUMN llm_db.loads.sha256 IS 'SHA-256 of its bytes';
COMMENT ON COLUMN llm_db.loads.bytes IS 'Its size; NULL = loaded before this column was';
COMMENT ON COLUMN llm_db.loads.mapping IS 'The options it was read with';
COMMENT ON COLUMN llm_db.loads.loaded_at IS 'When it was loaded';
COMMENT ON COLUMN llm_db.loads.rows_read IS 'Rows in the file';
COMMENT ON COLUMN llm_db.loads.rows_loaded IS 'Rows that became logs';
COMMENT ON COLUMN llm_db.loads.rows_present IS 'Rows whose logs were there already';
COMMENT ON COLUMN llm_db.loads.rows_listed IS 'Of these, rows that were taken for a log though neither a key nor an '
    'earlier load of the file says so; they are in llm_db.load_rejects';
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
COMMENT ON TABLE llm_db.load_rejects IS 'The rows that llm-db load refused, or took for logs that were there already; '
    'kept for 30 days';
COMMENT ON COLUMN llm_db.load_rejects.load_id IS 'The load that did so';
COMMENT ON COLUMN llm_db.load_rejects.line IS 'Line in the file; the first line is 1';
COMMENT ON COLUMN llm_db.load_rejects.file IS 'Name of the file';
COMMENT ON COLUMN llm_db.load_rejects.loaded_at IS 'When it did so';
COMMENT ON COLUMN llm_db.load_rejects.column_name IS 'The column at fault; NULL = the line as a whole';
COMMENT ON COLUMN llm_db.load_rejects.value IS 'Its value, as in the file';
COMMENT ON COLUMN llm_db.load_rejects.rule IS 'The rule it broke: a constraint''s name, or words; "there already: ..." '
    '= it was not refused';
COMMENT ON COLUMN llm_db.load_rejects.raw IS 'The line; the beginning of it where it is longer than 1 MB';

COMMENT ON TABLE llm_db._yoyo_migration IS 'yoyo: the applied migrations';
COMMENT ON TABLE llm_db._yoyo_log IS 'yoyo: who applied or rolled back what, and when';
COMMENT ON TABLE llm_db._yoyo_version IS 'yoyo: the version of its own tables';
