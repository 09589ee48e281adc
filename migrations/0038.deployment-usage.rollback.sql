-- What of these sums is of stored logs can be made again.
DO $$
BEGIN
    IF EXISTS (SELECT FROM rollup.deployment_usage WHERE month IS NULL) THEN
        RAISE EXCEPTION 'not rolled back: rollups would lose who used the deployments in months that were dropped'
            USING ERRCODE = 'object_not_in_prerequisite_state',
                HINT = 'Where nobody will ask what they cost: DELETE FROM rollup.deployment_usage WHERE month IS NULL; '
                    'and roll back again.';
    END IF;
END
$$;

DROP TABLE rollup.running;
DROP TABLE rollup.deployment_usage;
