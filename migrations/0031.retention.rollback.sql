-- A rollback refuses while rows would be lost.
DO $$
BEGIN
    IF EXISTS (SELECT FROM llm.retention) THEN
        RAISE EXCEPTION 'not rolled back: llm.retention would lose rows'
            USING ERRCODE = 'object_not_in_prerequisite_state',
                HINT = 'Export the table first and empty it. Where the rows must stay, migrate forward instead.';
    END IF;
END
$$;

DROP TABLE rollup.announcements;
DROP TABLE llm.retention;
