-- depends: 0013.user-departments

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

-- What writers note for the rollups. In the everyday case, a request of just now, that is nothing: one look at
-- rollup_state, and on. Notes are rows of their own, so that no writer waits for another, and quarters of an hour, at
-- which the days of every time zone begin (since 1972).
CREATE FUNCTION llm.quarter(at timestamptz)
RETURNS timestamptz
LANGUAGE sql
IMMUTABLE STRICT PARALLEL SAFE
RETURN date_bin('15 minutes', at, '2000-01-01 00:00Z');
COMMENT ON FUNCTION llm.quarter(timestamptz) IS 'When the quarter of an hour began that a time lies in';

CREATE FUNCTION llm.noted_before()
RETURNS timestamptz
LANGUAGE sql
STABLE
-- Above READ COMMITTED a transaction may see a rollup_state that is out of date.
RETURN CASE current_setting('transaction_isolation')
    WHEN 'read committed' THEN (SELECT s.noted_before FROM llm.rollup_state AS s)
    ELSE 'infinity'
END;
COMMENT ON FUNCTION llm.noted_before() IS 'The time before which this transaction has to note what it changes';

CREATE FUNCTION llm.note_quarters(touched text, quarters timestamptz [])
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    INSERT INTO llm.rollup_touches (entity, from_time, until_time)
    SELECT DISTINCT touched, q, q + interval '15 minutes' FROM unnest(quarters) AS q;
END
$$;
COMMENT ON FUNCTION llm.note_quarters(text, timestamptz []) IS 'Notes quarters of an hour, given by their beginnings';

CREATE FUNCTION llm.note_logs()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    before timestamptz;
    below uuid;
    sessions uuid [];
    quarters timestamptz [];
BEGIN
    -- The everyday case is to be cheap, so what llm.noted_before() says is written out: calling it takes time.
    IF TG_OP = 'INSERT' THEN
        PERFORM
        FROM added AS a
        CROSS JOIN llm.rollup_state AS s
        WHERE a.session_id < s.noted_below OR a.request_time < CASE current_setting('transaction_isolation')
            WHEN 'read committed' THEN s.noted_before ELSE 'infinity' END
        LIMIT 1;
        IF NOT FOUND THEN
            RETURN NULL;
        END IF;
    END IF;
    before := llm.noted_before();
    SELECT s.noted_below INTO below FROM llm.rollup_state AS s;
    IF TG_OP = 'INSERT' THEN
        SELECT array_agg(DISTINCT a.session_id), array_agg(DISTINCT llm.quarter(a.request_time))
        INTO sessions, quarters
        FROM added AS a
        WHERE a.request_time < before OR a.session_id < below;
    ELSIF TG_OP = 'DELETE' THEN
        SELECT array_agg(DISTINCT r.session_id), array_agg(DISTINCT llm.quarter(r.request_time))
        INTO sessions, quarters
        FROM removed AS r
        WHERE r.request_time < before;
    ELSE
        SELECT array_agg(DISTINCT c.session_id), array_agg(DISTINCT llm.quarter(c.request_time))
        INTO sessions, quarters
        FROM (
            SELECT a.session_id, a.request_time FROM added AS a
            UNION ALL
            SELECT r.session_id, r.request_time FROM removed AS r
        ) AS c
        WHERE c.request_time < before OR c.session_id < below;
    END IF;
    IF sessions IS NOT NULL THEN
        PERFORM llm.note_quarters('logs', quarters);
        -- Their start_time is looked up by whoever reads the note: here it may be out of date. A session that is gone
        -- has noted itself.
        INSERT INTO llm.rollup_touches (entity, session_id) SELECT 'sessions', s FROM unnest(sessions) AS s;
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION llm.note_logs() IS 'Trigger: notes closed time to which logs were added, or in which they were '
    'corrected or deleted. Runs as its owner, so that who may write logs need not, and cannot, write notes';

CREATE FUNCTION llm.note_sessions()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    before constant timestamptz := llm.noted_before();
    quarters timestamptz [];
    moved uuid [];
BEGIN
    -- A session is in the rollups from its end on.
    IF TG_OP = 'INSERT' THEN
        SELECT array_agg(DISTINCT llm.quarter(a.start_time)) INTO quarters FROM added AS a WHERE a.end_time < before;
    ELSIF TG_OP = 'DELETE' THEN
        SELECT array_agg(DISTINCT llm.quarter(r.start_time)) INTO quarters FROM removed AS r WHERE r.end_time < before;
    ELSE
        SELECT array_agg(DISTINCT llm.quarter(c.start_time))
        INTO quarters
        FROM (
            SELECT a.start_time, a.end_time FROM added AS a
            UNION ALL
            SELECT r.start_time, r.end_time FROM removed AS r
        ) AS c
        WHERE c.end_time < before;
        -- Its requests are another user's or another project's now.
        SELECT array_agg(a.session_id) INTO moved
        FROM added AS a
        INNER JOIN removed AS r ON a.session_id = r.session_id
        WHERE (a.user_id, a.project_id) IS DISTINCT FROM (r.user_id, r.project_id);
    END IF;
    IF quarters IS NOT NULL THEN
        PERFORM llm.note_quarters('sessions', quarters);
    END IF;
    IF moved IS NOT NULL AND before > '-infinity' THEN
        -- By session: logs that others are writing at this moment are not seen here.
        INSERT INTO llm.rollup_touches (entity, session_id) SELECT 'logs', m FROM unnest(moved) AS m;
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION llm.note_sessions() IS 'Trigger: notes closed time in which sessions were added, changed or '
    'deleted, and the time of their logs where these change hands. Runs as its owner, like llm.note_logs()';

-- What many logs hang on changes rarely, and then all closed time since is noted.
CREATE FUNCTION llm.note_all()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    since timestamptz := '-infinity';
BEGIN
    IF TG_TABLE_NAME = 'user_departments' AND TG_LEVEL = 'ROW' THEN
        since := CASE TG_OP
            WHEN 'INSERT' THEN NEW.since
            WHEN 'DELETE' THEN OLD.since
            ELSE least(OLD.since, NEW.since)
        END;
        -- The first row of a new user, by the trigger on users: nobody can have seen the user yet.
        IF TG_OP = 'INSERT' AND since = '-infinity' AND pg_trigger_depth() > 1 THEN
            RETURN NULL;
        END IF;
    END IF;
    INSERT INTO llm.rollup_touches (entity, from_time, until_time)
    SELECT touched, since, llm.noted_before()
    FROM unnest(ARRAY['logs', 'sessions']) AS touched
    WHERE since < llm.noted_before();
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION llm.note_all() IS 'Trigger: notes all closed time, or all since a user''s department was '
    'corrected. Runs as its owner, like llm.note_logs()';

-- Latencies as DDSketch histograms (see 54_rollups.sql): made from buckets, added up, and asked for percentiles.
CREATE FUNCTION llm.latency_bucket(latency_us bigint)
RETURNS smallint
LANGUAGE sql
IMMUTABLE PARALLEL SAFE
RETURN CASE
    WHEN latency_us < 1 THEN 0
    ELSE 1 + ceil(ln(latency_us::double precision) / ln(1.04::double precision))
END::smallint;
COMMENT ON FUNCTION llm.latency_bucket(bigint) IS 'The bucket of a latency in microseconds: 0 for none at all, then 1 '
    'for 1 us, each 4 % wider than the one before (DDSketch: Masson et al., VLDB 2019)';

CREATE FUNCTION llm.bucket_latency_ms(bucket integer)
RETURNS double precision
LANGUAGE sql
IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN bucket = 0 THEN 0 ELSE 2 * power(1.04::double precision, bucket - 1) / 2.04 / 1000 END;
COMMENT ON FUNCTION llm.bucket_latency_ms(integer) IS 'The latency a bucket stands for, in milliseconds: within 1.97 '
    '% of every latency in it';

CREATE FUNCTION llm.histogram_merge(histograms llm.latency_histogram [])
RETURNS llm.latency_histogram
LANGUAGE sql
IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE
        -- Most reports ask for days, each of which has one.
        WHEN cardinality(histograms) = 1 THEN histograms[1]
        ELSE (
            SELECT
                row(array_agg(s.bucket ORDER BY s.bucket), array_agg(s.rank ORDER BY s.bucket))::llm.latency_histogram
            FROM (
                SELECT c.bucket, sum(sum(c.latencies)) OVER (ORDER BY c.bucket)::bigint AS rank
                FROM (
                    -- In step with each other, and here faster than in FROM. The third is one longer.
                    SELECT
                        unnest(h.buckets) AS bucket,
                        unnest(h.ranks) - unnest(0::bigint || h.ranks) AS latencies
                    FROM unnest(histograms) AS h
                ) AS c
                WHERE c.bucket IS NOT NULL
                GROUP BY c.bucket
            ) AS s
            HAVING count(*) > 0
        )
    END;
END;
COMMENT ON FUNCTION llm.histogram_merge(llm.latency_histogram []) IS 'Many histograms as one; NULL = there is none '
    'among them';

CREATE AGGREGATE llm.histogram_sum(llm.latency_histogram) (
    sfunc = array_append,
    stype = llm._latency_histogram,
    finalfunc = llm.histogram_merge,
    combinefunc = array_cat,
    parallel = safe
);
COMMENT ON AGGREGATE llm.histogram_sum(llm.latency_histogram) IS 'Many histograms as one, merged at once';

CREATE FUNCTION llm.histogram_percentile_ms(h llm.latency_histogram, fraction double precision)
RETURNS double precision
LANGUAGE sql
IMMUTABLE PARALLEL SAFE
-- Ranks ascend, so width_bucket() finds by bisection how many are below the one we want. The rank is that of
-- percentile_disc().
RETURN llm.bucket_latency_ms(
    h.buckets[
        1 + width_bucket(
            greatest(ceil(fraction * h.ranks[cardinality(h.ranks)])::bigint, 1) - 1, h.ranks
        )
    ]
);
COMMENT ON FUNCTION llm.histogram_percentile_ms(llm.latency_histogram, double precision) IS 'The percentile of a '
    'histogram in milliseconds, 0.95 for p95: within 2 % of what percentile_disc() says of the latencies themselves; '
    'NULL = there are none';

CREATE FUNCTION llm.histogram_of(buckets smallint [])
RETURNS llm.latency_histogram
LANGUAGE sql
IMMUTABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
    SELECT row(array_agg(s.bucket ORDER BY s.bucket), array_agg(s.rank ORDER BY s.bucket))::llm.latency_histogram
    FROM (
        SELECT b AS bucket, sum(count(*)) OVER (ORDER BY b)::bigint AS rank
        FROM unnest(buckets) AS b
        GROUP BY b
    ) AS s;
END;
COMMENT ON FUNCTION llm.histogram_of(smallint []) IS 'The histogram of latencies given by their buckets';

-- Keeping the rollups. docs/rollups.md says why no log can fall between what is closed and what is open.
-- What reads logs is never compiled: that takes seconds where the work takes one, and most servers have jit = on.
CREATE FUNCTION llm.day_start(day timestamp, zone text)
RETURNS timestamptz
LANGUAGE sql
IMMUTABLE STRICT PARALLEL SAFE
-- Where clocks go back over midnight a day has two of them, and AT TIME ZONE takes the second.
RETURN CASE
    WHEN ((day AT TIME ZONE zone) - interval '1 hour') AT TIME ZONE zone >= day
        THEN (day AT TIME ZONE zone) - interval '1 hour'
    ELSE day AT TIME ZONE zone
END;
COMMENT ON FUNCTION llm.day_start(timestamp, text) IS 'When a day begins in a time zone';

CREATE FUNCTION llm.touched_days(touched text)
RETURNS TABLE (day date, from_time timestamptz, until_time timestamptz)
LANGUAGE plpgsql
STABLE
-- Within a view a function acts for whoever reads the view: an analyst, who may not read our tables.
SECURITY DEFINER
-- Planned once in a session: every report asks, and hardly ever is there anything.
SET plan_cache_mode = force_generic_plan
SET jit = off
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    WITH spans AS (
        SELECT t.from_time, t.until_time
        FROM llm.rollup_touches AS t
        WHERE t.entity = touched AND t.session_id IS NULL
        UNION ALL
        SELECT l.request_time, l.request_time + interval '1 microsecond'
        FROM llm.rollup_touches AS t
        INNER JOIN llm.session_logs AS l ON t.session_id = l.session_id
        WHERE t.entity = touched AND touched = 'logs'
        UNION ALL
        SELECT s.start_time, s.start_time + interval '1 microsecond'
        FROM llm.rollup_touches AS t
        INNER JOIN llm.sessions AS s ON t.session_id = s.session_id
        WHERE t.entity = touched AND touched = 'sessions'
    ), bounds AS (
        -- Of open time nothing is in the rollups that could be wrong, and before the first day there is nothing at all.
        SELECT
            z.time_zone,
            z.closed_before,
            greatest(
                s.from_time,
                least(
                    (SELECT min(l.request_time) FROM llm.session_logs AS l),
                    (SELECT min(n.start_time) FROM llm.sessions AS n),
                    (SELECT min(u.first_request_time) FROM llm.rollup_usage AS u WHERE u.dimension = 'all'),
                    (SELECT llm.day_start(min(r.day), z.time_zone) FROM llm.rollup_sessions AS r)
                )
            ) AS low,
            least(s.until_time, z.closed_before) - interval '1 microsecond' AS high
        FROM spans AS s
        CROSS JOIN llm.rollup_state AS z
        WHERE s.from_time < z.closed_before
    )

    SELECT DISTINCT
        d.midnight::date,
        llm.day_start(d.midnight, b.time_zone),
        least(llm.day_start(d.midnight + interval '1 day', b.time_zone), b.closed_before)
    FROM bounds AS b
    CROSS JOIN LATERAL generate_series(
        date_trunc('day', nullif(b.low, '-infinity') AT TIME ZONE b.time_zone),
        b.high AT TIME ZONE b.time_zone,
        interval '1 day'
    ) AS d (midnight);
END
$$;
COMMENT ON FUNCTION llm.touched_days(text) IS 'The closed days that changed since they were rolled up, by entity (logs '
    'or sessions), and the part of each that is closed';

CREATE FUNCTION llm.touched_spans(touched text)
RETURNS TABLE (from_time timestamptz, until_time timestamptz)
LANGUAGE sql
STABLE
BEGIN ATOMIC
    SELECT min(d.from_time), max(d.until_time)
    FROM (
        SELECT t.from_time, t.until_time, t.day - (row_number() OVER (ORDER BY t.day))::integer AS run
        FROM llm.touched_days(touched) AS t
    ) AS d
    GROUP BY d.run;
END;
COMMENT ON FUNCTION llm.touched_spans(text) IS 'llm.touched_days(), each run of days as one span';

CREATE FUNCTION llm.open_from()
RETURNS uuid
LANGUAGE sql
STABLE
RETURN (
    SELECT CASE
        WHEN EXISTS (SELECT FROM llm.rollup_touches AS t WHERE t.until_time > s.closed_before)
            THEN llm.uuidv7_floor('epoch')
        ELSE s.open_from
    END
    FROM llm.rollup_state AS s
);
COMMENT ON FUNCTION llm.open_from() IS 'No log of open time belongs to a session below this one';

CREATE FUNCTION llm.open_logs()
RETURNS SETOF llm.log_facts
LANGUAGE plpgsql
STABLE
SECURITY DEFINER
-- Bounds that the planner knows: it leaves out the months that cannot matter.
SET plan_cache_mode = force_custom_plan
SET enable_partitionwise_join = on
SET jit = off
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    s llm.rollup_state;
    open_from uuid;
    d record;
BEGIN
    SELECT * INTO s FROM llm.rollup_state;
    open_from := llm.open_from();
    RETURN QUERY
    SELECT * FROM llm.log_facts AS f WHERE f.request_time >= s.closed_before AND f.session_id >= open_from;
    FOR d IN SELECT * FROM llm.touched_spans('logs') LOOP
        RETURN QUERY
        SELECT * FROM llm.log_facts AS f WHERE f.request_time >= d.from_time AND f.request_time < d.until_time;
    END LOOP;
END
$$;
COMMENT ON FUNCTION llm.open_logs() IS 'The logs that reports read themselves: those of open time, and of closed days '
    'that were touched. As of the snapshot of the query that asks';

-- Sessions with all their logs, and logs whose sessions are counted already: together, what is counted of sessions.
CREATE FUNCTION llm.session_sums(
    started_from timestamptz, started_before timestamptz, ended_from timestamptz, ended_before timestamptz,
    logged_before timestamptz
)
RETURNS SETOF llm.rollup_sessions
LANGUAGE plpgsql
STABLE
SET plan_cache_mode = force_custom_plan
SET jit = off
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN QUERY
    WITH chosen AS MATERIALIZED (
        SELECT f.*
        FROM llm.session_facts AS f
        WHERE f.start_time >= started_from AND f.start_time < started_before
            AND f.end_time >= ended_from AND f.end_time < ended_before
        UNION ALL
        SELECT f.*
        FROM llm.session_facts AS f
        WHERE ended_before = 'infinity' AND f.end_time IS NULL
    )
    SELECT
        c.day, c.month, c.department_id, count(*), llm.bigint_sum(c.duration_us), llm.bigint_sum(g.requests),
        llm.bigint_sum(g.requests_without_tokens), llm.bigint_sum(g.tokens), c.has_project, c.session_type, c.status
    FROM chosen AS c
    CROSS JOIN LATERAL (
        SELECT
            count(*) AS requests,
            count(*) - count(l.token_used) AS requests_without_tokens,
            coalesce(llm.bigint_sum(l.token_used), 0) AS tokens
        FROM llm.session_logs AS l
        WHERE l.session_id = c.session_id AND l.request_time < logged_before
    ) AS g
    GROUP BY c.day, c.month, c.department_id, c.has_project, c.session_type, c.status;
END
$$;
COMMENT ON FUNCTION llm.session_sums(timestamptz, timestamptz, timestamptz, timestamptz, timestamptz) IS 'Sums of the '
    'sessions that began and ended within these times, with their logs up to a time. ended_before infinity: and of '
    'those that are running';

CREATE FUNCTION llm.session_log_sums(
    logged_from timestamptz, logged_before timestamptz, logged_by uuid, ended_before timestamptz
)
RETURNS SETOF llm.rollup_sessions
LANGUAGE plpgsql
STABLE
SET plan_cache_mode = force_custom_plan
SET enable_partitionwise_join = on
SET jit = off
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN QUERY
    SELECT
        f.day, f.month, f.department_id, 0::bigint, 0::bigint, count(*), count(*) - count(l.token_used),
        coalesce(llm.bigint_sum(l.token_used), 0), f.has_project, f.session_type, f.status
    FROM llm.session_logs AS l
    INNER JOIN llm.session_facts AS f ON l.session_id = f.session_id
    WHERE l.request_time >= logged_from AND l.request_time < logged_before AND l.session_id >= logged_by
        AND f.end_time < ended_before
    GROUP BY f.day, f.month, f.department_id, f.has_project, f.session_type, f.status;
END
$$;
COMMENT ON FUNCTION llm.session_log_sums(timestamptz, timestamptz, uuid, timestamptz) IS 'Sums of the logs of these '
    'times, from a session_id on, whose sessions had ended before a time';

CREATE FUNCTION llm.open_sessions()
RETURNS SETOF llm.rollup_sessions
LANGUAGE plpgsql
STABLE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    s llm.rollup_state;
    d record;
BEGIN
    SELECT * INTO s FROM llm.rollup_state;
    RETURN QUERY SELECT * FROM llm.session_sums('-infinity', 'infinity', s.closed_before, 'infinity', 'infinity');
    RETURN QUERY
    SELECT *
    FROM llm.session_log_sums(s.closed_before, 'infinity', llm.open_from(), s.closed_before) AS g
    WHERE g.day NOT IN (SELECT t.day FROM llm.touched_days('sessions') AS t);
    FOR d IN SELECT * FROM llm.touched_spans('sessions') LOOP
        RETURN QUERY
        SELECT * FROM llm.session_sums(d.from_time, d.until_time, '-infinity', s.closed_before, 'infinity');
    END LOOP;
END
$$;
COMMENT ON FUNCTION llm.open_sessions() IS 'The sums of sessions that reports make themselves: of sessions that have '
    'not ended in closed time, of late requests of those that have, and of closed days that were touched. As of the '
    'snapshot of the query that asks';

-- Rolling up. Whoever calls these holds the lock of llm.refresh_rollups().
CREATE FUNCTION llm.fold_logs(low timestamptz, high timestamptz)
RETURNS void
LANGUAGE plpgsql
SET plan_cache_mode = force_custom_plan
-- A log and its session lie in the same month: the sessions of other months are not even looked at.
SET enable_partitionwise_join = on
-- A batch is sorted and hashed in memory.
SET work_mem = '64MB'
SET jit = off
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    first_day date;
    last_day date;
BEGIN
    WITH facts AS MATERIALIZED (
        SELECT f.*, llm.latency_bucket(f.latency_us) AS bucket
        FROM llm.log_facts AS f
        WHERE f.request_time >= low AND f.request_time < high
    ), sums AS MATERIALIZED (
        -- One pass for all dimensions, and one for their histograms. By user and day a histogram would be as long as the
        -- list of latencies.
        SELECT
            f.day, f.month, f.local_hour, f.hour,
            CASE
                WHEN grouping(f.hour) = 0 THEN NULL
                WHEN grouping(f.config_id) = 0 THEN 'config'
                WHEN grouping(f.department_id) = 0 THEN 'department'
                WHEN grouping(f.deployment_id) = 0 THEN 'deployment'
                WHEN grouping(f.model_id) = 0 THEN 'model'
                WHEN grouping(f.project_id) = 0 THEN 'project'
                WHEN grouping(f.template_id) = 0 THEN 'template'
                WHEN grouping(f.user_id) = 0 THEN 'user'
                ELSE 'all'
            END::llm.rollup_dimension AS dimension,
            coalesce(
                f.config_id, f.department_id, f.deployment_id, f.model_id, f.project_id, f.template_id, f.user_id
            ) AS key,
            count(*) AS requests,
            count(*) FILTER (WHERE f.answered) AS answered_requests,
            count(*) - count(f.token_used) AS requests_without_tokens,
            count(*) FILTER (WHERE f.at_max_tokens) AS at_max_tokens_requests,
            coalesce(llm.bigint_sum(f.token_used), 0) AS tokens,
            coalesce(llm.bigint_sum(f.latency_us), 0) AS latency_us,
            max(f.latency_us) AS max_latency_us,
            min(f.request_time) AS first_request_time,
            max(f.request_time) AS last_request_time
        FROM facts AS f
        GROUP BY
            f.day, f.month, GROUPING SETS (
                (f.local_hour, f.hour, f.deployment_id), f.config_id, f.department_id, f.deployment_id, f.model_id,
                f.project_id, f.template_id, f.user_id, ()
            )
    ), cells AS MATERIALIZED (
        SELECT
            f.day, f.month, f.bucket,
            CASE
                WHEN grouping(f.config_id) = 0 THEN 'config'
                WHEN grouping(f.department_id) = 0 THEN 'department'
                WHEN grouping(f.deployment_id) = 0 THEN 'deployment'
                WHEN grouping(f.model_id) = 0 THEN 'model'
                WHEN grouping(f.project_id) = 0 THEN 'project'
                WHEN grouping(f.template_id) = 0 THEN 'template'
                ELSE 'all'
            END::llm.rollup_dimension AS dimension,
            coalesce(
                f.config_id, f.department_id, f.deployment_id, f.model_id, f.project_id, f.template_id
            ) AS key,
            count(*) AS answered
        FROM facts AS f
        WHERE f.bucket IS NOT NULL
        GROUP BY
            f.day, f.month, f.bucket, GROUPING SETS (
                f.config_id, f.department_id, f.deployment_id, f.model_id, f.project_id, f.template_id, ()
            )
    ), ranked AS MATERIALIZED (
        SELECT
            c.dimension, c.day, c.month, c.key, c.bucket,
            llm.bigint_sum(c.answered) OVER (parts ORDER BY c.bucket) AS rank,
            llm.bigint_sum(c.answered) OVER parts AS answered
        FROM cells AS c
        WINDOW parts AS (PARTITION BY c.dimension, c.day, c.key, c.month)
    ), histograms AS (
        SELECT
            r.dimension, r.day, r.key, r.month,
            row(array_agg(r.bucket ORDER BY r.bucket), array_agg(r.rank ORDER BY r.bucket))::llm.latency_histogram
            AS latencies
        FROM ranked AS r
        GROUP BY r.dimension, r.day, r.key, r.month
    ), hours AS (
        INSERT INTO llm.rollup_hours AS h (
            local_hour, hour, deployment_id, month, requests, answered_requests, requests_without_tokens, tokens
        )
        SELECT
            s.local_hour, s.hour, s.key, s.month, s.requests, s.answered_requests, s.requests_without_tokens, s.tokens
        FROM sums AS s
        WHERE s.dimension IS NULL
        ON CONFLICT (local_hour, hour, deployment_id, month) WHERE month IS NOT NULL DO UPDATE SET
            requests = h.requests + excluded.requests,
            answered_requests = h.answered_requests + excluded.answered_requests,
            requests_without_tokens = h.requests_without_tokens + excluded.requests_without_tokens,
            tokens = h.tokens + excluded.tokens
    ), usage AS (
        INSERT INTO llm.rollup_usage AS u (
            dimension, day, key, month, requests, answered_requests, requests_without_tokens, at_max_tokens_requests,
            tokens, latency_us, max_latency_us, first_request_time, last_request_time, latencies
        )
        SELECT
            s.dimension, s.day, s.key, s.month, s.requests, s.answered_requests, s.requests_without_tokens,
            s.at_max_tokens_requests, s.tokens, s.latency_us, s.max_latency_us, s.first_request_time,
            s.last_request_time, h.latencies
        FROM sums AS s
        LEFT JOIN histograms AS h
            ON s.dimension = h.dimension AND s.day = h.day AND s.month = h.month
            -- The lowest bigint for no key, as in llm.usage_periods.
            AND coalesce(s.key, '-9223372036854775808') = coalesce(h.key, '-9223372036854775808')
        WHERE s.dimension IS NOT NULL
        ON CONFLICT (dimension, day, key, month) WHERE month IS NOT NULL DO UPDATE SET
            requests = u.requests + excluded.requests,
            answered_requests = u.answered_requests + excluded.answered_requests,
            requests_without_tokens = u.requests_without_tokens + excluded.requests_without_tokens,
            at_max_tokens_requests = u.at_max_tokens_requests + excluded.at_max_tokens_requests,
            tokens = u.tokens + excluded.tokens,
            latency_us = u.latency_us + excluded.latency_us,
            max_latency_us = greatest(u.max_latency_us, excluded.max_latency_us),
            first_request_time = least(u.first_request_time, excluded.first_request_time),
            last_request_time = greatest(u.last_request_time, excluded.last_request_time),
            latencies = llm.histogram_merge(ARRAY[u.latencies, excluded.latencies])
    ), top_cells AS MATERIALIZED (
        -- The cells that the ten slowest of each are in. A missing key counts as 0 here; the ranking below looks
        -- closer.
        SELECT r.dimension, r.day, r.month, coalesce(r.key, 0) AS key, r.bucket
        FROM ranked AS r
        WHERE r.answered - r.rank < 10
    ), candidates AS MATERIALIZED (
        SELECT f.*
        FROM facts AS f
        WHERE
            (f.day, f.month, coalesce(f.config_id, 0), f.bucket) IN
            (SELECT t.day, t.month, t.key, t.bucket FROM top_cells AS t WHERE t.dimension = 'config')
            OR (f.day, f.month, coalesce(f.department_id, 0), f.bucket) IN
            (SELECT t.day, t.month, t.key, t.bucket FROM top_cells AS t WHERE t.dimension = 'department')
            OR (f.day, f.month, f.deployment_id, f.bucket) IN
            (SELECT t.day, t.month, t.key, t.bucket FROM top_cells AS t WHERE t.dimension = 'deployment')
            OR (f.day, f.month, f.model_id, f.bucket) IN
            (SELECT t.day, t.month, t.key, t.bucket FROM top_cells AS t WHERE t.dimension = 'model')
            OR (f.day, f.month, coalesce(f.project_id, 0), f.bucket) IN
            (SELECT t.day, t.month, t.key, t.bucket FROM top_cells AS t WHERE t.dimension = 'project')
            OR (f.day, f.month, coalesce(f.template_id, 0), f.bucket) IN
            (SELECT t.day, t.month, t.key, t.bucket FROM top_cells AS t WHERE t.dimension = 'template')
    ), slowest AS (
        INSERT INTO llm.rollup_slowest (
            dimension, day, key, month, session_id, log_sequence, request_time, latency_us, token_used
        )
        SELECT
            r.dimension, r.day, r.key, r.month, r.session_id, r.log_sequence, r.request_time, r.latency_us, r.token_used
        FROM (
            SELECT
                f.*, d.dimension, d.key,
                row_number() OVER (
                    PARTITION BY d.dimension, f.day, d.key, f.month
                    ORDER BY f.latency_us DESC, f.session_id, f.log_sequence
                ) AS place
            FROM candidates AS f
            CROSS JOIN LATERAL (
                VALUES
                ('config'::llm.rollup_dimension, f.config_id), ('department', f.department_id),
                ('deployment', f.deployment_id), ('model', f.model_id), ('project', f.project_id),
                ('template', f.template_id)
            ) AS d (dimension, key)
        ) AS r
        WHERE r.place <= 10
    )
    SELECT min(s.day), max(s.day) INTO first_day, last_day FROM sums AS s;

    -- A day that was there already had its own ten.
    DELETE FROM llm.rollup_slowest AS s
    USING (
        SELECT
            r.ctid AS row_id,
            row_number() OVER (
                PARTITION BY r.dimension, r.day, r.key, r.month
                ORDER BY r.latency_us DESC, r.session_id, r.log_sequence
            ) AS place
        FROM llm.rollup_slowest AS r
        WHERE r.day BETWEEN first_day AND last_day AND r.month IS NOT NULL
    ) AS p
    WHERE s.ctid = p.row_id AND p.place > 10;
    UPDATE llm.rollup_state SET activity_before = first_day WHERE activity_before > first_day;
END
$$;
COMMENT ON FUNCTION llm.fold_logs(timestamptz, timestamptz) IS 'Adds the logs of a span of time to the rollups';

CREATE FUNCTION llm.fold_sessions(low timestamptz, high timestamptz)
RETURNS void
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    INSERT INTO llm.rollup_sessions AS r
    SELECT
        s.day, s.month, s.department_id, llm.bigint_sum(s.sessions), llm.bigint_sum(s.duration_us),
        llm.bigint_sum(s.requests), llm.bigint_sum(s.requests_without_tokens), llm.bigint_sum(s.tokens), s.has_project,
        s.session_type, s.status
    FROM (
        SELECT * FROM llm.session_sums('-infinity', 'infinity', low, high, high)
        UNION ALL
        SELECT * FROM llm.session_log_sums(low, high, llm.uuidv7_floor('epoch'), low)
    ) AS s
    GROUP BY s.day, s.month, s.department_id, s.has_project, s.session_type, s.status
    ON CONFLICT (day, session_type, status, department_id, has_project, month) WHERE month IS NOT NULL DO UPDATE SET
        sessions = r.sessions + excluded.sessions,
        duration_us = r.duration_us + excluded.duration_us,
        requests = r.requests + excluded.requests,
        requests_without_tokens = r.requests_without_tokens + excluded.requests_without_tokens,
        tokens = r.tokens + excluded.tokens;
END;
COMMENT ON FUNCTION llm.fold_sessions(timestamptz, timestamptz) IS 'Adds the sessions that ended in a span of time to '
    'the rollups, and the requests that sessions of before made in it';

CREATE FUNCTION llm.fold_touched_day(touched text, again date)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    d record;
BEGIN
    SELECT * INTO d FROM llm.touched_days(touched) AS t WHERE t.day = again;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    -- First the notes, then the rows: what is changed in between leaves a note of its own.
    DELETE FROM llm.rollup_touches AS t
    WHERE t.entity = touched AND t.from_time >= d.from_time AND t.until_time <= d.until_time;
    IF touched = 'logs' THEN
        DELETE FROM llm.rollup_usage AS u WHERE u.day = again AND u.month IS NOT NULL;
        DELETE FROM llm.rollup_slowest AS s WHERE s.day = again AND s.month IS NOT NULL;
        DELETE FROM llm.rollup_hours AS h WHERE h.local_hour::date = again AND h.month IS NOT NULL;
        UPDATE llm.rollup_state SET activity_before = least(activity_before, again);
        PERFORM llm.fold_logs(d.from_time, d.until_time);
    ELSE
        DELETE FROM llm.rollup_sessions AS s WHERE s.day = again AND s.month IS NOT NULL;
        INSERT INTO llm.rollup_sessions
        SELECT s.*
        FROM llm.rollup_state AS z
        CROSS JOIN LATERAL llm.session_sums(
            d.from_time, d.until_time, '-infinity', z.closed_before, z.closed_before
        ) AS s;
    END IF;
END
$$;
COMMENT ON FUNCTION llm.fold_touched_day(text, date) IS 'Rolls up a closed day again, from the logs (or sessions) that '
    'are stored; sums of those that no longer are stay as they are';

CREATE FUNCTION llm.first_session_since(low timestamptz)
RETURNS uuid
LANGUAGE plpgsql
STABLE
SET plan_cache_mode = force_custom_plan
SET jit = off
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- OFFSET 0: by the index on request_time, not through all sessions in their order until one fits.
    RETURN (
        SELECT i.session_id
        FROM (SELECT l.session_id FROM llm.session_logs AS l WHERE l.request_time >= low OFFSET 0) AS i
        ORDER BY i.session_id
        LIMIT 1
    );
END
$$;
COMMENT ON FUNCTION llm.first_session_since(timestamptz) IS 'The lowest session_id that has logs since a time';

CREATE FUNCTION llm.batch_end(low timestamptz, high timestamptz, batch_logs integer)
RETURNS timestamptz
LANGUAGE plpgsql
STABLE
SET plan_cache_mode = force_custom_plan
SET jit = off
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (
        -- There may be more than a batch in one microsecond.
        SELECT greatest(l.request_time, low + interval '1 microsecond')
        FROM llm.session_logs AS l
        WHERE l.request_time >= low AND l.request_time < high
        ORDER BY l.request_time
        OFFSET batch_logs LIMIT 1
    );
END
$$;
COMMENT ON FUNCTION llm.batch_end(timestamptz, timestamptz, integer) IS 'Until when there are so many logs from '
    'a time on; NULL = there are fewer';

CREATE FUNCTION llm.cut_touches()
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- In one statement, so that what goes is what was read.
    WITH gone AS (
        DELETE FROM llm.rollup_touches
    )
    INSERT INTO llm.rollup_touches (entity, from_time, until_time)
    SELECT e.entity, d.from_time, d.until_time
    FROM (VALUES ('logs'), ('sessions')) AS e (entity)
    CROSS JOIN LATERAL llm.touched_days(e.entity) AS d;
    -- Notes on open time are gone, so open_from has to hold without them.
    UPDATE llm.rollup_state AS s
    SET open_from = least(s.open_from, llm.first_session_since(s.closed_before))
    WHERE s.open_from > llm.uuidv7_floor('epoch');
END
$$;
COMMENT ON FUNCTION llm.cut_touches() IS 'Makes one note per touched day of all notes';

CREATE FUNCTION llm.close_until(high timestamptz, sessions_from uuid)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    low constant timestamptz := (SELECT s.closed_before FROM llm.rollup_state AS s);
BEGIN
    PERFORM llm.fold_logs(low, high);
    PERFORM llm.fold_sessions(low, high);
    UPDATE llm.rollup_state SET closed_before = high;
    IF sessions_from IS NOT NULL THEN
        UPDATE llm.rollup_state SET open_from = least(sessions_from, noted_below, llm.first_session_since(high));
    END IF;
END
$$;
COMMENT ON FUNCTION llm.close_until(timestamptz, uuid) IS 'Rolls up what is open before a time. With the session_id '
    'below which writers have been noting logs, moves open_from up too';

CREATE FUNCTION llm.fold_activity(high date)
RETURNS void
LANGUAGE plpgsql
SET jit = off
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    low constant date := (SELECT s.activity_before FROM llm.rollup_state AS s);
BEGIN
    DELETE FROM llm.rollup_activity AS a WHERE a.day >= low;
    INSERT INTO llm.rollup_activity (day, gap_days, users)
    SELECT
        u.day,
        u.day - (
            SELECT max(p.day) FROM llm.rollup_usage AS p WHERE p.dimension = 'user' AND p.key = u.key AND p.day < u.day
        ) AS gap_days,
        count(*)
    FROM (
        SELECT DISTINCT r.day, r.key
        FROM llm.rollup_usage AS r
        WHERE r.dimension = 'user' AND r.day >= low AND r.day < high
    ) AS u
    GROUP BY u.day, gap_days;
    UPDATE llm.rollup_state SET activity_before = high;
END
$$;
COMMENT ON FUNCTION llm.fold_activity(date) IS 'Brings llm.rollup_activity up to a day, from the first on that changed';

CREATE FUNCTION llm.lock_rollups(wait boolean)
RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'rollups are kept in READ COMMITTED, and this transaction is %',
            upper(current_setting('transaction_isolation'))
            USING ERRCODE = 'invalid_transaction_state',
                HINT = 'SET default_transaction_isolation = ''read committed'' and call again.';
    END IF;
    IF wait THEN
        PERFORM pg_advisory_xact_lock('llm.rollup_state'::regclass::oid::bigint);
        RETURN true;
    END IF;
    RETURN pg_try_advisory_xact_lock('llm.rollup_state'::regclass::oid::bigint);
END
$$;
COMMENT ON FUNCTION llm.lock_rollups(boolean) IS 'One at a time: whoever writes rollups holds this lock to the end of '
    'the transaction';

CREATE FUNCTION llm.writers()
RETURNS SETOF text
LANGUAGE sql
STABLE
BEGIN ATOMIC
    -- Prepared transactions too: they have no pid, but locks.
    SELECT DISTINCT k.virtualtransaction
    FROM pg_catalog.pg_locks AS k
    WHERE k.locktype = 'relation' AND k.pid IS DISTINCT FROM pg_backend_pid()
        AND k.database = (SELECT d.oid FROM pg_catalog.pg_database AS d WHERE d.datname = current_database())
        AND k.mode IN ('RowExclusiveLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
        AND k.relation IN (
            SELECT p.relid FROM pg_partition_tree('llm.session_logs') AS p
            UNION ALL
            SELECT p.relid FROM pg_partition_tree('llm.sessions') AS p
            UNION ALL
            VALUES
            ('llm.users'::regclass), ('llm.user_departments'), ('llm.deployments'), ('llm.model_configs')
        );
END;
COMMENT ON FUNCTION llm.writers() IS 'The transactions that hold a writer''s lock on what the rollups are made of, as '
    'pg_locks.virtualtransaction';

CREATE PROCEDURE llm.refresh_rollups(
    close_before timestamptz DEFAULT now() - interval '5 minutes',
    patience interval DEFAULT interval '1 minute',
    batch_logs integer DEFAULT 200000
)
LANGUAGE plpgsql
AS $$
DECLARE
    give_up_at constant timestamptz := clock_timestamp() + patience;
    told_at timestamptz := clock_timestamp();
    sessions_from uuid;
    in_flight text [];
    touched record;
    low timestamptz;
    high timestamptz;
    low_day date;
    high_day date;
BEGIN
    IF close_before IS NULL OR NOT isfinite(close_before) OR batch_logs IS NULL OR batch_logs < 1 THEN
        RAISE EXCEPTION 'cannot close before % in batches of % logs', close_before, batch_logs
            USING ERRCODE = 'invalid_parameter_value',
                HINT = 'CALL llm.refresh_rollups() closes all but the last five minutes.';
    END IF;
    IF NOT llm.lock_rollups(false) THEN
        RAISE NOTICE 'another refresh of the rollups is at work';
        RETURN;
    END IF;

    -- Tell writers what is about to be closed, and wait for those who may not have heard of it. Nobody is held up. Logs
    -- of sessions a week old are noted too, unless there have been some lately.
    UPDATE llm.rollup_state AS s
    SET
        noted_before = greatest(s.noted_before, close_before),
        noted_below = f.floor,
        open_from = least(s.open_from, f.floor)
    FROM (
        SELECT least(
            llm.uuidv7_floor(greatest(close_before - interval '7 days', 'epoch')),
            CASE WHEN z.closed_before > '-infinity' THEN llm.first_session_since(z.closed_before) END
        ) AS floor
        FROM llm.rollup_state AS z
    ) AS f
    -- Kept: another refresh may announce more, for which nobody has waited yet.
    RETURNING s.noted_below INTO sessions_from;
    COMMIT;
    in_flight := ARRAY(SELECT w FROM llm.writers() AS w);
    LOOP
        in_flight := ARRAY(SELECT w FROM llm.writers() AS w WHERE w = ANY(in_flight));
        EXIT WHEN in_flight = '{}';
        IF clock_timestamp() > give_up_at THEN
            RAISE WARNING 'nothing more was closed: % transactions that write began more than % ago and have not ended',
                cardinality(in_flight), patience
                USING HINT = 'Reports are right, but read more logs. pg_stat_activity and pg_prepared_xacts show them.';
            close_before := '-infinity';
            EXIT;
        END IF;
        COMMIT;
        PERFORM pg_sleep(0.02);
    END LOOP;
    COMMIT;

    PERFORM llm.lock_rollups(true);
    PERFORM llm.cut_touches();
    COMMIT;
    FOR touched IN
        SELECT e.entity, d.day FROM (VALUES ('logs'), ('sessions')) AS e (entity), llm.touched_days(e.entity) AS d
    LOOP
        PERFORM llm.lock_rollups(true);
        PERFORM llm.fold_touched_day(touched.entity, touched.day);
        COMMIT;
    END LOOP;

    LOOP
        PERFORM llm.lock_rollups(true);
        low := (SELECT s.closed_before FROM llm.rollup_state AS s);
        EXIT WHEN low >= close_before;
        high := coalesce(llm.batch_end(low, close_before, batch_logs), close_before);
        PERFORM llm.close_until(high, CASE WHEN high = close_before THEN sessions_from END);
        COMMIT;
        IF clock_timestamp() > told_at + interval '2 seconds' THEN
            RAISE NOTICE 'rolled up until %', high;
            told_at := clock_timestamp();
        END IF;
    END LOOP;
    COMMIT;

    LOOP
        PERFORM llm.lock_rollups(true);
        SELECT
            (SELECT min(u.day) FROM llm.rollup_usage AS u WHERE u.dimension = 'user' AND u.day >= s.activity_before),
            (s.closed_before AT TIME ZONE s.time_zone)::date
        INTO low_day, high_day
        FROM llm.rollup_state AS s
        WHERE s.activity_before < (s.closed_before AT TIME ZONE s.time_zone)::date;
        EXIT WHEN NOT FOUND;
        PERFORM llm.fold_activity(least(high_day, low_day + 30));
        COMMIT;
    END LOOP;
    UPDATE llm.rollup_state SET refreshed_at = clock_timestamp();
END
$$;
COMMENT ON PROCEDURE llm.refresh_rollups(timestamptz, interval, integer) IS 'Rolls up what is open before a time (by '
    'default, all but the last five minutes) and does touched days again. Run it every few minutes, outside of a '
    'transaction: it commits batch by batch, can be cut off anywhere and goes on where it was. Writers are never held '
    'up; those in flight are waited for, up to patience. Reports are right before, during and after';

CREATE FUNCTION llm.restart_rollups()
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM llm.lock_rollups(true);
    DELETE FROM llm.rollup_usage WHERE month IS NOT NULL;
    DELETE FROM llm.rollup_hours WHERE month IS NOT NULL;
    DELETE FROM llm.rollup_slowest WHERE month IS NOT NULL;
    DELETE FROM llm.rollup_sessions WHERE month IS NOT NULL;
    DELETE FROM llm.rollup_activity;
    DELETE FROM llm.rollup_touches;
    UPDATE llm.rollup_state SET closed_before = DEFAULT, open_from = DEFAULT, activity_before = DEFAULT;
END
$$;
COMMENT ON FUNCTION llm.restart_rollups() IS 'Forgets all sums that can be made again; reports read the logs until '
    'llm.refresh_rollups() has made them';

CREATE PROCEDURE llm.set_reporting_time_zone(zone text)
LANGUAGE plpgsql
AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_timezone_names AS n WHERE n.name = zone) THEN
        RAISE EXCEPTION 'there is no time zone %', coalesce(zone, 'NULL')
            USING ERRCODE = 'invalid_parameter_value', HINT = 'SELECT name FROM pg_timezone_names lists them.';
    END IF;
    IF EXISTS (SELECT FROM llm.rollup_state AS s WHERE s.time_zone = zone) THEN
        RETURN;
    END IF;
    PERFORM llm.restart_rollups();
    UPDATE llm.rollup_state SET time_zone = zone;
    COMMIT;
    IF EXISTS (SELECT FROM llm.rollup_usage) THEN
        RAISE NOTICE 'days whose logs are no longer stored stay those of the old time zone';
    END IF;
    CALL llm.refresh_rollups();
END
$$;
COMMENT ON PROCEDURE llm.set_reporting_time_zone(text) IS 'Changes whose days and hours the reports count in, such as '
    'Asia/Seoul, and rolls up again all logs that are stored. Reports are right meanwhile, but slower';

CREATE FUNCTION reporting.time_zone()
RETURNS text
LANGUAGE sql
STABLE
SECURITY DEFINER
RETURN (SELECT s.time_zone FROM llm.rollup_state AS s);
COMMENT ON FUNCTION reporting.time_zone() IS '보고 시간대: whose days and hours the reports count in, such as Asia/Seoul';

-- Retention keeps the rollups, and refuses a month that they do not have.
CREATE FUNCTION llm.is_rolled_up(suffix text, log_days date [], session_days date [])
RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    rolled_up boolean;
BEGIN
    -- A touched day counts if rows of the month are on it, or if its sums have some that are gone since.
    EXECUTE format(
        'SELECT NOT EXISTS ('
        '    SELECT FROM llm.%1$I WHERE request_time >= (SELECT closed_before FROM llm.rollup_state)'
        ') AND NOT EXISTS ('
        '    SELECT FROM llm.touched_days(''logs'') AS t'
        '    WHERE t.day = ANY($1) OR EXISTS ('
        '        SELECT FROM llm.%1$I AS l WHERE l.request_time >= t.from_time AND l.request_time < t.until_time'
        '    )'
        ') AND NOT EXISTS ('
        '    SELECT FROM llm.touched_days(''sessions'') AS t'
        '    WHERE t.day = ANY($2) OR EXISTS ('
        '        SELECT FROM llm.%2$I AS s WHERE s.start_time >= t.from_time AND s.start_time < t.until_time'
        '    )'
        ')', 'session_logs_' || suffix, 'sessions_' || suffix
    ) INTO rolled_up USING log_days, session_days;
    RETURN rolled_up;
END
$$;
COMMENT ON FUNCTION llm.is_rolled_up(text, date [], date []) IS 'Whether the rollups are right for a month, given by '
    'the end of its partitions'' names and the days on which it has sums';

CREATE OR REPLACE FUNCTION llm.drop_month(month date)
RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    suffix constant text := to_char(month, 'YYYY_MM');
    first_day constant date := date_trunc('month', month::timestamp);
    log_days date [];
    session_days date [];
    entity text;
BEGIN
    IF to_regclass('llm.sessions_' || suffix) IS NULL THEN
        RETURN false;
    END IF;
    -- What is summed up stays, and lets go of the month. Only the rollups are written here, so this is done before
    -- anything is locked that others need.
    PERFORM llm.lock_rollups(true);
    log_days := ARRAY(SELECT DISTINCT r.day FROM llm.rollup_usage AS r WHERE r.month = first_day);
    session_days := ARRAY(SELECT DISTINCT r.day FROM llm.rollup_sessions AS r WHERE r.month = first_day);
    UPDATE llm.rollup_usage AS r SET month = NULL WHERE r.month = first_day;
    UPDATE llm.rollup_hours AS r SET month = NULL WHERE r.month = first_day;
    UPDATE llm.rollup_slowest AS r SET month = NULL WHERE r.month = first_day;
    UPDATE llm.rollup_sessions AS r SET month = NULL WHERE r.month = first_day;
    PERFORM llm.lock_for_month_change('ACCESS EXCLUSIVE', suffix);
    IF to_regclass('llm.sessions_' || suffix) IS NULL THEN
        RETURN false;
    END IF;
    IF NOT llm.is_rolled_up(suffix, log_days, session_days) THEN
        RAISE EXCEPTION 'the month % is not rolled up, so reports would lose it', to_char(first_day, 'YYYY-MM')
            USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'CALL llm.refresh_rollups() and try again.';
    END IF;
    -- Sessions that never ended are counted as they are.
    INSERT INTO llm.rollup_sessions
    SELECT
        s.day, NULL, s.department_id, s.sessions, s.duration_us, s.requests, s.requests_without_tokens, s.tokens,
        s.has_project, s.session_type, s.status
    FROM llm.open_sessions() AS s
    WHERE s.month = first_day;
    -- Logs first: a session that is still referred to cannot leave.
    FOREACH entity IN ARRAY ARRAY['session_logs', 'sessions'] LOOP
        EXECUTE format('ALTER TABLE llm.%I DETACH PARTITION llm.%I', entity, entity || '_' || suffix);
        EXECUTE format('DROP TABLE llm.%I', entity || '_' || suffix);
    END LOOP;
    RETURN true;
END
$$;
COMMENT ON FUNCTION llm.drop_month(date) IS 'Drops one month (UTC) of sessions and session_logs with all its rows. '
    'Returns whether there was one. Refuses a month that is not rolled up; rollups and usage_count stay as they are';
