-- A rollback refuses while rows would be lost.
DO $$
BEGIN
    IF EXISTS (SELECT FROM audit.changes) THEN
        RAISE EXCEPTION 'not rolled back: audit.changes would lose rows, which say who changed what'
            USING ERRCODE = 'object_not_in_prerequisite_state',
                HINT = 'Export the table first. Then, as its owner: SET audit.may_change = ''on''; TRUNCATE '
                    'audit.changes; Where the rows must stay, migrate forward instead.';
    END IF;
END
$$;

DROP TABLE audit.changes;
DROP SCHEMA audit;
