-- depends: 0027.turns-and-grants
-- squawk-ignore-file require-concurrent-index-creation, require-concurrent-index-deletion, renaming-object
-- squawk-ignore-file prefer-robust-stmts

-- What lower() makes of "I" is for the locale to say: in Turkish, KIM@example.com and kim@example.com were two
-- accounts. Only under "C" it is the same on every server. While the index is built, for the people of one company in
-- a fraction of a second, nobody can write users; sessions and logs can be. The other locks are held for moments.
CREATE UNIQUE INDEX users_user_email_any_case ON llm.users (lower(user_email COLLATE "C"));
DROP INDEX llm.users_user_email_key;
ALTER INDEX llm.users_user_email_any_case RENAME TO users_user_email_key;
COMMENT ON INDEX llm.users_user_email_key IS 'One account per e-mail address, whatever its case';
