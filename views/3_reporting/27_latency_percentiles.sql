-- needs: 0013.rollups

-- What analysts ask that no view can answer: percentiles over a time of their choice.
CREATE OR REPLACE FUNCTION reporting.latency_percentiles(
    since date,
    until date,
    dimension text DEFAULT 'all',
    percentiles double precision [] DEFAULT '{0.5,0.95,0.99}'
)
RETURNS TABLE (
    dimension_id bigint,
    dimension_name text,
    answered_requests bigint,
    percentile double precision,
    latency_ms double precision
)
LANGUAGE plpgsql
STABLE
SECURITY DEFINER
-- Compiling takes longer than the answer.
SET jit = off
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF since IS NULL OR until IS NULL OR since > until THEN
        RAISE EXCEPTION 'there are no days from % to %', coalesce(since::text, 'NULL'), coalesce(until::text, 'NULL')
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Give the first day and the last one; both are included.';
    END IF;
    IF dimension IS NULL OR dimension NOT IN (
        'all', 'config', 'department', 'deployment', 'model', 'project', 'template'
    ) THEN
        RAISE EXCEPTION 'no percentiles are kept by %', coalesce(dimension, 'NULL')
            USING ERRCODE = 'invalid_parameter_value',
                HINT = 'Ask by all, config, department, deployment, model, project or template.';
    END IF;
    IF cardinality(percentiles) > 0 IS NOT TRUE
        OR EXISTS (SELECT 1 FROM unnest(percentiles) AS f WHERE f BETWEEN 0 AND 1 IS NOT TRUE) THEN
        RAISE EXCEPTION 'not percentiles: %', coalesce(percentiles::text, 'NULL')
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Give fractions from 0 to 1, such as {0.95} for p95.';
    END IF;
    RETURN QUERY
    SELECT u.key, n.name, u.answered_requests, f.fraction, rollup.histogram_percentile_ms(u.latencies, f.fraction)
    FROM (
        SELECT
            r.key,
            rollup.bigint_sum(r.answered_requests) AS answered_requests,
            rollup.histogram_sum(r.latencies) AS latencies
        FROM rollup.usage_rows AS r
        WHERE r.dimension = latency_percentiles.dimension::rollup.dimension AND r.day BETWEEN since AND until
        GROUP BY r.key
    ) AS u
    CROSS JOIN unnest(percentiles) AS f (fraction)
    LEFT JOIN rollup.dimension_names AS n
        ON n.dimension = latency_percentiles.dimension::rollup.dimension AND u.key = n.key
    ORDER BY u.key, f.fraction;
END
$$;
COMMENT ON FUNCTION reporting.latency_percentiles(date, date, text, double precision []) IS '처리 시간 백분위수: 한 일자부터 다른 '
    '일자까지(보고 시간대, 양쪽 포함) 응답된 요청을 전체, 모델 설정, 부서, 배포, 모델, 프로젝트, 템플릿 가운데 하나로 나눈 값과 백분위수(0.95 = p95)마다 한 행. 밀리초, 요청 자체의 '
    'percentile_disc와 오차 2 % 이내; NULL = 응답된 요청 없음. 키가 NULL인 행은 해당 항목이 없는 요청, 또는 전체 | '
    'Latency percentiles: of the answered requests from one day to another (reporting time zone, both included), by '
    'all, config, department, deployment, model, project or template; one row per value of it and percentile, such as '
    '0.95 for p95. In milliseconds, within 2 % of percentile_disc over the requests themselves; NULL = none was '
    'answered. The key NULL is that of requests without one, and of all';

REVOKE ALL ON FUNCTION reporting.latency_percentiles(date, date, text, double precision []) FROM public;
GRANT EXECUTE ON FUNCTION reporting.latency_percentiles(date, date, text, double precision []) TO llm_analyst;
