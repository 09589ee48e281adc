-- Bounds are read from the partitions themselves, not from their names, and the two tables meet on them in a FULL JOIN:
-- a month that only one of them has is a fault a DBA should see. DEFAULT, which has no bounds, meets DEFAULT.
CREATE OR REPLACE VIEW ops.months AS
WITH partitions AS (
    SELECT
        i.inhparent,
        c.relname,
        b.bounds,
        substring(b.bounds FROM 'FROM \(''([0-9a-f-]+)''\)')::uuid AS low,
        substring(b.bounds FROM 'TO \(''([0-9a-f-]+)''\)')::uuid AS high,
        -- Before the first ANALYZE or VACUUM, reltuples is -1: not known.
        nullif(c.reltuples, -1)::bigint AS estimated_rows,
        pg_total_relation_size(c.oid) AS total_bytes
    FROM pg_catalog.pg_inherits AS i
    INNER JOIN pg_catalog.pg_class AS c ON i.inhrelid = c.oid
    CROSS JOIN LATERAL (SELECT pg_get_expr(c.relpartbound, c.oid) AS bounds) AS b
    WHERE i.inhparent IN ('llm.sessions'::regclass, 'llm.session_logs'::regclass)
), session_partitions AS (
    SELECT * FROM partitions WHERE inhparent = 'llm.sessions'::regclass
), log_partitions AS (
    SELECT * FROM partitions WHERE inhparent = 'llm.session_logs'::regclass
)

SELECT
    date_trunc('month', llm.uuidv7_time(coalesce(s.low, l.low)) AT TIME ZONE 'UTC')::date AS month,
    llm.uuidv7_time(coalesce(s.low, l.low)) AS from_time,
    llm.uuidv7_time(coalesce(s.high, l.high)) AS until_time,
    s.relname AS sessions_partition,
    s.estimated_rows AS sessions_estimated_rows,
    s.total_bytes AS sessions_bytes,
    l.relname AS session_logs_partition,
    l.estimated_rows AS session_logs_estimated_rows,
    l.total_bytes AS session_logs_bytes,
    CASE WHEN s.bounds = 'DEFAULT' THEN (SELECT count(*) FROM llm.sessions_default) END AS sessions_waiting,
    CASE WHEN l.bounds = 'DEFAULT' THEN (SELECT count(*) FROM llm.session_logs_default) END AS session_logs_waiting
FROM session_partitions AS s
FULL JOIN log_partitions AS l ON s.bounds = l.bounds
ORDER BY month NULLS LAST;
COMMENT ON VIEW ops.months IS '월별 파티션: the monthly partitions (UTC) of llm.sessions and llm.session_logs with their '
    'bounds and sizes, and last the DEFAULT partitions, whose rows wait for CALL llm.move_default_rows()';
COMMENT ON COLUMN ops.months.month IS '월: first day of the month (UTC); NULL = DEFAULT';
COMMENT ON COLUMN ops.months.from_time IS '시작 시간: lower bound of the time in session_id, inclusive; NULL = DEFAULT';
COMMENT ON COLUMN ops.months.until_time IS '종료 시간: upper bound of the time in session_id, exclusive; NULL = DEFAULT';
COMMENT ON COLUMN ops.months.sessions_partition IS '세션 파티션: table in schema llm; NULL = missing, to be repaired';
COMMENT ON COLUMN ops.months.sessions_estimated_rows IS '세션 행 수 추정: rows as of the last ANALYZE or VACUUM; NULL = '
    'neither has run';
COMMENT ON COLUMN ops.months.sessions_bytes IS '세션 저장 크기: table, indexes and TOAST, in bytes';
COMMENT ON COLUMN ops.months.session_logs_partition IS '로그 파티션: table in schema llm; NULL = missing, to be repaired';
COMMENT ON COLUMN ops.months.session_logs_estimated_rows IS '로그 행 수 추정: rows as of the last ANALYZE or VACUUM; NULL = '
    'neither has run';
COMMENT ON COLUMN ops.months.session_logs_bytes IS '로그 저장 크기: table, indexes and TOAST, in bytes';
COMMENT ON COLUMN ops.months.sessions_waiting IS '이동 대기 세션 수: exact count of rows in DEFAULT; NULL in the months'' '
    'rows';
COMMENT ON COLUMN ops.months.session_logs_waiting IS '이동 대기 로그 수: exact count of rows in DEFAULT; NULL in the months'' '
    'rows';
