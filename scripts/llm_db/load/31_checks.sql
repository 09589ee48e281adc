-- The statements that try the CHECKs of session_logs and sessions on all rows, in the words that the database itself
-- has for them, so that no rule can be there in two versions: on the file's rows, then on the sessions as they would
-- be written. A CHECK is tried where all of its columns are.
SELECT
    c.source,
    format(
        'INSERT INTO pg_temp.load_bad (line, column_name, value, rule) '
        'SELECT r.line, b.column_name, b.value, b.rule '
        -- What is to be told is worked out for the rows that break a rule only.
        'FROM (SELECT * FROM pg_temp.%I WHERE (%s) IS FALSE OFFSET 0) AS r '
        'CROSS JOIN LATERAL (VALUES %s) AS b (broken, column_name, value, rule) '
        'WHERE b.broken ON CONFLICT (line) DO NOTHING',
        c.source,
        string_agg(format('(%s)', c.expression), ' AND '),
        string_agg(
            format('(NOT (%s), %L, concat_ws('' + '', %s), %L)', c.expression, c.columns, c.texts, c.conname),
            ', ' ORDER BY c.conname
        )
    )
FROM (
    SELECT
        t.source,
        con.conname,
        pg_get_expr(con.conbin, con.conrelid) AS expression,
        string_agg(a.attname, ' + ' ORDER BY k.position) AS columns,
        string_agg(format('%I::text', a.attname), ', ' ORDER BY k.position) AS texts
    FROM (VALUES ('session_logs', 'load_rows'), ('sessions', 'load_rows'), ('sessions', 'load_session_rows'))
        AS t (checked, source)
    INNER JOIN pg_catalog.pg_constraint AS con ON con.conrelid = to_regclass('llm.' || t.checked)
    CROSS JOIN LATERAL unnest(con.conkey) WITH ORDINALITY AS k (attnum, position)
    INNER JOIN pg_catalog.pg_attribute AS a ON con.conrelid = a.attrelid AND k.attnum = a.attnum
    LEFT JOIN pg_catalog.pg_attribute AS there
        ON there.attrelid = to_regclass('pg_temp.' || t.source) AND a.attname = there.attname
    WHERE con.contype = 'c'
    GROUP BY t.source, con.oid, con.conname, con.conbin, con.conrelid
    HAVING count(there.attname) = cardinality(con.conkey)
) AS c
GROUP BY c.source
