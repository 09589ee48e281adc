-- Who looks after the database is a member of llm_operator.
SELECT pg_catalog.format('GRANT llm_operator TO %I', current_user)
FROM pg_catalog.pg_roles
WHERE rolname = 'llm_operator'
