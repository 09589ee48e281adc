-- A rollback refuses while rows would be lost.
DO $$
BEGIN
    IF EXISTS (SELECT FROM llm.user_departments WHERE since > '-infinity') THEN
        RAISE EXCEPTION 'not rolled back: user_departments would lose who moved when'
            USING ERRCODE = 'object_not_in_prerequisite_state',
                HINT = 'Export the table first and empty it. Where the rows must stay, migrate forward instead.';
    END IF;
END
$$;

DROP TABLE llm.user_departments;
