DROP INDEX llm.users_user_email_key;
CREATE UNIQUE INDEX users_user_email_key ON llm.users (lower(user_email));
COMMENT ON INDEX llm.users_user_email_key IS 'One account per e-mail address, whatever its case';
