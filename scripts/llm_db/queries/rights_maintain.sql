-- Who does upkeep, or asks for health, is a member of llm_operator.
SELECT pg_catalog.format('GRANT llm_operator TO %I', current_user)
FROM pg_catalog.pg_roles
WHERE rolname = 'llm_operator'
