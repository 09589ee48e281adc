-- needs: 0039.rates-and-budgets

CREATE OR REPLACE FUNCTION ops.check_budgets()
RETURNS TABLE (level text, object text, detail text, what_to_do text)
LANGUAGE sql
STABLE
BEGIN ATOMIC
    SELECT
        'warning',
        format(
            '%s %s', CASE WHEN b.project_id IS NULL THEN 'department' ELSE 'project' END,
            coalesce(b.department_name, b.project_name)
        ),
        format(
            '%s %s of %s are spent this month%s', round(b.spent), b.currency, round(b.amount),
            CASE WHEN NOT b.is_over THEN format(', and %s are expected by its end', round(b.forecast)) END
        ),
        format(
            'INSERT INTO llm.budgets (department_id, project_id, since, amount) VALUES (%s, %s, %L, %s)'
            ' ON CONFLICT (department_id, project_id, since) DO UPDATE SET amount = excluded.amount; -- or spend less:'
            ' SELECT * FROM reporting.daily_cost_by_deployment;',
            coalesce(b.department_id::text, 'NULL'), coalesce(b.project_id::text, 'NULL'), b.budget_month,
            ceil(1.1 * greatest(b.spent, b.forecast))
        )
    -- Where rollup.state has lost its row, ops.check_lost_state() says so, and nobody asks for budgets.
    FROM rollup.state AS s
    CROSS JOIN LATERAL (
        SELECT g.*
        FROM reporting.budgets AS g
        WHERE g.budget_month = date_trunc('month', now() AT TIME ZONE s.time_zone)::date
            AND greatest(g.spent, g.forecast) > g.amount
        OFFSET 0
    ) AS b;
END;
COMMENT ON FUNCTION ops.check_budgets() IS 'A department or a project has spent more than its budget of this month, or '
    'will have by the end of it (reporting.budgets says how that is expected): warning. Nothing stops it';
REVOKE ALL ON FUNCTION ops.check_budgets() FROM public;

CREATE OR REPLACE FUNCTION ops.check_missing_rate()
RETURNS TABLE (level text, object text, detail text, what_to_do text)
LANGUAGE sql
STABLE
BEGIN ATOMIC
    SELECT
        'warning',
        format('deployment %s on %s', g.deployment_id, e.server_name),
        format('it holds %s GPUs since %s, and an hour of them has no price', g.gpus, g.since),
        format(
            'INSERT INTO llm.gpu_rates (deployment_id, since, price_per_hour) VALUES (%s, %L, 0)'
            ' ON CONFLICT ON CONSTRAINT gpu_rates_deployment_id_since_key DO UPDATE SET price_per_hour = 0;'
            ' -- instead of 0 what an hour costs',
            g.deployment_id, g.since
        )
    FROM rollup.gpu_spans AS g
    INNER JOIN llm.deployments AS e ON g.deployment_id = e.deployment_id
    WHERE g.until_time = 'infinity' AND g.gpus > 0 AND g.price_per_hour IS NULL
        AND (EXISTS (SELECT FROM llm.gpu_rates) OR EXISTS (SELECT FROM llm.budgets));
END;
COMMENT ON FUNCTION ops.check_missing_rate() IS 'A deployment holds GPUs that have no rate, though there are rates or '
    'budgets: warning. What it does costs nothing in the reports';
REVOKE ALL ON FUNCTION ops.check_missing_rate() FROM public;
