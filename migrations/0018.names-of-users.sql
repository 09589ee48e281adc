-- depends: 0017.names
-- squawk-ignore-file ban-drop-constraint

-- One table a file: who locks one table at a time cannot deadlock with a writer that uses several. No row is looked
-- at, so the lock, which stops reading and writing the table, is held for moments. What the old rule guarantees, the
-- new one does too.
ALTER TABLE llm.users
    DROP CONSTRAINT users_user_name_not_blank,
    DROP CONSTRAINT users_user_email_is_address,
    ADD CONSTRAINT users_user_name_is_name CHECK (llm.is_name(user_name)) NOT VALID,
    ADD CONSTRAINT users_user_email_is_address CHECK (llm.is_email(user_email)) NOT VALID,
    ADD CONSTRAINT users_user_email_capitals_are_ascii CHECK (llm.capitals_are_ascii(user_email)) NOT VALID;
