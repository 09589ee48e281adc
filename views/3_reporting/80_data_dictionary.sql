-- Read from the catalogs, so it cannot be out of date. This is the one place that knows the form of a comment:
-- "Korean term: Korean meaning | English term: English meaning". One of another form is the meaning in both languages.
CREATE OR REPLACE VIEW reporting.data_dictionary AS
SELECT
    o.object_name,
    o.column_name,
    o.column_position,
    o.data_type,
    w.words[1] AS term_ko,
    coalesce(w.words[4], o.comment) AS meaning,
    u.unit,
    w.words[3] AS term_en,
    coalesce(w.words[2], o.comment) AS meaning_ko,
    u.unit_ko
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
) AS o
CROSS JOIN LATERAL (
    SELECT regexp_match(o.comment, '^([^:|]+): ([^|]+) \| ([^:|]+): ([^|]+)$') AS words
) AS w
LEFT JOIN (
    VALUES
    ('_ms$', 'ms', '밀리초'),
    ('_seconds$', 's', '초'),
    ('_minutes$', 'min', '분'),
    ('_hours(_without_rate)?$', 'h', '시간'),
    ('(_days|^days_left)$', 'days', '일'),
    ('(^|_)cost(_before|_per_\w+)?$|^(amount|spent|forecast)$', 'currency', '통화'),
    ('_per_gpu_hour$', 'tokens/h', '토큰/시간'),
    ('^((mean_|max_)?tokens|token_used|tokens_before)$', 'tokens', '토큰'),
    ('(^|_)(share|(?<!without_)rate|change)$', '1 = 100 %', '1 = 100 %')
) AS u (pattern, unit, unit_ko) ON o.column_name ~ u.pattern;
COMMENT ON VIEW reporting.data_dictionary IS '데이터 사전: 모든 보고서와 그 컬럼의 의미; 뷰, 함수, 뷰의 컬럼마다 한 행 | '
    'Data dictionary: every report, its columns and what they mean; one row per view, per function and per column of a '
    'view';
COMMENT ON COLUMN reporting.data_dictionary.object_name IS '보고서: reporting 스키마의 뷰나 함수 이름 | '
    'Report: name of the view or function in schema reporting';
COMMENT ON COLUMN reporting.data_dictionary.column_name IS '컬럼: NULL = 뷰나 함수 자체에 대한 행 | '
    'Column: NULL = the row is about the view or function itself';
COMMENT ON COLUMN reporting.data_dictionary.column_position IS '컬럼 순서: 뷰 안에서 1, 2, 3...; 0 = 뷰나 함수 자체 | '
    'Position: 1, 2, 3... within the view; 0 = itself';
COMMENT ON COLUMN reporting.data_dictionary.data_type IS '자료형: 컬럼의 자료형, 뷰라는 표시, 또는 함수가 받고 돌려주는 것 | '
    'Data type: type of the column; view; or function with what it takes and returns';
COMMENT ON COLUMN reporting.data_dictionary.term_ko IS '한국어 용어: 보고서의 제목이나 컬럼의 이름(한국어) | '
    'Korean term: what it is called in Korean; NULL = not said';
COMMENT ON COLUMN reporting.data_dictionary.term_en IS '영어 용어: 보고서의 제목이나 컬럼의 이름(영어) | '
    'English term: what it is called in English; NULL = not said';
COMMENT ON COLUMN reporting.data_dictionary.meaning IS '의미(영어): 영어 설명 | Meaning: what it means, in English';
COMMENT ON COLUMN reporting.data_dictionary.meaning_ko IS '의미: 한국어 설명 | Meaning (Korean): what it means, in Korean';
COMMENT ON COLUMN reporting.data_dictionary.unit IS '단위(영어): 컬럼의 단위, 이름에서 안다; NULL = 개수이거나 숫자가 아님 | '
    'Unit: of the column, from its name; NULL = a number of things, or no number';
COMMENT ON COLUMN reporting.data_dictionary.unit_ko IS '단위: 컬럼의 단위(한국어) | Unit (Korean): the same in Korean';

GRANT SELECT ON reporting.data_dictionary TO llm_analyst;
