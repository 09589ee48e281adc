-- Read from the catalogs, so it cannot be out of date: every comment is "Korean term: meaning".
CREATE OR REPLACE VIEW reporting.data_dictionary AS
SELECT
    o.object_name,
    o.column_name,
    o.column_position,
    o.data_type,
    split_part(o.comment, ': ', 1) AS term_ko,
    substr(o.comment, strpos(o.comment, ': ') + 2) AS meaning,
    CASE
        WHEN o.column_name ~ '_ms$' THEN 'ms'
        WHEN o.column_name ~ '_seconds$' THEN 's'
        WHEN o.column_name ~ '_minutes$' THEN 'min'
        WHEN o.column_name ~ '_hours$' THEN 'h'
        WHEN o.column_name ~ '(_days|^days_left)$' THEN 'days'
        WHEN o.column_name ~ '(^|_)cost(_before|_per_\w+)?$|^(amount|spent|forecast)$' THEN 'currency'
        WHEN o.column_name ~ '_per_gpu_hour$' THEN 'tokens/h'
        WHEN o.column_name ~ '^((mean_|max_)?tokens|token_used|tokens_before)$' THEN 'tokens'
        WHEN o.column_name ~ '(^|_)(share|rate|change)$' THEN '1 = 100 %'
    END AS unit
FROM (
    SELECT
        c.relname AS object_name,
        NULL AS column_name,
        0 AS column_position,
        'view' AS data_type,
        obj_description(c.oid, 'pg_class') AS comment
    FROM pg_catalog.pg_class AS c
    WHERE c.relnamespace = 'reporting'::regnamespace AND c.relkind = 'v'
    UNION ALL
    SELECT c.relname, a.attname, a.attnum, format_type(a.atttypid, a.atttypmod), col_description(c.oid, a.attnum)
    FROM pg_catalog.pg_class AS c
    INNER JOIN pg_catalog.pg_attribute AS a ON c.oid = a.attrelid AND a.attnum > 0
    WHERE c.relnamespace = 'reporting'::regnamespace AND c.relkind = 'v'
    UNION ALL
    SELECT
        p.proname,
        NULL,
        0,
        format('function (%s) returns %s', pg_get_function_arguments(p.oid), pg_get_function_result(p.oid)),
        obj_description(p.oid, 'pg_proc')
    FROM pg_catalog.pg_proc AS p
    WHERE p.pronamespace = 'reporting'::regnamespace
) AS o;
COMMENT ON VIEW reporting.data_dictionary IS '데이터 사전: every report, its columns and what they mean; one row per view, '
    'per function and per column of a view';
COMMENT ON COLUMN reporting.data_dictionary.object_name IS '보고서: name of the view or function in schema reporting';
COMMENT ON COLUMN reporting.data_dictionary.column_name IS '컬럼: NULL = the row is about the view or function itself';
COMMENT ON COLUMN reporting.data_dictionary.column_position IS '컬럼 순서: 1, 2, 3... within the view; 0 = itself';
COMMENT ON COLUMN reporting.data_dictionary.data_type IS '자료형: type of the column; view; or function with what it '
    'takes and returns';
COMMENT ON COLUMN reporting.data_dictionary.term_ko IS '한국어 용어: what it is called in Korean';
COMMENT ON COLUMN reporting.data_dictionary.meaning IS '의미: what it means, in English';
COMMENT ON COLUMN reporting.data_dictionary.unit IS '단위: of the column, from its name; NULL = a number of things, or '
    'no number';

GRANT SELECT ON reporting.data_dictionary TO llm_analyst;
