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

CREATE TRIGGER session_logs_additions_are_noted
AFTER INSERT ON llm.session_logs
REFERENCING NEW TABLE AS added
FOR EACH STATEMENT EXECUTE FUNCTION llm.note_logs();
COMMENT ON TRIGGER session_logs_additions_are_noted ON llm.session_logs IS 'A log that comes late is in the reports '
    'at once';

CREATE TRIGGER session_logs_changes_are_noted
AFTER UPDATE ON llm.session_logs
REFERENCING OLD TABLE AS removed NEW TABLE AS added
FOR EACH STATEMENT EXECUTE FUNCTION llm.note_logs();
COMMENT ON TRIGGER session_logs_changes_are_noted ON llm.session_logs IS 'So is a log that is corrected late';

CREATE TRIGGER session_logs_removals_are_noted
AFTER DELETE ON llm.session_logs
REFERENCING OLD TABLE AS removed
FOR EACH STATEMENT EXECUTE FUNCTION llm.note_logs();
COMMENT ON TRIGGER session_logs_removals_are_noted ON llm.session_logs IS 'A deleted log leaves the reports at once; '
    'dropping a month does not take it out';

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

CREATE TRIGGER sessions_additions_are_noted
AFTER INSERT ON llm.sessions
REFERENCING NEW TABLE AS added
FOR EACH STATEMENT EXECUTE FUNCTION llm.note_sessions();
COMMENT ON TRIGGER sessions_additions_are_noted ON llm.sessions IS 'A session that comes late is in the reports at '
    'once';

CREATE TRIGGER sessions_changes_are_noted
AFTER UPDATE ON llm.sessions
REFERENCING OLD TABLE AS removed NEW TABLE AS added
FOR EACH STATEMENT EXECUTE FUNCTION llm.note_sessions();
COMMENT ON TRIGGER sessions_changes_are_noted ON llm.sessions IS 'So is a session that is corrected late';

CREATE TRIGGER sessions_removals_are_noted
AFTER DELETE ON llm.sessions
REFERENCING OLD TABLE AS removed
FOR EACH STATEMENT EXECUTE FUNCTION llm.note_sessions();
COMMENT ON TRIGGER sessions_removals_are_noted ON llm.sessions IS 'A deleted session leaves the reports at once';

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

CREATE TRIGGER user_departments_are_noted
AFTER INSERT OR UPDATE OR DELETE ON llm.user_departments
FOR EACH ROW EXECUTE FUNCTION llm.note_all();
COMMENT ON TRIGGER user_departments_are_noted ON llm.user_departments IS 'Reports follow a corrected history. A move '
    'that happens now changes nothing that is closed';

CREATE TRIGGER user_departments_truncation_is_noted
AFTER TRUNCATE ON llm.user_departments
FOR EACH STATEMENT EXECUTE FUNCTION llm.note_all();
COMMENT ON TRIGGER user_departments_truncation_is_noted ON llm.user_departments IS 'TRUNCATE deletes';

CREATE TRIGGER deployments_model_is_noted
AFTER UPDATE OF model_id ON llm.deployments
FOR EACH ROW WHEN (OLD.model_id <> NEW.model_id)
EXECUTE FUNCTION llm.note_all();
COMMENT ON TRIGGER deployments_model_is_noted ON llm.deployments IS 'Reports by model follow a corrected deployment';

CREATE TRIGGER model_configs_max_tokens_is_noted
AFTER UPDATE OF max_tokens ON llm.model_configs
FOR EACH ROW WHEN (OLD.max_tokens IS DISTINCT FROM NEW.max_tokens)
EXECUTE FUNCTION llm.note_all();
COMMENT ON TRIGGER model_configs_max_tokens_is_noted ON llm.model_configs IS 'Who reached max_tokens is asked of the '
    'preset as it is now';

CREATE TRIGGER session_logs_truncation_is_noted
AFTER TRUNCATE ON llm.session_logs
FOR EACH STATEMENT EXECUTE FUNCTION llm.note_all();
COMMENT ON TRIGGER session_logs_truncation_is_noted ON llm.session_logs IS 'TRUNCATE deletes; that of sessions has to '
    'take their logs along';
