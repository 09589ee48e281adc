-- needs: 0039.rates-and-budgets

-- Who asks has read the spans, once for all days, and may read them: within a view a function acts for its reader.
CREATE OR REPLACE FUNCTION rollup.gpu_days(spans rollup.gpu_spans [], zone text, first_day date, last_day date)
RETURNS TABLE (
    day date, deployment_id bigint, model_id bigint, environment text, gpus integer, gpu_us numeric, amount numeric,
    gpu_us_without_rate numeric
)
LANGUAGE sql
STABLE
BEGIN ATOMIC
    SELECT
        d.day, g.deployment_id, g.model_id, g.environment, max(g.gpus),
        sum(g.gpus * t.us),
        coalesce(sum(g.gpus * t.us * g.price_per_hour), 0),
        coalesce(sum(g.gpus * t.us) FILTER (WHERE g.price_per_hour IS NULL), 0)
    FROM (
        SELECT
            s.day::date AS day,
            rollup.day_start(s.day, zone) AS from_time,
            -- What is to come has not cost anything yet.
            least(rollup.day_start(s.day + interval '1 day', zone), now()) AS until_time
        -- An array, of which the planner expects ten days, as of rollup.calendar(): for one day, a call of that would
        -- take longer than all the rest.
        FROM unnest(array(
            SELECT c.day FROM generate_series(first_day::timestamp, last_day::timestamp, interval '1 day') AS c (day)
        )) AS s (day)
        -- The clocks of a zone are asked once for each day, and not for each of its spans.
        OFFSET 0
    ) AS d
    INNER JOIN unnest(spans) AS g ON d.until_time > g.since AND d.from_time < g.until_time
    CROSS JOIN LATERAL (
        SELECT
            (extract(EPOCH FROM least(g.until_time, d.until_time) - greatest(g.since, d.from_time)) * 1000000)::bigint
            AS us
    ) AS t
    WHERE d.until_time > d.from_time
    GROUP BY d.day, g.deployment_id, g.model_id, g.environment;
END;
COMMENT ON FUNCTION rollup.gpu_days(rollup.gpu_spans [], text, date, date) IS 'What deployments held from one day to '
    'another (both included), a row per day, deployment, model and stage: the most GPUs at a time, GPU time in '
    'microseconds, what that costs in prices of an hour times microseconds, and how much of it has no price. Today as '
    'far as it has gone. Given the rows of rollup.gpu_spans that have GPUs, and the reporting time zone';
REVOKE ALL ON FUNCTION rollup.gpu_days(rollup.gpu_spans [], text, date, date) FROM public;
GRANT EXECUTE ON FUNCTION rollup.gpu_days(rollup.gpu_spans [], text, date, date) TO llm_analyst;
