SELECT a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod), t.typcategory = 'N'
FROM pg_catalog.pg_attribute AS a
INNER JOIN pg_catalog.pg_type AS t ON t.oid = a.atttypid
WHERE a.attrelid = pg_catalog.to_regclass(pg_catalog.format('reporting.%%I', %(view)s::text))
    AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attnum
