-- Rollups: what the reports read instead of years of logs. A row sums up the logs of one day (or hour) for one value of
-- one dimension. Time before rollup_state.closed_before is closed: it is in the rollups. Later time is open, and
-- reports read its logs themselves, so they are exact at any moment; docs/rollups.md has the proof.
--
-- Rows name the month (partition) their logs lie in. When that month is dropped, they let go of it and stay as they
-- are: rollups outlive the rows they were made from.

-- DDSketch (Masson, Rim, Lee: DDSketch, VLDB 2019): bucket b holds the latencies in (1.04^(b-2), 1.04^(b-1)]
-- microseconds and stands for the value between that is off by at most 1.97 % from any of them. ranks are running
-- totals, as a rank is what a percentile looks for.
CREATE TYPE llm.latency_histogram AS (buckets smallint [], ranks bigint []);
COMMENT ON TYPE llm.latency_histogram IS 'A DDSketch of latencies with at most 2 % relative error: the buckets that '
    'are not empty, ascending, and for each the number of latencies in it and those before it';

-- sum(bigint) is numeric, lest it overflow; turning that back into bigint took half of a report's time. This one raises
-- where it overflows.
CREATE AGGREGATE llm.bigint_sum(bigint) (
    sfunc = int8pl,
    stype = bigint,
    combinefunc = int8pl,
    parallel = safe
);
COMMENT ON AGGREGATE llm.bigint_sum(bigint) IS 'The sum as a bigint; NULL = of nothing, error 22003 = it would be too '
    'large for one';

CREATE TYPE llm.rollup_dimension AS ENUM (
    'all', 'config', 'department', 'deployment', 'model', 'project', 'template', 'user'
);
COMMENT ON TYPE llm.rollup_dimension IS 'What usage is summed up by; the whole platform is a dimension of one value';

CREATE TABLE llm.rollup_state (
    only_row        boolean     NOT NULL DEFAULT true,
    time_zone       text        NOT NULL DEFAULT 'Asia/Seoul',
    closed_before   timestamptz NOT NULL DEFAULT '-infinity',
    open_from       uuid        NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
    noted_before    timestamptz NOT NULL DEFAULT '-infinity',
    noted_below     uuid        NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
    activity_before date        NOT NULL DEFAULT '-infinity',
    refreshed_at    timestamptz NULL,

    CONSTRAINT rollup_state_pkey PRIMARY KEY (only_row),
    CONSTRAINT rollup_state_is_one_row CHECK (only_row)
);
COMMENT ON TABLE llm.rollup_state IS 'How far the rollups are; one row, written by llm.refresh_rollups() and '
    'llm.set_reporting_time_zone() only';
COMMENT ON COLUMN llm.rollup_state.only_row IS 'Key: always true';
COMMENT ON COLUMN llm.rollup_state.time_zone IS '보고 시간대: whose days and hours the reports count in';
COMMENT ON COLUMN llm.rollup_state.closed_before IS 'Requests before this time are in the rollups';
COMMENT ON COLUMN llm.rollup_state.open_from IS 'No request of open time belongs to a session_id below this, unless '
    'llm.rollup_touches says so: older months are not looked at';
COMMENT ON COLUMN llm.rollup_state.noted_before IS 'Writers note what they change before this time';
COMMENT ON COLUMN llm.rollup_state.noted_below IS 'Writers note requests of sessions below this session_id';
COMMENT ON COLUMN llm.rollup_state.activity_before IS 'llm.rollup_activity is right for days before this one';
COMMENT ON COLUMN llm.rollup_state.refreshed_at IS 'When llm.refresh_rollups() last ended';

INSERT INTO llm.rollup_state DEFAULT VALUES;

-- No key and no index: nobody who adds a row can wait for anybody.
CREATE TABLE llm.rollup_touches (
    entity     text        NOT NULL,
    from_time  timestamptz NULL,
    until_time timestamptz NULL,
    session_id uuid        NULL,

    CONSTRAINT rollup_touches_entity_is_known CHECK (entity IN ('logs', 'sessions')),
    CONSTRAINT rollup_touches_is_a_span_or_a_session CHECK (
        (from_time IS NULL) = (until_time IS NULL) AND (from_time IS NULL) = (session_id IS NOT NULL)
    )
);
COMMENT ON TABLE llm.rollup_touches IS 'Closed time that was changed afterwards; reports read its days from the logs '
    'until llm.refresh_rollups() has done them again';
COMMENT ON COLUMN llm.rollup_touches.entity IS 'logs: by request_time; sessions: by start_time';
COMMENT ON COLUMN llm.rollup_touches.from_time IS 'Inclusive; NULL = all times of the session';
COMMENT ON COLUMN llm.rollup_touches.until_time IS 'Exclusive; NULL = all times of the session';
COMMENT ON COLUMN llm.rollup_touches.session_id IS 'Whose times, as they are when this is read: the writer may not '
    'have seen them all; NULL = a span of time';

CREATE TABLE llm.rollup_usage (
    day                     date        NOT NULL,
    month                   date        NULL,
    key                     bigint      NULL,
    requests                bigint      NOT NULL,
    answered_requests       bigint      NOT NULL,
    requests_without_tokens bigint      NOT NULL,
    at_max_tokens_requests  bigint      NOT NULL,
    tokens                  bigint      NOT NULL,
    latency_us              bigint      NOT NULL,
    max_latency_us          bigint      NULL,
    first_request_time      timestamptz NOT NULL,
    last_request_time       timestamptz NOT NULL,
    dimension               llm.rollup_dimension  NOT NULL,
    latencies               llm.latency_histogram NULL
);
COMMENT ON TABLE llm.rollup_usage IS '사용량 집계: requests, tokens and latencies by day and one dimension';
COMMENT ON COLUMN llm.rollup_usage.day IS '일자: in the reporting time zone';
COMMENT ON COLUMN llm.rollup_usage.month IS 'The month (UTC) its logs are stored in; NULL = they are no longer stored';
COMMENT ON COLUMN llm.rollup_usage.key IS 'The dimension''s own key, such as user_id; NULL = requests without one';
COMMENT ON COLUMN llm.rollup_usage.requests IS '요청 수';
COMMENT ON COLUMN llm.rollup_usage.answered_requests IS '응답된 요청 수: whose response_time is known';
COMMENT ON COLUMN llm.rollup_usage.requests_without_tokens IS '토큰 수 미상 요청 수: whose token_used is not known';
COMMENT ON COLUMN llm.rollup_usage.at_max_tokens_requests IS '최대 토큰 도달 요청 수: whose token_used is at least max_tokens '
    'of their preset';
COMMENT ON COLUMN llm.rollup_usage.tokens IS '사용 토큰 수: sum of the known token_used';
COMMENT ON COLUMN llm.rollup_usage.latency_us IS '처리 시간: sum over the answered requests, in microseconds';
COMMENT ON COLUMN llm.rollup_usage.max_latency_us IS '최대 처리 시간: in microseconds; NULL = none was answered';
COMMENT ON COLUMN llm.rollup_usage.first_request_time IS '첫 요청 시간';
COMMENT ON COLUMN llm.rollup_usage.last_request_time IS '마지막 요청 시간';
COMMENT ON COLUMN llm.rollup_usage.dimension IS 'What key means';
COMMENT ON COLUMN llm.rollup_usage.latencies IS '처리 시간 분포: NULL = none was answered; by user none is kept';

-- Several rows without a month may have one key: summing up is the readers' work anyhow.
CREATE UNIQUE INDEX rollup_usage_key ON llm.rollup_usage (dimension, day, key, month) NULLS NOT DISTINCT
WHERE month IS NOT NULL;
COMMENT ON INDEX llm.rollup_usage_key IS 'One row per key, day and stored month; a missing key is a key';
CREATE INDEX rollup_usage_dimension_day_idx ON llm.rollup_usage (dimension, day);
CREATE INDEX rollup_usage_users_idx ON llm.rollup_usage (key, day) WHERE dimension = 'user';

CREATE TABLE llm.rollup_hours (
    -- squawk-ignore prefer-timestamp-tz
    local_hour              timestamp   NOT NULL,
    hour                    timestamptz NOT NULL,
    deployment_id           bigint      NOT NULL,
    month                   date        NULL,
    requests                bigint      NOT NULL,
    answered_requests       bigint      NOT NULL,
    requests_without_tokens bigint      NOT NULL,
    tokens                  bigint      NOT NULL
);
COMMENT ON TABLE llm.rollup_hours IS '시간대별 집계: requests and tokens by hour and deployment';
COMMENT ON COLUMN llm.rollup_hours.local_hour IS '시간대: the start of the hour, as clocks in the reporting time zone '
    'show it';
COMMENT ON COLUMN llm.rollup_hours.hour IS '시간대 시작: the instant it began; the hour that comes twice when clocks are '
    'put back has two';
COMMENT ON COLUMN llm.rollup_hours.deployment_id IS '배포: which served the requests';
COMMENT ON COLUMN llm.rollup_hours.month IS 'The month (UTC) its logs are stored in; NULL = they are no longer stored';
COMMENT ON COLUMN llm.rollup_hours.requests IS '요청 수';
COMMENT ON COLUMN llm.rollup_hours.answered_requests IS '응답된 요청 수: whose response_time is known';
COMMENT ON COLUMN llm.rollup_hours.requests_without_tokens IS '토큰 수 미상 요청 수: whose token_used is not known';
COMMENT ON COLUMN llm.rollup_hours.tokens IS '사용 토큰 수: sum of the known token_used';

CREATE UNIQUE INDEX rollup_hours_key ON llm.rollup_hours (local_hour, hour, deployment_id, month)
WHERE month IS NOT NULL;
COMMENT ON INDEX llm.rollup_hours_key IS 'One row per deployment, hour and stored month';
-- Whichever way a report asks for a time.
CREATE INDEX rollup_hours_day_idx ON llm.rollup_hours ((local_hour::date));
CREATE INDEX rollup_hours_local_hour_idx ON llm.rollup_hours (local_hour);
CREATE INDEX rollup_hours_hour_idx ON llm.rollup_hours (hour);

CREATE TABLE llm.rollup_slowest (
    day          date        NOT NULL,
    log_sequence integer     NOT NULL,
    month        date        NULL,
    key          bigint      NULL,
    latency_us   bigint      NOT NULL,
    token_used   bigint      NULL,
    request_time timestamptz NOT NULL,
    session_id   uuid        NOT NULL,
    dimension    llm.rollup_dimension NOT NULL
);
COMMENT ON TABLE llm.rollup_slowest IS '느린 요청: the ten slowest requests by day and one dimension';
COMMENT ON COLUMN llm.rollup_slowest.day IS '일자: in the reporting time zone';
COMMENT ON COLUMN llm.rollup_slowest.log_sequence IS '세션 내 로그 순번: with session_id, which request';
COMMENT ON COLUMN llm.rollup_slowest.month IS 'The month (UTC) the log is stored in; NULL = it is no longer stored';
COMMENT ON COLUMN llm.rollup_slowest.key IS 'The dimension''s own key; NULL = requests without one';
COMMENT ON COLUMN llm.rollup_slowest.latency_us IS '처리 시간: in microseconds';
COMMENT ON COLUMN llm.rollup_slowest.token_used IS '사용 토큰 수: NULL = not known';
COMMENT ON COLUMN llm.rollup_slowest.request_time IS '요청 시간';
COMMENT ON COLUMN llm.rollup_slowest.session_id IS '세션: which, also when it is no longer stored';
COMMENT ON COLUMN llm.rollup_slowest.dimension IS 'What key means';

CREATE INDEX rollup_slowest_dimension_day_idx ON llm.rollup_slowest (dimension, day);

CREATE TABLE llm.rollup_sessions (
    day                     date    NOT NULL,
    month                   date    NULL,
    department_id           bigint  NULL,
    sessions                bigint  NOT NULL,
    duration_us             bigint  NOT NULL,
    requests                bigint  NOT NULL,
    requests_without_tokens bigint  NOT NULL,
    tokens                  bigint  NOT NULL,
    has_project             boolean NOT NULL,
    session_type            text    NOT NULL,
    status                  text    NOT NULL
);
COMMENT ON TABLE llm.rollup_sessions IS '세션 집계: sessions that have ended, by the day they began';
COMMENT ON COLUMN llm.rollup_sessions.day IS '일자: of start_time, in the reporting time zone';
COMMENT ON COLUMN llm.rollup_sessions.month IS 'The month (UTC) its sessions are stored in; NULL = they are no longer '
    'stored';
COMMENT ON COLUMN llm.rollup_sessions.department_id IS '소속 부서: of the user when the session began';
COMMENT ON COLUMN llm.rollup_sessions.sessions IS '세션 수';
COMMENT ON COLUMN llm.rollup_sessions.duration_us IS '세션 시간: sum, in microseconds';
COMMENT ON COLUMN llm.rollup_sessions.requests IS '요청 수: of these sessions';
COMMENT ON COLUMN llm.rollup_sessions.requests_without_tokens IS '토큰 수 미상 요청 수: whose token_used is not known';
COMMENT ON COLUMN llm.rollup_sessions.tokens IS '사용 토큰 수: sum of the known token_used';
COMMENT ON COLUMN llm.rollup_sessions.has_project IS '프로젝트 여부: whether the session is for a project';
COMMENT ON COLUMN llm.rollup_sessions.session_type IS '세션 유형';
COMMENT ON COLUMN llm.rollup_sessions.status IS '세션 상태: how it ended';

CREATE UNIQUE INDEX rollup_sessions_key
ON llm.rollup_sessions (day, session_type, status, department_id, has_project, month) NULLS NOT DISTINCT
WHERE month IS NOT NULL;
COMMENT ON INDEX llm.rollup_sessions_key IS 'One row per kind of session, day and stored month';
CREATE INDEX rollup_sessions_day_idx ON llm.rollup_sessions (day);

-- How many distinct users a week or a month had is no sum of days. But it is a sum over these: a user counts once in a
-- window, namely on the first active day in it, which is the one whose gap reaches out of the window.
CREATE TABLE llm.rollup_activity (
    day      date    NOT NULL,
    gap_days integer NULL,
    users    bigint  NOT NULL
);
COMMENT ON TABLE llm.rollup_activity IS '활동 집계: how many users were active on a day, by the days since their last '
    'active day before it';
COMMENT ON COLUMN llm.rollup_activity.day IS '일자: in the reporting time zone';
COMMENT ON COLUMN llm.rollup_activity.gap_days IS 'Days since they were last active: 1 = the day before; NULL = never';
COMMENT ON COLUMN llm.rollup_activity.users IS '사용자 수';

CREATE UNIQUE INDEX rollup_activity_key ON llm.rollup_activity (day, gap_days) NULLS NOT DISTINCT;
COMMENT ON INDEX llm.rollup_activity_key IS 'One row per day and gap';

CREATE VIEW llm.department_spans AS
SELECT
    h.user_id,
    h.department_id,
    h.since,
    lead(h.since, 1, 'infinity') OVER (PARTITION BY h.user_id ORDER BY h.since) AS until_time
FROM llm.user_departments AS h;
COMMENT ON VIEW llm.department_spans IS '소속 부서 이력: llm.user_departments with the end of each row';
COMMENT ON COLUMN llm.department_spans.user_id IS '사용자';
COMMENT ON COLUMN llm.department_spans.department_id IS '소속 부서';
COMMENT ON COLUMN llm.department_spans.since IS '소속 시작 시간: inclusive';
COMMENT ON COLUMN llm.department_spans.until_time IS '소속 종료 시간: exclusive; infinity = still there';

-- What is counted of one log, and of one session: the rollups and the open time of every report are made of these.
CREATE VIEW llm.log_facts AS
SELECT
    l.session_id,
    l.log_sequence,
    l.request_time,
    (l.request_time AT TIME ZONE z.time_zone)::date AS day,
    date_trunc('hour', l.request_time AT TIME ZONE z.time_zone) AS local_hour,
    date_trunc('hour', l.request_time, z.time_zone) AS hour,
    date_trunc('month', llm.uuidv7_time(l.session_id) AT TIME ZONE 'UTC')::date AS month,
    s.user_id,
    h.department_id,
    s.project_id,
    l.deployment_id,
    e.model_id,
    l.config_id,
    l.template_id,
    l.token_used,
    l.response_time IS NOT NULL AS answered,
    coalesce(l.token_used >= c.max_tokens, false) AS at_max_tokens,
    round(date_part('epoch', l.latency) * 1e6)::bigint AS latency_us
FROM llm.session_logs AS l
CROSS JOIN llm.rollup_state AS z
INNER JOIN llm.sessions AS s ON l.session_id = s.session_id
INNER JOIN llm.deployments AS e ON l.deployment_id = e.deployment_id
LEFT JOIN llm.model_configs AS c ON l.config_id = c.config_id
LEFT JOIN llm.department_spans AS h
    ON s.user_id = h.user_id AND h.since <= l.request_time AND h.until_time > l.request_time;
COMMENT ON VIEW llm.log_facts IS '세션 로그: what the reports count of a log';
COMMENT ON COLUMN llm.log_facts.session_id IS '세션 고유 식별자: with log_sequence the key';
COMMENT ON COLUMN llm.log_facts.log_sequence IS '세션 내 로그 순번';
COMMENT ON COLUMN llm.log_facts.request_time IS '요청 시간';
COMMENT ON COLUMN llm.log_facts.day IS '일자: of request_time, in the reporting time zone';
COMMENT ON COLUMN llm.log_facts.local_hour IS '시간대: the start of the hour of request_time, as clocks in the reporting '
    'time zone show it';
COMMENT ON COLUMN llm.log_facts.hour IS '시간대 시작: the instant that hour began';
COMMENT ON COLUMN llm.log_facts.month IS 'The month (UTC) the log is stored in';
COMMENT ON COLUMN llm.log_facts.user_id IS '사용자: who made the request';
COMMENT ON COLUMN llm.log_facts.department_id IS '소속 부서: of the user at request_time';
COMMENT ON COLUMN llm.log_facts.project_id IS '프로젝트: NULL = none';
COMMENT ON COLUMN llm.log_facts.deployment_id IS '배포: which served the request';
COMMENT ON COLUMN llm.log_facts.model_id IS '모델: of the deployment';
COMMENT ON COLUMN llm.log_facts.config_id IS '모델 설정: NULL = none or not known';
COMMENT ON COLUMN llm.log_facts.template_id IS '프롬프트 템플릿: NULL = none';
COMMENT ON COLUMN llm.log_facts.token_used IS '사용 토큰 수: NULL = not known';
COMMENT ON COLUMN llm.log_facts.answered IS '응답 여부: whether response_time is known';
COMMENT ON COLUMN llm.log_facts.at_max_tokens IS '최대 토큰 도달 여부: whether token_used is at least max_tokens of the preset';
COMMENT ON COLUMN llm.log_facts.latency_us IS '처리 시간: in microseconds; NULL = not answered';

CREATE VIEW llm.session_facts AS
SELECT
    s.session_id,
    s.start_time,
    s.end_time,
    (s.start_time AT TIME ZONE z.time_zone)::date AS day,
    date_trunc('month', llm.uuidv7_time(s.session_id) AT TIME ZONE 'UTC')::date AS month,
    h.department_id,
    s.project_id IS NOT NULL AS has_project,
    s.session_type,
    s.status,
    coalesce(round(date_part('epoch', s.end_time - s.start_time) * 1e6)::bigint, 0) AS duration_us
FROM llm.sessions AS s
CROSS JOIN llm.rollup_state AS z
LEFT JOIN llm.department_spans AS h
    ON s.user_id = h.user_id AND h.since <= s.start_time AND h.until_time > s.start_time;
COMMENT ON VIEW llm.session_facts IS '사용 세션: what the reports count of a session';
COMMENT ON COLUMN llm.session_facts.session_id IS '세션 고유 식별자: key';
COMMENT ON COLUMN llm.session_facts.start_time IS '시작 시간';
COMMENT ON COLUMN llm.session_facts.end_time IS '종료 시간: NULL = running';
COMMENT ON COLUMN llm.session_facts.day IS '일자: of start_time, in the reporting time zone';
COMMENT ON COLUMN llm.session_facts.month IS 'The month (UTC) the session is stored in';
COMMENT ON COLUMN llm.session_facts.department_id IS '소속 부서: of the user at start_time';
COMMENT ON COLUMN llm.session_facts.has_project IS '프로젝트 여부';
COMMENT ON COLUMN llm.session_facts.session_type IS '세션 유형';
COMMENT ON COLUMN llm.session_facts.status IS '세션 상태';
COMMENT ON COLUMN llm.session_facts.duration_us IS '세션 시간: in microseconds; 0 while it is running';
