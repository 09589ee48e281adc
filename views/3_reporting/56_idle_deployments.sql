CREATE OR REPLACE VIEW reporting.idle_deployments AS
SELECT
    e.deployment_id,
    e.server_name,
    e.environment,
    en.label_ko AS environment_ko,
    en.label_en AS environment_en,
    e.status AS deployment_status,
    ds.label_ko AS deployment_status_ko,
    ds.label_en AS deployment_status_en,
    e.model_id,
    m.model_name,
    e.gpu_count,
    l.last_request_time,
    extract(DAY FROM now() - l.last_request_time)::integer AS idle_days,
    (SELECT c.currency FROM llm.cost_settings AS c) AS currency,
    coalesce(h.cost, 0) AS last_30_days_idle_cost
FROM llm.deployments AS e
INNER JOIN llm.environments AS en ON e.environment = en.code
INNER JOIN llm.deployment_statuses AS ds ON e.status = ds.code
INNER JOIN llm.models AS m ON e.model_id = m.model_id
LEFT JOIN rollup.usage_totals AS l ON l.dimension = 'deployment' AND e.deployment_id = l.key
LEFT JOIN (
    SELECT
        g.deployment_id,
        rollup.per_hour(sum(g.amount)) AS cost
    FROM (SELECT y.time_zone FROM rollup.state AS y LIMIT 1) AS z
    CROSS JOIN LATERAL (SELECT (now() AT TIME ZONE z.time_zone)::date AS day) AS t
    CROSS JOIN (SELECT array_agg(x) AS spans FROM rollup.gpu_spans AS x WHERE x.gpus > 0) AS s
    CROSS JOIN LATERAL rollup.gpu_days(s.spans, z.time_zone, t.day - 29, t.day) AS g
    LEFT JOIN rollup.usage_rows AS r
        ON r.dimension = 'deployment' AND r.day >= t.day - 29 AND g.deployment_id = r.key AND g.day = r.day
    WHERE r.day IS NULL
    GROUP BY g.deployment_id
) AS h ON e.deployment_id = h.deployment_id
-- In maintenance or in error it holds its GPUs all the same.
WHERE e.status <> 'inactive' AND (l.last_request_time IS NULL OR l.last_request_time < now() - interval '7 days');
COMMENT ON VIEW reporting.idle_deployments IS '유휴 배포: 비활성이 아니면서 7일 동안 또는 한 번도 요청이 없는 배포; 배포마다 한 행 | '
    'Idle deployments: deployments that are not inactive and have had no request for 7 days, or ever; one row per '
    'deployment';
CALL ops.describe(
    'reporting.idle_deployments',
    'reporting.daily_usage_by_deployment', 'reporting.requests', 'rollup.usage_totals'
);
COMMENT ON COLUMN reporting.idle_deployments.deployment_status IS '배포 상태: 배포의 현재 상태 코드, 비활성은 제외 | '
    'Deployment status: code of the deployment''s availability now: any but inactive';
COMMENT ON COLUMN reporting.idle_deployments.idle_days IS '유휴 일수: last_request_time 이후 지난 일수, 만으로 센다; NULL = 요청된 적 '
    '없음 | '
    'Idle days: whole days since last_request_time; NULL = none ever';
COMMENT ON COLUMN reporting.idle_deployments.currency IS '통화: 금액의 통화 코드 | '
    'Currency: ISO 4217 code of amounts';
COMMENT ON COLUMN reporting.idle_deployments.last_30_days_idle_cost IS '최근 30일 유휴 비용: 오늘과 이전 29일 가운데 요청이 없던 날의 GPU 비용 '
    '| '
    'Idle cost of 30 days: what its GPUs cost on those of today and the 29 days before that had no request';

GRANT SELECT ON reporting.idle_deployments TO llm_analyst;
