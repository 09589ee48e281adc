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
