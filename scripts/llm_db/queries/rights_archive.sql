-- Who archives months is a member of llm_loader, which reads what the file is made of.
SELECT pg_catalog.format('GRANT llm_loader TO %I', current_user)
FROM pg_catalog.pg_roles
WHERE rolname = 'llm_loader'
