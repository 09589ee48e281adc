-- depends: 0004.projects 0005.models-and-deployments 0006.prompt-templates

-- SESSIONS (사용 세션): one sitting of a user, partitioned by month. session_id is a UUIDv7, so a range of ids is a
-- range of time: the primary key stays exactly (session_id) and no other column has to be part of it.
CREATE TABLE llm.sessions (
    session_id   uuid        NOT NULL DEFAULT llm.uuidv7(),
    user_id      bigint      NOT NULL,
    project_id   bigint      NULL,
    start_time   timestamptz NOT NULL DEFAULT now(),
    end_time     timestamptz NULL,
    session_type text        NOT NULL,
    status       text        NOT NULL DEFAULT 'running',

    CONSTRAINT sessions_pkey PRIMARY KEY (session_id),
    CONSTRAINT sessions_user_id_fkey FOREIGN KEY (user_id) REFERENCES llm.users (user_id),
    CONSTRAINT sessions_project_id_fkey FOREIGN KEY (project_id) REFERENCES llm.projects (project_id),
    CONSTRAINT sessions_session_type_fkey FOREIGN KEY (session_type) REFERENCES llm.session_types (code),
    CONSTRAINT sessions_status_fkey FOREIGN KEY (status) REFERENCES llm.session_statuses (code),
    CONSTRAINT sessions_session_id_is_uuidv7 CHECK (llm.is_uuidv7(session_id)),
    -- A time further out is a broken clock, and no month could hold it.
    CONSTRAINT sessions_session_id_before_year_10000
        CHECK (session_id < llm.uuidv7_floor('9999-12-31 24:00:00+00')),
    CONSTRAINT sessions_end_not_before_start CHECK (end_time >= start_time),
    CONSTRAINT sessions_running_has_no_end CHECK ((status = 'running') = (end_time IS NULL))
) PARTITION BY RANGE (session_id);
COMMENT ON TABLE llm.sessions IS '사용 세션: one sitting of a user with several requests; partitioned by the month '
    '(UTC) in session_id';
COMMENT ON COLUMN llm.sessions.session_id IS '세션 고유 식별자: key, a UUIDv7; for a past session llm.uuidv7(start_time)';
COMMENT ON COLUMN llm.sessions.user_id IS '사용자 (USES): whose session it is';
COMMENT ON COLUMN llm.sessions.project_id IS '프로젝트 (RELTED_TO): the project it is for; NULL = none';
COMMENT ON COLUMN llm.sessions.start_time IS '시작 시간: when the session began';
COMMENT ON COLUMN llm.sessions.end_time IS '종료 시간: when it ended; NULL exactly while status is running';
COMMENT ON COLUMN llm.sessions.session_type IS '세션 유형: purpose, a code of llm.session_types';
COMMENT ON COLUMN llm.sessions.status IS '세션 상태: a code of llm.session_statuses';

CREATE INDEX sessions_user_id_idx ON llm.sessions (user_id);
CREATE INDEX sessions_project_id_idx ON llm.sessions (project_id);
CREATE INDEX sessions_session_type_idx ON llm.sessions (session_type);
CREATE INDEX sessions_status_idx ON llm.sessions (status);

CREATE TABLE llm.sessions_default PARTITION OF llm.sessions DEFAULT;
COMMENT ON TABLE llm.sessions_default IS 'Sessions of months that have no partition yet; llm.move_default_rows() '
    'empties it';

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
    CONSTRAINT session_logs_session_id_fkey FOREIGN KEY (session_id)
        REFERENCES llm.sessions (session_id) ON DELETE CASCADE,
    CONSTRAINT session_logs_deployment_id_fkey FOREIGN KEY (deployment_id) REFERENCES llm.deployments (deployment_id),
    CONSTRAINT session_logs_config_id_fkey FOREIGN KEY (config_id) REFERENCES llm.model_configs (config_id),
    CONSTRAINT session_logs_template_id_fkey FOREIGN KEY (template_id)
        REFERENCES llm.prompt_templates_base (template_id),
    CONSTRAINT session_logs_log_sequence_positive CHECK (log_sequence > 0),
    CONSTRAINT session_logs_response_not_before_request CHECK (response_time >= request_time),
    CONSTRAINT session_logs_token_used_not_negative CHECK (token_used >= 0),
    CONSTRAINT session_logs_request_prompt_s3_path_is_s3_uri CHECK (llm.is_s3_uri(request_prompt_s3_path)),
    CONSTRAINT session_logs_response_s3_path_is_s3_uri CHECK (llm.is_s3_uri(response_s3_path))
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

CREATE TABLE llm.session_logs_default PARTITION OF llm.session_logs DEFAULT;
COMMENT ON TABLE llm.session_logs_default IS 'Logs of months that have no partition yet; llm.move_default_rows() '
    'empties it';

CREATE FUNCTION llm.assign_log_sequence()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- Appends to one session take turns on its row; other sessions are not touched. The lock is held to the end of
    -- the transaction, so the statement below, with a snapshot of its own, sees every number given out before.
    PERFORM FROM llm.sessions WHERE session_id = NEW.session_id FOR NO KEY UPDATE;
    SELECT coalesce(max(log_sequence), 0) + 1 INTO NEW.log_sequence
    FROM llm.session_logs
    WHERE session_id = NEW.session_id;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION llm.assign_log_sequence() IS 'Trigger: gives a log without log_sequence the next one of its '
    'session. Under REPEATABLE READ a concurrent append fails with a unique violation, to be retried, as its '
    'snapshot cannot see the other. Runs as its owner, to lock the session';

CREATE TRIGGER session_logs_have_a_sequence
BEFORE INSERT ON llm.session_logs
FOR EACH ROW WHEN (NEW.log_sequence IS NULL)
EXECUTE FUNCTION llm.assign_log_sequence();
COMMENT ON TRIGGER session_logs_have_a_sequence ON llm.session_logs IS 'log_sequence counts 1, 2, 3... where left '
    'out';

-- usage_count, kept by two statement triggers: a transition table gives all rows of an INSERT, COPY or UPDATE at
-- once, over all partitions. There is none on DELETE: the count is of uses over all time. Alternatives are measured
-- in docs/usage-count.md.
CREATE FUNCTION llm.take_usage_slot()
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    counters constant integer := 'llm.prompt_template_uses'::regclass::oid::integer;
    slot integer := coalesce(nullif(current_setting('llm.usage_slot', true), '')::integer, 1);
BEGIN
    -- Above READ COMMITTED, a counter that another transaction changed since our snapshot could not be updated
    -- without a serialization failure. Such a transaction writes counters of its own; llm.fold_template_uses() adds
    -- them up later.
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RETURN -(pg_current_xact_id()::text::bigint);
    END IF;
    -- A try-lock cannot wait, so it cannot deadlock. It is released after commit has made our counters visible. A
    -- backend remembers its slot: the first try nearly always succeeds, and there are about as many slots as
    -- concurrent writers.
    IF pg_try_advisory_xact_lock(counters, slot) THEN
        RETURN slot;
    END IF;
    slot := 1;
    WHILE NOT pg_try_advisory_xact_lock(counters, slot) LOOP
        slot := slot + 1;
    END LOOP;
    PERFORM set_config('llm.usage_slot', slot::text, false);
    RETURN slot;
END
$$;
COMMENT ON FUNCTION llm.take_usage_slot() IS 'A slot of llm.prompt_template_uses that no other transaction writes '
    'to until this one ends';

CREATE FUNCTION llm.add_template_uses(used_template bigint, more bigint)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    my_slot constant bigint := llm.take_usage_slot();
BEGIN
    -- The slot is ours, so a row that is not there cannot appear in between.
    UPDATE llm.prompt_template_uses SET uses = uses + more WHERE template_id = used_template AND slot = my_slot;
    IF NOT FOUND THEN
        INSERT INTO llm.prompt_template_uses (template_id, slot, uses) VALUES (used_template, my_slot, more);
    END IF;
END
$$;
COMMENT ON FUNCTION llm.add_template_uses(bigint, bigint) IS 'Adds to the usage_count of one template, without '
    'waiting for any other transaction';

CREATE FUNCTION llm.count_template_uses()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        PERFORM llm.add_template_uses(a.template_id, count(*))
        FROM added AS a
        WHERE a.template_id IS NOT NULL
        GROUP BY a.template_id;
    ELSE
        PERFORM llm.add_template_uses(c.template_id, sum(c.uses))
        FROM (
            SELECT a.template_id, 1 AS uses FROM added AS a WHERE a.template_id IS NOT NULL
            UNION ALL
            SELECT r.template_id, -1 FROM removed AS r WHERE r.template_id IS NOT NULL
        ) AS c
        GROUP BY c.template_id
        HAVING sum(c.uses) <> 0;
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION llm.count_template_uses() IS 'Trigger: adds the uses of templates in new logs to their '
    'counters; a corrected template_id moves the use from the old template to the new. Runs as its owner, so that '
    'who may write logs need not, and cannot, write counters';

CREATE TRIGGER session_logs_uses_are_counted
AFTER INSERT ON llm.session_logs
REFERENCING NEW TABLE AS added
FOR EACH STATEMENT EXECUTE FUNCTION llm.count_template_uses();
COMMENT ON TRIGGER session_logs_uses_are_counted ON llm.session_logs IS 'usage_count counts every use. Rows written '
    'to a partition by its own name are not seen: write to llm.session_logs';

CREATE TRIGGER session_logs_corrections_are_counted
AFTER UPDATE ON llm.session_logs
REFERENCING OLD TABLE AS removed NEW TABLE AS added
FOR EACH STATEMENT EXECUTE FUNCTION llm.count_template_uses();
COMMENT ON TRIGGER session_logs_corrections_are_counted ON llm.session_logs IS 'usage_count follows a corrected '
    'template_id';

CREATE FUNCTION llm.fold_template_uses()
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    folded bigint;
BEGIN
    -- Negative slots are written by one transaction only, and slot 0 only here: no writer can be waiting for either.
    PERFORM pg_advisory_xact_lock('llm.prompt_template_uses'::regclass::oid::integer, 0);
    WITH gone AS (
        DELETE FROM llm.prompt_template_uses WHERE slot < 0 RETURNING template_id, uses
    ), sums AS (
        INSERT INTO llm.prompt_template_uses AS u (template_id, slot, uses)
        SELECT template_id, 0, sum(uses) FROM gone GROUP BY template_id
        ON CONFLICT (template_id, slot) DO UPDATE SET uses = u.uses + excluded.uses
    )
    SELECT count(*) INTO folded FROM gone;
    RETURN folded;
END
$$;
COMMENT ON FUNCTION llm.fold_template_uses() IS 'Folds the counters that REPEATABLE READ and SERIALIZABLE '
    'transactions wrote into one row per template and returns how many it folded. Run it daily where such '
    'transactions write logs';
