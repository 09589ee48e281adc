-- As yoyo's own commands make and read them. Only what is missing is made; a restore may have left out the rows.
CREATE TABLE IF NOT EXISTS llm_db._yoyo_migration (
    migration_hash varchar(64)  NOT NULL,
    migration_id   varchar(255) NULL,
    applied_at_utc timestamp    NULL,

    CONSTRAINT _yoyo_migration_pkey PRIMARY KEY (migration_hash)
);
CREATE TABLE IF NOT EXISTS llm_db._yoyo_log (
    id             varchar(36)  NOT NULL,
    migration_hash varchar(64)  NULL,
    migration_id   varchar(255) NULL,
    operation      varchar(10)  NULL,
    username       varchar(255) NULL,
    hostname       varchar(255) NULL,
    comment        varchar(255) NULL,
    created_at_utc timestamp    NULL,

    CONSTRAINT _yoyo_log_pkey PRIMARY KEY (id)
);
CREATE TABLE IF NOT EXISTS llm_db._yoyo_version (
    version          integer   NOT NULL,
    installed_at_utc timestamp NULL,

    CONSTRAINT _yoyo_version_pkey PRIMARY KEY (version)
);
INSERT INTO llm_db._yoyo_version (version, installed_at_utc) VALUES (2, clock_timestamp() AT TIME ZONE 'UTC')
ON CONFLICT DO NOTHING;
