-- STABLE, so that who reads a view without its sizes asks for none: that would wait for whoever changes months.
CREATE OR REPLACE FUNCTION ops.stored_bytes(relation regclass)
RETURNS bigint
LANGUAGE sql
STABLE STRICT
RETURN pg_total_relation_size(relation);
COMMENT ON FUNCTION ops.stored_bytes(regclass) IS 'What a table takes, with its indexes and TOAST, in bytes; on a '
    'cluster with its shards';
REVOKE ALL ON FUNCTION ops.stored_bytes(regclass) FROM public;

CREATE OR REPLACE FUNCTION ops.stored_rows(relation regclass)
RETURNS bigint
LANGUAGE sql
STABLE STRICT
-- Before the first ANALYZE or VACUUM, reltuples is -1: not known.
RETURN (SELECT nullif(c.reltuples, -1)::bigint FROM pg_catalog.pg_class AS c WHERE c.oid = relation);
COMMENT ON FUNCTION ops.stored_rows(regclass) IS 'How many rows a table had at the last ANALYZE or VACUUM, on a '
    'cluster in its shards; NULL = neither has run';
REVOKE ALL ON FUNCTION ops.stored_rows(regclass) FROM public;

-- A month is a pair of partitions, one of which refers to the other. Whoever detaches or drops one by hand leaves half
-- a month behind: rows that nobody reads, and a name that is taken.
CREATE OR REPLACE FUNCTION ops.month_problem(month date)
RETURNS text
LANGUAGE plpgsql
STABLE STRICT
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    suffix constant text := to_char(month, 'YYYY_MM');
    states text [];
    faults text;
    remedy text;
BEGIN
    SELECT
        array_agg(DISTINCT h.state),
        string_agg(format('llm.%I is %s', h.name, h.state), ', ' ORDER BY h.entity DESC)
            FILTER (WHERE h.state <> 'attached'),
        string_agg(format('ALTER TABLE llm.%I DETACH PARTITION llm.%I FINALIZE; ', h.entity, h.name), '')
            FILTER (WHERE h.state = 'being detached')
    INTO states, faults, remedy
    FROM (
        SELECT
            e.entity,
            e.entity || '_' || suffix AS name,
            CASE
                WHEN c.oid IS NULL THEN 'missing'
                WHEN i.inhrelid IS NULL THEN 'not attached'
                WHEN i.inhdetachpending THEN 'being detached'
                ELSE 'attached'
            END AS state
        FROM unnest(ARRAY['sessions', 'session_logs']) AS e (entity)
        LEFT JOIN pg_class AS c ON c.oid = to_regclass(format('llm.%I', e.entity || '_' || suffix))
        LEFT JOIN pg_inherits AS i ON c.oid = i.inhrelid AND i.inhparent = to_regclass(format('llm.%I', e.entity))
    ) AS h;
    IF states = ARRAY['attached'] AND NOT EXISTS (
        SELECT FROM pg_constraint AS k
        WHERE k.conrelid = to_regclass('llm.session_logs_' || suffix) AND k.contype = 'f' AND k.convalidated
            AND k.confrelid IN (to_regclass('llm.sessions_' || suffix), 'llm.sessions'::regclass)
    ) THEN
        faults := format('llm.%I has no valid foreign key to its sessions', 'session_logs_' || suffix);
    ELSIF states IN (ARRAY['attached'], ARRAY['missing']) THEN
        RETURN NULL;
    END IF;
    RETURN format(
        '%s. To have the month back: %sSELECT ops.repair_month(%L); to keep its tables apart: rename them',
        faults, remedy, to_char(month, 'YYYY-MM-01')
    );
END
$$;
COMMENT ON FUNCTION ops.month_problem(date) IS 'What is wrong with the partitions of a month, and what to do about it; '
    'NULL = nothing: both are attached and one refers to the other, or there is none';
REVOKE ALL ON FUNCTION ops.month_problem(date) FROM public;

-- today is given, so that the function depends on nothing but its arguments.
CREATE OR REPLACE FUNCTION llm.is_usual_month(month date, today date)
RETURNS boolean
LANGUAGE sql
IMMUTABLE STRICT PARALLEL SAFE
RETURN month >= date_trunc('month', today::timestamp) - interval '10 years'
    AND month < date_trunc('month', today::timestamp) + interval '13 months';
COMMENT ON FUNCTION llm.is_usual_month(date, date) IS 'Whether requests of a month can be meant: it lies no more than '
    'ten years before the month of today, or one year after it. llm.create_months() and llm-db load make no others by '
    'themselves';
REVOKE ALL ON FUNCTION llm.is_usual_month(date, date) FROM public;
GRANT EXECUTE ON FUNCTION llm.is_usual_month(date, date) TO public;

CREATE OR REPLACE FUNCTION ops.month_exists(month date)
RETURNS boolean
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    problem constant text := ops.month_problem(month);
BEGIN
    IF problem IS NOT NULL THEN
        RAISE EXCEPTION 'the month % is not whole: %', to_char(month, 'YYYY-MM'), problem
            USING ERRCODE = 'object_not_in_prerequisite_state',
                HINT = 'SELECT month, problem FROM ops.months WHERE problem IS NOT NULL shows every such month.';
    END IF;
    RETURN to_regclass('llm.sessions_' || to_char(month, 'YYYY_MM')) IS NOT NULL;
END
$$;
COMMENT ON FUNCTION ops.month_exists(date) IS 'Whether a month has its partitions. Raises where it has half of them';
REVOKE ALL ON FUNCTION ops.month_exists(date) FROM public;

-- With its owner's rights: on a cluster a worker knows nothing of the view that asks.
CREATE OR REPLACE FUNCTION ops.rows_waiting(entity text)
RETURNS bigint
LANGUAGE plpgsql
STABLE STRICT
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    waiting bigint;
BEGIN
    EXECUTE format('SELECT count(*) FROM llm.%I', entity || '_default') INTO waiting;
    RETURN waiting;
END
$$;
COMMENT ON FUNCTION ops.rows_waiting(text) IS 'How many rows of sessions or of session_logs lie in DEFAULT';
REVOKE ALL ON FUNCTION ops.rows_waiting(text) FROM public;

-- Bounds are read from the partitions themselves, not from their names, and the two tables meet on them in a FULL JOIN:
-- a month that only one of them has is a fault a DBA should see, and so is a table of a month's name that neither has.
-- DEFAULT, which has no bounds, meets DEFAULT.
CREATE OR REPLACE VIEW ops.months AS
WITH partitions AS (
    SELECT
        i.inhparent,
        c.relname,
        b.bounds,
        substring(b.bounds FROM 'FROM \(''([0-9a-f-]+)''\)')::uuid AS low,
        substring(b.bounds FROM 'TO \(''([0-9a-f-]+)''\)')::uuid AS high,
        c.oid
    FROM pg_catalog.pg_inherits AS i
    INNER JOIN pg_catalog.pg_class AS c ON i.inhrelid = c.oid
    CROSS JOIN LATERAL (SELECT pg_get_expr(c.relpartbound, c.oid) AS bounds) AS b
    WHERE i.inhparent IN ('llm.sessions'::regclass, 'llm.session_logs'::regclass) AND NOT i.inhdetachpending
), session_partitions AS (
    SELECT * FROM partitions WHERE inhparent = 'llm.sessions'::regclass
), log_partitions AS (
    SELECT * FROM partitions WHERE inhparent = 'llm.session_logs'::regclass
), named_months AS (
    SELECT DISTINCT to_date(substring(c.relname FROM '[0-9]{4}_[0-9]{2}$'), 'YYYY_MM') AS month
    FROM pg_catalog.pg_class AS c
    WHERE c.relnamespace = 'llm'::regnamespace AND c.relkind IN ('r', 'p', 'f', 'v', 'm')
        AND c.relname ~ '^(sessions|session_logs)_[0-9]{4}_(0[1-9]|1[0-2])$'
), attached AS (
    SELECT
        s.bounds AS session_bounds,
        l.bounds AS log_bounds,
        date_trunc('month', llm.uuidv7_time(coalesce(s.low, l.low)) AT TIME ZONE 'UTC')::date AS month,
        llm.uuidv7_time(coalesce(s.low, l.low)) AS from_time,
        llm.uuidv7_time(coalesce(s.high, l.high)) AS until_time,
        s.relname AS sessions_partition,
        s.oid AS sessions_table,
        l.relname AS session_logs_partition,
        l.oid AS session_logs_table
    FROM session_partitions AS s
    FULL JOIN log_partitions AS l ON s.bounds = l.bounds
)

SELECT
    coalesce(a.month, n.month) AS month,
    a.from_time,
    a.until_time,
    a.sessions_partition,
    ops.stored_rows(a.sessions_table) AS sessions_estimated_rows,
    ops.stored_bytes(a.sessions_table) AS sessions_bytes,
    a.session_logs_partition,
    ops.stored_rows(a.session_logs_table) AS session_logs_estimated_rows,
    ops.stored_bytes(a.session_logs_table) AS session_logs_bytes,
    CASE WHEN a.session_bounds = 'DEFAULT' THEN ops.rows_waiting('sessions') END AS sessions_waiting,
    CASE WHEN a.log_bounds = 'DEFAULT' THEN ops.rows_waiting('session_logs') END AS session_logs_waiting,
    ops.month_problem(coalesce(a.month, n.month)) AS problem
FROM attached AS a
FULL JOIN named_months AS n ON a.month = n.month
ORDER BY month NULLS LAST;
COMMENT ON VIEW ops.months IS '월별 파티션: the monthly partitions (UTC) of llm.sessions and llm.session_logs with their '
    'bounds and sizes, and last the DEFAULT partitions, whose rows wait for CALL llm.move_default_rows()';
COMMENT ON COLUMN ops.months.month IS '월: first day of the month (UTC); NULL = DEFAULT';
COMMENT ON COLUMN ops.months.from_time IS '시작 시간: lower bound of the time in session_id, inclusive; NULL = DEFAULT';
COMMENT ON COLUMN ops.months.until_time IS '종료 시간: upper bound of the time in session_id, exclusive; NULL = DEFAULT';
COMMENT ON COLUMN ops.months.sessions_partition IS '세션 파티션: table in schema llm; NULL = none is attached, see problem';
COMMENT ON COLUMN ops.months.sessions_estimated_rows IS '세션 행 수 추정: rows as of the last ANALYZE or VACUUM; NULL = '
    'neither has run';
COMMENT ON COLUMN ops.months.sessions_bytes IS '세션 저장 크기: table, indexes and TOAST, in bytes';
COMMENT ON COLUMN ops.months.session_logs_partition IS '로그 파티션: table in schema llm; NULL = none is attached, see '
    'problem';
COMMENT ON COLUMN ops.months.session_logs_estimated_rows IS '로그 행 수 추정: rows as of the last ANALYZE or VACUUM; NULL = '
    'neither has run';
COMMENT ON COLUMN ops.months.session_logs_bytes IS '로그 저장 크기: table, indexes and TOAST, in bytes';
COMMENT ON COLUMN ops.months.sessions_waiting IS '이동 대기 세션 수: exact count of rows in DEFAULT; NULL in the months'' '
    'rows';
COMMENT ON COLUMN ops.months.session_logs_waiting IS '이동 대기 로그 수: exact count of rows in DEFAULT; NULL in the months'' '
    'rows';
COMMENT ON COLUMN ops.months.problem IS '문제: what is wrong with the month''s partitions and what to do about it; '
    'NULL = nothing';
