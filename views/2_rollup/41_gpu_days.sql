-- needs: 0039.rates-and-budgets

CREATE OR REPLACE FUNCTION rollup.gpu_days(first_day date, last_day date)
RETURNS TABLE (
    day date, deployment_id bigint, model_id bigint, environment text, gpus integer, gpu_us numeric, amount numeric,
    gpu_us_without_rate numeric
)
LANGUAGE plpgsql
STABLE ROWS 50
-- As rollup.open_logs(): the reader may not use schema llm.
SECURITY DEFINER
SET jit = off
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT
        d.day, g.deployment_id, g.model_id, g.environment, max(g.gpus),
        sum(g.gpus * t.us),
        coalesce(sum(g.gpus * t.us * g.price_per_hour), 0),
        coalesce(sum(g.gpus * t.us) FILTER (WHERE g.price_per_hour IS NULL), 0)
    FROM (
        SELECT
            s.day::date AS day,
            rollup.day_start(s.day, z.time_zone) AS from_time,
            -- What is to come has not cost anything yet.
            least(rollup.day_start(s.day + interval '1 day', z.time_zone), now()) AS until_time
        FROM rollup.state AS z
        CROSS JOIN generate_series(first_day::timestamp, last_day::timestamp, interval '1 day') AS s (day)
    ) AS d
    INNER JOIN rollup.gpu_spans AS g ON d.until_time > g.since AND d.from_time < g.until_time AND g.gpus > 0
    CROSS JOIN LATERAL (
        SELECT
            (extract(EPOCH FROM least(g.until_time, d.until_time) - greatest(g.since, d.from_time)) * 1000000)::bigint
            AS us
    ) AS t
    WHERE d.until_time > d.from_time
    GROUP BY d.day, g.deployment_id, g.model_id, g.environment;
END
$$;
COMMENT ON FUNCTION rollup.gpu_days(date, date) IS 'What deployments held from one day to another (reporting time '
    'zone, both included), a row per day, deployment, model and stage: the most GPUs at a time, GPU time in '
    'microseconds, what that costs in prices of an hour times microseconds, and how much of it has no price. Today as '
    'far as it has gone';
REVOKE ALL ON FUNCTION rollup.gpu_days(date, date) FROM public;
GRANT EXECUTE ON FUNCTION rollup.gpu_days(date, date) TO llm_analyst;
