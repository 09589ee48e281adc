SELECT view.relname
FROM pg_catalog.pg_class AS view
WHERE view.relnamespace = pg_catalog.to_regnamespace('reporting') AND view.relkind IN ('v', 'm')
ORDER BY view.relname
