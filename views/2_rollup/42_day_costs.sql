-- needs: 0039.rates-and-budgets

-- A day's costs, and what they were worked out by: the refresh stores both, and a report that is told of other prices
-- works the day out itself. docs/costs.md has a worked example.
--
-- A deployment's cost of a day goes to who used it that day, by what they used: of a measure (tokens, or busy time)
-- whose known amounts are T of K requests, a request whose measure is not known counts as the mean of those, T / K. Of
-- N requests, a row with the measure t and u requests of unknown measure has t * K / (T * N) + u / N of the day; where
-- T is 0, each request counts alike. A day on which nobody used it is idle, and is a row of its own; by deployment and
-- by model it is theirs.
CREATE OR REPLACE VIEW rollup.kept_costs AS
SELECT
    d.dimension,
    d.used_by
FROM (
    VALUES
    ('deployment'::rollup.dimension, 'department'::rollup.dimension), ('model', 'department'), ('project', 'project'),
    ('template', 'template'), ('user', 'user')
) AS d (dimension, used_by);
COMMENT ON VIEW rollup.kept_costs IS 'By what rollup.costs are kept; by model and by user they know the department';
COMMENT ON COLUMN rollup.kept_costs.dimension IS 'That of rollup.costs';
COMMENT ON COLUMN rollup.kept_costs.used_by IS 'The dimension of rollup.deployment_usage that these costs are worked '
    'out from';

CREATE OR REPLACE FUNCTION rollup.day_prices(spans rollup.gpu_spans [], zone text, by_tokens boolean, of_day date)
RETURNS TABLE (prices bytea)
LANGUAGE sql
STABLE ROWS 1
BEGIN ATOMIC
    SELECT
        -- Where nothing was held, nothing was paid, whatever it would be apportioned by.
        coalesce(sha256(convert_to(by_tokens || string_agg(
            concat_ws(' ', h.deployment_id, h.model_id, h.gpu_us, h.amount), ','
            ORDER BY h.deployment_id, h.model_id, h.environment
        ), 'UTF8')), '')
    FROM rollup.gpu_days(spans, zone, of_day, of_day) AS h;
END;
COMMENT ON FUNCTION rollup.day_prices(rollup.gpu_spans [], text, boolean, date) IS 'What the costs of a day are worked '
    'out by, apart from usage, as a checksum; empty: no GPUs were held. Given as to rollup.gpu_days(), and whether '
    'cost is apportioned by tokens';
REVOKE ALL ON FUNCTION rollup.day_prices(rollup.gpu_spans [], text, boolean, date) FROM public;
GRANT EXECUTE ON FUNCTION rollup.day_prices(rollup.gpu_spans [], text, boolean, date) TO llm_analyst;

-- Hardly ever anything has changed, and then no day needs to be looked at.
CREATE OR REPLACE FUNCTION rollup.all_prices(spans rollup.gpu_spans [], zone text, by_tokens boolean)
RETURNS bytea
LANGUAGE sql
STABLE
-- The same checksum of the same times, whoever asks.
SET timezone = 'UTC'
SET datestyle = 'ISO'
SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT
        sha256(convert_to(concat_ws(' ', zone, by_tokens, array_agg(h ORDER BY h.deployment_id, h.since)), 'UTF8'))
    FROM unnest(spans) AS h;
END;
COMMENT ON FUNCTION rollup.all_prices(rollup.gpu_spans [], text, boolean) IS 'What the costs of all days that are over '
    'are worked out by, apart from usage, as a checksum. Given as to rollup.day_prices()';
REVOKE ALL ON FUNCTION rollup.all_prices(rollup.gpu_spans [], text, boolean) FROM public;
GRANT EXECUTE ON FUNCTION rollup.all_prices(rollup.gpu_spans [], text, boolean) TO llm_analyst;

CREATE OR REPLACE FUNCTION rollup.day_costs(
    spans rollup.gpu_spans [], zone text, by_tokens boolean, of_day date, of_dimension rollup.dimension,
    noted boolean, open rollup.deployment_usage []
)
RETURNS TABLE (
    key bigint, department_id bigint, is_idle boolean, requests bigint, requests_without_tokens bigint, tokens bigint,
    latency_us numeric, cost numeric, used_cost numeric, gpu_hours numeric
)
LANGUAGE plpgsql
STABLE ROWS 100
-- It reads, and names, what not every reader of a report may.
SECURITY DEFINER
-- Planned once a connection: within a report, of which hardly a day is worked out, it would take longer to plan than
-- to run, and be estimated as if all were.
SET plan_cache_mode = force_generic_plan
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    -- 40 decimals: there are not so many tokens that what is left of these would matter to 28.
    WITH held AS MATERIALIZED (
        SELECT
            h.deployment_id,
            h.model_id,
            sum(h.gpu_us) AS gpu_us,
            round(sum(h.gpu_us), 40) / 3600000000 AS gpu_hours,
            round(sum(h.amount), 40) / 3600000000 AS cost
        FROM rollup.gpu_days(spans, zone, of_day, of_day) AS h
        GROUP BY h.deployment_id, h.model_id
    ), uses AS MATERIALIZED (
        SELECT
            u.deployment_id,
            CASE of_dimension
                WHEN 'deployment' THEN u.deployment_id
                WHEN 'model' THEN u.model_id
                ELSE u.key
            END AS key,
            CASE of_dimension
                WHEN 'model' THEN u.key
                WHEN 'user' THEN u.department_id
            END AS department_id,
            u.requests,
            u.requests_without_tokens,
            u.tokens,
            u.latency_us,
            CASE WHEN by_tokens THEN u.tokens ELSE u.latency_us END AS measure,
            CASE WHEN by_tokens THEN u.requests_without_tokens ELSE u.requests - u.answered_requests END AS unknown
        FROM (
            SELECT r.*
            FROM rollup.kept_costs AS k
            INNER JOIN rollup.deployment_usage AS r ON k.used_by = r.dimension
            WHERE k.dimension = of_dimension AND r.day = of_day AND (r.month IS NULL OR NOT noted)
            UNION ALL
            SELECT o.* FROM unnest(open) AS o
        ) AS u
    ), had AS MATERIALIZED (
        SELECT
            u.deployment_id,
            sum(u.requests) AS requests,
            sum(u.requests) - sum(u.unknown) AS known,
            sum(u.measure) AS measure,
            sum(u.latency_us) AS latency_us
        FROM uses AS u
        GROUP BY u.deployment_id
    ), prices AS MATERIALIZED (
        -- Of one unit of the measure, and of one request.
        SELECT
            a.deployment_id,
            a.measure = 0 AS is_by_request,
            c.cost * a.known / (coalesce(nullif(a.measure, 0), 1) * a.requests) AS cost_per_unit,
            c.cost / a.requests AS cost_per_request,
            c.gpu_hours * a.known / (coalesce(nullif(a.measure, 0), 1) * a.requests) AS hours_per_unit,
            c.gpu_hours / a.requests AS hours_per_request,
            least(round(a.latency_us, 40) / c.gpu_us, 1) AS busy
        FROM had AS a
        INNER JOIN (
            SELECT
                h.deployment_id, sum(h.gpu_us) AS gpu_us, sum(h.gpu_hours) AS gpu_hours, sum(h.cost) AS cost
            FROM held AS h
            GROUP BY h.deployment_id
        ) AS c ON a.deployment_id = c.deployment_id
    )

    SELECT
        p.key, p.department_id, p.is_idle,
        rollup.bigint_sum(p.requests),
        rollup.bigint_sum(p.requests_without_tokens),
        rollup.bigint_sum(p.tokens),
        sum(p.latency_us),
        coalesce(round(sum(p.cost), 28), 0),
        coalesce(round(sum(p.used_cost), 28), 0),
        coalesce(round(sum(p.gpu_hours), 28), 0)
    FROM (
        SELECT
            u.key, u.department_id, false AS is_idle, u.requests, u.requests_without_tokens, u.tokens, u.latency_us,
            c.cost,
            c.cost * x.busy AS used_cost,
            u.measure * x.hours_per_unit + n.requests * x.hours_per_request AS gpu_hours
        FROM uses AS u
        LEFT JOIN prices AS x ON u.deployment_id = x.deployment_id
        CROSS JOIN LATERAL (SELECT CASE WHEN x.is_by_request THEN u.requests ELSE u.unknown END AS requests) AS n
        CROSS JOIN LATERAL (
            SELECT u.measure * x.cost_per_unit + n.requests * x.cost_per_request AS cost
        ) AS c
        UNION ALL
        SELECT
            CASE of_dimension WHEN 'deployment' THEN h.deployment_id WHEN 'model' THEN h.model_id END,
            NULL, true, 0, 0, 0, 0, h.cost, 0, h.gpu_hours
        FROM held AS h
        WHERE NOT EXISTS (SELECT FROM had AS a WHERE a.deployment_id = h.deployment_id)
    ) AS p
    GROUP BY p.key, p.department_id, p.is_idle;
END
$$;
COMMENT ON FUNCTION rollup.day_costs(
    rollup.gpu_spans [], text, boolean, date, rollup.dimension, boolean, rollup.deployment_usage []
) IS 'What a day cost by a dimension, rows as in rollup.costs. Given as to rollup.day_prices(), and of the day whether '
    'it is noted, and the use of its open logs by what rollup.kept_costs says';
REVOKE ALL ON FUNCTION rollup.day_costs(
    rollup.gpu_spans [], text, boolean, date, rollup.dimension, boolean, rollup.deployment_usage []
) FROM public;
GRANT EXECUTE ON FUNCTION rollup.day_costs(
    rollup.gpu_spans [], text, boolean, date, rollup.dimension, boolean, rollup.deployment_usage []
) TO llm_analyst;
