-- The forecast is a straight line through the last six full months. A month is full when it is over, by its name.
CREATE OR REPLACE VIEW ops.sizes AS
SELECT
    t.table_name,
    sum(t.bytes)::bigint AS bytes,
    count(*) FILTER (WHERE t.months_ago > 0) AS full_months,
    (avg(t.bytes) FILTER (WHERE t.months_ago BETWEEN 1 AND 6))::bigint AS mean_month_bytes,
    CASE WHEN count(*) FILTER (WHERE t.months_ago BETWEEN 1 AND 6) > 1 THEN greatest(
        0,
        12 * regr_intercept(t.bytes, -t.months_ago) FILTER (WHERE t.months_ago BETWEEN 1 AND 6)
        + 78 * regr_slope(t.bytes, -t.months_ago) FILTER (WHERE t.months_ago BETWEEN 1 AND 6)
    )::bigint END AS next_12_months_bytes
FROM (
    SELECT
        format('%s.%s', n.nspname, coalesce(p.relname, c.relname)) AS table_name,
        ops.stored_bytes(c.oid) AS bytes,
        CASE WHEN p.oid IS NOT NULL THEN
            12 * (extract(YEAR FROM today.utc) - extract(YEAR FROM m.month))
            + extract(MONTH FROM today.utc) - extract(MONTH FROM m.month)
        END AS months_ago
    FROM pg_catalog.pg_class AS c
    INNER JOIN pg_catalog.pg_namespace AS n ON c.relnamespace = n.oid
    LEFT JOIN pg_catalog.pg_inherits AS i ON c.oid = i.inhrelid
    LEFT JOIN pg_catalog.pg_class AS p ON i.inhparent = p.oid
    CROSS JOIN (SELECT now() AT TIME ZONE 'UTC' AS utc) AS today
    CROSS JOIN LATERAL (
        SELECT to_date(substring(c.relname FROM '_([0-9]{4}_(?:0[1-9]|1[0-2]))$'), 'YYYY_MM') AS month
    ) AS m
    WHERE c.relkind IN ('r', 'm') AND ops.is_ours(c.relnamespace)
) AS t
GROUP BY t.table_name
ORDER BY bytes DESC;
COMMENT ON VIEW ops.sizes IS '저장 크기: how much each table takes on disk, and what its next twelve months will take if '
    'they go on as the last six did; a partitioned table is one row';
COMMENT ON COLUMN ops.sizes.table_name IS '테이블: with its schema';
COMMENT ON COLUMN ops.sizes.bytes IS '저장 크기: table, indexes and TOAST, in bytes';
COMMENT ON COLUMN ops.sizes.full_months IS '완료된 월 수: stored months that are over; 0 = none, or no months';
COMMENT ON COLUMN ops.sizes.mean_month_bytes IS '월 평균 크기: of the last six full months, in bytes; NULL = there is none';
COMMENT ON COLUMN ops.sizes.next_12_months_bytes IS '향후 12개월 예측: what the twelve months after this one will take, in '
    'bytes, on a straight line through the last six full months, before retention takes anything away; NULL = there '
    'are not two yet';
