-- instead of: views/2_rollup/40_read.sql

-- No snapshot reaches over several servers. A report reads state, sums and the notes that are collected as of its own,
-- then the shards' notes, once, and after them the logs, which are never older. So what it does not know to be noted it
-- takes from the sums, and what it knows to be noted from the logs, where it is.
--
-- None of these is PARALLEL SAFE: a process that helps with a query cannot ask the workers.
CREATE OR REPLACE FUNCTION rollup.noted_days(of_entity text)
RETURNS TABLE (day date, from_time timestamptz, until_time timestamptz)
LANGUAGE plpgsql
STABLE ROWS 10
SECURITY DEFINER
SET jit = off
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    border timestamptz;
    first_sum date;
    lows timestamptz [];
    highs timestamptz [];
    of_sessions uuid [];
    shard_lows timestamptz [];
    shard_highs timestamptz [];
    shard_sessions uuid [];
    times timestamptz [];
    keyed record;
    more timestamptz [];
BEGIN
    SELECT
        s.closed_before,
        CASE of_entity
            WHEN 'logs' THEN (SELECT min(u.day) FROM rollup.usage AS u WHERE u.dimension = 'all')
            ELSE (SELECT min(e.day) FROM rollup.sessions AS e)
        END
    INTO border, first_sum
    FROM rollup.state AS s;
    IF border IS NULL THEN
        PERFORM rollup.state_is_lost(border);
    END IF;
    SELECT
        array_agg(n.from_time) FILTER (WHERE n.until_time IS NOT NULL),
        array_agg(n.until_time) FILTER (WHERE n.until_time IS NOT NULL),
        array_agg(n.session_id) FILTER (WHERE n.session_id IS NOT NULL)
    INTO lows, highs, of_sessions
    FROM rollup.notes AS n
    WHERE n.entity = of_entity;
    -- Theirs after ours: what is collected leaves the shards when nobody reads any more who has not seen it here.
    SELECT
        array_agg(n.from_time) FILTER (WHERE n.until_time IS NOT NULL),
        array_agg(n.until_time) FILTER (WHERE n.until_time IS NOT NULL),
        array_agg(n.session_id) FILTER (WHERE n.session_id IS NOT NULL)
    INTO shard_lows, shard_highs, shard_sessions
    FROM cluster.notes AS n
    WHERE n.entity = of_entity;
    -- With notes, it may all have come late.
    IF (border = '-infinity') = (first_sum IS NOT NULL) AND (
        border = '-infinity' OR shard_lows IS NULL AND shard_sessions IS NULL
    ) THEN
        PERFORM rollup.require_sums(of_entity, border);
    END IF;
    of_sessions := of_sessions || shard_sessions;
    IF of_sessions IS NOT NULL AND of_entity = 'logs' THEN
        SELECT array_agg(t.quarter) INTO times
        FROM (
            SELECT DISTINCT rollup.quarter(l.request_time) AS quarter
            FROM llm.session_logs AS l
            WHERE l.session_id = any(of_sessions)
        ) AS t;
    ELSIF of_sessions IS NOT NULL THEN
        SELECT array_agg(t.quarter) INTO times
        FROM (
            SELECT DISTINCT rollup.quarter(s.start_time) AS quarter
            FROM llm.sessions AS s
            WHERE s.session_id = any(of_sessions)
        ) AS t;
    END IF;
    FOR keyed IN
        SELECT n.key, min(n.from_time) AS since
        FROM rollup.notes AS n
        WHERE n.entity = of_entity AND of_entity = 'sessions' AND n.dimension = 'user'
        GROUP BY n.key
    LOOP
        SELECT array_agg(t.quarter) INTO more
        FROM (
            SELECT DISTINCT rollup.quarter(s.start_time) AS quarter
            FROM llm.sessions AS s
            WHERE s.user_id = keyed.key AND s.start_time >= keyed.since
        ) AS t;
        times := times || more;
    END LOOP;
    RETURN QUERY
    WITH spans AS (
        SELECT u.low AS from_time, u.high AS until_time
        FROM unnest(lows || shard_lows, highs || shard_highs) AS u (low, high)
        UNION ALL
        SELECT t, t + interval '1 microsecond' FROM unnest(times) AS t
    ), bounds AS (
        -- Of open time nothing is in the rollups that could be wrong.
        SELECT DISTINCT
            (s.from_time AT TIME ZONE z.time_zone)::date AS first_day,
            ((least(s.until_time, z.closed_before) - interval '1 microsecond') AT TIME ZONE z.time_zone)::date
            AS last_day
        FROM spans AS s
        CROSS JOIN rollup.state AS z
        WHERE s.from_time < z.closed_before AND coalesce(rollup.known_time(s.from_time), '-infinity') = s.from_time
    ), days AS (
        SELECT b.first_day AS day FROM bounds AS b
        UNION
        SELECT b.last_day FROM bounds AS b
        UNION
        SELECT u.day
        FROM rollup.notes AS n
        CROSS JOIN rollup.state AS z
        INNER JOIN rollup.usage AS u
            ON n.dimension = u.dimension AND n.key = u.key AND u.day >= (n.from_time AT TIME ZONE z.time_zone)::date
        WHERE n.entity = of_entity AND of_entity = 'logs'
        UNION
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
    CROSS JOIN rollup.state AS z
    WHERE isfinite(d.day);
END
$$;

CREATE OR REPLACE FUNCTION rollup.noted(of_entity text)
RETURNS TABLE (days date [], spans tstzmultirange)
LANGUAGE sql
STABLE ROWS 1
BEGIN ATOMIC
    SELECT
        coalesce(array_agg(n.day), '{}'),
        coalesce(range_agg(tstzrange(n.from_time, n.until_time)), '{}')
    FROM rollup.noted_days(of_entity) AS n;
END;

-- On a worker, for each shard. To plan for all months takes ten times as long as to look into them, and a shard is one
-- of many: the connection keeps the plan. As text: before PostgreSQL 18 there is no min() of a uuid.
CREATE OR REPLACE FUNCTION cluster.first_of(shard oid, of_table regclass, at name, low timestamptz, high timestamptz)
RETURNS text
LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan
SET jit = off
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    kept constant text := format('first_of_%s_%s', of_table::oid, shard);
    first text;
BEGIN
    IF NOT EXISTS (SELECT 1 FROM pg_prepared_statements AS p WHERE p.name = kept) THEN
        EXECUTE format(
            'PREPARE %I (timestamptz, timestamptz) AS SELECT min(session_id::text) FROM %s WHERE %I >= $1 AND %3$I < $2',
            kept, cluster.beside(shard, of_table), at
        );
    END IF;
    EXECUTE format('EXECUTE %I (%L, %L)', kept, low, high) INTO first;
    RETURN first;
END
$$;
COMMENT ON FUNCTION cluster.first_of(oid, regclass, name, timestamptz, timestamptz) IS 'The lowest session_id of a '
    'shard with a time, of the column that is named, in a span';
REVOKE ALL ON FUNCTION cluster.first_of(oid, regclass, name, timestamptz, timestamptz) FROM public;

CREATE OR REPLACE FUNCTION rollup.first_logged(logged_from timestamptz, logged_before timestamptz)
RETURNS uuid
LANGUAGE plpgsql
STABLE
SET jit = off
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    lowest text;
BEGIN
    IF logged_from = '-infinity' THEN
        RETURN '00000000-0000-0000-0000-000000000000';
    END IF;
    SELECT min(cluster.first_of(s.tableoid, 'llm.session_logs', 'request_time', logged_from, logged_before)) INTO lowest
    FROM cluster.state AS s;
    RETURN lowest::uuid;
END
$$;

CREATE OR REPLACE FUNCTION rollup.first_ended(ended_from timestamptz, ended_before timestamptz)
RETURNS uuid
LANGUAGE plpgsql
STABLE
SET jit = off
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    lowest text;
    running text;
BEGIN
    IF ended_from = '-infinity' THEN
        RETURN '00000000-0000-0000-0000-000000000000';
    END IF;
    SELECT min(cluster.first_of(s.tableoid, 'llm.sessions', 'end_time', ended_from, ended_before)) INTO lowest
    FROM cluster.state AS s;
    IF ended_before = 'infinity' THEN
        SELECT min(s.session_id::text) INTO running FROM llm.sessions AS s WHERE s.end_time IS NULL;
    END IF;
    RETURN least(lowest, running)::uuid;
END
$$;

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
    SELECT
        c.day, c.month, c.department_id, count(*), sum(c.duration_us), coalesce(rollup.bigint_sum(g.requests), 0),
        coalesce(rollup.bigint_sum(g.requests_without_tokens), 0), coalesce(rollup.bigint_sum(g.tokens), 0),
        c.has_project, c.session_type, c.status
    FROM rollup.session_facts AS c
    LEFT JOIN LATERAL (
        SELECT
            l.session_id,
            count(*) AS requests,
            count(*) - count(rollup.known_tokens(l.token_used)) AS requests_without_tokens,
            coalesce(rollup.bigint_sum(rollup.known_tokens(l.token_used)), 0) AS tokens
        FROM llm.session_logs AS l
        WHERE l.session_id = c.session_id AND l.session_id >= lowest
            AND rollup.known_time(l.request_time) < logged_before
        GROUP BY l.session_id
    ) AS g ON c.session_id = g.session_id
    WHERE c.session_id >= lowest AND (
        c.start_time >= started_from AND c.start_time < started_before
        AND c.end_time >= ended_from AND c.end_time < ended_before
        OR ended_before = 'infinity' AND c.end_time IS NULL
    )
    GROUP BY c.day, c.month, c.department_id, c.has_project, c.session_type, c.status;
END
$$;
