-- The statement that tries the CHECKs of session_logs on all rows, in the words that the database itself has for them,
-- so that no rule can be there in two versions.
SELECT
    format(
        'INSERT INTO pg_temp.load_bad (line, column_name, value, rule) '
        'SELECT r.line, b.column_name, b.value, b.rule FROM pg_temp.load_rows AS r '
        'CROSS JOIN LATERAL (VALUES %s) AS b (broken, column_name, value, rule) '
        'WHERE b.broken ON CONFLICT (line) DO NOTHING',
        string_agg(
            format('(NOT (%s), %L, concat_ws('' + '', %s), %L)', c.expression, c.columns, c.texts, c.conname),
            ', ' ORDER BY c.conname
        )
    )
FROM (
    SELECT
        con.conname,
        pg_get_expr(con.conbin, con.conrelid) AS expression,
        string_agg(a.attname, ' + ' ORDER BY k.position) AS columns,
        string_agg(format('%I::text', a.attname), ', ' ORDER BY k.position) AS texts
    FROM pg_catalog.pg_constraint AS con
    CROSS JOIN LATERAL unnest(con.conkey) WITH ORDINALITY AS k (attnum, position)
    INNER JOIN pg_catalog.pg_attribute AS a ON con.conrelid = a.attrelid AND k.attnum = a.attnum
    WHERE con.conrelid = 'llm.session_logs'::regclass AND con.contype = 'c'
    GROUP BY con.oid, con.conname, con.conbin, con.conrelid
) AS c
HAVING count(*) > 0
