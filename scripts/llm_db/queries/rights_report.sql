-- Who reads reports is a member of llm_analyst.
SELECT pg_catalog.format('GRANT llm_analyst TO %I', current_user)
FROM pg_catalog.pg_roles
WHERE rolname = 'llm_analyst'
