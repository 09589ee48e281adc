-- A rollback refuses while rows would be lost: what says which of the sums go when a dropped month comes back.
DO $$
BEGIN
    IF EXISTS (SELECT FROM rollup.usage WHERE dropped_month IS NOT NULL)
        OR EXISTS (SELECT FROM rollup.sessions WHERE dropped_month IS NOT NULL) THEN
        RAISE EXCEPTION 'not rolled back: rollups would lose which months were dropped'
            USING ERRCODE = 'object_not_in_prerequisite_state',
                HINT = 'Where no dropped month will come back: UPDATE rollup.usage SET dropped_month = NULL; UPDATE '
                    'rollup.sessions SET dropped_month = NULL; and roll back again.';
    END IF;
END
$$;

ALTER TABLE rollup.sessions DROP COLUMN dropped_month;
ALTER TABLE rollup.slowest DROP COLUMN dropped_month;
ALTER TABLE rollup.hours DROP COLUMN dropped_month;
ALTER TABLE rollup.usage DROP COLUMN dropped_month;
