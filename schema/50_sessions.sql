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
    -- A time further out is a broken clock, and no month could hold it. CHECKs are tried in the order of their names:
    -- what is no UUIDv7 at all is told so by the one above. The literal is llm.uuidv7_floor() of the last moment: it
    -- would be worked out for each month in every plan for all of them.
    CONSTRAINT sessions_session_id_within_year_9999 CHECK (session_id < 'e677d21f-dc00-0000-0000-000000000000'),
    CONSTRAINT sessions_end_not_before_start CHECK (end_time >= start_time),
    CONSTRAINT sessions_running_has_no_end CHECK ((status = 'running') = (end_time IS NULL)),
    -- A clock that is wrong, or a zero that stands for "not known": no report can count in it. Reports go day by day.
    CONSTRAINT sessions_times_within_2000_to_2099 CHECK (
        start_time >= '2000-01-01 00:00Z' AND start_time < '2100-01-01 00:00Z'
        AND end_time >= '2000-01-01 00:00Z' AND end_time < '2100-01-01 00:00Z'
    )
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
-- These two, and that on request_time, find what the rollups do not have yet.
CREATE INDEX sessions_start_time_idx ON llm.sessions (start_time);
CREATE INDEX sessions_end_time_idx ON llm.sessions (end_time);

CREATE TABLE llm.sessions_default PARTITION OF llm.sessions DEFAULT;
COMMENT ON TABLE llm.sessions_default IS 'Sessions of months that have no partition yet; llm.move_default_rows() '
    'empties it';
