-- On a cluster what the rows may have to do with is fetched: it is compared in ways in which Citus asks no workers.
CREATE TEMPORARY TABLE load_stored_sessions (
    session_id   uuid PRIMARY KEY,
    user_id      bigint,
    project_id   bigint,
    session_type text,
    start_time   timestamptz,
    end_time     timestamptz,
    status       text
);

CREATE TEMPORARY TABLE load_stored_logs (
    session_id             uuid,
    log_sequence           integer,
    request_time           timestamptz,
    response_time          timestamptz,
    token_used             bigint,
    deployment_id          bigint,
    config_id              bigint,
    template_id            bigint,
    request_prompt_s3_path text,
    response_s3_path       text,

    PRIMARY KEY (session_id, log_sequence)
);
