-- needs: 0039.rates-and-budgets

-- Pricing: what closed days cost is stored. The caller holds rollup.lock_state(), so usage stays as it is meanwhile,
-- and what days are worked out by is read once: who changes it later makes the prices others than those stored.
CREATE OR REPLACE FUNCTION rollup.price_days(at_most integer)
RETURNS date
LANGUAGE plpgsql
SET work_mem = '64MB'
SET jit = off
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
        (least(s.closed_before, now()) AT TIME ZONE s.time_zone)::date - 1,
        (SELECT p.prices FROM rollup.priced_days AS p WHERE p.day = '-infinity'),
        coalesce((SELECT c.apportioned_by FROM llm.cost_settings AS c), 'tokens') = 'tokens',
        (SELECT array_agg(h) FROM rollup.gpu_spans AS h WHERE h.gpus > 0),
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
    -- Where clocks are set back over midnight, a day begins again. What is not over yet has no cost that stays.
    IF rollup.day_start(last_day + interval '1 day', zone) > now() THEN
        last_day := last_day - 1;
    END IF;
    all_prices := rollup.all_prices(spans, zone, by_tokens);
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
    CROSS JOIN LATERAL rollup.day_costs(spans, zone, by_tokens, d.day, x.dimension, false, NULL) AS c;
    -- What was kept of a period that has such a day is not right any more; it is kept again once all its days are.
    WITH periods AS MATERIALIZED (
        SELECT DISTINCT g.grain, p.first_day::date AS first_day, (p.first_day + g.length)::date AS next_day
        FROM unnest(todo) AS t (day)
        CROSS JOIN (VALUES ('day', interval '1 day'), ('week', '1 week'), ('month', '1 month')) AS g (grain, length)
        CROSS JOIN LATERAL (SELECT date_trunc(g.grain, t.day::timestamp) AS first_day) AS p
    ), gone AS (
        DELETE FROM rollup.user_costs AS u USING periods AS p WHERE u.grain = p.grain AND u.first_day = p.first_day
    )
    INSERT INTO rollup.user_costs (
        first_day, grain, user_id, requests, requests_without_tokens, tokens, latency_us, allocated_cost, used_cost,
        gpu_hours
    )
    SELECT p.first_day, p.grain, c.*
    FROM periods AS p
    CROSS JOIN LATERAL (
        SELECT
            m.key, m.requests, m.requests_without_tokens, m.tokens, m.latency_us,
            rollup.rounded_part(m.cost, sum(m.cost) OVER so_far),
            rollup.rounded_part(m.used_cost, sum(m.used_cost) OVER so_far),
            rollup.rounded_part(m.gpu_hours, sum(m.gpu_hours) OVER so_far)
        FROM (
            SELECT
                e.key,
                rollup.bigint_sum(e.requests) AS requests,
                rollup.bigint_sum(e.requests_without_tokens) AS requests_without_tokens,
                rollup.bigint_sum(e.tokens) AS tokens,
                sum(e.latency_us) AS latency_us,
                sum(e.cost) AS cost,
                sum(e.used_cost) AS used_cost,
                sum(e.gpu_hours) AS gpu_hours
            FROM rollup.costs AS e
            WHERE e.dimension = 'user' AND e.day >= p.first_day AND e.day < p.next_day
            GROUP BY e.key
        ) AS m
        WINDOW so_far AS (ORDER BY m.key ROWS UNBOUNDED PRECEDING)
    ) AS c
    WHERE p.next_day - p.first_day = (
        SELECT count(*) FROM rollup.priced_days AS d WHERE d.day >= p.first_day AND d.day < p.next_day
    );
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
