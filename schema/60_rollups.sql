-- Rollups: what the reports read instead of years of logs. A row sums up the logs of one day (or hour) for one value of
-- one dimension. Time before rollup.state.closed_before is closed: it is in the rollups. Later time is open, and
-- reports read its logs themselves, so they are exact at any moment; docs/rollups.md has the proof.
--
-- Rows name the month (partition) their logs lie in. When that month is dropped, they let go of it and stay as they
-- are: rollups outlive the rows they were made from.

-- DDSketch (Masson, Rim, Lee: DDSketch, VLDB 2019): bucket b holds the latencies in (1.04^(b-2), 1.04^(b-1)]
-- microseconds and stands for the value between that is off by at most 1.97 % from any of them. ranks are running
-- totals, as a rank is what a percentile looks for.
CREATE TYPE rollup.latency_histogram AS (buckets smallint [], ranks bigint []);
COMMENT ON TYPE rollup.latency_histogram IS 'A DDSketch of latencies with at most 2 % relative error: the buckets that '
    'are not empty, ascending, and for each the number of latencies in it and those before it';

CREATE TYPE rollup.dimension AS ENUM (
    'all', 'config', 'department', 'deployment', 'model', 'project', 'template', 'user'
);
COMMENT ON TYPE rollup.dimension IS 'What usage is summed up by; the whole platform is a dimension of one value';

CREATE TABLE rollup.state (
    only_row        boolean     NOT NULL DEFAULT true,
    time_zone       text        NOT NULL DEFAULT 'Asia/Seoul',
    closed_before   timestamptz NOT NULL DEFAULT '-infinity',
    noted_before    timestamptz NOT NULL DEFAULT '-infinity',
    activity_before date        NOT NULL DEFAULT '-infinity',
    refreshed_at    timestamptz NULL,
    steady_since    timestamptz NOT NULL DEFAULT '-infinity',

    CONSTRAINT state_pkey PRIMARY KEY (only_row),
    CONSTRAINT state_is_one_row CHECK (only_row)
);
COMMENT ON TABLE rollup.state IS 'How far the rollups are; one row, written by ops.refresh_rollups() and '
    'ops.set_reporting_time_zone() only';
COMMENT ON COLUMN rollup.state.only_row IS 'Key: always true';
COMMENT ON COLUMN rollup.state.time_zone IS '보고 시간대: whose days and hours the reports count in';
COMMENT ON COLUMN rollup.state.closed_before IS 'Requests before this time are in the rollups';
COMMENT ON COLUMN rollup.state.noted_before IS 'Writers note what they change before this time';
COMMENT ON COLUMN rollup.state.activity_before IS 'rollup.activity is right for days before this one';
COMMENT ON COLUMN rollup.state.refreshed_at IS 'When ops.refresh_rollups() last ended';
COMMENT ON COLUMN rollup.state.steady_since IS 'Since when each refresh has ended after the one before it, and by no '
    'more than 26 hours: the clock goes on by itself. Retention drops nothing before that is a day ago; -infinity = '
    'it always has';

CREATE TABLE rollup.announcements (
    announced_in xid8        NOT NULL,
    noted_before timestamptz NOT NULL,
    awaited      text []     NULL,

    CONSTRAINT announcements_pkey PRIMARY KEY (announced_in)
);
COMMENT ON TABLE rollup.announcements IS 'What refreshes have told writers; no time is closed before all who write '
    'have heard that it is going to be. Only refreshes that are at work, or were cut off, have a row';
COMMENT ON COLUMN rollup.announcements.announced_in IS 'Key: the transaction that told it';
COMMENT ON COLUMN rollup.announcements.noted_before IS 'Which time is about to be closed';
COMMENT ON COLUMN rollup.announcements.awaited IS 'Who was writing when that had been committed, as '
    'pg_locks.virtualtransaction; NULL = nobody has looked yet';

-- No key and no index: nobody who adds a row can wait for anybody.
CREATE TABLE rollup.notes (
    entity     text             NOT NULL,
    from_time  timestamptz      NULL,
    until_time timestamptz      NULL,
    session_id uuid             NULL,
    dimension  rollup.dimension NULL,
    key        bigint           NULL,

    CONSTRAINT notes_entity_is_known CHECK (entity IN ('logs', 'sessions')),
    CONSTRAINT notes_is_a_span_a_session_or_a_key CHECK (
        CASE
            WHEN session_id IS NOT NULL THEN num_nonnulls(from_time, until_time, dimension, key) = 0
            WHEN key IS NOT NULL THEN num_nonnulls(from_time, dimension) = 2 AND until_time IS NULL
            ELSE num_nonnulls(from_time, until_time) = 2 AND dimension IS NULL
        END
    )
);
COMMENT ON TABLE rollup.notes IS 'Closed time that was changed afterwards; reports read its days from the logs until '
    'ops.refresh_rollups() has done them again';
COMMENT ON COLUMN rollup.notes.entity IS 'logs: by request_time; sessions: by start_time';
COMMENT ON COLUMN rollup.notes.from_time IS 'Inclusive; NULL = all times of the session';
COMMENT ON COLUMN rollup.notes.until_time IS 'Exclusive; NULL = all times of the session, or of the key from from_time '
    'on';
COMMENT ON COLUMN rollup.notes.session_id IS 'Whose times, as they are when this is read: the writer may not have seen '
    'them all; NULL = a span of time, or a key';
COMMENT ON COLUMN rollup.notes.dimension IS 'What key means';
COMMENT ON COLUMN rollup.notes.key IS 'What was corrected, such as a user: the days on which the rollups have requests '
    'of it, as they are when this is read; NULL = a span of time, or a session';

CREATE TABLE rollup.usage (
    day                     date        NOT NULL,
    month                   date        NULL,
    key                     bigint      NULL,
    requests                bigint      NOT NULL,
    answered_requests       bigint      NOT NULL,
    requests_without_tokens bigint      NOT NULL,
    at_max_tokens_requests  bigint      NOT NULL,
    tokens                  bigint      NOT NULL,
    -- A week in microseconds times 15,000,000 requests is more than a bigint holds.
    latency_us              numeric     NOT NULL,
    max_latency_us          bigint      NULL,
    first_request_time      timestamptz NOT NULL,
    last_request_time       timestamptz NOT NULL,
    dimension               rollup.dimension  NOT NULL,
    latencies               rollup.latency_histogram NULL,
    dropped_month           date        NULL
);
COMMENT ON TABLE rollup.usage IS '사용량 집계: requests, tokens and latencies by day and one dimension';
COMMENT ON COLUMN rollup.usage.day IS '일자: in the reporting time zone';
COMMENT ON COLUMN rollup.usage.month IS 'The month (UTC) its logs are stored in; NULL = they are no longer stored';
COMMENT ON COLUMN rollup.usage.key IS 'The dimension''s own key, such as user_id; NULL = requests without one';
COMMENT ON COLUMN rollup.usage.requests IS '요청 수';
COMMENT ON COLUMN rollup.usage.answered_requests IS '응답된 요청 수: whose response_time is known';
COMMENT ON COLUMN rollup.usage.requests_without_tokens IS '토큰 수 미상 요청 수: whose token_used is not known';
COMMENT ON COLUMN rollup.usage.at_max_tokens_requests IS '최대 토큰 도달 요청 수: whose token_used is at least max_tokens '
    'of their preset';
COMMENT ON COLUMN rollup.usage.tokens IS '사용 토큰 수: sum of the known token_used';
COMMENT ON COLUMN rollup.usage.latency_us IS '처리 시간: sum over the answered requests, in microseconds';
COMMENT ON COLUMN rollup.usage.max_latency_us IS '최대 처리 시간: in microseconds; NULL = none was answered';
COMMENT ON COLUMN rollup.usage.first_request_time IS '첫 요청 시간';
COMMENT ON COLUMN rollup.usage.last_request_time IS '마지막 요청 시간';
COMMENT ON COLUMN rollup.usage.dimension IS 'What key means';
COMMENT ON COLUMN rollup.usage.latencies IS '처리 시간 분포: NULL = none was answered; by user none is kept';
COMMENT ON COLUMN rollup.usage.dropped_month IS 'The month (UTC) that was dropped with what this sums up, '
    'and may come back; NULL = that is stored, or went before migration 0036';

-- Several rows without a month may have one key: summing up is the readers' work anyhow.
CREATE UNIQUE INDEX usage_key ON rollup.usage (dimension, day, key, month) NULLS NOT DISTINCT
WHERE month IS NOT NULL;
COMMENT ON INDEX rollup.usage_key IS 'One row per key, day and stored month; a missing key is a key';
CREATE INDEX usage_dimension_day_idx ON rollup.usage (dimension, day);
CREATE INDEX usage_users_idx ON rollup.usage (key, day) WHERE dimension = 'user';

CREATE TABLE rollup.hours (
    -- squawk-ignore prefer-timestamp-tz
    local_hour              timestamp   NOT NULL,
    hour                    timestamptz NOT NULL,
    deployment_id           bigint      NOT NULL,
    month                   date        NULL,
    requests                bigint      NOT NULL,
    answered_requests       bigint      NOT NULL,
    requests_without_tokens bigint      NOT NULL,
    tokens                  bigint      NOT NULL,
    dropped_month           date        NULL
);
COMMENT ON TABLE rollup.hours IS '시간대별 집계: requests and tokens by hour and deployment';
COMMENT ON COLUMN rollup.hours.local_hour IS '시간대: the start of the hour, as clocks in the reporting time zone '
    'show it';
COMMENT ON COLUMN rollup.hours.hour IS '시간대 시작: the instant it began; the hour that comes twice when clocks are '
    'put back has two';
COMMENT ON COLUMN rollup.hours.deployment_id IS '배포: which served the requests';
COMMENT ON COLUMN rollup.hours.month IS 'The month (UTC) its logs are stored in; NULL = they are no longer stored';
COMMENT ON COLUMN rollup.hours.requests IS '요청 수';
COMMENT ON COLUMN rollup.hours.answered_requests IS '응답된 요청 수: whose response_time is known';
COMMENT ON COLUMN rollup.hours.requests_without_tokens IS '토큰 수 미상 요청 수: whose token_used is not known';
COMMENT ON COLUMN rollup.hours.tokens IS '사용 토큰 수: sum of the known token_used';
COMMENT ON COLUMN rollup.hours.dropped_month IS 'The month (UTC) that was dropped with what this sums up, '
    'and may come back; NULL = that is stored, or went before migration 0036';

CREATE UNIQUE INDEX hours_key ON rollup.hours (local_hour, hour, deployment_id, month)
WHERE month IS NOT NULL;
COMMENT ON INDEX rollup.hours_key IS 'One row per deployment, hour and stored month';
-- Whichever way a report asks for a time.
CREATE INDEX hours_day_idx ON rollup.hours ((local_hour::date));
CREATE INDEX hours_local_hour_idx ON rollup.hours (local_hour);
CREATE INDEX hours_hour_idx ON rollup.hours (hour);

CREATE TABLE rollup.slowest (
    day          date        NOT NULL,
    log_sequence integer     NOT NULL,
    month        date        NULL,
    key          bigint      NULL,
    latency_us   bigint      NOT NULL,
    token_used   bigint      NULL,
    request_time timestamptz NOT NULL,
    session_id   uuid        NOT NULL,
    dimension    rollup.dimension NOT NULL,
    dropped_month date      NULL
);
COMMENT ON TABLE rollup.slowest IS '느린 요청: the ten slowest requests by day and one dimension';
COMMENT ON COLUMN rollup.slowest.day IS '일자: in the reporting time zone';
COMMENT ON COLUMN rollup.slowest.log_sequence IS '세션 내 로그 순번: with session_id, which request';
COMMENT ON COLUMN rollup.slowest.month IS 'The month (UTC) the log is stored in; NULL = it is no longer stored';
COMMENT ON COLUMN rollup.slowest.key IS 'The dimension''s own key; NULL = requests without one';
COMMENT ON COLUMN rollup.slowest.latency_us IS '처리 시간: in microseconds';
COMMENT ON COLUMN rollup.slowest.token_used IS '사용 토큰 수: NULL = not known';
COMMENT ON COLUMN rollup.slowest.request_time IS '요청 시간';
COMMENT ON COLUMN rollup.slowest.session_id IS '세션: which, also when it is no longer stored';
COMMENT ON COLUMN rollup.slowest.dimension IS 'What key means';
COMMENT ON COLUMN rollup.slowest.dropped_month IS 'The month (UTC) that was dropped with what this sums up, '
    'and may come back; NULL = that is stored, or went before migration 0036';

CREATE INDEX slowest_dimension_day_idx ON rollup.slowest (dimension, day);

CREATE TABLE rollup.sessions (
    day                     date    NOT NULL,
    month                   date    NULL,
    department_id           bigint  NULL,
    sessions                bigint  NOT NULL,
    duration_us             numeric NOT NULL,
    requests                bigint  NOT NULL,
    requests_without_tokens bigint  NOT NULL,
    tokens                  bigint  NOT NULL,
    has_project             boolean NOT NULL,
    session_type            text    NOT NULL,
    status                  text    NOT NULL,
    dropped_month           date    NULL
);
COMMENT ON TABLE rollup.sessions IS '세션 집계: sessions that have ended, by the day they began';
COMMENT ON COLUMN rollup.sessions.day IS '일자: of start_time, in the reporting time zone';
COMMENT ON COLUMN rollup.sessions.month IS 'The month (UTC) its sessions are stored in; NULL = they are no longer '
    'stored';
COMMENT ON COLUMN rollup.sessions.department_id IS '소속 부서: of the user when the session began';
COMMENT ON COLUMN rollup.sessions.sessions IS '세션 수';
COMMENT ON COLUMN rollup.sessions.duration_us IS '세션 시간: sum, in microseconds';
COMMENT ON COLUMN rollup.sessions.requests IS '요청 수: of these sessions';
COMMENT ON COLUMN rollup.sessions.requests_without_tokens IS '토큰 수 미상 요청 수: whose token_used is not known';
COMMENT ON COLUMN rollup.sessions.tokens IS '사용 토큰 수: sum of the known token_used';
COMMENT ON COLUMN rollup.sessions.has_project IS '프로젝트 여부: whether the session is for a project';
COMMENT ON COLUMN rollup.sessions.session_type IS '세션 유형';
COMMENT ON COLUMN rollup.sessions.status IS '세션 상태: how it ended';
COMMENT ON COLUMN rollup.sessions.dropped_month IS 'The month (UTC) that was dropped with what this sums up, '
    'and may come back; NULL = that is stored, or went before migration 0036';

CREATE UNIQUE INDEX sessions_key
ON rollup.sessions (day, session_type, status, department_id, has_project, month) NULLS NOT DISTINCT
WHERE month IS NOT NULL;
COMMENT ON INDEX rollup.sessions_key IS 'One row per kind of session, day and stored month';
CREATE INDEX sessions_day_idx ON rollup.sessions (day);

CREATE TABLE rollup.deployment_usage (
    day                     date    NOT NULL,
    month                   date    NULL,
    deployment_id           bigint  NOT NULL,
    model_id                bigint  NULL,
    key                     bigint  NULL,
    department_id           bigint  NULL,
    requests                bigint  NOT NULL,
    answered_requests       bigint  NOT NULL,
    requests_without_tokens bigint  NOT NULL,
    tokens                  bigint  NOT NULL,
    latency_us              numeric NOT NULL,
    dimension               rollup.dimension NOT NULL,
    dropped_month           date    NULL,

    CONSTRAINT deployment_usage_dimension_is_kept CHECK (dimension IN ('department', 'project', 'template', 'user'))
);
COMMENT ON TABLE rollup.deployment_usage IS '배포별 사용량 집계: who had how much of a deployment, by day and one '
    'dimension; what its cost is apportioned by';
COMMENT ON COLUMN rollup.deployment_usage.day IS '일자: in the reporting time zone';
COMMENT ON COLUMN rollup.deployment_usage.month IS 'The month (UTC) its logs are stored in; NULL = they are no longer '
    'stored';
COMMENT ON COLUMN rollup.deployment_usage.deployment_id IS '배포: which served the requests';
COMMENT ON COLUMN rollup.deployment_usage.model_id IS '모델: of the deployment at the time; NULL = not known';
COMMENT ON COLUMN rollup.deployment_usage.key IS 'The dimension''s own key, such as user_id; NULL = requests without '
    'one';
COMMENT ON COLUMN rollup.deployment_usage.department_id IS '소속 부서: of a user, at the time; NULL in other dimensions';
COMMENT ON COLUMN rollup.deployment_usage.requests IS '요청 수';
COMMENT ON COLUMN rollup.deployment_usage.answered_requests IS '응답된 요청 수: whose response_time is known';
COMMENT ON COLUMN rollup.deployment_usage.requests_without_tokens IS '토큰 수 미상 요청 수: whose token_used is not known';
COMMENT ON COLUMN rollup.deployment_usage.tokens IS '사용 토큰 수: sum of the known token_used';
COMMENT ON COLUMN rollup.deployment_usage.latency_us IS '처리 시간: sum over the answered requests, in microseconds';
COMMENT ON COLUMN rollup.deployment_usage.dimension IS 'What key means';
COMMENT ON COLUMN rollup.deployment_usage.dropped_month IS 'The month (UTC) that was dropped with what this sums up, '
    'and may come back; NULL = that is stored';

CREATE UNIQUE INDEX deployment_usage_key
ON rollup.deployment_usage (dimension, day, deployment_id, key, model_id, department_id, month) NULLS NOT DISTINCT
WHERE month IS NOT NULL;
COMMENT ON INDEX rollup.deployment_usage_key IS 'One row per deployment, key, day and stored month; a missing key is a '
    'key';
CREATE INDEX deployment_usage_dimension_day_idx ON rollup.deployment_usage (dimension, day);

-- A request that runs over the end of an hour, or of a day, is in each hour it ran in; what is changed of it is found
-- by the day it began.
CREATE TABLE rollup.running (
    day           date        NOT NULL,
    month         date        NULL,
    hour          timestamptz NOT NULL,
    deployment_id bigint      NOT NULL,
    busy_us       numeric     NOT NULL,
    -- squawk-ignore prefer-bigint-over-smallint
    minutes       smallint [] NOT NULL,
    in_flight     integer []  NOT NULL,
    dropped_month date        NULL,

    CONSTRAINT running_minutes_have_their_requests CHECK (cardinality(minutes) = cardinality(in_flight))
);
COMMENT ON TABLE rollup.running IS '동시 요청 집계: the requests in flight, by hour and deployment';
COMMENT ON COLUMN rollup.running.day IS '일자: on which the requests began, in the reporting time zone';
COMMENT ON COLUMN rollup.running.month IS 'The month (UTC) their logs are stored in; NULL = they are no longer stored';
COMMENT ON COLUMN rollup.running.hour IS '시간대 시작: the instant the hour began in which they ran';
COMMENT ON COLUMN rollup.running.deployment_id IS '배포: which served them';
COMMENT ON COLUMN rollup.running.busy_us IS '처리 시간: of this hour, sum over the answered requests, in microseconds';
COMMENT ON COLUMN rollup.running.minutes IS '분: those of the hour (0 to 59), ascending, at whose beginning a request '
    'was in flight';
COMMENT ON COLUMN rollup.running.in_flight IS '동시 요청 수: how many requests were between request and answer then, for '
    'each of minutes';
COMMENT ON COLUMN rollup.running.dropped_month IS 'The month (UTC) that was dropped with what this sums up, and may '
    'come back; NULL = that is stored';

CREATE UNIQUE INDEX running_key ON rollup.running (day, hour, deployment_id, month) WHERE month IS NOT NULL;
COMMENT ON INDEX rollup.running_key IS 'One row per deployment, hour, day of the requests and stored month';
CREATE INDEX running_day_idx ON rollup.running (day);
CREATE INDEX running_hour_idx ON rollup.running (hour);

-- What a day cost is worked out once, when it is closed; a report works it out itself where anything changed since.
CREATE TABLE rollup.costs (
    day                     date    NOT NULL,
    key                     bigint  NULL,
    department_id           bigint  NULL,
    requests                bigint  NOT NULL,
    requests_without_tokens bigint  NOT NULL,
    tokens                  bigint  NOT NULL,
    latency_us              numeric NOT NULL,
    cost                    numeric NOT NULL,
    used_cost               numeric NOT NULL,
    gpu_hours               numeric NOT NULL,
    dimension               rollup.dimension NOT NULL,
    is_idle                 boolean NOT NULL,

    CONSTRAINT costs_dimension_is_kept CHECK (dimension IN ('deployment', 'model', 'project', 'template', 'user'))
);
COMMENT ON TABLE rollup.costs IS '비용 집계: what a day cost, and whose it is, by one dimension; of days in '
    'rollup.priced_days';
COMMENT ON COLUMN rollup.costs.day IS '일자: in the reporting time zone';
COMMENT ON COLUMN rollup.costs.key IS 'The dimension''s own key, such as user_id; NULL = requests without one, or idle';
COMMENT ON COLUMN rollup.costs.department_id IS '소속 부서: of the users, at the time; by model and by user only';
COMMENT ON COLUMN rollup.costs.requests IS '요청 수';
COMMENT ON COLUMN rollup.costs.requests_without_tokens IS '토큰 수 미상 요청 수: whose token_used is not known';
COMMENT ON COLUMN rollup.costs.tokens IS '사용 토큰 수: sum of the known token_used';
COMMENT ON COLUMN rollup.costs.latency_us IS '처리 시간: sum over the answered requests, in microseconds';
COMMENT ON COLUMN rollup.costs.cost IS '배분 비용: to 28 decimals, so that sums are right to 10';
COMMENT ON COLUMN rollup.costs.used_cost IS '사용 비용: of that, what the time cost in which requests were processed';
COMMENT ON COLUMN rollup.costs.gpu_hours IS 'GPU 시간: that the cost is of, in hours';
COMMENT ON COLUMN rollup.costs.dimension IS 'What key means';
COMMENT ON COLUMN rollup.costs.is_idle IS '유휴 여부: whether nobody used the deployments that day; by deployment and '
    'model a row for each, else one';

CREATE INDEX costs_day_dimension_idx ON rollup.costs (day, dimension);

-- As reports show them. Of other keys there are few, and summing them up takes no time.
CREATE TABLE rollup.user_costs (
    first_day               date    NOT NULL,
    user_id                 bigint  NULL,
    requests                bigint  NOT NULL,
    requests_without_tokens bigint  NOT NULL,
    tokens                  bigint  NOT NULL,
    latency_us              numeric NOT NULL,
    allocated_cost          numeric NOT NULL,
    used_cost               numeric NOT NULL,
    gpu_hours               numeric NOT NULL,
    grain                   text    NOT NULL,

    CONSTRAINT user_costs_grain_is_day_week_or_month CHECK (grain IN ('day', 'week', 'month'))
);
COMMENT ON TABLE rollup.user_costs IS '사용자별 비용: rollup.costs by user, of days, weeks and months all of whose days are '
    'in rollup.priced_days';
COMMENT ON COLUMN rollup.user_costs.first_day IS '기간 시작일: in the reporting time zone';
COMMENT ON COLUMN rollup.user_costs.user_id IS '사용자: NULL = idle, what nobody used';
COMMENT ON COLUMN rollup.user_costs.requests IS '요청 수';
COMMENT ON COLUMN rollup.user_costs.requests_without_tokens IS '토큰 수 미상 요청 수: whose token_used is not known';
COMMENT ON COLUMN rollup.user_costs.tokens IS '사용 토큰 수: sum of the known token_used';
COMMENT ON COLUMN rollup.user_costs.latency_us IS '처리 시간: sum over the answered requests, in microseconds';
COMMENT ON COLUMN rollup.user_costs.allocated_cost IS '배분 비용: to 10 decimals, so that the rows of a period add up';
COMMENT ON COLUMN rollup.user_costs.used_cost IS '사용 비용: of that, what the time cost in which requests were processed';
COMMENT ON COLUMN rollup.user_costs.gpu_hours IS 'GPU 시간: that the cost is of, in hours';
COMMENT ON COLUMN rollup.user_costs.grain IS '기간 단위: day, week (from Monday) or month';

CREATE INDEX user_costs_first_day_grain_idx ON rollup.user_costs (first_day, grain);

CREATE TABLE rollup.priced_days (
    day    date  NOT NULL,
    prices bytea NOT NULL,

    CONSTRAINT priced_days_pkey PRIMARY KEY (day)
);
COMMENT ON TABLE rollup.priced_days IS 'The closed days whose costs are in rollup.costs; a change of '
    'rollup.deployment_usage takes its days away';
COMMENT ON COLUMN rollup.priced_days.day IS '일자: in the reporting time zone; -infinity = none, but all that was ever '
    'held and at which price, so that a refresh sees at once whether that has changed';
COMMENT ON COLUMN rollup.priced_days.prices IS 'What rollup.day_prices() told of the day then: a report that is told '
    'something else works out the day itself';

-- How many distinct users a week or a month had is no sum of days. But it is a sum over these: a user counts once in a
-- window, namely on the first active day in it, which is the one whose gap reaches out of the window.
CREATE TABLE rollup.activity (
    day      date    NOT NULL,
    gap_days integer NULL,
    users    bigint  NOT NULL
);
COMMENT ON TABLE rollup.activity IS '활동 집계: how many users were active on a day, by the days since their last '
    'active day before it';
COMMENT ON COLUMN rollup.activity.day IS '일자: in the reporting time zone';
COMMENT ON COLUMN rollup.activity.gap_days IS 'Days since they were last active: 1 = the day before; NULL = never';
COMMENT ON COLUMN rollup.activity.users IS '사용자 수';

CREATE UNIQUE INDEX activity_key ON rollup.activity (day, gap_days) NULLS NOT DISTINCT;
COMMENT ON INDEX rollup.activity_key IS 'One row per day and gap';

-- A publication FOR ALL TABLES refuses UPDATE and DELETE on a table whose rows it cannot name. These have no key
-- without a NULL in it, so a row is named by all of its columns.
ALTER TABLE rollup.notes REPLICA IDENTITY FULL;
ALTER TABLE rollup.usage REPLICA IDENTITY FULL;
ALTER TABLE rollup.hours REPLICA IDENTITY FULL;
ALTER TABLE rollup.slowest REPLICA IDENTITY FULL;
ALTER TABLE rollup.sessions REPLICA IDENTITY FULL;
ALTER TABLE rollup.activity REPLICA IDENTITY FULL;
ALTER TABLE rollup.deployment_usage REPLICA IDENTITY FULL;
ALTER TABLE rollup.running REPLICA IDENTITY FULL;
ALTER TABLE rollup.costs REPLICA IDENTITY FULL;
ALTER TABLE rollup.user_costs REPLICA IDENTITY FULL;
