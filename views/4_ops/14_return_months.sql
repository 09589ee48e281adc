-- needs: 0036.dropped-months

-- Its triggers are on the rollups, and not a line of ops.drop_month(), which is there without them too.
CREATE OR REPLACE FUNCTION ops.keep_dropped_month()
RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    NEW.dropped_month := OLD.month;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION ops.keep_dropped_month() IS 'Trigger: a sum that lets go of its month remembers which it was';
REVOKE ALL ON FUNCTION ops.keep_dropped_month() FROM public;

-- Reports count a dropped month by its sums. When its rows come back, from an archive, they leave notes and are counted
-- as all rows are that come late: so the sums go then, and the uses of templates are taken back. Whoever may load may
-- call this, so it is not believed that all of the rows are there.
CREATE OR REPLACE FUNCTION llm.return_month(month date)
RETURNS text
LANGUAGE plpgsql
SECURITY DEFINER
-- The bounds are to be known to the planner.
SET plan_cache_mode = force_custom_plan
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    first_day constant date := date_trunc('month', month::timestamp);
    low constant uuid := llm.uuidv7_floor(first_day::timestamp AT TIME ZONE 'UTC');
    high constant uuid := llm.uuidv7_floor((first_day + interval '1 month') AT TIME ZONE 'UTC');
    summed text;
    stored text;
    sums regclass;
BEGIN
    -- Whoever drops a month holds this lock, so what is found stays.
    PERFORM rollup.lock_state(true);
    SELECT format('%s sessions, %s logs and %s tokens', s.sessions, u.requests, u.tokens)
    INTO summed
    FROM (
        SELECT coalesce(sum(r.sessions), 0) AS sessions
        FROM rollup.sessions AS r
        WHERE r.dropped_month = first_day
    ) AS s
    CROSS JOIN (
        SELECT coalesce(sum(r.requests), 0) AS requests, coalesce(sum(r.tokens), 0) AS tokens
        FROM rollup.usage AS r
        WHERE r.dropped_month = first_day AND r.dimension = 'all'
    ) AS u
    WHERE s.sessions + u.requests > 0;
    IF summed IS NULL THEN
        RETURN NULL;
    END IF;
    SELECT format('%s sessions, %s logs and %s tokens', s.sessions, l.requests, l.tokens)
    INTO stored
    FROM (
        SELECT count(*) AS sessions FROM llm.sessions AS r WHERE r.session_id >= low AND r.session_id < high
    ) AS s
    CROSS JOIN (
        SELECT count(*) AS requests, coalesce(sum(r.token_used), 0) AS tokens
        FROM llm.session_logs AS r
        WHERE r.session_id >= low AND r.session_id < high
    ) AS l;
    IF stored <> summed THEN
        RETURN format('it had %s when it was dropped, and has %s now', summed, stored);
    END IF;
    PERFORM llm.add_template_uses(u.key, -sum(u.requests)::bigint)
    FROM rollup.usage AS u
    WHERE u.dropped_month = first_day AND u.dimension = 'template' AND u.key IS NOT NULL
    GROUP BY u.key;
    UPDATE rollup.state SET activity_before = least(
        activity_before, (SELECT min(u.day) FROM rollup.usage AS u WHERE u.dropped_month = first_day)
    );
    FOR sums IN SELECT rollup.sums_of_months() LOOP
        EXECUTE format('DELETE FROM %s WHERE dropped_month = $1', sums) USING first_day;
    END LOOP;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION llm.return_month(date) IS 'Takes the sums of a dropped month (UTC, given by any day of it) out of '
    'the reports, and its uses out of usage_count, once all of its rows are stored again: as many sessions, logs and '
    'tokens as were summed up. Returns NULL then, and where no month was dropped; else changes nothing, and returns '
    'what is lacking. Until the transaction ends no refresh runs';
REVOKE ALL ON FUNCTION llm.return_month(date) FROM public;
