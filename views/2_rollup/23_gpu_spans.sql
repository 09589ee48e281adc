-- needs: 0039.rates-and-budgets

-- Cost is worked out when it is asked for: what a deployment held and what it cost changes seldom, and who corrects the
-- past changes a row and no sums.
CREATE OR REPLACE VIEW rollup.gpu_spans AS
SELECT
    s.deployment_id,
    s.since,
    s.until_time,
    h.model_id,
    h.environment,
    CASE WHEN h.status = 'inactive' THEN 0 ELSE h.gpu_count END AS gpus,
    coalesce(o.price_per_hour, a.price_per_hour) AS price_per_hour
FROM (
    SELECT
        c.deployment_id,
        c.since,
        lead(c.since, 1, 'infinity') OVER (PARTITION BY c.deployment_id ORDER BY c.since) AS until_time
    -- Of tables of few rows there are no statistics, and then the planner expects thousands. Of an array it expects
    -- ten; what its elements are a type of does not matter.
    FROM unnest(array(
        SELECT row(NULL, b.deployment_id, b.since, NULL)::llm.gpu_rates FROM llm.deployment_history AS b
        UNION
        SELECT row(NULL, e.deployment_id, r.since, NULL)::llm.gpu_rates
        FROM llm.gpu_rates AS r
        INNER JOIN llm.deployments AS e ON r.deployment_id IS NULL OR r.deployment_id = e.deployment_id
    )) AS c
) AS s
CROSS JOIN LATERAL (
    SELECT d.model_id, d.gpu_count, d.environment, d.status
    FROM llm.deployment_history AS d
    WHERE d.deployment_id = s.deployment_id AND d.since <= s.since
    ORDER BY d.since DESC
    LIMIT 1
) AS h
LEFT JOIN LATERAL (
    SELECT r.price_per_hour
    FROM llm.gpu_rates AS r
    WHERE r.deployment_id = s.deployment_id AND r.since <= s.since
    ORDER BY r.since DESC
    LIMIT 1
) AS o ON true
LEFT JOIN LATERAL (
    SELECT r.price_per_hour
    FROM llm.gpu_rates AS r
    WHERE r.deployment_id IS NULL AND r.since <= s.since
    ORDER BY r.since DESC
    LIMIT 1
) AS a ON true;
COMMENT ON VIEW rollup.gpu_spans IS 'GPU 보유 이력: from when to when which GPUs were held at which price';
COMMENT ON COLUMN rollup.gpu_spans.deployment_id IS '배포: which held them';
COMMENT ON COLUMN rollup.gpu_spans.since IS '시작 시간: inclusive';
COMMENT ON COLUMN rollup.gpu_spans.until_time IS '종료 시간: exclusive; infinity = still so';
COMMENT ON COLUMN rollup.gpu_spans.model_id IS '모델: the model it ran';
COMMENT ON COLUMN rollup.gpu_spans.environment IS '배포 환경: its stage';
COMMENT ON COLUMN rollup.gpu_spans.gpus IS 'GPU 개수: that cost; none while it was inactive';
COMMENT ON COLUMN rollup.gpu_spans.price_per_hour IS '시간당 단가: of one GPU for one hour: its own, or else that of all; '
    'NULL = there is none';
