-- Rows that were there before the rules of llm.session_logs may break them, and one of them must not break a report for
-- everybody: what no request can use or last is not known, and a request without a known time is on no day.
CREATE OR REPLACE FUNCTION rollup.known_tokens(token_used bigint)
RETURNS bigint
LANGUAGE sql
IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN token_used <= 100000000 THEN token_used END;
COMMENT ON FUNCTION rollup.known_tokens(bigint) IS 'token_used as session_logs_token_used_at_most_100_million allows '
    'it; NULL = not known';
REVOKE ALL ON FUNCTION rollup.known_tokens(bigint) FROM public;
GRANT EXECUTE ON FUNCTION rollup.known_tokens(bigint) TO llm_analyst;

CREATE OR REPLACE FUNCTION rollup.known_latency(latency interval)
RETURNS interval
LANGUAGE sql
IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN latency <= interval '168 hours' THEN latency END;
COMMENT ON FUNCTION rollup.known_latency(interval) IS 'latency as session_logs_response_within_a_week allows it; NULL '
    '= not known';
REVOKE ALL ON FUNCTION rollup.known_latency(interval) FROM public;
GRANT EXECUTE ON FUNCTION rollup.known_latency(interval) TO llm_analyst;

CREATE OR REPLACE FUNCTION rollup.known_time(at timestamptz)
RETURNS timestamptz
LANGUAGE sql
IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN at >= '2000-01-01 00:00Z' AND at < '2100-01-01 00:00Z' THEN at END;
COMMENT ON FUNCTION rollup.known_time(timestamptz) IS 'A time as the years 2000 to 2099 hold it '
    '(session_logs_request_time_within_2000_to_2099); NULL = not known, and on no day of the reports';
REVOKE ALL ON FUNCTION rollup.known_time(timestamptz) FROM public;
GRANT EXECUTE ON FUNCTION rollup.known_time(timestamptz) TO llm_analyst;

CREATE OR REPLACE VIEW rollup.department_spans AS
SELECT
    h.user_id,
    h.department_id,
    h.since,
    lead(h.since, 1, 'infinity') OVER (PARTITION BY h.user_id ORDER BY h.since) AS until_time
FROM llm.user_departments AS h;
COMMENT ON VIEW rollup.department_spans IS '소속 부서 이력: llm.user_departments with the end of each row';
COMMENT ON COLUMN rollup.department_spans.user_id IS '사용자';
COMMENT ON COLUMN rollup.department_spans.department_id IS '소속 부서';
COMMENT ON COLUMN rollup.department_spans.since IS '소속 시작 시간: inclusive';
COMMENT ON COLUMN rollup.department_spans.until_time IS '소속 종료 시간: exclusive; infinity = still there';

-- Each log is held against each span of its deployment. Of GPUs and status, which a program may change every minute,
-- logs know nothing, so these make no span.
CREATE OR REPLACE VIEW rollup.deployment_spans AS
SELECT
    m.deployment_id,
    m.model_id,
    m.since,
    lead(m.since, 1, 'infinity') OVER (PARTITION BY m.deployment_id ORDER BY m.since) AS until_time
FROM (
    SELECT
        h.deployment_id,
        h.model_id,
        h.since,
        lag(h.model_id) OVER (PARTITION BY h.deployment_id ORDER BY h.since) AS model_id_before
    FROM llm.deployment_history AS h
) AS m
WHERE m.model_id IS DISTINCT FROM m.model_id_before;
COMMENT ON VIEW rollup.deployment_spans IS '배포 이력: which model a deployment ran from when to when';
CALL ops.describe('rollup.deployment_spans', 'llm.deployment_history');
COMMENT ON COLUMN rollup.deployment_spans.since IS '시작 시간: inclusive';
COMMENT ON COLUMN rollup.deployment_spans.until_time IS '종료 시간: exclusive; infinity = still so';

-- What is counted of one log, and of one session: the rollups and the open time of every report are made of these.
CREATE OR REPLACE VIEW rollup.log_facts AS
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
    rollup.known_tokens(l.token_used) AS token_used,
    rollup.known_latency(l.latency) IS NOT NULL AS answered,
    coalesce(rollup.known_tokens(l.token_used) >= c.max_tokens, false) AS at_max_tokens,
    round(date_part('epoch', rollup.known_latency(l.latency)) * 1e6)::bigint AS latency_us
FROM llm.session_logs AS l
-- One row, as the planner sees by LIMIT only: a table of one row never gets statistics, and would count as 900.
CROSS JOIN (SELECT state.time_zone FROM rollup.state LIMIT 1) AS z
INNER JOIN llm.sessions AS s ON l.session_id = s.session_id
LEFT JOIN llm.model_configs AS c ON l.config_id = c.config_id
LEFT JOIN rollup.department_spans AS h
    ON s.user_id = h.user_id AND h.since <= l.request_time AND h.until_time > l.request_time
LEFT JOIN rollup.deployment_spans AS e
    ON l.deployment_id = e.deployment_id AND e.since <= l.request_time AND e.until_time > l.request_time
WHERE rollup.known_time(l.request_time) IS NOT NULL;
COMMENT ON VIEW rollup.log_facts IS '세션 로그: what the reports count of a log';
COMMENT ON COLUMN rollup.log_facts.session_id IS '세션 고유 식별자: with log_sequence the key';
COMMENT ON COLUMN rollup.log_facts.log_sequence IS '세션 내 로그 순번';
COMMENT ON COLUMN rollup.log_facts.request_time IS '요청 시간';
COMMENT ON COLUMN rollup.log_facts.day IS '일자: of request_time, in the reporting time zone';
COMMENT ON COLUMN rollup.log_facts.local_hour IS '시간대: the start of the hour of request_time, as clocks in the '
    'reporting time zone show it';
COMMENT ON COLUMN rollup.log_facts.hour IS '시간대 시작: the instant that hour began';
COMMENT ON COLUMN rollup.log_facts.month IS 'The month (UTC) the log is stored in';
COMMENT ON COLUMN rollup.log_facts.user_id IS '사용자: who made the request';
COMMENT ON COLUMN rollup.log_facts.department_id IS '소속 부서: of the user at request_time';
COMMENT ON COLUMN rollup.log_facts.project_id IS '프로젝트: NULL = none';
COMMENT ON COLUMN rollup.log_facts.deployment_id IS '배포: which served the request';
COMMENT ON COLUMN rollup.log_facts.model_id IS '모델: of the deployment at request_time; NULL = its history '
    'does not say';
COMMENT ON COLUMN rollup.log_facts.config_id IS '모델 설정: NULL = none or not known';
COMMENT ON COLUMN rollup.log_facts.template_id IS '프롬프트 템플릿: NULL = none';
COMMENT ON COLUMN rollup.log_facts.token_used IS '사용 토큰 수: NULL = not known';
COMMENT ON COLUMN rollup.log_facts.answered IS '응답 여부: whether response_time is known';
COMMENT ON COLUMN rollup.log_facts.at_max_tokens IS '최대 토큰 도달 여부: whether token_used is at least max_tokens of the '
    'preset';
COMMENT ON COLUMN rollup.log_facts.latency_us IS '처리 시간: in microseconds; NULL = not answered';

-- In which hours an answered request ran, a row for each. Hours begin where the clocks of the reporting time zone say
-- so, which is where the request's own hour began, or whole hours later.
CREATE OR REPLACE FUNCTION rollup.running_hours(request_time timestamptz, latency_us bigint, first_hour timestamptz)
RETURNS TABLE (hour timestamptz, busy_us bigint, first_minute integer, last_minute integer)
LANGUAGE sql
IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT
        first_hour + r.n * interval '1 hour',
        r.until_us - r.from_us,
        ((r.from_us + 59999999) / 60000000)::integer,
        ((r.until_us + 59999999) / 60000000)::integer - 1
    FROM (
        SELECT
            g.n,
            greatest(b.began_us - g.n * 3600000000, 0) AS from_us,
            least(b.began_us + latency_us - g.n * 3600000000, 3600000000) AS until_us
        FROM (
            SELECT (date_part('epoch', request_time - first_hour) * 1e6)::bigint AS began_us
        ) AS b
        -- Of an array the planner expects ten rows, see rollup.calendar().
        CROSS JOIN LATERAL unnest(array(
            SELECT h.n FROM generate_series(0, (b.began_us + latency_us) / 3600000000) AS h (n)
        )) AS g (n)
    ) AS r
    WHERE latency_us IS NOT NULL;
END;
COMMENT ON FUNCTION rollup.running_hours(timestamptz, bigint, timestamptz) IS 'The hours in which a request ran, given '
    'with its latency in microseconds and the start of the hour it began in: how long in each, in microseconds, and '
    'which minutes (0 to 59) of it began meanwhile: from first_minute to last_minute, none where last_minute is less. '
    'No row: it was not answered';
REVOKE ALL ON FUNCTION rollup.running_hours(timestamptz, bigint, timestamptz) FROM public;
GRANT EXECUTE ON FUNCTION rollup.running_hours(timestamptz, bigint, timestamptz) TO llm_analyst;

-- Most requests end in the minute they began in: who looks at minutes need not look at them.
CREATE OR REPLACE FUNCTION rollup.meets_a_minute(request_time timestamptz, latency_us bigint)
RETURNS boolean
LANGUAGE sql
IMMUTABLE PARALLEL SAFE
RETURN latency_us
>= (60000000 - (date_part('epoch', request_time - '2000-01-01 00:00Z') * 1e6)::bigint % 60000000) % 60000000;
COMMENT ON FUNCTION rollup.meets_a_minute(timestamptz, bigint) IS 'Whether a request, given with its latency in '
    'microseconds, ran until a minute began, or longer; an hour begins with a minute. NULL = it was not answered';
REVOKE ALL ON FUNCTION rollup.meets_a_minute(timestamptz, bigint) FROM public;

CREATE OR REPLACE VIEW rollup.session_facts AS
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
    coalesce(round(date_part('epoch', rollup.known_time(s.end_time) - s.start_time) * 1e6)::bigint, 0) AS duration_us
FROM llm.sessions AS s
-- One row, as the planner sees by LIMIT only: a table of one row never gets statistics, and would count as 900.
CROSS JOIN (SELECT state.time_zone FROM rollup.state LIMIT 1) AS z
LEFT JOIN rollup.department_spans AS h
    ON s.user_id = h.user_id AND h.since <= s.start_time AND h.until_time > s.start_time
WHERE rollup.known_time(s.start_time) IS NOT NULL;
COMMENT ON VIEW rollup.session_facts IS '사용 세션: what the reports count of a session';
COMMENT ON COLUMN rollup.session_facts.session_id IS '세션 고유 식별자: key';
COMMENT ON COLUMN rollup.session_facts.start_time IS '시작 시간';
COMMENT ON COLUMN rollup.session_facts.end_time IS '종료 시간: NULL = running';
COMMENT ON COLUMN rollup.session_facts.day IS '일자: of start_time, in the reporting time zone';
COMMENT ON COLUMN rollup.session_facts.month IS 'The month (UTC) the session is stored in';
COMMENT ON COLUMN rollup.session_facts.department_id IS '소속 부서: of the user at start_time';
COMMENT ON COLUMN rollup.session_facts.has_project IS '프로젝트 여부';
COMMENT ON COLUMN rollup.session_facts.session_type IS '세션 유형';
COMMENT ON COLUMN rollup.session_facts.status IS '세션 상태';
COMMENT ON COLUMN rollup.session_facts.duration_us IS '세션 시간: in microseconds; 0 while it is running';
