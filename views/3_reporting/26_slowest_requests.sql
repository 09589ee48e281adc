CREATE OR REPLACE VIEW reporting.slowest_requests AS
SELECT
    r.dimension,
    r.key AS dimension_id,
    n.name AS dimension_name,
    r.day AS request_day,
    r.rank,
    r.latency_us / 1000.0::double precision AS latency_ms,
    r.session_id,
    r.log_sequence,
    r.request_time,
    r.token_used
FROM (
    SELECT
        s.dimension,
        s.key,
        s.day,
        s.latency_us,
        s.session_id,
        s.log_sequence,
        s.request_time,
        s.token_used,
        row_number() OVER (
            PARTITION BY s.dimension, s.key, s.day ORDER BY s.latency_us DESC, s.session_id ASC, s.log_sequence ASC
        ) AS rank
    FROM rollup.slowest_rows AS s
) AS r
LEFT JOIN rollup.dimension_names AS n ON r.dimension = n.dimension AND r.key = n.key
WHERE r.rank <= 10;
COMMENT ON VIEW reporting.slowest_requests IS '느린 요청: the ten slowest answered requests of each day (reporting time '
    'zone) and each config, department, deployment, model, project and template; ask for one dimension. The ten '
    'slowest of a month are among those of its days';
CALL ops.describe('reporting.slowest_requests', 'reporting.requests');
COMMENT ON COLUMN reporting.slowest_requests.dimension IS '구분: what dimension_id is: config, department, deployment, '
    'model, project or template';
COMMENT ON COLUMN reporting.slowest_requests.dimension_id IS '고유 식별자: of the config, department (when the request was '
    'made), deployment...; NULL = requests without one';
COMMENT ON COLUMN reporting.slowest_requests.dimension_name IS '이름: what it is called; a config with its model, a '
    'template with its version; NULL = requests without one';
COMMENT ON COLUMN reporting.slowest_requests.rank IS '순위: 1 = the slowest of the day';
COMMENT ON COLUMN reporting.slowest_requests.latency_ms IS '처리 시간: from request to answer, exact, in milliseconds';
COMMENT ON COLUMN reporting.slowest_requests.session_id IS '세션 고유 식별자: with log_sequence, the request in '
    'reporting.requests, as long as it is stored';

GRANT SELECT ON reporting.slowest_requests TO llm_analyst;
