-- The tables that have a key, with its columns.
SELECT
    s.nspname || '.' || c.relname,
    array_agg(a.attname::text ORDER BY array_position(i.indkey::int2 [], a.attnum))
FROM pg_class AS c
INNER JOIN pg_namespace AS s ON s.oid = c.relnamespace
INNER JOIN pg_index AS i ON i.indrelid = c.oid AND i.indisprimary
INNER JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum = any(i.indkey)
WHERE s.nspname = any(%(schemas)s) AND NOT c.relispartition
GROUP BY s.nspname, c.relname
ORDER BY 1
