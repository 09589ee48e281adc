-- needs: 0033.logs-refer-to-their-month

-- A session and its logs lie in months of the same name, and a month's logs refer to the month's sessions. This foreign
-- key knows nothing of the tables that both are partitions of. So it would delete logs behind the back of the triggers
-- of llm.session_logs; and a session that moves to another month is to it one that is deleted, logs and all.
CREATE OR REPLACE FUNCTION llm.delete_logs()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    DELETE FROM llm.session_logs AS l WHERE l.session_id = OLD.session_id;
    RETURN OLD;
END
$$;
COMMENT ON FUNCTION llm.delete_logs() IS 'Trigger: deletes the logs of a session that is deleted. Runs as its owner, '
    'as the foreign key does that would delete them otherwise';
REVOKE ALL ON FUNCTION llm.delete_logs() FROM public;

CREATE OR REPLACE FUNCTION llm.refuse_another_month()
RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    example uuid := (
        SELECT r.session_id
        FROM removed AS r
        LEFT JOIN added AS a ON r.session_id = a.session_id
        WHERE a.session_id IS NULL
        LIMIT 1
    );
BEGIN
    -- Nobody can tell which row has become which, so all that have a new key must be of one month.
    IF example IS NOT NULL AND (
        SELECT count(DISTINCT date_trunc('month', llm.uuidv7_time(c.session_id) AT TIME ZONE 'UTC'))
        FROM (
            (SELECT session_id FROM removed EXCEPT SELECT session_id FROM added)
            UNION ALL
            (SELECT session_id FROM added EXCEPT SELECT session_id FROM removed)
        ) AS c
    ) > 1 THEN
        RAISE EXCEPTION 'session % keeps its month', example
            USING ERRCODE = 'check_violation', CONSTRAINT = TG_NAME, SCHEMA = 'llm', TABLE = 'sessions',
                HINT = 'Insert it anew, with its logs, and delete this one.';
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION llm.refuse_another_month() IS 'Trigger: refuses, with check_violation, a new session_id of another '
    'month (UTC), as the session''s logs would be deleted';
REVOKE ALL ON FUNCTION llm.refuse_another_month() FROM public;
