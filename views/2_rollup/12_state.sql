-- A restore can leave rollup.state without its row, and then whoever asks for it would get NULL, or no row: a report of
-- zeros, a log without a note. So coalesce((SELECT s.x FROM rollup.state AS s), rollup.state_is_lost(NULL::type)).
-- Who joins it says LIMIT 1: for long nobody has analyzed it, and then the planner expects hundreds of rows.
CREATE OR REPLACE FUNCTION rollup.state_is_lost(asked_for anyelement)
RETURNS anyelement
LANGUAGE plpgsql
-- Not IMMUTABLE: the planner must not call it.
STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION 'rollup.state has lost its row, so nobody knows what is summed up'
        USING ERRCODE = 'object_not_in_prerequisite_state',
            HINT = 'llm-db migrate puts it back. The reporting time zone is the default then, and CALL '
                'ops.refresh_rollups() sums up all stored logs again.';
END
$$;
COMMENT ON FUNCTION rollup.state_is_lost(anyelement) IS 'Raises, in the place of a value that rollup.state should have '
    'given';
REVOKE ALL ON FUNCTION rollup.state_is_lost(anyelement) FROM public;
