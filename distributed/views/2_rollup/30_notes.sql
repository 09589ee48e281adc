-- instead of: views/2_rollup/30_notes.sql

CREATE OR REPLACE FUNCTION cluster.tell_shards()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    UPDATE cluster.state SET noted_before = NEW.noted_before;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION cluster.tell_shards() IS 'Trigger: tells the shards which time is about to be closed';
REVOKE ALL ON FUNCTION cluster.tell_shards() FROM public;

-- Called on a shard.
CREATE OR REPLACE FUNCTION cluster.noted_before(shard oid)
RETURNS timestamptz
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    before timestamptz := 'infinity';
BEGIN
    IF current_setting('transaction_isolation') = 'read committed' THEN
        EXECUTE 'SELECT noted_before FROM ' || cluster.beside(shard, 'cluster.state') INTO STRICT before;
    END IF;
    RETURN before;
END
$$;
COMMENT ON FUNCTION cluster.noted_before(oid) IS 'As rollup.noted_before(), on a shard';
REVOKE ALL ON FUNCTION cluster.noted_before(oid) FROM public;

CREATE OR REPLACE FUNCTION cluster.note(
    shard oid, by_session uuid, of_entity text, quarters timestamptz [], sessions uuid []
)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    EXECUTE format(
        'INSERT INTO %s (by_session, entity, from_time, until_time, session_id) '
        'SELECT $1, $2, q, q + interval ''15 minutes'', NULL FROM unnest($3) AS q '
        'UNION ALL SELECT $1, $2, NULL, NULL, s FROM unnest($4) AS s',
        cluster.beside(shard, 'cluster.notes')
    ) USING by_session, of_entity, quarters, sessions;
END
$$;
COMMENT ON FUNCTION cluster.note(oid, uuid, text, timestamptz [], uuid []) IS 'Notes, beside a shard, quarters of an '
    'hour given by their beginnings, and sessions';
REVOKE ALL ON FUNCTION cluster.note(oid, uuid, text, timestamptz [], uuid []) FROM public;

CREATE OR REPLACE FUNCTION rollup.note_logs()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    before constant timestamptz := cluster.noted_before(TG_RELID);
    sessions uuid [];
    quarters timestamptz [];
BEGIN
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
        PERFORM cluster.note(TG_RELID, sessions[1], 'logs', quarters, NULL);
        PERFORM cluster.note(TG_RELID, sessions[1], 'sessions', NULL, sessions);
    END IF;
    RETURN NULL;
END
$$;

CREATE OR REPLACE FUNCTION rollup.note_sessions()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    before constant timestamptz := cluster.noted_before(TG_RELID);
    quarters timestamptz [];
    moved uuid [];
    anyone uuid;
BEGIN
    -- A session is in the rollups from its end on.
    IF TG_OP = 'INSERT' THEN
        SELECT array_agg(DISTINCT rollup.quarter(a.start_time)), (array_agg(a.session_id))[1]
        INTO quarters, anyone
        FROM added AS a
        WHERE a.end_time < before;
    ELSIF TG_OP = 'DELETE' THEN
        SELECT array_agg(DISTINCT rollup.quarter(r.start_time)), (array_agg(r.session_id))[1]
        INTO quarters, anyone
        FROM removed AS r
        WHERE r.end_time < before AND rollup.known_time(r.start_time) IS NOT NULL;
    ELSE
        SELECT array_agg(DISTINCT rollup.quarter(c.start_time)), (array_agg(c.session_id))[1]
        INTO quarters, anyone
        FROM (
            SELECT a.session_id, a.start_time, a.end_time FROM added AS a
            UNION ALL
            SELECT r.session_id, r.start_time, r.end_time FROM removed AS r
        ) AS c
        WHERE c.end_time < before AND rollup.known_time(c.start_time) IS NOT NULL;
        SELECT array_agg(a.session_id) INTO moved
        FROM added AS a
        INNER JOIN removed AS r ON a.session_id = r.session_id
        WHERE (a.user_id, a.project_id) IS DISTINCT FROM (r.user_id, r.project_id);
    END IF;
    IF quarters IS NOT NULL THEN
        PERFORM cluster.note(TG_RELID, anyone, 'sessions', quarters, NULL);
    END IF;
    IF moved IS NOT NULL AND before > '-infinity' THEN
        PERFORM cluster.note(TG_RELID, moved[1], 'logs', NULL, moved);
    END IF;
    RETURN NULL;
END
$$;

CREATE OR REPLACE FUNCTION rollup.note_all()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- TRUNCATE fires on the distributed table, and once more on each of its shards.
    IF TG_TABLE_NAME !~ '_[0-9]+$' THEN
        INSERT INTO rollup.notes (entity, from_time, until_time)
        SELECT e, '-infinity', rollup.noted_before()
        FROM unnest(ARRAY['logs', 'sessions']) AS e
        WHERE rollup.noted_before() > '-infinity';
    END IF;
    RETURN NULL;
END
$$;
