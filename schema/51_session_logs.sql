-- SESSION_LOGS (세션 로그): the weak entity, one request and its answer. Partitioned exactly as sessions, since it
-- shares the leading key column. Columns are ordered by alignment; no byte of a row is padding before the texts.
CREATE TABLE llm.session_logs (
    session_id             uuid        NOT NULL,
    request_time           timestamptz NOT NULL DEFAULT clock_timestamp(),
    response_time          timestamptz NULL,
    latency                interval    GENERATED ALWAYS AS (response_time - request_time) STORED,
    deployment_id          bigint      NOT NULL,
    config_id              bigint      NULL,
    template_id            bigint      NULL,
    token_used             bigint      NULL,
    log_sequence           integer     NOT NULL,
    request_prompt_s3_path text        NULL,
    response_s3_path       text        NULL,

    CONSTRAINT session_logs_pkey PRIMARY KEY (session_id, log_sequence),
    CONSTRAINT session_logs_deployment_id_fkey FOREIGN KEY (deployment_id) REFERENCES llm.deployments (deployment_id),
    CONSTRAINT session_logs_config_id_fkey FOREIGN KEY (config_id) REFERENCES llm.model_configs (config_id),
    CONSTRAINT session_logs_template_id_fkey FOREIGN KEY (template_id)
        REFERENCES llm.prompt_templates_base (template_id),
    CONSTRAINT session_logs_log_sequence_positive CHECK (log_sequence > 0),
    CONSTRAINT session_logs_response_not_before_request CHECK (response_time >= request_time),
    CONSTRAINT session_logs_token_used_not_negative CHECK (token_used >= 0),
    CONSTRAINT session_logs_request_prompt_s3_path_is_s3_uri CHECK (llm.is_s3_uri(request_prompt_s3_path)),
    CONSTRAINT session_logs_response_s3_path_is_s3_uri CHECK (llm.is_s3_uri(response_s3_path)),
    CONSTRAINT session_logs_request_time_within_2000_to_2099 CHECK (
        request_time >= '2000-01-01 00:00Z' AND request_time < '2100-01-01 00:00Z'
    ),
    -- With response_not_before_request it holds the answer's time as well.
    CONSTRAINT session_logs_response_within_a_week CHECK (response_time - request_time <= interval '168 hours'),
    -- Ten times the longest context there is. A sum of tokens is a bigint, which holds 92,000,000,000 requests of this
    -- size: at a thousand a second, day and night, the work of three years, and 12 TB of logs.
    CONSTRAINT session_logs_token_used_at_most_100_million CHECK (token_used <= 100000000)
) PARTITION BY RANGE (session_id);
COMMENT ON TABLE llm.session_logs IS '세션 로그: one request to an LLM and its answer; stored in the month of its '
    'session';
COMMENT ON COLUMN llm.session_logs.session_id IS '세션 (HAS_SESSION): the session it belongs to and is deleted with';
COMMENT ON COLUMN llm.session_logs.request_time IS '요청 시간: when the request was made';
COMMENT ON COLUMN llm.session_logs.response_time IS '응답 시간: when the answer was complete; NULL = running or not '
    'known';
COMMENT ON COLUMN llm.session_logs.latency IS '처리 시간: response_time - request_time, generated; NULL = not known';
COMMENT ON COLUMN llm.session_logs.deployment_id IS '배포 (DEPLOYED_IN): the deployment that served the request';
COMMENT ON COLUMN llm.session_logs.config_id IS '모델 설정 (APPLIES_CONFIG): the preset applied; NULL = none or not '
    'known';
COMMENT ON COLUMN llm.session_logs.template_id IS '프롬프트 템플릿 (USES_TEPL): the template used; NULL = none';
COMMENT ON COLUMN llm.session_logs.token_used IS '사용 토큰 수: input plus output tokens; NULL = not known yet';
COMMENT ON COLUMN llm.session_logs.log_sequence IS '세션 내 로그 순번: 1, 2, 3... within the session; left out, the next '
    'one';
COMMENT ON COLUMN llm.session_logs.request_prompt_s3_path IS '요청 프롬프트 S3 경로: s3://bucket/key of the prompt';
COMMENT ON COLUMN llm.session_logs.response_s3_path IS '응답 S3 경로: s3://bucket/key of the answer';

-- Each serves its foreign key; NULLs, which no foreign key looks for, are left out of the optional ones.
CREATE INDEX session_logs_deployment_id_idx ON llm.session_logs (deployment_id);
CREATE INDEX session_logs_config_id_idx ON llm.session_logs (config_id) WHERE config_id IS NOT NULL;
CREATE INDEX session_logs_template_id_idx ON llm.session_logs (template_id) WHERE template_id IS NOT NULL;
CREATE INDEX session_logs_request_time_idx ON llm.session_logs (request_time);

-- Its session (HAS_SESSION) lies in the month of the same name, and that is where each month's logs refer to: a foreign
-- key of all logs to all sessions would lock every month for each log that is written. ops.refer_to_sessions() makes
-- these keys. Logs in DEFAULT may be of a month that has only half of its tables, and refer to all sessions.
CREATE TABLE llm.session_logs_default PARTITION OF llm.session_logs (
    CONSTRAINT session_logs_session_id_fkey FOREIGN KEY (session_id)
        REFERENCES llm.sessions (session_id) ON DELETE CASCADE
) DEFAULT;
COMMENT ON TABLE llm.session_logs_default IS 'Logs of months that have no partition yet; llm.move_default_rows() '
    'empties it';
