-- depends: 0037.deployment-history

-- A publication FOR ALL TABLES refuses UPDATE and DELETE on a table whose rows it cannot name, so a row is named by all
-- of its columns.
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

ALTER TABLE rollup.deployment_usage REPLICA IDENTITY FULL;
ALTER TABLE rollup.running REPLICA IDENTITY FULL;

-- Closed time has none of these sums: all of it is noted, and reports read its logs until a refresh has done it again.
INSERT INTO rollup.notes (entity, from_time, until_time)
SELECT 'logs', '-infinity', s.noted_before
FROM rollup.state AS s
WHERE s.noted_before > '-infinity';
