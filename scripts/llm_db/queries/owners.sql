-- Who owns what is there, of those as whom this role may not act.
SELECT DISTINCT pg_catalog.pg_get_userbyid(owner)
FROM (
    SELECT nspowner AS owner FROM pg_catalog.pg_namespace
    WHERE nspname IN ('llm', 'rollup', 'reporting', 'ops', 'audit', 'llm_db')
    UNION ALL
    SELECT relowner FROM pg_catalog.pg_class
    WHERE relnamespace::pg_catalog.regnamespace::text IN ('llm', 'rollup', 'reporting', 'ops', 'audit', 'llm_db')
    UNION ALL
    SELECT proowner FROM pg_catalog.pg_proc
    WHERE pronamespace::pg_catalog.regnamespace::text IN ('llm', 'rollup', 'reporting', 'ops', 'audit')
) AS ours
WHERE NOT pg_catalog.pg_has_role(owner, 'USAGE')
ORDER BY 1
