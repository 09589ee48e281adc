-- needs: 0039.rates-and-budgets

-- Pricing: what closed days cost is stored. The caller holds rollup.lock_state(), so usage stays as it is meanwhile,
-- and what days are worked out by is read once: who changes it later makes the prices others than those stored.
CREATE OR REPLACE FUNCTION rollup.price_days(at_most integer)
RETURNS date
LANGUAGE plpgsql
SET work_mem = '64MB'
SET jit = off
-- The same checksum of the same times, whoever refreshes.
SET timezone = 'UTC'
SET datestyle = 'ISO'
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    zone text;
    spans rollup.gpu_spans [];
    by_tokens boolean;
    prices_before bytea;
    all_prices bytea;
    first_day date;
    last_day date;
    todo date [];
BEGIN
    SELECT
        s.time_zone,
        (s.closed_before AT TIME ZONE s.time_zone)::date - 1,
        (SELECT p.prices FROM rollup.priced_days AS p WHERE p.day = '-infinity'),
        coalesce((SELECT c.apportioned_by FROM llm.cost_settings AS c), 'tokens') = 'tokens',
        (SELECT array_agg(h ORDER BY h.deployment_id, h.since) FROM rollup.gpu_spans AS h WHERE h.gpus > 0),
        least(
            (SELECT min(u.day) FROM rollup.deployment_usage AS u WHERE u.dimension = 'department'),
            (
                SELECT (min(g.since) AT TIME ZONE s.time_zone)::date
                FROM llm.deployment_history AS g
                WHERE g.gpu_count > 0
            )
        )
    INTO zone, last_day, prices_before, by_tokens, spans, first_day
    FROM rollup.state AS s;
    IF NOT isfinite(last_day) THEN
        RETURN NULL;
    END IF;
    -- Hardly ever anything has changed, and then no old day is looked at.
    all_prices := sha256(convert_to(concat_ws(' ', spans, zone, by_tokens), 'UTF8'));
    IF all_prices IS DISTINCT FROM prices_before THEN
        DELETE FROM rollup.priced_days AS p
        WHERE NOT isfinite(p.day)
            OR p.prices <> (SELECT f.prices FROM rollup.day_prices(spans, zone, by_tokens, p.day) AS f);
        INSERT INTO rollup.priced_days (day, prices) VALUES ('-infinity', all_prices);
    END IF;
    -- The newest first: they are asked for most.
    todo := array(
        SELECT s.day::date
        FROM generate_series(first_day::timestamp, last_day::timestamp, interval '1 day') AS s (day)
        WHERE NOT EXISTS (SELECT FROM rollup.priced_days AS p WHERE p.day = s.day::date)
        ORDER BY s.day DESC
        LIMIT at_most
    );
    IF todo = '{}' THEN
        RETURN NULL;
    END IF;
    DELETE FROM rollup.costs AS c WHERE c.day = any(todo);
    INSERT INTO rollup.priced_days (day, prices)
    SELECT d.day, f.prices
    FROM unnest(todo) AS d (day)
    CROSS JOIN LATERAL rollup.day_prices(spans, zone, by_tokens, d.day) AS f;
    INSERT INTO rollup.costs (
        day, dimension, key, department_id, is_idle, requests, requests_without_tokens, tokens, latency_us, cost,
        used_cost, gpu_hours
    )
    SELECT d.day, x.dimension, c.*
    FROM unnest(todo) AS d (day)
    CROSS JOIN rollup.kept_costs AS x
    CROSS JOIN LATERAL (
        SELECT array_agg(u) AS used
        FROM rollup.deployment_usage AS u
        WHERE u.dimension = x.used_by AND u.day = d.day
    ) AS a
    CROSS JOIN LATERAL rollup.day_costs(spans, zone, by_tokens, d.day, x.dimension, a.used) AS c;
    RETURN todo[cardinality(todo)];
END
$$;
COMMENT ON FUNCTION rollup.price_days(integer) IS 'Stores what closed days cost, of so many days whose costs are not '
    'stored or were worked out by other prices, the newest first. Returns the first of them; NULL = there was none';
REVOKE ALL ON FUNCTION rollup.price_days(integer) FROM public;

CREATE OR REPLACE FUNCTION rollup.forget_costs()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        DELETE FROM rollup.priced_days;
        RETURN NULL;
    END IF;
    DELETE FROM rollup.priced_days AS p WHERE p.day IN (SELECT c.day FROM changed AS c);
    IF TG_OP = 'UPDATE' THEN
        DELETE FROM rollup.priced_days AS p WHERE p.day IN (SELECT c.day FROM changed_to AS c);
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION rollup.forget_costs() IS 'Trigger: of a day whose usage is changed, by whomever, the costs that '
    'are stored are not right any more';
REVOKE ALL ON FUNCTION rollup.forget_costs() FROM public;
