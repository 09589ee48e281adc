-- The audit: who changed what, and when. Append-only, written by triggers that views/4_ops/30_audit.sql makes.

-- No identity column: whether a partition has one too differs between releases of PostgreSQL, and with it the catalog.
CREATE SEQUENCE audit.changes_change_id_seq;
COMMENT ON SEQUENCE audit.changes_change_id_seq IS 'Numbers the changes';

CREATE TABLE audit.changes (
    changed_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    change_id      bigint      NOT NULL DEFAULT nextval('audit.changes_change_id_seq'),
    transaction_id bigint      NOT NULL DEFAULT pg_current_xact_id()::text::bigint,
    table_name     text        NOT NULL,
    row_key        text []     NOT NULL,
    operation      text        NOT NULL,
    login_name     text        NOT NULL DEFAULT session_user,
    -- In a function with its owner's rights current_user is that owner. This setting still says who called.
    role_name      text        NOT NULL DEFAULT coalesce(nullif(current_setting('role'), 'none'), session_user),
    actor          text        NULL DEFAULT nullif(current_setting('llm.actor', true), ''),
    old_values     jsonb       NULL,
    new_values     jsonb       NULL,

    -- Not change_id alone: a partitioned table's key has the column that it is partitioned by.
    CONSTRAINT changes_pkey PRIMARY KEY (changed_at, change_id),
    CONSTRAINT changes_operation_is_known CHECK (
        operation IN ('INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'ERASE', 'DROP')
    )
) PARTITION BY RANGE (changed_at);
ALTER SEQUENCE audit.changes_change_id_seq OWNED BY audit.changes.change_id;
COMMENT ON TABLE audit.changes IS '변경 감사 기록: every change of every table of schema llm but sessions, logs and '
    'counters, a row each; partitioned by month (UTC). Written by triggers; nobody updates, deletes or truncates it';
COMMENT ON COLUMN audit.changes.changed_at IS '변경 시간: by the server''s clock, at the change itself';
COMMENT ON COLUMN audit.changes.change_id IS '변경 번호: ascending; of one row''s changes the later one has the higher '
    'one. Numbers that are missing are of transactions that were rolled back';
COMMENT ON COLUMN audit.changes.transaction_id IS '트랜잭션: changes with the same one were made together';
COMMENT ON COLUMN audit.changes.table_name IS '테이블: schema.name, as it was called then';
COMMENT ON COLUMN audit.changes.row_key IS '행 키: the values of the primary key''s columns, times in UTC; {} = all '
    'rows (TRUNCATE, DROP). A change of the key is written twice, under the old one and the new one';
COMMENT ON COLUMN audit.changes.operation IS '작업: INSERT, UPDATE, DELETE, TRUNCATE; ERASE = llm.erase_user(), DROP = '
    'audit.drop_old_months()';
COMMENT ON COLUMN audit.changes.login_name IS '로그인: the role that logged in (session_user)';
COMMENT ON COLUMN audit.changes.role_name IS '역할: the role it acted as (SET ROLE)';
COMMENT ON COLUMN audit.changes.actor IS '행위자: whom the application named by SET llm.actor, as it says; NULL = nobody';
COMMENT ON COLUMN audit.changes.old_values IS '이전 값: of the columns that changed, or all of a deleted row; NULL = none';
COMMENT ON COLUMN audit.changes.new_values IS '새 값: of the columns that changed, or all of a new row; NULL = none. Of '
    'ERASE, what was done; of DROP, what is gone';

CREATE INDEX changes_table_name_row_key_idx ON audit.changes (table_name, row_key);

CREATE TABLE audit.changes_default PARTITION OF audit.changes DEFAULT;
COMMENT ON TABLE audit.changes_default IS 'Changes of months that have no partition yet; audit.create_month() moves '
    'them';
