SELECT
    n.name,
    pg_catalog.md5(pg_catalog.string_agg(
        pg_catalog.format('%%L %%L', a.attname, pg_catalog.col_description(a.attrelid, a.attnum)), ' ' ORDER BY a.attnum
    ))
FROM unnest(%(names)s::text []) AS n (name)
INNER JOIN pg_catalog.pg_attribute AS a ON a.attrelid = pg_catalog.to_regclass(n.name)
WHERE a.attnum > 0 AND NOT a.attisdropped
GROUP BY n.name
