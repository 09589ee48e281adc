-- Requests in flight, as seen at the beginning of each minute of an hour: looks that can be added up.
CREATE OR REPLACE FUNCTION rollup.in_flight_sum(minutes smallint [], requests integer [])
RETURNS TABLE (minutes_seen smallint [], in_flight integer [])
LANGUAGE sql
IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT
        coalesce(array_agg(s.minute ORDER BY s.minute), '{}'),
        coalesce(array_agg(s.requests ORDER BY s.minute), '{}')
    FROM (
        SELECT u.minute, sum(u.requests)::integer AS requests
        FROM unnest(minutes, requests) AS u (minute, requests)
        GROUP BY u.minute
    ) AS s;
END;
COMMENT ON FUNCTION rollup.in_flight_sum(smallint [], integer []) IS 'Looks at the same hour as one: the minutes, of '
    'which each may come several times, and what was in flight in each';
REVOKE ALL ON FUNCTION rollup.in_flight_sum(smallint [], integer []) FROM public;
GRANT EXECUTE ON FUNCTION rollup.in_flight_sum(smallint [], integer []) TO llm_analyst;

CREATE OR REPLACE AGGREGATE rollup.array_sum(anycompatiblearray) (
    sfunc = array_cat,
    stype = anycompatiblearray,
    parallel = safe
);
COMMENT ON AGGREGATE rollup.array_sum(anycompatiblearray) IS 'Few arrays as one, in no order; NULL = of none';
REVOKE ALL ON FUNCTION rollup.array_sum(anycompatiblearray) FROM public;
GRANT EXECUTE ON FUNCTION rollup.array_sum(anycompatiblearray) TO llm_analyst;
