ALTER TABLE llm.users
    DROP CONSTRAINT users_user_name_is_name,
    DROP CONSTRAINT users_user_email_is_address,
    DROP CONSTRAINT users_user_email_capitals_are_ascii,
    ADD CONSTRAINT users_user_name_not_blank CHECK (btrim(user_name) <> ''),
    ADD CONSTRAINT users_user_email_is_address CHECK (user_email ~ '^[^@[:space:]]+@[^@[:space:]]+$');
