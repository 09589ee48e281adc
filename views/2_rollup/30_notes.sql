-- needs: 0013.rollups

-- Writing: what writers note for the rollups. In the everyday case, a request of just now, that is nothing: one look at
-- rollup.state, and on. Notes are rows of their own, so that no writer waits for another, and quarters of an hour, at
-- which the days of every time zone begin (since 1972).
CREATE OR REPLACE FUNCTION rollup.quarter(at timestamptz)
RETURNS timestamptz
LANGUAGE sql
IMMUTABLE STRICT PARALLEL SAFE
RETURN date_bin('15 minutes', at, '2000-01-01 00:00Z');
COMMENT ON FUNCTION rollup.quarter(timestamptz) IS 'When the quarter of an hour began that a time lies in';
REVOKE ALL ON FUNCTION rollup.quarter(timestamptz) FROM public;

CREATE OR REPLACE FUNCTION rollup.noted_before()
RETURNS timestamptz
LANGUAGE sql
STABLE
-- Above READ COMMITTED a transaction may see a rollup.state that is out of date.
RETURN CASE current_setting('transaction_isolation')
    WHEN 'read committed'
        THEN coalesce((SELECT s.noted_before FROM rollup.state AS s), rollup.state_is_lost(NULL::timestamptz))
    ELSE 'infinity'
END;
COMMENT ON FUNCTION rollup.noted_before() IS 'The time before which this transaction has to note what it changes';
REVOKE ALL ON FUNCTION rollup.noted_before() FROM public;

CREATE OR REPLACE FUNCTION rollup.note_quarters(of_entity text, quarters timestamptz [])
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    INSERT INTO rollup.notes (entity, from_time, until_time)
    SELECT DISTINCT of_entity, q, q + interval '15 minutes' FROM unnest(quarters) AS q;
END
$$;
COMMENT ON FUNCTION rollup.note_quarters(text, timestamptz []) IS 'Notes quarters of an hour, given by their '
    'beginnings';
REVOKE ALL ON FUNCTION rollup.note_quarters(text, timestamptz []) FROM public;

CREATE OR REPLACE FUNCTION rollup.note_logs()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    before timestamptz;
    sessions uuid [];
    quarters timestamptz [];
BEGIN
    -- The everyday case is to be cheap, so what rollup.noted_before() says is written out: calling it takes time. It is
    -- called where rollup.state has no row, and raises.
    IF TG_OP = 'INSERT' THEN
        PERFORM 1
        FROM added AS a
        LEFT JOIN rollup.state AS s ON true
        WHERE a.request_time < CASE current_setting('transaction_isolation')
            WHEN 'read committed' THEN coalesce(s.noted_before, 'infinity') ELSE 'infinity' END
        LIMIT 1;
        IF NOT FOUND THEN
            RETURN NULL;
        END IF;
    END IF;
    before := rollup.noted_before();
    IF TG_OP = 'INSERT' THEN
        SELECT array_agg(DISTINCT a.session_id), array_agg(DISTINCT rollup.quarter(a.request_time))
        INTO sessions, quarters
        FROM added AS a
        WHERE a.request_time < before;
    ELSIF TG_OP = 'DELETE' THEN
        SELECT array_agg(DISTINCT r.session_id), array_agg(DISTINCT rollup.quarter(r.request_time))
        INTO sessions, quarters
        FROM removed AS r
        WHERE rollup.known_time(r.request_time) < before;
    ELSE
        SELECT array_agg(DISTINCT c.session_id), array_agg(DISTINCT rollup.quarter(c.request_time))
        INTO sessions, quarters
        FROM (
            SELECT a.session_id, a.request_time FROM added AS a
            UNION ALL
            SELECT r.session_id, r.request_time FROM removed AS r
        ) AS c
        WHERE rollup.known_time(c.request_time) < before;
    END IF;
    IF sessions IS NOT NULL THEN
        PERFORM rollup.note_quarters('logs', quarters);
        -- Their start_time is looked up by whoever reads the note: here it may be out of date. A session that is gone
        -- has noted itself.
        INSERT INTO rollup.notes (entity, session_id) SELECT 'sessions', s FROM unnest(sessions) AS s;
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION rollup.note_logs() IS 'Trigger: notes closed time to which logs were added, or in which they were '
    'corrected or deleted. Runs as its owner, so that who may write logs need not, and cannot, write notes';
REVOKE ALL ON FUNCTION rollup.note_logs() FROM public;

CREATE OR REPLACE FUNCTION rollup.note_sessions()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    before constant timestamptz := rollup.noted_before();
    quarters timestamptz [];
    moved uuid [];
BEGIN
    -- A session is in the rollups from its end on.
    IF TG_OP = 'INSERT' THEN
        SELECT array_agg(DISTINCT rollup.quarter(a.start_time)) INTO quarters FROM added AS a WHERE a.end_time < before;
    ELSIF TG_OP = 'DELETE' THEN
        SELECT array_agg(DISTINCT rollup.quarter(r.start_time)) INTO quarters
        FROM removed AS r
        WHERE r.end_time < before AND rollup.known_time(r.start_time) IS NOT NULL;
    ELSE
        SELECT array_agg(DISTINCT rollup.quarter(c.start_time))
        INTO quarters
        FROM (
            SELECT a.start_time, a.end_time FROM added AS a
            UNION ALL
            SELECT r.start_time, r.end_time FROM removed AS r
        ) AS c
        WHERE c.end_time < before AND rollup.known_time(c.start_time) IS NOT NULL;
        -- Its requests are another user's or another project's now.
        SELECT array_agg(a.session_id) INTO moved
        FROM added AS a
        INNER JOIN removed AS r ON a.session_id = r.session_id
        WHERE (a.user_id, a.project_id) IS DISTINCT FROM (r.user_id, r.project_id);
    END IF;
    IF quarters IS NOT NULL THEN
        PERFORM rollup.note_quarters('sessions', quarters);
    END IF;
    IF moved IS NOT NULL AND before > '-infinity' THEN
        -- By session: logs that others are writing at this moment are not seen here.
        INSERT INTO rollup.notes (entity, session_id) SELECT 'logs', m FROM unnest(moved) AS m;
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION rollup.note_sessions() IS 'Trigger: notes closed time in which sessions were added, changed or '
    'deleted, and the time of their logs where these change hands. Runs as its owner, like rollup.note_logs()';
REVOKE ALL ON FUNCTION rollup.note_sessions() FROM public;

-- What many logs hang on changes rarely. The rollups know the days on which it was used, and whoever reads the note
-- looks them up: here logs that others are adding at this moment are not seen.
CREATE OR REPLACE FUNCTION rollup.note_key(
    of_entity text, of_dimension rollup.dimension, of_key bigint, since timestamptz
)
RETURNS void
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    INSERT INTO rollup.notes (entity, dimension, key, from_time)
    SELECT of_entity, of_dimension, of_key, since
    WHERE since < rollup.noted_before();
END;
COMMENT ON FUNCTION rollup.note_key(text, rollup.dimension, bigint, timestamptz) IS 'Notes the closed days on which '
    'the rollups have requests of a key, from a time on';
REVOKE ALL ON FUNCTION rollup.note_key(text, rollup.dimension, bigint, timestamptz) FROM public;

CREATE OR REPLACE FUNCTION rollup.note_user_departments()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- The first row of a new user, by the trigger on users: nobody can have seen the user yet. And a user who is gone had
    -- no sessions.
    IF TG_OP = 'INSERT' AND NEW.since = '-infinity' AND pg_trigger_depth() > 1
        OR TG_OP = 'DELETE' AND NOT EXISTS (SELECT 1 FROM llm.users AS u WHERE u.user_id = OLD.user_id) THEN
        RETURN NULL;
    END IF;
    PERFORM rollup.note_key(e.entity, 'user', c.user_id, min(c.since))
    FROM (VALUES (OLD.user_id, OLD.since), (NEW.user_id, NEW.since)) AS c (user_id, since)
    CROSS JOIN (VALUES ('logs'), ('sessions')) AS e (entity)
    WHERE c.user_id IS NOT NULL
    GROUP BY e.entity, c.user_id;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION rollup.note_user_departments() IS 'Trigger: notes what a user did since the department was '
    'corrected. Runs as its owner, like rollup.note_logs()';
REVOKE ALL ON FUNCTION rollup.note_user_departments() FROM public;

CREATE OR REPLACE FUNCTION rollup.note_deployment_history()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- As in rollup.note_user_departments().
    IF TG_OP = 'INSERT' AND NEW.since = '-infinity' AND pg_trigger_depth() > 1
        OR TG_OP = 'DELETE' AND NOT EXISTS (
            SELECT 1 FROM llm.deployments AS e WHERE e.deployment_id = OLD.deployment_id
        ) THEN
        RETURN NULL;
    END IF;
    PERFORM rollup.note_key('logs', 'deployment', c.deployment_id, min(c.since))
    FROM (VALUES (OLD.deployment_id, OLD.since), (NEW.deployment_id, NEW.since)) AS c (deployment_id, since)
    WHERE c.deployment_id IS NOT NULL
    GROUP BY c.deployment_id;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION rollup.note_deployment_history() IS 'Trigger: notes what a deployment served since its history was '
    'corrected. Runs as its owner, like rollup.note_logs()';
REVOKE ALL ON FUNCTION rollup.note_deployment_history() FROM public;

CREATE OR REPLACE FUNCTION rollup.note_uses()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM rollup.note_key(
        'logs', TG_ARGV[0]::rollup.dimension, (to_jsonb(NEW) ->> TG_ARGV[1])::bigint, '-infinity'
    );
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION rollup.note_uses() IS 'Trigger, with a dimension and the column of its key: notes the requests of '
    'what was corrected. Runs as its owner, like rollup.note_logs()';
REVOKE ALL ON FUNCTION rollup.note_uses() FROM public;

CREATE OR REPLACE FUNCTION rollup.note_all()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    INSERT INTO rollup.notes (entity, from_time, until_time)
    SELECT e, '-infinity', rollup.noted_before()
    FROM unnest(ARRAY['logs', 'sessions']) AS e
    WHERE rollup.noted_before() > '-infinity';
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION rollup.note_all() IS 'Trigger: notes all closed time. Runs as its owner, like rollup.note_logs()';
REVOKE ALL ON FUNCTION rollup.note_all() FROM public;
