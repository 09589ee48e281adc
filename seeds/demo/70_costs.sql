-- What the deployments held and cost, and what may be spent. A deployment held its GPUs while it served; two had other
-- numbers of them before.
DELETE FROM llm.deployment_history WHERE since > '-infinity';

INSERT INTO llm.deployment_history (deployment_id, since, model_id, gpu_count, environment, status)
SELECT d.deployment_id, span.starts_at + h.since * interval '1 day', d.model_id, h.gpu_count, d.environment, h.status
FROM demo_span AS span
CROSS JOIN demo_deployments AS d
CROSS JOIN LATERAL (
    SELECT d.since, d.gpu_count, 'active' AS status
    WHERE d.deployment_id NOT IN (1, 4)
    UNION ALL
    SELECT d.until, d.gpu_count, d.status WHERE d.until < 180
    UNION ALL
    SELECT g.since, g.gpu_count, 'active'
    FROM (VALUES (1, 0, 4), (1, 70, 8), (4, 0, 2), (4, 110, 4)) AS g (deployment_id, since, gpu_count)
    WHERE g.deployment_id = d.deployment_id
) AS h
ORDER BY d.deployment_id, h.since;

-- In won. The newer cards are dearer, and a contract made all of them cheaper.
INSERT INTO llm.gpu_rates (rate_id, deployment_id, since, price_per_hour)
SELECT
    r.rate_id, r.deployment_id, coalesce(span.starts_at + r.since * interval '1 day', '-infinity'),
    r.price_per_hour
FROM demo_span AS span
CROSS JOIN (
    VALUES
        (1, NULL::bigint, NULL::integer, 2900), (2, NULL, 95, 2650), (3, 1, NULL, 4300), (4, 1, 95, 3900),
        (5, 7, NULL, 4300)
) AS r (rate_id, deployment_id, since, price_per_hour);

-- Two departments are to spend less from the middle on.
INSERT INTO llm.budgets (budget_id, department_id, project_id, since, amount)
SELECT
    b.budget_id, b.department_id, b.project_id,
    date_trunc('month', span.starts_at AT TIME ZONE 'UTC' + b.since * interval '1 day')::date,
    b.amount
FROM demo_span AS span
CROSS JOIN (
    VALUES
        (1, 1::bigint, NULL::bigint, 0, 22000000), (2, 2, NULL, 0, 9000000), (3, 3, NULL, 0, 14000000),
        (4, 3, NULL, 90, 11000000), (5, 4, NULL, 0, 16000000), (6, 5, NULL, 0, 7000000), (7, 6, NULL, 0, 6500000),
        (8, 7, NULL, 0, 4500000), (9, 7, NULL, 90, 3500000), (10, 8, NULL, 0, 6000000), (11, 9, NULL, 0, 2500000),
        (12, 10, NULL, 0, 1500000), (13, NULL, 1, 0, 5000000), (14, NULL, 3, 0, 8000000), (15, NULL, 8, 0, 4000000)
) AS b (budget_id, department_id, project_id, since, amount);

SELECT setval('llm.gpu_rates_rate_id_seq', max(rate_id)) FROM llm.gpu_rates;
SELECT setval('llm.budgets_budget_id_seq', max(budget_id)) FROM llm.budgets;
ANALYZE llm.deployment_history, llm.gpu_rates, llm.budgets;
