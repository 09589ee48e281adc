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
INSERT INTO llm.gpu_rates (deployment_id, since, price_per_hour)
SELECT r.deployment_id, coalesce(span.starts_at + r.since * interval '1 day', '-infinity'), r.price_per_hour
FROM demo_span AS span
CROSS JOIN (
    VALUES
        (NULL::bigint, NULL::integer, 2900), (NULL, 95, 2650), (1, NULL, 4300), (1, 95, 3900), (7, NULL, 4300)
) AS r (deployment_id, since, price_per_hour);

-- Two departments are to spend less from the middle on.
INSERT INTO llm.budgets (department_id, project_id, since, amount)
SELECT
    b.department_id, b.project_id,
    date_trunc('month', span.starts_at AT TIME ZONE 'UTC' + b.since * interval '1 day')::date,
    b.amount
FROM demo_span AS span
CROSS JOIN (
    VALUES
        (1::bigint, NULL::bigint, 0, 22000000), (2, NULL, 0, 9000000), (3, NULL, 0, 14000000), (3, NULL, 90, 11000000),
        (4, NULL, 0, 16000000), (5, NULL, 0, 7000000), (6, NULL, 0, 6500000), (7, NULL, 0, 4500000),
        (7, NULL, 90, 3500000), (8, NULL, 0, 6000000), (9, NULL, 0, 2500000), (10, NULL, 0, 1500000),
        (NULL, 1, 0, 5000000), (NULL, 3, 0, 8000000), (NULL, 8, 0, 4000000)
) AS b (department_id, project_id, since, amount);
