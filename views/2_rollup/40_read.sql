-- needs: 0013.rollups

-- Reading: which closed days are noted, and the logs and sessions that reports read themselves.
-- What reads logs is never compiled: that takes seconds where the work takes one, and most servers have jit = on.
CREATE OR REPLACE FUNCTION rollup.day_start(day timestamp, zone text)
RETURNS timestamptz
LANGUAGE sql
IMMUTABLE STRICT PARALLEL SAFE
-- Where clocks go back over midnight a day has two of them, and AT TIME ZONE takes the second.
RETURN CASE
    WHEN ((day AT TIME ZONE zone) - interval '1 hour') AT TIME ZONE zone >= day
        THEN (day AT TIME ZONE zone) - interval '1 hour'
    ELSE day AT TIME ZONE zone
END;
COMMENT ON FUNCTION rollup.day_start(timestamp, text) IS 'When a day begins in a time zone';
REVOKE ALL ON FUNCTION rollup.day_start(timestamp, text) FROM public;
GRANT EXECUTE ON FUNCTION rollup.day_start(timestamp, text) TO llm_analyst;

-- Of generate_series() the planner expects a thousand rows, and of calendars within each other billions: then a server
-- that has jit = on compiles a report of a few rows, for seconds. It does not look into a function with a setting.
CREATE OR REPLACE FUNCTION rollup.calendar(low timestamp, high timestamp, step interval)
RETURNS SETOF timestamp
LANGUAGE sql
IMMUTABLE STRICT PARALLEL SAFE ROWS 10
SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT s.at FROM generate_series(low, high, step) AS s (at);
END;
COMMENT ON FUNCTION rollup.calendar(timestamp, timestamp, interval) IS 'generate_series() from a time to another, of '
    'which the planner expects ten rows';
REVOKE ALL ON FUNCTION rollup.calendar(timestamp, timestamp, interval) FROM public;
GRANT EXECUTE ON FUNCTION rollup.calendar(timestamp, timestamp, interval) TO llm_analyst;

CREATE OR REPLACE FUNCTION rollup.require_sums(of_entity text, border timestamptz)
RETURNS void
LANGUAGE plpgsql
STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    missing text;
BEGIN
    IF border = '-infinity' THEN
        -- Sums of months that were dropped have no border.
        IF EXISTS (SELECT 1 FROM rollup.usage AS u WHERE u.month IS NOT NULL)
            OR EXISTS (SELECT 1 FROM rollup.sessions AS s WHERE s.month IS NOT NULL) THEN
            missing := 'rollup.state says that nothing is summed up, but there are sums';
        END IF;
    ELSIF EXISTS (SELECT 1 FROM rollup.notes) THEN
        -- It may all have come late.
        RETURN;
    ELSIF of_entity = 'logs' AND EXISTS (
        SELECT 1
        FROM llm.session_logs AS l
        WHERE l.request_time < border AND rollup.known_time(l.request_time) IS NOT NULL
    ) OR of_entity = 'sessions' AND EXISTS (
        SELECT 1
        FROM llm.sessions AS s
        WHERE s.end_time < border AND rollup.known_time(s.start_time) IS NOT NULL
    ) THEN
        missing := format('rollup.state says that %s are summed up until %s, but there are no sums', of_entity, border);
    END IF;
    IF missing IS NOT NULL THEN
        RAISE EXCEPTION '%', missing
            USING ERRCODE = 'object_not_in_prerequisite_state',
                HINT = 'They were not restored together. SELECT ops.restart_rollups(); and CALL ops.refresh_rollups(); '
                    'sum up all stored logs again.';
    END IF;
END
$$;
COMMENT ON FUNCTION rollup.require_sums(text, timestamptz) IS 'Raises where rollup.state and the sums of an entity '
    '(logs or sessions) cannot belong together, as after a restore of some tables only';
REVOKE ALL ON FUNCTION rollup.require_sums(text, timestamptz) FROM public;

CREATE OR REPLACE FUNCTION rollup.noted_days(of_entity text)
RETURNS TABLE (day date, from_time timestamptz, until_time timestamptz)
LANGUAGE plpgsql
STABLE PARALLEL SAFE ROWS 10
-- Within a view a function acts for whoever reads the view: an analyst, who may not read our tables.
SECURITY DEFINER
SET jit = off
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    border timestamptz;
    first_sum date;
    is_noted boolean;
BEGIN
    -- Every report asks, and hardly ever is there anything.
    SELECT
        s.closed_before,
        CASE of_entity
            WHEN 'logs' THEN (SELECT min(u.day) FROM rollup.usage AS u WHERE u.dimension = 'all')
            ELSE (SELECT min(e.day) FROM rollup.sessions AS e)
        END,
        EXISTS (SELECT 1 FROM rollup.notes)
    INTO border, first_sum, is_noted
    FROM rollup.state AS s;
    IF border IS NULL THEN
        PERFORM rollup.state_is_lost(border);
    END IF;
    IF (border = '-infinity') = (first_sum IS NOT NULL) THEN
        PERFORM rollup.require_sums(of_entity, border);
    END IF;
    IF NOT is_noted THEN
        RETURN;
    END IF;
    RETURN QUERY
    WITH state AS MATERIALIZED (
        SELECT s.time_zone, s.closed_before FROM rollup.state AS s LIMIT 1
    ), spans AS (
        SELECT n.from_time, n.until_time
        FROM rollup.notes AS n
        WHERE n.entity = of_entity AND n.until_time IS NOT NULL
        UNION ALL
        SELECT l.request_time, l.request_time + interval '1 microsecond'
        FROM rollup.notes AS n
        INNER JOIN llm.session_logs AS l ON n.session_id = l.session_id
        WHERE n.entity = of_entity AND of_entity = 'logs'
        UNION ALL
        SELECT s.start_time, s.start_time + interval '1 microsecond'
        FROM rollup.notes AS n
        INNER JOIN llm.sessions AS s ON n.session_id = s.session_id
        WHERE n.entity = of_entity AND of_entity = 'sessions'
        UNION ALL
        SELECT s.start_time, s.start_time + interval '1 microsecond'
        FROM rollup.notes AS n
        INNER JOIN llm.sessions AS s ON n.key = s.user_id AND s.start_time >= n.from_time
        WHERE n.entity = of_entity AND of_entity = 'sessions' AND n.dimension = 'user'
    ), bounds AS (
        -- Of open time nothing is in the rollups that could be wrong.
        SELECT DISTINCT
            (s.from_time AT TIME ZONE z.time_zone)::date AS first_day,
            ((least(s.until_time, z.closed_before) - interval '1 microsecond') AT TIME ZONE z.time_zone)::date
            AS last_day
        FROM spans AS s
        CROSS JOIN state AS z
        WHERE s.from_time < z.closed_before AND coalesce(rollup.known_time(s.from_time), '-infinity') = s.from_time
    ), days AS (
        SELECT b.first_day AS day FROM bounds AS b
        UNION
        SELECT b.last_day FROM bounds AS b
        UNION
        SELECT u.day
        FROM rollup.notes AS n
        CROSS JOIN state AS z
        INNER JOIN rollup.usage AS u
            ON n.dimension = u.dimension AND n.key = u.key AND u.day >= (n.from_time AT TIME ZONE z.time_zone)::date
        WHERE n.entity = of_entity AND of_entity = 'logs'
        UNION
        -- A long span costs the days that have sums, not those of the calendar: a day in its midst that has none has no
        -- logs either, but such as left a note of their own.
        SELECT r.day
        FROM bounds AS b
        CROSS JOIN LATERAL (
            SELECT u.day
            FROM rollup.usage AS u
            WHERE of_entity = 'logs' AND u.dimension = 'all' AND u.day > b.first_day AND u.day < b.last_day
            UNION
            SELECT s.day
            FROM rollup.sessions AS s
            WHERE of_entity = 'sessions' AND s.day > b.first_day AND s.day < b.last_day
        ) AS r
    )

    SELECT
        d.day,
        rollup.day_start(d.day::timestamp, z.time_zone),
        least(rollup.day_start(d.day + interval '1 day', z.time_zone), z.closed_before)
    FROM days AS d
    CROSS JOIN state AS z
    WHERE isfinite(d.day);
END
$$;
COMMENT ON FUNCTION rollup.noted_days(text) IS 'The closed days that changed since they were rolled up, by entity '
    '(logs or sessions), and the part of each that is closed';
REVOKE ALL ON FUNCTION rollup.noted_days(text) FROM public;
GRANT EXECUTE ON FUNCTION rollup.noted_days(text) TO llm_analyst;

CREATE OR REPLACE FUNCTION rollup.noted(of_entity text)
RETURNS TABLE (days date [], spans tstzmultirange)
LANGUAGE sql
STABLE PARALLEL SAFE ROWS 1
BEGIN ATOMIC
    SELECT
        coalesce(array_agg(n.day), '{}'),
        coalesce(range_agg(tstzrange(n.from_time, n.until_time)), '{}')
    FROM rollup.noted_days(of_entity) AS n;
END;
COMMENT ON FUNCTION rollup.noted(text) IS 'rollup.noted_days() as one row: a report reads the notes once, and leaves '
    'out of the sums exactly what it reads from the logs';
REVOKE ALL ON FUNCTION rollup.noted(text) FROM public;
GRANT EXECUTE ON FUNCTION rollup.noted(text) TO llm_analyst;

-- Months are told apart by session_id, and what is asked for are times. A first look, at times alone, says which months
-- the rest need not be planned for: all but the last, as a rule.
CREATE OR REPLACE FUNCTION rollup.first_logged(logged_from timestamptz, logged_before timestamptz)
RETURNS uuid
LANGUAGE plpgsql
STABLE
-- Planned once a connection, as it asks every month whatever the times. By the index: a plan that does not know the
-- times takes a third of all logs for what is asked for.
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET jit = off
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    lowest uuid;
    found_logs bigint;
    part regclass;
    of_part uuid;
BEGIN
    IF logged_from = '-infinity' THEN
        RETURN '00000000-0000-0000-0000-000000000000';
    END IF;
    SELECT (array_agg(i.session_id ORDER BY i.session_id))[1], count(*) INTO lowest, found_logs
    FROM (
        SELECT l.session_id
        FROM llm.session_logs AS l
        WHERE l.request_time >= logged_from AND l.request_time < logged_before
        LIMIT 10000
    ) AS i;
    IF found_logs < 10000 THEN
        RETURN lowest;
    END IF;
    -- Of many, the first sessions of the months that they are in: to read them all takes longer than it saves.
    FOR part IN SELECT h.inhrelid::regclass FROM pg_inherits AS h WHERE h.inhparent = 'llm.session_logs'::regclass LOOP
        EXECUTE format(
            'SELECT f.session_id FROM %1$s AS f WHERE EXISTS ('
            'SELECT FROM %1$s AS l WHERE l.request_time >= $1 AND l.request_time < $2'
            ') ORDER BY f.session_id LIMIT 1', part
        ) INTO of_part USING logged_from, logged_before;
        lowest := least(lowest, of_part);
    END LOOP;
    RETURN lowest;
END
$$;
COMMENT ON FUNCTION rollup.first_logged(timestamptz, timestamptz) IS 'A session_id that all logs of these times reach '
    'at least: of few logs the lowest, of many that of their first month; NULL = there are none';
REVOKE ALL ON FUNCTION rollup.first_logged(timestamptz, timestamptz) FROM public;

CREATE OR REPLACE FUNCTION rollup.first_ended(ended_from timestamptz, ended_before timestamptz)
RETURNS uuid
LANGUAGE plpgsql
STABLE
-- As rollup.first_logged().
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET jit = off
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF ended_from = '-infinity' THEN
        RETURN '00000000-0000-0000-0000-000000000000';
    END IF;
    RETURN (
        SELECT i.session_id
        FROM (
            SELECT s.session_id FROM llm.sessions AS s WHERE s.end_time >= ended_from AND s.end_time < ended_before
            UNION ALL
            SELECT r.session_id FROM llm.sessions AS r WHERE r.end_time IS NULL AND ended_before = 'infinity'
            OFFSET 0
        ) AS i
        ORDER BY i.session_id
        LIMIT 1
    );
END
$$;
COMMENT ON FUNCTION rollup.first_ended(timestamptz, timestamptz) IS 'The lowest session_id of those that ended within '
    'these times, and if ended_before is infinity of those that are running; NULL = there is none';
REVOKE ALL ON FUNCTION rollup.first_ended(timestamptz, timestamptz) FROM public;

CREATE OR REPLACE FUNCTION rollup.open_logs(noted tstzmultirange)
RETURNS TABLE (
    session_id uuid, log_sequence integer, request_time timestamptz, day date,
    local_hour timestamp, hour timestamptz, month date, user_id bigint,
    department_id bigint, project_id bigint, deployment_id bigint, model_id bigint,
    config_id bigint, template_id bigint, token_used bigint, answered boolean,
    at_max_tokens boolean, latency_us bigint
)
LANGUAGE plpgsql
STABLE
SECURITY DEFINER
-- Bounds that the planner knows: it leaves out the months that cannot matter.
SET plan_cache_mode = force_custom_plan
SET enable_partitionwise_join = on
SET jit = off
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    border constant timestamptz := (SELECT s.closed_before FROM rollup.state AS s);
    lowest constant uuid := rollup.first_logged(border, 'infinity');
    span tstzrange;
BEGIN
    IF lowest IS NOT NULL THEN
        RETURN QUERY SELECT * FROM rollup.log_facts AS f WHERE f.request_time >= border AND f.session_id >= lowest;
    END IF;
    FOR span IN SELECT unnest(noted) LOOP
        RETURN QUERY
        SELECT * FROM rollup.log_facts AS f WHERE f.request_time >= lower(span) AND f.request_time < upper(span);
    END LOOP;
END
$$;
COMMENT ON FUNCTION rollup.open_logs(tstzmultirange) IS 'The logs that reports read themselves, columns as in '
    'rollup.log_facts: those of open time, and of the noted parts of closed time, given by rollup.noted(). As of the '
    'snapshot of the query that asks';
REVOKE ALL ON FUNCTION rollup.open_logs(tstzmultirange) FROM public;
GRANT EXECUTE ON FUNCTION rollup.open_logs(tstzmultirange) TO llm_analyst;

-- Sessions with all their logs, and logs whose sessions are counted already: together, what is counted of sessions.
CREATE OR REPLACE FUNCTION rollup.session_sums(
    started_from timestamptz, started_before timestamptz, ended_from timestamptz, ended_before timestamptz,
    logged_before timestamptz
)
RETURNS TABLE (
    day date, month date, department_id bigint, sessions bigint, duration_us numeric, requests bigint,
    requests_without_tokens bigint, tokens bigint, has_project boolean, session_type text, status text
)
LANGUAGE plpgsql
STABLE
SET plan_cache_mode = force_custom_plan
SET jit = off
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    lowest constant uuid := rollup.first_ended(ended_from, ended_before);
BEGIN
    IF lowest IS NULL THEN
        RETURN;
    END IF;
    RETURN QUERY
    WITH chosen AS MATERIALIZED (
        SELECT f.*
        FROM rollup.session_facts AS f
        WHERE f.start_time >= started_from AND f.start_time < started_before
            AND f.end_time >= ended_from AND f.end_time < ended_before AND f.session_id >= lowest
        UNION ALL
        SELECT f.*
        FROM rollup.session_facts AS f
        WHERE ended_before = 'infinity' AND f.end_time IS NULL AND f.session_id >= lowest
    )
    SELECT
        c.day, c.month, c.department_id, count(*), sum(c.duration_us), rollup.bigint_sum(g.requests),
        rollup.bigint_sum(g.requests_without_tokens), rollup.bigint_sum(g.tokens), c.has_project, c.session_type,
        c.status
    FROM chosen AS c
    CROSS JOIN LATERAL (
        SELECT
            count(*) AS requests,
            count(*) - count(rollup.known_tokens(l.token_used)) AS requests_without_tokens,
            coalesce(rollup.bigint_sum(rollup.known_tokens(l.token_used)), 0) AS tokens
        FROM llm.session_logs AS l
        WHERE l.session_id = c.session_id AND l.session_id >= lowest
            AND rollup.known_time(l.request_time) < logged_before
    ) AS g
    GROUP BY c.day, c.month, c.department_id, c.has_project, c.session_type, c.status;
END
$$;
COMMENT ON FUNCTION rollup.session_sums(timestamptz, timestamptz, timestamptz, timestamptz, timestamptz) IS 'Sums of '
    'the sessions that began and ended within these times, with their logs up to a time. ended_before infinity: and of '
    'those that are running';
REVOKE ALL ON FUNCTION rollup.session_sums(timestamptz, timestamptz, timestamptz, timestamptz, timestamptz) FROM public;

CREATE OR REPLACE FUNCTION rollup.session_log_sums(
    logged_from timestamptz, logged_before timestamptz, ended_before timestamptz
)
RETURNS TABLE (
    day date, month date, department_id bigint, sessions bigint, duration_us numeric, requests bigint,
    requests_without_tokens bigint, tokens bigint, has_project boolean, session_type text, status text
)
LANGUAGE plpgsql
STABLE
SET plan_cache_mode = force_custom_plan
SET enable_partitionwise_join = on
SET jit = off
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    lowest constant uuid := rollup.first_logged(logged_from, logged_before);
BEGIN
    IF lowest IS NULL THEN
        RETURN;
    END IF;
    RETURN QUERY
    SELECT
        f.day, f.month, f.department_id, 0::bigint, 0::numeric, count(*),
        count(*) - count(rollup.known_tokens(l.token_used)),
        coalesce(rollup.bigint_sum(rollup.known_tokens(l.token_used)), 0), f.has_project, f.session_type, f.status
    FROM llm.session_logs AS l
    INNER JOIN rollup.session_facts AS f ON l.session_id = f.session_id
    WHERE l.request_time >= logged_from AND l.request_time < logged_before AND f.end_time < ended_before
        AND l.session_id >= lowest AND f.session_id >= lowest
        AND rollup.known_time(l.request_time) IS NOT NULL
    GROUP BY f.day, f.month, f.department_id, f.has_project, f.session_type, f.status;
END
$$;
COMMENT ON FUNCTION rollup.session_log_sums(timestamptz, timestamptz, timestamptz) IS 'Sums of the logs of these '
    'times whose sessions had ended before a time';
REVOKE ALL ON FUNCTION rollup.session_log_sums(timestamptz, timestamptz, timestamptz) FROM public;

CREATE OR REPLACE FUNCTION rollup.open_sessions(noted tstzmultirange)
RETURNS TABLE (
    day date, month date, department_id bigint, sessions bigint, duration_us numeric, requests bigint,
    requests_without_tokens bigint, tokens bigint, has_project boolean, session_type text, status text
)
LANGUAGE plpgsql
STABLE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    border constant timestamptz := (SELECT s.closed_before FROM rollup.state AS s);
    zone constant text := (SELECT s.time_zone FROM rollup.state AS s);
    span tstzrange;
BEGIN
    RETURN QUERY SELECT * FROM rollup.session_sums('-infinity', 'infinity', border, 'infinity', 'infinity');
    -- A noted day comes with all its logs, below.
    RETURN QUERY
    SELECT *
    FROM rollup.session_log_sums(border, 'infinity', border) AS g
    WHERE NOT noted @> rollup.day_start(g.day::timestamp, zone);
    FOR span IN SELECT unnest(noted) LOOP
        RETURN QUERY
        SELECT * FROM rollup.session_sums(lower(span), upper(span), '-infinity', border, 'infinity');
    END LOOP;
END
$$;
COMMENT ON FUNCTION rollup.open_sessions(tstzmultirange) IS 'The sums of sessions that reports make themselves: of '
    'sessions that have not ended in closed time, of late requests of those that have, and of the noted parts of '
    'closed time, given by rollup.noted(). As of the snapshot of the query that asks';
REVOKE ALL ON FUNCTION rollup.open_sessions(tstzmultirange) FROM public;
GRANT EXECUTE ON FUNCTION rollup.open_sessions(tstzmultirange) TO llm_analyst;
