-- needs: 0038.deployment-usage

-- What clocks show in a quarter of an hour is worked out once for all of its logs. The planner is told of a hundred: of
-- more it would expect more logs than there are.
CREATE OR REPLACE FUNCTION rollup.quarters(low timestamptz, high timestamptz)
RETURNS TABLE (
    quarter timestamptz, day date, local_hour timestamp, hour timestamptz, month date, month_low uuid, month_high uuid
)
LANGUAGE sql
STABLE ROWS 100
SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT
        q.quarter, q.first_time::date, date_trunc('hour', q.first_time), date_trunc('hour', q.quarter, q.time_zone),
        q.month::date, q.month_low, q.month_high
    FROM (
        SELECT
            g.quarter, z.time_zone, m.month, m.month_low, m.month_high,
            g.quarter AT TIME ZONE z.time_zone AS first_time,
            (g.quarter + interval '14:59.999999') AT TIME ZONE z.time_zone AS last_time
        FROM rollup.state AS z
        CROSS JOIN LATERAL (
            SELECT rollup.quarter(greatest(low, high - interval '100 days')) AS first_quarter WHERE isfinite(high)
        ) AS f
        CROSS JOIN LATERAL (
            SELECT
                s.month,
                llm.uuidv7_floor(s.month AT TIME ZONE 'UTC') AS month_low,
                llm.uuidv7_floor((s.month + interval '1 month') AT TIME ZONE 'UTC') AS month_high
            FROM generate_series(
                date_trunc('month', f.first_quarter AT TIME ZONE 'UTC'), high AT TIME ZONE 'UTC', interval '1 month'
            ) AS s (month)
            OFFSET 0
        ) AS m
        CROSS JOIN LATERAL generate_series(
            greatest(f.first_quarter, m.month AT TIME ZONE 'UTC'),
            least(high, (m.month + interval '1 month') AT TIME ZONE 'UTC') - interval '1 microsecond',
            interval '15 minutes'
        ) AS g (quarter)
    ) AS q
    WHERE q.last_time - q.first_time = interval '14:59.999999'
        AND date_trunc('hour', q.last_time) = date_trunc('hour', q.first_time);
END;
COMMENT ON FUNCTION rollup.quarters(timestamptz, timestamptz) IS 'The quarters of an hour of a span of time, of no '
    'more than its last hundred days, with the day, the hour and the month (UTC, and the session_id it begins and ends '
    'with) that they lie in. Without those in which clocks are changed';
REVOKE ALL ON FUNCTION rollup.quarters(timestamptz, timestamptz) FROM public;

-- Folding: adding logs and sessions to the rollups. The caller holds rollup.lock_state().
CREATE OR REPLACE FUNCTION rollup.fold_logs(low timestamptz, high timestamptz)
RETURNS void
LANGUAGE plpgsql
SET plan_cache_mode = force_custom_plan
-- A log and its session lie in the same month: the sessions of other months are not even looked at.
SET enable_partitionwise_join = on
-- One log may meet one session, and 200,000 meet them all: hashing is right for both, also before the first ANALYZE.
SET enable_nestloop = off
-- A batch is sorted and hashed in memory.
SET work_mem = '64MB'
SET jit = off
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    lowest constant uuid := rollup.first_logged(low, high);
    first_day date;
    last_day date;
BEGIN
    WITH facts AS MATERIALIZED (
        SELECT
            coalesce(q.day, f.day) AS day,
            CASE WHEN f.session_id >= q.month_low AND f.session_id < q.month_high THEN q.month ELSE f.month END AS month,
            coalesce(q.local_hour, f.local_hour) AS local_hour,
            coalesce(q.hour, f.hour) AS hour,
            f.session_id, f.log_sequence, f.request_time, f.user_id, f.department_id, f.project_id, f.deployment_id,
            f.model_id, f.config_id, f.template_id, f.token_used, f.answered, f.at_max_tokens, f.latency_us,
            rollup.latency_bucket(f.latency_us) AS bucket
        FROM rollup.log_facts AS f
        LEFT JOIN rollup.quarters(low, high) AS q ON rollup.quarter(f.request_time) = q.quarter
        WHERE f.request_time >= low AND f.request_time < high AND f.session_id >= lowest
    ), parts AS MATERIALIZED (
        -- One pass over the logs, and one for their histograms: in a single pass every cell would carry every sum, which
        -- takes a quarter longer. By user and day a histogram would be as long as the list of latencies.
        SELECT
            f.day, f.month, f.local_hour, f.hour, f.deployment_id, f.model_id, f.department_id,
            CASE
                -- By the hour, of no dimension.
                WHEN grouping(f.hour) = 0 THEN NULL
                WHEN grouping(f.config_id) = 0 THEN 'config'::rollup.dimension
                WHEN grouping(f.project_id) = 0 THEN 'project'
                WHEN grouping(f.template_id) = 0 THEN 'template'
                WHEN grouping(f.user_id) = 0 THEN 'user'
                ELSE 'department'
            END AS dimension,
            CASE
                WHEN grouping(f.department_id, f.user_id) = 1 THEN f.department_id
                ELSE coalesce(f.config_id, f.project_id, f.template_id, f.user_id)
            END AS key,
            count(*) AS requests,
            count(*) FILTER (WHERE f.answered) AS answered_requests,
            count(*) - count(f.token_used) AS requests_without_tokens,
            count(*) FILTER (WHERE f.at_max_tokens) AS at_max_tokens_requests,
            coalesce(rollup.bigint_sum(f.token_used), 0) AS tokens,
            coalesce(sum(f.latency_us), 0) AS latency_us,
            max(f.latency_us) AS max_latency_us,
            min(f.request_time) AS first_request_time,
            max(f.request_time) AS last_request_time
        FROM facts AS f
        GROUP BY
            f.day, f.month, GROUPING SETS (
                (f.local_hour, f.hour, f.deployment_id), f.config_id,
                (f.deployment_id, f.model_id, f.department_id), (f.deployment_id, f.model_id, f.project_id),
                (f.deployment_id, f.model_id, f.template_id), (f.deployment_id, f.model_id, f.department_id, f.user_id)
            )
    ), sums AS MATERIALIZED (
        -- The parts of one dimension add up to those of fewer keys.
        SELECT
            d.dimension, p.day, p.month, d.key,
            rollup.bigint_sum(p.requests) AS requests,
            rollup.bigint_sum(p.answered_requests) AS answered_requests,
            rollup.bigint_sum(p.requests_without_tokens) AS requests_without_tokens,
            rollup.bigint_sum(p.at_max_tokens_requests) AS at_max_tokens_requests,
            rollup.bigint_sum(p.tokens) AS tokens,
            sum(p.latency_us) AS latency_us,
            max(p.max_latency_us) AS max_latency_us,
            min(p.first_request_time) AS first_request_time,
            max(p.last_request_time) AS last_request_time
        FROM parts AS p
        CROSS JOIN LATERAL (
            VALUES
            (p.dimension, p.key), ('all'::rollup.dimension, NULL::bigint), ('deployment', p.deployment_id),
            ('model', p.model_id)
        ) AS d (dimension, key)
        WHERE p.dimension IS NOT NULL AND (p.dimension = 'department' OR d.dimension = p.dimension)
        GROUP BY d.dimension, p.day, p.month, d.key
    ), cells AS (
        SELECT
            f.day, f.month, f.bucket,
            CASE
                WHEN grouping(f.config_id) = 0 THEN 'config'::rollup.dimension
                WHEN grouping(f.department_id) = 0 THEN 'department'
                WHEN grouping(f.deployment_id) = 0 THEN 'deployment'
                WHEN grouping(f.model_id) = 0 THEN 'model'
                WHEN grouping(f.project_id) = 0 THEN 'project'
                WHEN grouping(f.template_id) = 0 THEN 'template'
                ELSE 'all'
            END AS dimension,
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
    ), histograms AS MATERIALIZED (
        SELECT
            r.dimension, r.day, r.key, r.month,
            row(array_agg(r.bucket ORDER BY r.bucket), array_agg(r.rank ORDER BY r.bucket))::rollup.latency_histogram
            AS latencies
        FROM (
            SELECT
                c.dimension, c.day, c.month, c.key, c.bucket,
                rollup.bigint_sum(c.answered) OVER (
                    PARTITION BY c.dimension, c.day, c.key, c.month ORDER BY c.bucket ROWS UNBOUNDED PRECEDING
                ) AS rank
            FROM cells AS c
        ) AS r
        GROUP BY r.dimension, r.day, r.key, r.month
    ), hours AS (
        INSERT INTO rollup.hours AS h (
            local_hour, hour, deployment_id, month, requests, answered_requests, requests_without_tokens, tokens
        )
        SELECT
            p.local_hour, p.hour, p.deployment_id, p.month, p.requests, p.answered_requests, p.requests_without_tokens,
            p.tokens
        FROM parts AS p
        WHERE p.dimension IS NULL
        ON CONFLICT (local_hour, hour, deployment_id, month) WHERE month IS NOT NULL DO UPDATE SET
            requests = h.requests + excluded.requests,
            answered_requests = h.answered_requests + excluded.answered_requests,
            requests_without_tokens = h.requests_without_tokens + excluded.requests_without_tokens,
            tokens = h.tokens + excluded.tokens
    ), usage AS (
        INSERT INTO rollup.usage AS u (
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
            -- The lowest bigint for no key, as in rollup.usage_periods.
            AND coalesce(s.key, '-9223372036854775808') = coalesce(h.key, '-9223372036854775808')
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
            latencies = rollup.histogram_merge(ARRAY[u.latencies, excluded.latencies])
    ), deployment_usage AS (
        INSERT INTO rollup.deployment_usage AS u (
            dimension, day, month, deployment_id, model_id, key, department_id, requests, answered_requests,
            requests_without_tokens, tokens, latency_us
        )
        SELECT
            p.dimension, p.day, p.month, p.deployment_id, p.model_id, p.key,
            CASE WHEN p.dimension = 'user' THEN p.department_id END, p.requests, p.answered_requests,
            p.requests_without_tokens, p.tokens, p.latency_us
        FROM parts AS p
        WHERE p.dimension <> 'config'
        ON CONFLICT (dimension, day, deployment_id, key, model_id, department_id, month) WHERE month IS NOT NULL
        DO UPDATE SET
            requests = u.requests + excluded.requests,
            answered_requests = u.answered_requests + excluded.answered_requests,
            requests_without_tokens = u.requests_without_tokens + excluded.requests_without_tokens,
            tokens = u.tokens + excluded.tokens,
            latency_us = u.latency_us + excluded.latency_us
    ), hours_run AS MATERIALIZED (
        SELECT
            f.day, f.month, f.deployment_id, r.hour, r.first_minute, r.last_minute,
            r.busy_us - CASE WHEN r.hour = f.hour THEN f.latency_us ELSE 0 END AS moved_us
        FROM facts AS f
        CROSS JOIN LATERAL rollup.running_hours(f.request_time, f.latency_us, f.hour) AS r
        WHERE rollup.meets_a_minute(f.request_time, f.latency_us)
    ), looks AS (
        SELECT
            m.day, m.month, m.hour, m.deployment_id,
            array_agg(m.minute ORDER BY m.minute) AS minutes,
            array_agg(m.requests ORDER BY m.minute) AS in_flight
        FROM (
            SELECT h.day, h.month, h.hour, h.deployment_id, g.minute::smallint AS minute, count(*)::integer AS requests
            FROM hours_run AS h
            CROSS JOIN LATERAL generate_series(h.first_minute, h.last_minute) AS g (minute)
            WHERE h.first_minute <= h.last_minute
            GROUP BY h.day, h.month, h.hour, h.deployment_id, g.minute
        ) AS m
        GROUP BY m.day, m.month, m.hour, m.deployment_id
    ), runs AS (
        SELECT
            b.day, b.month, b.hour, b.deployment_id, b.busy_us, coalesce(k.minutes, '{}') AS minutes,
            coalesce(k.in_flight, '{}') AS in_flight
        FROM (
            -- Most requests end in the minute they began in: their time is that of their hour. Of the others, what
            -- they ran in later hours is moved there.
            SELECT t.day, t.month, t.hour, t.deployment_id, sum(t.busy_us) AS busy_us
            FROM (
                SELECT p.day, p.month, p.hour, p.deployment_id, p.latency_us AS busy_us
                FROM parts AS p
                WHERE p.dimension IS NULL AND p.answered_requests > 0
                UNION ALL
                SELECT h.day, h.month, h.hour, h.deployment_id, h.moved_us
                FROM hours_run AS h
            ) AS t
            GROUP BY t.day, t.month, t.hour, t.deployment_id
        ) AS b
        LEFT JOIN looks AS k USING (day, month, hour, deployment_id)
    ), running AS (
        INSERT INTO rollup.running AS r (day, month, hour, deployment_id, busy_us, minutes, in_flight)
        SELECT s.day, s.month, s.hour, s.deployment_id, s.busy_us, s.minutes, s.in_flight
        FROM runs AS s
        ON CONFLICT (day, hour, deployment_id, month) WHERE month IS NOT NULL DO UPDATE SET
            busy_us = r.busy_us + excluded.busy_us,
            (minutes, in_flight) = (
                SELECT s.minutes_seen, s.in_flight
                FROM rollup.in_flight_sum(r.minutes || excluded.minutes, r.in_flight || excluded.in_flight) AS s
            )
    ), top_cells AS MATERIALIZED (
        -- The cells that the ten slowest of each are in. A missing key counts as 0 here; the ranking below looks
        -- closer.
        SELECT h.dimension, h.day, h.month, coalesce(h.key, 0) AS key, c.bucket
        FROM histograms AS h
        CROSS JOIN LATERAL unnest((h.latencies).buckets, (h.latencies).ranks) AS c (bucket, rank)
        WHERE (h.latencies).ranks[cardinality((h.latencies).ranks)] - c.rank < 10 AND h.dimension <> 'all'
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
            OR (f.day, f.month, coalesce(f.model_id, 0), f.bucket) IN
            (SELECT t.day, t.month, t.key, t.bucket FROM top_cells AS t WHERE t.dimension = 'model')
            OR (f.day, f.month, coalesce(f.project_id, 0), f.bucket) IN
            (SELECT t.day, t.month, t.key, t.bucket FROM top_cells AS t WHERE t.dimension = 'project')
            OR (f.day, f.month, coalesce(f.template_id, 0), f.bucket) IN
            (SELECT t.day, t.month, t.key, t.bucket FROM top_cells AS t WHERE t.dimension = 'template')
    ), slowest AS (
        INSERT INTO rollup.slowest (
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
                ('config'::rollup.dimension, f.config_id), ('department', f.department_id),
                ('deployment', f.deployment_id), ('model', f.model_id), ('project', f.project_id),
                ('template', f.template_id)
            ) AS d (dimension, key)
        ) AS r
        WHERE r.place <= 10
    )
    SELECT min(s.day), max(s.day) INTO first_day, last_day FROM sums AS s;

    -- A day that was there already had its own ten.
    DELETE FROM rollup.slowest AS s
    USING (
        SELECT
            r.ctid AS row_id,
            row_number() OVER (
                PARTITION BY r.dimension, r.day, r.key, r.month
                ORDER BY r.latency_us DESC, r.session_id, r.log_sequence
            ) AS place
        FROM rollup.slowest AS r
        WHERE r.day BETWEEN first_day AND last_day AND r.month IS NOT NULL
    ) AS p
    WHERE s.ctid = p.row_id AND p.place > 10;
    UPDATE rollup.state SET activity_before = first_day WHERE activity_before > first_day;
END
$$;
COMMENT ON FUNCTION rollup.fold_logs(timestamptz, timestamptz) IS 'Adds the logs of a span of time to the rollups';
REVOKE ALL ON FUNCTION rollup.fold_logs(timestamptz, timestamptz) FROM public;

CREATE OR REPLACE FUNCTION rollup.fold_sessions(low timestamptz, high timestamptz)
RETURNS void
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    INSERT INTO rollup.sessions AS r (
        day, month, department_id, sessions, duration_us, requests, requests_without_tokens, tokens, has_project,
        session_type, status
    )
    SELECT
        s.day, s.month, s.department_id, rollup.bigint_sum(s.sessions), sum(s.duration_us),
        rollup.bigint_sum(s.requests), rollup.bigint_sum(s.requests_without_tokens), rollup.bigint_sum(s.tokens),
        s.has_project, s.session_type, s.status
    FROM (
        SELECT * FROM rollup.session_sums('-infinity', 'infinity', low, high, high)
        UNION ALL
        SELECT * FROM rollup.session_log_sums(low, high, low)
    ) AS s
    GROUP BY s.day, s.month, s.department_id, s.has_project, s.session_type, s.status
    ON CONFLICT (day, session_type, status, department_id, has_project, month) WHERE month IS NOT NULL DO UPDATE SET
        sessions = r.sessions + excluded.sessions,
        duration_us = r.duration_us + excluded.duration_us,
        requests = r.requests + excluded.requests,
        requests_without_tokens = r.requests_without_tokens + excluded.requests_without_tokens,
        tokens = r.tokens + excluded.tokens;
END;
COMMENT ON FUNCTION rollup.fold_sessions(timestamptz, timestamptz) IS 'Adds the sessions that ended in a span of time '
    'to the rollups, and the requests that sessions of before made in it';
REVOKE ALL ON FUNCTION rollup.fold_sessions(timestamptz, timestamptz) FROM public;

CREATE OR REPLACE FUNCTION rollup.fold_noted_day(of_entity text, again date)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    border timestamptz;
    low timestamptz;
    high timestamptz;
BEGIN
    SELECT
        s.closed_before,
        rollup.day_start(again::timestamp, s.time_zone),
        least(rollup.day_start(again + interval '1 day', s.time_zone), s.closed_before)
    INTO border, low, high
    FROM rollup.state AS s;
    -- First the notes, then the rows: what is changed in between leaves a note of its own. Without a note the day is
    -- right; somebody else has done it.
    DELETE FROM rollup.notes AS n WHERE n.entity = of_entity AND n.from_time >= low AND n.until_time <= high;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    IF of_entity = 'logs' THEN
        DELETE FROM rollup.usage AS u WHERE u.day = again AND u.month IS NOT NULL;
        DELETE FROM rollup.slowest AS s WHERE s.day = again AND s.month IS NOT NULL;
        DELETE FROM rollup.hours AS h WHERE h.local_hour::date = again AND h.month IS NOT NULL;
        DELETE FROM rollup.deployment_usage AS u WHERE u.day = again AND u.month IS NOT NULL;
        DELETE FROM rollup.running AS r WHERE r.day = again AND r.month IS NOT NULL;
        UPDATE rollup.state SET activity_before = least(activity_before, again);
        PERFORM rollup.fold_logs(low, high);
    ELSE
        DELETE FROM rollup.sessions AS s WHERE s.day = again AND s.month IS NOT NULL;
        INSERT INTO rollup.sessions (
            day, month, department_id, sessions, duration_us, requests, requests_without_tokens, tokens, has_project,
            session_type, status
        )
        SELECT
            s.day, s.month, s.department_id, s.sessions, s.duration_us, s.requests, s.requests_without_tokens, s.tokens,
            s.has_project, s.session_type, s.status
        FROM rollup.session_sums(low, high, '-infinity', border, border) AS s;
    END IF;
END
$$;
COMMENT ON FUNCTION rollup.fold_noted_day(text, date) IS 'Rolls up a noted day again, from the logs (or sessions) that '
    'are stored; sums of those that no longer are stay as they are';
REVOKE ALL ON FUNCTION rollup.fold_noted_day(text, date) FROM public;

CREATE OR REPLACE FUNCTION rollup.batch_end(low timestamptz, high timestamptz, batch_logs integer)
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
COMMENT ON FUNCTION rollup.batch_end(timestamptz, timestamptz, integer) IS 'Until when there are so many logs from '
    'a time on; NULL = there are fewer';
REVOKE ALL ON FUNCTION rollup.batch_end(timestamptz, timestamptz, integer) FROM public;

CREATE OR REPLACE FUNCTION rollup.cut_notes()
RETURNS TABLE (entity text, day date)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    -- In one statement, so that what goes is what was read.
    RETURN QUERY
    WITH gone AS (
        DELETE FROM rollup.notes
    ), noted AS MATERIALIZED (
        SELECT e.entity, d.day, d.from_time, d.until_time
        FROM (VALUES ('logs'), ('sessions')) AS e (entity)
        CROSS JOIN LATERAL rollup.noted_days(e.entity) AS d
    ), cut AS (
        INSERT INTO rollup.notes (entity, from_time, until_time)
        SELECT n.entity, n.from_time, n.until_time FROM noted AS n
    )

    SELECT n.entity, n.day FROM noted AS n;
END
$$;
COMMENT ON FUNCTION rollup.cut_notes() IS 'Makes one note per noted day of all notes, and returns these days';
REVOKE ALL ON FUNCTION rollup.cut_notes() FROM public;

CREATE OR REPLACE FUNCTION rollup.close_until(high timestamptz)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    low constant timestamptz := (SELECT s.closed_before FROM rollup.state AS s);
BEGIN
    PERFORM rollup.fold_logs(low, high);
    PERFORM rollup.fold_sessions(low, high);
    UPDATE rollup.state SET closed_before = high;
END
$$;
COMMENT ON FUNCTION rollup.close_until(timestamptz) IS 'Rolls up what is open before a time';
REVOKE ALL ON FUNCTION rollup.close_until(timestamptz) FROM public;

CREATE OR REPLACE FUNCTION rollup.fold_activity(high date)
RETURNS void
LANGUAGE plpgsql
SET jit = off
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    low constant date := (SELECT s.activity_before FROM rollup.state AS s);
BEGIN
    DELETE FROM rollup.activity AS a WHERE a.day >= low;
    INSERT INTO rollup.activity (day, gap_days, users)
    SELECT
        u.day,
        u.day - (
            SELECT max(p.day) FROM rollup.usage AS p WHERE p.dimension = 'user' AND p.key = u.key AND p.day < u.day
        ) AS gap_days,
        count(*)
    FROM (
        SELECT DISTINCT r.day, r.key
        FROM rollup.usage AS r
        WHERE r.dimension = 'user' AND r.day >= low AND r.day < high
    ) AS u
    GROUP BY u.day, gap_days;
    UPDATE rollup.state SET activity_before = high;
END
$$;
COMMENT ON FUNCTION rollup.fold_activity(date) IS 'Brings rollup.activity up to a day, from the first on that changed';
REVOKE ALL ON FUNCTION rollup.fold_activity(date) FROM public;
